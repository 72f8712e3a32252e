"""Row 12: what a study may be continued with, and what it is told of."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from harness import Observer, Study, StudyChanged
from harness.provenance import collect
from harness.record.folder import RECORD_FILE
from studies.terminal.study_display import StudyDisplay
from tests.harness.lab import Lab, databases, study_data

SLOW = pytest.mark.slow


class Listener(Observer):
    """Keeps the warnings."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warned(self, what: str) -> None:
        self.warnings.append(what)


def contents(folder: Path) -> dict[Path, str]:
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()}


def computed(lab: Lab) -> int:
    return len([*lab.marks().iterdir()])


@databases
@pytest.mark.fault(12, "continued with other settings: one, several at once, a fixed one of an arm")
@pytest.mark.parametrize(
    ("changed", "named"),
    [
        pytest.param({"x": 0.25}, ["x was 0.5, is 0.25"], marks=SLOW),
        ({"x": 0.25, "text": "new", "anything": [1]}, ["x was", "text was '', is 'new'", "anything was None, is [1]"]),
        pytest.param({"marks": ""}, ["marks was"], marks=SLOW),
    ],
    ids=["one", "several", "one that changes no figure"],
)
def test_changed_settings_are_refused_by_name_and_nothing_changes(
    lab: Lab, changed: dict[str, Any], named: list[str]
) -> None:
    data = study_data(seeds=1, cells=1, marks=str(lab.marks()))
    study = lab.run(data)
    before = contents(lab.folder)
    with pytest.raises(StudyChanged) as error:
        lab.run({**data, "base": {**data["base"], **changed}})
    assert error.value.exit_code == 4
    assert all(text in str(error.value) for text in [str(study.folder), *named])
    assert "another name or --out" in str(error.value)
    assert contents(lab.folder) == before
    lab.assert_invariant(lab.run(data))
    assert computed(lab) == 2


@pytest.mark.fault(12, "continued with more seeds, more cells, or both: what is new is computed")
@pytest.mark.parametrize(
    ("seeds", "cells"), [(3, 2), *(pytest.param(*case, marks=SLOW) for case in ((2, 1), (1, 2), ([5, 0], 1)))]
)
def test_a_study_grows(lab: Lab, seeds: Any, cells: int) -> None:
    marks = str(lab.marks())
    before = {record.run: record for record in lab.run(study_data(seeds=1, cells=1, marks=marks)).records}
    study = lab.run(study_data(seeds=seeds, cells=cells, marks=marks))
    after = {record.run: record for record in study.records}
    assert len(after) == computed(lab) == 2 * cells * (seeds if isinstance(seeds, int) else len(seeds))
    assert all(after[run] == record for run, record in before.items())
    assert study.revisions
    lab.assert_invariant(study)


@pytest.mark.fault(12, "a finished study is run again")
def test_a_finished_study_has_nothing_to_do(lab: Lab) -> None:
    data = study_data(seeds=1, cells=1, marks=str(lab.marks()))
    first = lab.run(data)
    files = contents(first.folder / "runs")
    shown = Console(file=io.StringIO(), width=200)
    with StudyDisplay(shown) as display:
        again = lab.run(data, observer=display)
    assert isinstance(shown.file, io.StringIO)
    assert "nothing to do: every run is finished" in shown.file.getvalue()
    assert "warning" not in shown.file.getvalue()
    assert contents(again.folder / "runs") == files
    assert computed(lab) == 2
    lab.assert_invariant(again)


def computed_elsewhere(study: Study, runs: int, **changes: Any) -> None:
    """Make some records say that other software computed them."""
    for record in study.records[:runs]:
        path = record.folder / RECORD_FILE
        body = json.loads(path.read_text(encoding="utf-8"))
        provenance = body["provenance"]
        for name, value in changes.items():
            home = provenance["versions"] if name in provenance["versions"] else provenance
            home[name] = value
        path.write_text(json.dumps(body), encoding="utf-8")


@pytest.mark.fault(12, "continued with other versions, on another processor, or from another commit")
@pytest.mark.parametrize(
    ("runs", "changes"),
    [
        (2, {"numpy": "0.1", "cpu": "abacus"}),
        pytest.param(1, {"numpy": "0.1"}, marks=SLOW),
        pytest.param(1, {"commit": "c0ffee"}, marks=SLOW),
    ],
)
def test_other_software_is_told_and_stands_in_the_records(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, runs: int, changes: dict[str, Any]
) -> None:
    now = collect()  # of a checkout that may be committed to meanwhile
    monkeypatch.setattr("harness.provenance.collect", lambda: now)
    computed_elsewhere(lab.run(study_data(seeds=1, cells=1)), runs, **changes)
    listener = Listener()
    study = lab.run(study_data(seeds=2, cells=1), observer=listener)
    (warning,) = listener.warnings
    assert warning.startswith("1 finished run was computed otherwise" if runs == 1 else f"{runs} finished runs were")
    for name, was in changes.items():
        assert f"{name} was {was}, is " in warning
    said = [{**record.provenance["versions"], **record.provenance} for record in study.records]
    assert sum(all(one[name] == was for name, was in changes.items()) for one in said) == runs
    assert sum(record.provenance["versions"] == now["versions"] for record in study.records) >= 4 - runs
    lab.assert_invariant(study)


@SLOW
@pytest.mark.fault(12, "continued with the same software: nobody is warned")
def test_the_same_software_is_not_told(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    origin = collect()  # of a checkout that may be committed to meanwhile
    monkeypatch.setattr("harness.provenance.collect", lambda: origin)
    listener = Listener()
    lab.run(study_data(seeds=1, cells=1), observer=listener)
    lab.run(study_data(seeds=2, cells=1), observer=listener)
    assert listener.warnings == []
