"""A report reads every file of a run once at most, builds every table once, and shows what the catalogue lists."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from harness.errors import DamagedRecord
from harness.record.study import load_study
from reports import write_report
from reports.figures import findings
from reports.figures.catalogue import CATALOGUE
from reports.figures.exhibit import SECTIONS, Exhibit, Words
from reports.figures.style import drawing, new_figure, picture
from reports.page import report
from tests.opened import counting
from tests.reports.drawn import draw_only
from tests.reports.synthetic import plan, write_study
from tests.reports.theories import with_residuals


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


def test_a_report_opens_every_file_of_a_run_once_at_most_and_builds_every_table_once(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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
    with counting() as opened:
        write_report(load_study(folder), tmp_path)
    assert set(built.values()) == {1}
    assert {exhibit.name for exhibit in CATALOGUE} < built.keys()
    for run in (folder / "runs").iterdir():
        counts = {path.name: opened[str(path)] for path in run.iterdir()}
        assert max(counts.values()) == 1
        drawn = {"record.json", "config.json", "evaluations.csv", "episodes.csv", "residuals.csv"}
        assert {name for name, count in counts.items() if count} == drawn | (
            {"parameters.npz"} if "episode" in run.name else set()
        )


def test_a_report_that_verifies_opens_every_file_of_a_run_once(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw_only(monkeypatch)
    with counting() as opened:
        write_report(load_study(folder), tmp_path, verify=True)
    assert {opened[str(path)] for path in folder.glob("runs/*/*")} == {1}


@pytest.mark.parametrize("name", ["config.json", "curves.csv", "evaluations.csv", "episodes.csv", "parameters.npz"])
def test_damage_of_the_same_size_is_found_while_a_report_is_written(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    draw_only(monkeypatch)
    shutil.copytree(folder, tmp_path / "study")
    before = [path.read_bytes() for path in sorted((tmp_path / "study").glob("*.html"))]
    path = next((tmp_path / "study" / "runs").glob(f"*max_terms*/{name}"))
    content = path.read_bytes()
    path.write_bytes(content[:-3] + bytes([content[-3] ^ 1]) + content[-2:])
    study = load_study(tmp_path / "study")
    if name == "config.json":
        assert [message for message in study.damaged if str(path) in message]
        return
    with pytest.raises(DamagedRecord, match="must be what was written") as caught:
        write_report(study, verify=True)
    assert caught.value.path == path
    assert before == [path.read_bytes() for path in sorted((tmp_path / "study").glob("*.html"))]


def test_a_figure_is_shown_by_being_listed(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def figure(table: pd.DataFrame, _: Any) -> list[Any]:
        with drawing():
            return [picture(new_figure(1, 1), "", f"{len(table)} rows of my own")]

    def mine(section: Any) -> Exhibit:
        table = pd.DataFrame({"section": [section] * 3})
        words = Words(f"How to read {section}.", f"Mine in {section}", f"It shows {section}.")
        return Exhibit(f"mine_{section}", "mine", lambda _: table, figure, lambda *_: words, section)

    draw_only(monkeypatch, more=[mine(section) for section in SECTIONS])
    page = write_report(load_study(folder), tmp_path).read_text()
    sections = {part.partition('"')[0]: part for part in page.split('<section id="')}
    for name in SECTIONS:
        for words in (f"Mine in {name}", f"It shows {name}.", "3 rows of my own", f"How to read {name}."):
            assert words in sections[name]
        assert f'href="tables/mine_{name}.csv"' in sections["data"]
        assert pd.read_csv(tmp_path / "tables" / f"mine_{name}.csv")["section"].tolist() == [name] * 3
