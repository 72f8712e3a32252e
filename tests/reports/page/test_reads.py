"""A report reads every file of a run once at most, and builds every table once."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.record.study import load_study
from reports import write_report
from reports.figures import findings
from reports.figures.catalogue import CATALOGUE
from reports.figures.exhibit import Exhibit
from reports.page import report
from tests.reports.synthetic import plan, write_study
from tests.reports.theories import with_residuals

_opened: list[Counter[str]] = []  # where opened files are counted, while any are


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if _opened and event == "open" and isinstance(arguments[0], str | os.PathLike):
        _opened[-1][os.fspath(arguments[0])] += 1


sys.addaudithook(_note)


@contextmanager
def counting() -> Iterator[Counter[str]]:
    """Count how often each file is opened, by whatever means."""
    _opened.append(Counter())
    try:
        yield _opened[-1]
    finally:
        _opened.clear()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a study with a vacuous cell, a diverged run and three arms, all of which left every table."""
    folder = tmp_path_factory.mktemp("reads") / "study"
    data = plan(
        sweep={"target": ["missing_as_zero", "max_terms", "wrong_gamma"], "rollout_length": [5, "episode"]},
    )

    def change(run: Any, output: dict[str, Any]) -> None:
        with_residuals(run, output)
        output["metrics"]["solved"] = float(run.seed % 2)

    write_study(folder, data, points=3, change=change, diverge=lambda run: run.seed == 1 and run.arm == "max_terms")
    return folder


def test_a_report_opens_every_file_of_a_run_once_at_most(folder: Path) -> None:
    with counting() as opened:
        write_report(load_study(folder))
    for run in (folder / "runs").iterdir():
        counts = {path.name: opened[str(path)] for path in run.iterdir()}
        assert max(counts.values()) == 1
        drawn = {"record.json", "config.json", "evaluations.csv", "episodes.csv", "residuals.csv"}
        assert {name for name, count in counts.items() if count} == drawn | (
            {"parameters.npz"} if "episode" in run.name else set()
        )


def test_a_report_builds_every_table_once(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built: Counter[str] = Counter()

    def counted(name: str, function: Any) -> Any:
        def call(*given: Any) -> Any:
            built[name] += 1
            return function(*given)

        return call

    def watched(exhibit: Exhibit) -> Exhibit:
        return replace(exhibit, table=counted(exhibit.name, exhibit.table))

    monkeypatch.setattr(report, "CATALOGUE", tuple(watched(exhibit) for exhibit in CATALOGUE))
    for name in ("compare_cells", "evaluation_curves", "compared_values"):
        monkeypatch.setattr(findings, name, counted(name, getattr(findings, name)))
    write_report(load_study(folder), tmp_path)
    assert set(built.values()) == {1}
    assert {exhibit.name for exhibit in CATALOGUE} < built.keys()
