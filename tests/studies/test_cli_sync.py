"""``a3c-bench sync``: what is on disk is delivered to both stores, and nothing else is done."""

from __future__ import annotations

import hashlib
import shutil
import socket
import sqlite3
from collections.abc import Callable
from contextlib import closing

import pytest

from harness import Observer, RunRecord, Study
from harness.errors import Undelivered
from harness.mirrors.databases import sqlite_url
from harness.record.study import load_study
from studies.cli import run
from tests.faults.locks import shorten_mlflows_patience
from tests.harness.lab import DATABASES, Lab, study_data, wait_for
from tests.studies.command import call

pytestmark = DATABASES


def records(lab: Lab) -> dict[str, str]:
    files = (path for path in (lab.out / "tiny" / "runs").rglob("*") if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def synced(lab: Lab) -> int:
    return run(["sync", "tiny", "--storage", lab.storage])


def test_with_nothing_to_deliver_nothing_changes(lab: Lab, finished: Study, capsys: pytest.CaptureFixture[str]) -> None:
    before = records(lab), lab.trials(), [(found.info.run_id, found.data.metrics) for found in lab.children()]
    capsys.readouterr()
    assert synced(lab) == 0
    said = capsys.readouterr().out
    assert "tiny: all 4 finished runs are in both stores" in said
    assert "waiting" not in said
    after = records(lab), lab.trials(), [(found.info.run_id, found.data.metrics) for found in lab.children()]
    assert after == before
    assert lab.parent().info.status == "FINISHED"
    lab.assert_invariant(finished)


@pytest.mark.slow
@pytest.mark.fault(8, "MLflow's or Optuna's database deleted after a study: sync makes it anew")
@pytest.mark.parametrize("name", ["mlflow.db", "optuna.db"])
def test_a_deleted_database_is_delivered_to_anew(lab: Lab, name: str) -> None:
    data = study_data(seeds=1, cells=1, marks=str(lab.marks()))
    assert lab.finish(lab.start(data)) == (0, "")
    before = records(lab)
    (lab.folder / name).unlink()
    code, said, errors = call("sync", "tiny", "--storage", lab.storage, cwd=lab.folder)
    assert code == 0, errors
    assert "all 2 finished runs are in both stores" in said
    assert records(lab) == before
    assert len([*lab.marks().iterdir()]) == 2
    lab.assert_invariant(load_study(lab.out / "tiny"))
    assert lab.parent().info.status == "FINISHED"


class Away(Observer):
    """Does something when the first run has finished."""

    def __init__(self, act: Callable[[], object]) -> None:
        self._act: Callable[[], object] = act

    def finished(self, record: RunRecord) -> None:
        self._act()
        self._act = lambda: None


@pytest.mark.fault(8, "MLflow's database locked for good in the middle of a study: sync delivers what waits, once")
def test_what_waits_is_delivered_once(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shorten_mlflows_patience(monkeypatch, 0.1)
    with closing(sqlite3.connect(lab.folder / "mlflow.db", isolation_level=None)) as other:
        with pytest.raises(Undelivered):
            lab.run(study_data(seeds=1), observer=Away(lambda: other.execute("BEGIN EXCLUSIVE")))
        monkeypatch.setattr("harness.mirrors.databases.LOCK_SECONDS", 0.3)
        assert synced(lab) == 3  # it is away, still
        errors = capsys.readouterr().err
        assert str(lab.folder / "mlflow.db") in errors
        assert "Traceback" not in errors
        other.execute("ROLLBACK")
    assert synced(lab) == 0
    assert "all 4 finished runs are in both stores, 4 attempts had been waiting" in capsys.readouterr().out
    lab.assert_invariant(load_study(lab.out / "tiny"))
    assert synced(lab) == 0
    assert "waiting" not in capsys.readouterr().out
    lab.assert_invariant(load_study(lab.out / "tiny"))


@pytest.mark.slow
@pytest.mark.fault(11, "sync of a study that another process is running")
def test_a_study_that_is_run_is_not_synced(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    data = study_data(seeds=1, cells=1, mode="wait", until=str(lab.folder / "go"))
    process = lab.start(data)
    wait_for(lambda: len(lab.children(status="RUNNING")) == 2, "two runs")
    assert synced(lab) == 4
    errors = capsys.readouterr().err
    assert errors.count("\n") == 1
    assert f"is being run by process {process.pid} on {socket.gethostname()}" in errors
    assert len(lab.children(status="RUNNING")) == 2
    (lab.folder / "go").touch()
    assert lab.finish(process)[0] == 0


@pytest.mark.slow
def test_a_study_that_was_stopped_is_synced_as_it_stands(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    data = study_data(seeds=1, mode="raise", until=str(lab.folder / "mended"))
    lab.run(data)
    assert synced(lab) == 0
    assert "all 0 finished runs are in both stores" in capsys.readouterr().out
    assert lab.parent().info.status == "FAILED"
    (lab.folder / "mended").touch()
    lab.assert_invariant(lab.run(data))


@pytest.mark.fault(10, "the note of a study's stores truncated: sync and doctor go to no other, but ask for them")
def test_stores_that_are_not_known_any_more_must_be_given(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    team = lab.folder / "team.db"
    shutil.copy(lab.blank / "mlflow.db", team)
    lab.tracking_uri = sqlite_url(team)
    study = lab.run(study_data(seeds=1, cells=1), tracking_uri=lab.tracking_uri)
    note, default = study.folder / "stores.json", lab.folder / "mlflow.db"
    note.write_bytes(note.read_bytes()[:30])
    before = note.read_bytes(), default.read_bytes()
    given = ["--storage", lab.storage, "--tracking-uri", lab.tracking_uri]
    for command in (["sync", "tiny"], ["sync", "tiny", *given[:2]], ["sync", "tiny", *given[2:]]):
        capsys.readouterr()
        assert run(command) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("a3c-bench: stores = 'out/tiny/stores.json': is damaged: both --storage and")
    for command in (["doctor", "tiny"], ["doctor", "tiny", "--repair"]):
        assert run(command) == 1
        assert "stores.json" in capsys.readouterr().out
    assert (note.read_bytes(), default.read_bytes()) == before
    assert not (study.folder / "optuna.db").exists()
    assert not (study.folder / "damaged").exists()
    assert run(["sync", "tiny", *given]) == 0
    (kept,) = (study.folder / "damaged").iterdir()
    assert kept.read_bytes() == before[0]
    assert f"kept as {kept.relative_to(lab.folder)}" in capsys.readouterr().err
    assert run(["sync", "tiny"]) == 0
    lab.assert_invariant(study)
