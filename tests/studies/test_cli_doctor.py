"""``a3c-bench doctor``: what a fault left is told, made good when asked, and a look changes nothing."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric

from harness import BadInput, Study
from harness.mirrors.databases import sqlite_url
from harness.record.study import load_study
from studies.catalogue import find_folder, recorded_studies
from studies.cli import run
from tests.harness.lab import DATABASES, Lab, alive, children_of, study_data, wait_for

pytestmark = DATABASES

SLOW = pytest.mark.slow


class Doctor:
    """The command, given to one study."""

    def __init__(self, lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
        self._storage, self._capsys = lab.storage, capsys
        self.lines: list[str] = []

    def __call__(self, *options: str) -> int:
        """Return its exit code; what it said stands in :attr:`lines`."""
        self._capsys.readouterr()
        code = run(["doctor", "tiny", "--storage", self._storage, *options])
        self.lines = self._capsys.readouterr().out.splitlines()
        return code

    def says(self, *words: str) -> bool:
        return any(all(word in line for word in words) for line in self.lines)

    def heals(self) -> None:
        """What was found is repaired, and a second look is clean."""
        found = [line.partition(": ")[2] for line in self.lines if line.startswith("REPAIR")]
        assert found
        assert self("--repair") == 0, self.lines
        for what in found:
            assert self.says("ok", f"repaired: {what}"), self.lines
        assert self() == 0
        assert self.lines == [HEALTHY]


HEALTHY = "ok      tiny: records, Optuna and MLflow agree"


@pytest.fixture
def doctor(lab: Lab, capsys: pytest.CaptureFixture[str]) -> Doctor:
    return Doctor(lab, capsys)


def contents(folder: Path) -> dict[Path, tuple[str, int]]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path: (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns) for path in files}


@pytest.mark.fault(2, "SIGKILL of the parent while two runs compute; doctor tells what it left and repairs it")
def test_what_a_killed_study_left_is_told_and_made_good(lab: Lab, doctor: Doctor) -> None:
    data = study_data(seeds=2, cells=1, mode="wait", only_seed=1, until=str(lab.folder / "go"))
    process = lab.start(data)
    half = ["FINISHED", "FINISHED", "RUNNING", "RUNNING"]
    wait_for(lambda: sorted(child.info.status for child in lab.children()) == half, "half of the runs")
    children = children_of(process.pid)
    lab.finish(process, signal.SIGKILL)
    wait_for(lambda: not any(map(alive, children)), "the children to end")
    assert doctor() == 1
    assert doctor.says("REPAIR", f"left locked by process {process.pid} on {socket.gethostname()}")
    assert doctor.says("REPAIR", "Optuna: 2 trials left as RUNNING")
    assert doctor.says("REPAIR", "MLflow: 3 runs left as RUNNING")
    doctor.heals()
    assert not [found for found in lab.mlflow_runs() if found.info.status == "RUNNING"]
    assert not lab.trials(state="RUNNING")
    (lab.folder / "go").touch()
    lab.assert_invariant(lab.run(data))
    assert doctor() == 0


@pytest.mark.parametrize(("name", "store"), [("optuna.db", "Optuna"), ("mlflow.db", "MLflow")])
def test_results_a_store_does_not_have_are_told_and_delivered(
    lab: Lab, finished: Study, doctor: Doctor, name: str, store: str
) -> None:
    (lab.folder / name).write_bytes((lab.blank / name).read_bytes())
    assert doctor() == 1
    assert doctor.lines == [f"REPAIR  tiny: {store}: 4 finished runs unsynced"]
    doctor.heals()
    lab.assert_invariant(finished)


def test_a_run_that_stands_twice_is_told_and_put_aside(lab: Lab, finished: Study, doctor: Doctor) -> None:
    client, child = MlflowClient(tracking_uri=lab.tracking_uri), lab.children()[0]
    ghost = client.create_run(child.info.experiment_id, tags=child.data.tags)
    client.log_batch(ghost.info.run_id, metrics=[Metric("score", child.data.metrics["score"], 0, 100)])
    client.set_terminated(ghost.info.run_id, "FINISHED")
    assert doctor() == 1
    assert doctor.lines == ["REPAIR  tiny: MLflow: 1 run recorded twice"]
    doctor.heals()
    lab.assert_invariant(finished)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.fault(10, "one bit of a run's file flipped, its size as it was; doctor tells and sets the run aside")
@pytest.mark.parametrize("name", ["curves.csv", "parameters.npz"])
def test_a_flipped_bit_is_told_and_the_run_set_aside(lab: Lab, finished: Study, doctor: Doctor, name: str) -> None:
    before, record = lab.table(), finished.records[0]
    content = (record.folder / name).read_bytes()
    flip(record.folder / name)
    assert doctor() == 1
    assert doctor.says(
        "REPAIR", str(Path("out", "tiny", "runs", record.run, name)), "is damaged: must be what was written"
    )
    assert len(doctor.lines) == 1
    assert doctor("--repair") == 0
    assert doctor.says("kept as", "computed again when the study is continued")
    assert len([*(finished.folder / "damaged").iterdir()]) == 1
    assert doctor() == 0
    again = lab.run(study_data(seeds=1))
    assert (record.folder / name).read_bytes() == content
    assert lab.table().equals(before)
    lab.assert_invariant(again)


@pytest.mark.fault(10, "half-written files and folders; doctor tells and removes them")
def test_half_written_things_are_told_and_removed(lab: Lab, finished: Study, doctor: Doctor) -> None:
    (finished.folder / "runs" / ".draft-0").mkdir()
    (finished.folder / "runs" / ".draft-0" / "record.json").write_text("{", encoding="utf-8")
    (finished.folder / ".draft-0-1").write_text("{", encoding="utf-8")
    (finished.folder / "attempts" / ".draft-0").write_text("", encoding="utf-8")
    assert doctor() == 1
    assert doctor.lines == ["REPAIR  tiny: 3 half-written files or folders"]
    doctor.heals()
    lab.assert_invariant(load_study(finished.folder))


@pytest.mark.parametrize("name", ["attempts/*/*.json", "identity.json"])
def test_damaged_small_files_are_told_and_set_aside(lab: Lab, finished: Study, doctor: Doctor, name: str) -> None:
    path = sorted(finished.folder.glob(name))[0]
    path.write_bytes(b"\x00")
    assert doctor() == 1
    assert doctor.says("REPAIR", str(path.relative_to(lab.folder)), "is damaged")
    doctor.heals()
    lab.assert_invariant(lab.run(study_data(seeds=1)))


@pytest.mark.fault(10, "a plan of no bytes; doctor tells it once and keeps the runs until the study goes on")
def test_a_plan_that_is_damaged_is_set_aside_until_the_study_goes_on(lab: Lab, finished: Study, doctor: Doctor) -> None:
    plan = Path("out", "tiny", "study.json")
    plan.write_bytes(b"")
    assert doctor() == 1
    damage, go_on = doctor.lines
    assert damage.startswith(f"REPAIR  tiny: {plan} is damaged: ")
    assert go_on.startswith(f"REPAIR  tiny: without {plan} no store is looked at")
    assert "`a3c-bench run STUDY`" in go_on
    assert "4 finished runs" in go_on
    left = go_on.replace("REPAIR", "WRONG ")
    assert doctor("--repair") == 1
    repaired, wrong = doctor.lines
    assert repaired.startswith(
        f"{damage.replace('REPAIR  tiny:', 'ok      tiny: repaired:')}; kept as out/tiny/damaged/"
    )
    assert wrong == left
    assert doctor() == 1
    assert doctor.lines == [go_on]
    assert doctor("--repair") == 1
    assert doctor.lines == [left], "nothing was repaired"
    again = lab.run(study_data(seeds=1))
    assert {record.run: record.metrics for record in again.records} == {r.run: r.metrics for r in finished.records}
    lab.assert_invariant(again)
    assert doctor() == 0


def test_a_study_without_its_plan_is_among_those_that_were_run(
    lab: Lab, finished: Study, capsys: pytest.CaptureFixture[str]
) -> None:
    (finished.folder / "study.json").unlink()
    (lab.out / "train" / "runs" / "one").mkdir(parents=True)  # of no study
    assert recorded_studies(lab.out) == [finished.folder]
    assert find_folder("tiny", lab.out) == finished.folder
    for unknown in ("train", "n" * 300):
        with pytest.raises(BadInput, match="must have been run"):
            find_folder(unknown, lab.out)
    assert run(["status", "tiny"]) == 2
    assert "study.json" in capsys.readouterr().err


@pytest.mark.fault(8, "a folder, or what is no database, in the place of a store's file; doctor names it at once")
@pytest.mark.parametrize("kind", ["a folder", "garbage"])
def test_stores_that_cannot_be_read_are_named_at_once(lab: Lab, finished: Study, doctor: Doctor, kind: str) -> None:
    for path in (lab.folder / "optuna.db", lab.folder / "other.db"):
        path.unlink(missing_ok=True)
        if kind == "a folder":
            path.mkdir()
        else:
            path.write_bytes(b"garbage" * 1000)
    before, start = contents(lab.folder), time.monotonic()
    assert doctor("--tracking-uri", sqlite_url(lab.folder / "other.db")) == 1
    assert time.monotonic() - start < 10, "the library tries for minutes"
    why = "unable to open database file" if kind == "a folder" else "file is not a database"
    assert doctor.lines == [
        f"REPAIR  tiny: Optuna cannot use {lab.storage}: {why}",
        f"REPAIR  tiny: MLflow cannot use {sqlite_url(lab.folder / 'other.db')}: {why}",
    ]
    assert contents(lab.folder) == before


def test_looking_makes_no_database_of_an_empty_file(lab: Lab, finished: Study, doctor: Doctor) -> None:
    for path in (lab.folder / "optuna.db", lab.folder / "other.db"):
        path.write_bytes(b"")
    before = contents(lab.folder)
    assert doctor("--tracking-uri", sqlite_url(lab.folder / "other.db")) == 1
    missing = f"{len(finished.records)} finished runs unsynced"
    assert doctor.lines == [f"REPAIR  tiny: {store}: {missing}" for store in ("Optuna", "MLflow")]
    assert contents(lab.folder) == before


@pytest.mark.parametrize("kind", ["with a failure", "from elsewhere", "finished", "partial"])
def test_a_healthy_study_is_clean_and_no_byte_of_it_changes(lab: Lab, doctor: Doctor, kind: str) -> None:
    failing: dict[str, Any] = {"mode": "raise", "only_seed": 1} if kind == "with a failure" else {}
    study = lab.run(study_data(cells=1, **failing))
    if kind == "partial":
        shutil.rmtree(study.records[0].folder)
        lab.run(study_data(seeds=1, cells=1))
    if kind == "from elsewhere":
        (study.folder / ".lock").unlink()
    before = contents(lab.folder)
    for options in ([], ["--repair"]):
        assert doctor(*options) == 0
        assert doctor.lines == [HEALTHY]
        assert contents(lab.folder) == before


@SLOW
def test_a_study_that_is_run_is_left_alone(lab: Lab, doctor: Doctor) -> None:
    data = study_data(seeds=1, cells=1, mode="wait", until=str(lab.folder / "go"))
    process = lab.start(data)
    wait_for(lambda: len(lab.children(status="RUNNING")) == 2, "two runs")
    before = contents(lab.folder)
    for options in ([], ["--repair"]):
        assert doctor(*options) == 0
        (line,) = doctor.lines
        assert line.startswith("ok      tiny: ")
        assert line.endswith(f"is being run by process {process.pid} on {socket.gethostname()}")
        assert contents(lab.folder) == before
    (lab.folder / "go").touch()
    assert lab.finish(process)[0] == 0
    assert doctor() == 0


@SLOW
def test_every_study_is_looked_at_where_none_is_named(
    lab: Lab, finished: Study, capsys: pytest.CaptureFixture[str]
) -> None:
    lab.run(study_data("other", seeds=1, cells=1))
    (lab.out / "other" / ".lock").write_text("process 1 on nowhere\n", encoding="utf-8")
    assert run(["doctor", "--storage", lab.storage]) == 1
    said = capsys.readouterr().out
    assert HEALTHY in said
    assert "REPAIR  other: left locked by process 1 on nowhere" in said
    assert "Python" in said


@pytest.mark.parametrize("command", ["doctor", "sync"])
def test_an_unknown_study_is_bad_input(
    lab: Lab, finished: Study, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    assert run([command, "tinny"]) == 2
    errors = capsys.readouterr().err
    assert "must have been run" in errors
    assert "did you mean 'tiny'?" in errors
    assert not os.path.lexists("out/tinny")
