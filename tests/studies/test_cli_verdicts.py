"""From a study file with looks to a verdict, its calibration, and a comparison with another study."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

import pandas as pd
import pytest

from harness import load_study
from harness.compute.executor import InlineExecutor
from reports.comparison.calibration import read_calibration
from studies.cli import run
from tests.harness.lab import DATABASES
from tests.opened import counting
from tests.sharing import made_once
from tests.studies.command import TINY, draw_nothing

pytestmark = DATABASES

IN_MEMORY = ("--storage", "memory:", "--tracking-uri", "memory:")
LOOKS = "{ looks = [10, 12] }"
SMALL = (
    TINY.replace("seeds = 1", f"seeds = {LOOKS}")
    .replace('rollout_length = [10, "episode"]', "rollout_length = [10]")
    .replace("n_step = [10, 20]", "n_step = [10]")
    .replace("total_steps = 300", "total_steps = 200")
)


@pytest.fixture(autouse=True)
def _nothing_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    draw_nothing(monkeypatch)


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory, workplace: Path) -> Path:
    """A working directory in which two studies were run, their runs computed in this process."""

    def make(place: Path) -> None:
        for name, margin in (("one", 0.5), ("two", 0.001)):
            text = SMALL.replace('name = "tiny"', f'name = "{name}"') + f"margin = {margin}\n"
            (place / f"{name}.toml").write_text(text, encoding="utf-8")
            with contextlib.chdir(place), pytest.MonkeyPatch.context() as patch:
                patch.setattr("harness.compute.choice.ProcessExecutor", lambda slots: InlineExecutor())
                assert run(["run", f"{name}.toml", "--jobs", "1", *IN_MEMORY]) == 0

    shutil.copytree(made_once(tmp_path_factory, "verdicts", make) / "out", workplace / "out")
    return workplace


def test_a_cell_gets_the_seeds_its_verdict_needs(place: Path) -> None:
    for name, pairs in (("one", 10), ("two", 12)):  # the wide margin is met at once, the narrow one never
        (row,) = pd.read_csv(place / "out" / name / "tables" / "cells.csv").to_dict("records")
        study = load_study(place / "out" / name)
        assert (row["pairs"], len(study.planned)) == (pairs, 2 * pairs)
        assert row["verdict"] == ("EQUIVALENT" if name == "one" else "UNDECIDED")


def test_the_calibration_stands_in_the_report(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["calibrate", "one", "--replicates", "200"]) == 0
    assert "of 200 studies came out DIFFERENT" in capsys.readouterr().out
    found = read_calibration(place / "out" / "one")
    assert found is not None
    assert {rate.replicates for rate in found.rates} == {200}
    page = (place / "out" / "one" / "report.html").read_text(encoding="utf-8")
    assert "Checked on arms that are the same (A/A)" in page
    assert "Checked on arms" not in (place / "out" / "two" / "report.html").read_text(encoding="utf-8")


def test_a_report_reads_every_file_once_and_leaves_out_a_run_that_is_damaged(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [path.resolve() for path in (place / "out" / "one" / "runs").glob("*/*")]
    with counting() as opened:
        assert run(["report", "one"]) == 0
    assert {opened[str(path)] for path in files} == {1}
    assert capsys.readouterr().err == ""
    damaged = min(path for path in files if path.name == "evaluations.csv")
    damaged.write_bytes(damaged.read_bytes()[:-2] + b"9\n")
    assert run(["report", "one"]) == 0
    (warning,) = capsys.readouterr().err.splitlines()
    assert "evaluations.csv is damaged: must be what was written: left out" in warning
    left = pd.read_csv(place / "out" / "one" / "tables" / "runs.csv")["run"]
    assert damaged.parent.name not in set(left)
    assert len(left) == 19


def test_two_studies_side_by_side(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["compare", "one", "two"]) == 0
    assert capsys.readouterr().out == "comparison: out/one--two/comparison.html\n"
    assert run(["compare", "one", "tow"]) == 2
    assert "did you mean 'two'?" in capsys.readouterr().err
    page = (place / "out" / "one--two" / "comparison.html").read_text(encoding="utf-8")
    assert "EQUIVALENT" in page
    assert "UNDECIDED" in page
