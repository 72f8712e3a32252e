"""Row 8: databases that are locked are waited for; those that cannot be used are named, and left as they are."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from _pytest.mark.structures import ParameterSet

import harness.mirrors.patient
from harness import Observer, RunRecord, StoreUnavailable
from harness.commands.sync import sync_study
from harness.errors import Undelivered
from harness.mirrors.databases import LOCK_SECONDS, sqlite_path, sqlite_url
from harness.record.run import finished_runs
from tests.faults.locks import Holder, shorten_mlflows_patience, shorten_patience
from tests.harness.lab import DATABASES, ROOT, Lab, study_data
from tests.sharing import copy_place

pytestmark = DATABASES

DATABASE = ("optuna.db", "mlflow.db")
KINDS = ("IMMEDIATE", "EXCLUSIVE")
SLOW = pytest.mark.slow
IMPATIENT = 0.3  # seconds


def some_fast(cases: Iterable[Any], *fast: Any) -> list[ParameterSet]:
    """All cases as parameters, those not named for long test runs alone."""
    as_tuples = [case if isinstance(case, tuple) else (case,) for case in cases]
    return [pytest.param(*case, marks=[] if case in fast or case[0] in fast else [SLOW]) for case in as_tuples]


class Trouble(Observer):
    """Makes trouble when so many runs have finished, and ends it when it is told of a warning, if it is to end."""

    def __init__(self, make: Callable[[], object], after: int = 1, end: Callable[[], object] = lambda: None) -> None:
        self._make, self._left, self._end = make, after, end
        self.warnings: list[str] = []

    def warned(self, what: str) -> None:
        self.warnings.append(what)
        self._end()

    def finished(self, record: RunRecord) -> None:
        self._left -= 1
        if self._left == 0:
            self._make()


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def assert_goes_on(lab: Lab, computed: int = 4) -> None:
    """Trouble over, the same command finishes what is missing."""
    study = lab.run(study_data(seeds=1))
    assert len(study.records) == computed
    lab.assert_invariant(study)


# locked by another program


@pytest.mark.fault(8, "a database locked by another process when a study starts, for a while")
@pytest.mark.parametrize(
    ("name", "kind"), some_fast(product(DATABASE, KINDS), ("optuna.db", "EXCLUSIVE"), ("mlflow.db", "IMMEDIATE"))
)
def test_a_database_locked_at_the_start_is_waited_for_and_that_is_told(lab: Lab, name: str, kind: str) -> None:
    with Holder(lab.folder / name, kind) as holder:
        observer = Trouble(lambda: None, end=holder.let_go)
        study = lab.run(study_data(seeds=1), observer=observer)
    path = lab.folder / name
    assert observer.warnings == [f"{path} is locked by another program: waiting for up to {LOCK_SECONDS:g} s"]
    lab.assert_invariant(study)


@pytest.mark.fault(8, "a database locked by another process when a study starts, for ever (at a shorter patience)")
@pytest.mark.parametrize(("name", "kind"), some_fast(product(DATABASE, KINDS), ("mlflow.db", "EXCLUSIVE")))
def test_a_database_locked_for_ever_is_code_3_with_its_path(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, name: str, kind: str
) -> None:
    shorten_patience(monkeypatch, IMPATIENT)
    path = lab.folder / name
    before = digest(path)
    with Holder(path, kind):
        observer = Trouble(lambda: None)
        with pytest.raises(StoreUnavailable, match="locked") as error:
            lab.run(study_data(seeds=1), observer=observer)
        assert digest(path) == before
    assert error.value.exit_code == 3
    assert str(path) in str(error.value)
    assert len(observer.warnings) == 1  # once, however often it was asked
    assert_goes_on(lab)


@pytest.mark.fault(8, "Optuna's database locked in the middle of a study, for a while")
@pytest.mark.parametrize("kind", some_fast((*KINDS, "reading")))
def test_optuna_locked_meanwhile_is_waited_for(lab: Lab, kind: str) -> None:
    path = lab.folder / "optuna.db"
    holders: list[Holder] = []
    study = lab.run(study_data(seeds=1), observer=Trouble(lambda: holders.append(Holder(path, kind, seconds=0.5))))
    holders[0].let_go()
    lab.assert_invariant(study)


@pytest.mark.fault(8, "Optuna's database locked in the middle of a study, for ever (at a shorter patience)")
@pytest.mark.parametrize("kind", some_fast((*KINDS, "reading"), "IMMEDIATE"))
def test_optuna_locked_for_ever_meanwhile_is_code_3(lab: Lab, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    shorten_patience(monkeypatch, IMPATIENT)
    path = lab.folder / "optuna.db"
    holders: list[Holder] = []
    with pytest.raises(StoreUnavailable, match="locked") as error:
        lab.run(study_data(seeds=1), observer=Trouble(lambda: holders.append(Holder(path, kind))))
    holders[0].let_go()
    assert error.value.exit_code == 3
    assert str(path) in str(error.value)
    assert "results on disk are kept" in str(error.value)
    assert len(finished_runs(lab.out / "tiny" / "runs")) == 1
    assert not [run for run in lab.mlflow_runs() if run.info.status == "RUNNING"]
    assert_goes_on(lab)


@pytest.mark.fault(8, "MLflow's database locked in the middle of a study, for ever: the study goes on without it")
@pytest.mark.parametrize("kind", some_fast((*KINDS, "reading"), "EXCLUSIVE"))
def test_mlflow_locked_for_ever_meanwhile_is_delivered_later(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    shorten_mlflows_patience(monkeypatch, IMPATIENT)
    holders: list[Holder] = []
    observer = Trouble(lambda: holders.append(Holder(lab.folder / "mlflow.db", kind)))
    with pytest.raises(Undelivered, match="is away") as error:
        lab.run(study_data(seeds=1), observer=observer)
    assert error.value.exit_code == 3
    assert str(lab.folder / "mlflow.db") in str(error.value)
    assert "attempts are on disk and not in MLflow yet" in str(error.value)
    assert len(lab.study().records) == 4
    assert len(observer.warnings) == 1
    holders[0].let_go()
    synced = sync_study(lab.out / "tiny", lab.storage)
    assert synced.waited == 4
    lab.assert_invariant(synced.study)
    assert lab.parent().info.status == "FINISHED"


@SLOW
@pytest.mark.fault(8, "MLflow's database locked in the middle of a study, for a while: what it missed is delivered")
def test_mlflow_locked_for_a_while_is_told_what_it_missed(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    shorten_mlflows_patience(monkeypatch, IMPATIENT)
    monkeypatch.setattr(harness.mirrors.patient, "FIRST_PAUSE", 0.0)
    holders: list[Holder] = []

    class Once(Trouble):
        def finished(self, record: RunRecord) -> None:
            super().finished(record)
            if self._left == -1:
                holders[0].let_go()

    observer = Once(lambda: holders.append(Holder(lab.folder / "mlflow.db", "EXCLUSIVE")))
    study = lab.run(study_data(), observer=observer)
    away, back = observer.warnings
    assert "is away" in away
    assert "answers again" in back
    lab.assert_invariant(study)


@SLOW
@pytest.mark.fault(8, "each database locked for 30 s, at the start and in the middle of a study")
@pytest.mark.parametrize("name", DATABASE)
def test_thirty_seconds_are_waited_for(lab: Lab, name: str) -> None:
    path = lab.folder / name
    began = time.monotonic()
    with Holder(path, "EXCLUSIVE", seconds=30):
        observer = Trouble(lambda: None)
        lab.run(study_data(seeds=1), observer=observer)
    assert time.monotonic() - began > 29
    assert [str(path) in warning for warning in observer.warnings] == [True]
    holders: list[Holder] = []
    began = time.monotonic()
    try:
        lab.run(study_data(), observer=Trouble(lambda: holders.append(Holder(path, "EXCLUSIVE", seconds=30))))
    except Undelivered:
        assert name == "mlflow.db"  # a study as short as this ends meanwhile
    study = sync_study(lab.out / "tiny", lab.storage).study  # which waits, too
    assert time.monotonic() - began > 29
    holders[0].let_go()
    assert len(study.records) == 8
    lab.assert_invariant(study)


# nothing that can be used


def damaged(path: Path, how: str) -> None:
    """Make a database one that cannot be used."""
    content = path.read_bytes()
    if how == "empty":
        path.write_bytes(b"")
    elif how == "no database":
        path.write_bytes(b"Dear diary, \n" * 100)
    elif how == "zeros":
        path.write_bytes(bytes(len(content)))
    elif how == "half a header":
        path.write_bytes(content[:50])
    elif how == "its first page alone":
        path.write_bytes(content[:4096])
    elif how == "half of it":
        path.write_bytes(content[: len(content) // 2 // 4096 * 4096])
    elif how == "all but its last page":
        path.write_bytes(content[:-4096])
    elif how == "torn within a page":
        path.write_bytes(content[: len(content) // 2 + 1000])
    elif how == "a folder":
        path.unlink()
        path.mkdir()
    else:
        statement = {
            "a later schema": "UPDATE version_info SET schema_version = 99",
            "a later revision": "UPDATE alembic_version SET version_num = 'v99.0.0.a'",
            "an older revision": "UPDATE alembic_version SET version_num = 'v1.3.0.a'",
            "an unknown revision": "UPDATE alembic_version SET version_num = 'ffffffffffff'",
            "the first revision": "UPDATE alembic_version SET version_num = '451aebb31d03'",
        }[how]
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute(statement).rowcount == 1
            connection.commit()


BROKEN = (
    "no database",
    "zeros",
    "half a header",
    "its first page alone",
    "half of it",
    "torn within a page",
    "a folder",
)
WRONG_SCHEMA = [
    ("optuna.db", "a later revision"),
    ("optuna.db", "an older revision"),
    ("mlflow.db", "an unknown revision"),
    ("mlflow.db", "the first revision"),
]


@pytest.mark.fault(8, "a database of another schema, no database, or a truncated one")
@pytest.mark.parametrize(
    ("name", "how"),
    some_fast(
        [*WRONG_SCHEMA, *product(DATABASE, BROKEN)],
        *(("optuna.db", "half of it"), ("mlflow.db", "no database"), ("mlflow.db", "an unknown revision")),
    ),
)
def test_what_cannot_be_used_is_code_3_with_its_path_and_stays_as_it_is(lab: Lab, name: str, how: str) -> None:
    path = lab.folder / name
    damaged(path, how)
    before = digest(path) if path.is_file() else ""
    began = time.monotonic()
    with pytest.raises(StoreUnavailable) as error:
        lab.run(study_data(seeds=1))
    assert time.monotonic() - began < LOCK_SECONDS / 2  # told at once
    assert error.value.exit_code == 3
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
    assert (digest(path) if path.is_file() else "") == before
    assert finished_runs(lab.out / "tiny" / "runs") == []
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    shutil.copy(lab.blank / name, lab.folder)


@SLOW
@pytest.mark.fault(8, "a database that is an empty file, lacks its last page, or has another number for its schema")
@pytest.mark.parametrize(
    ("name", "how"),
    [
        *((name, how) for name in DATABASE for how in ("empty", "all but its last page")),
        ("optuna.db", "a later schema"),
    ],
)
def test_what_looks_whole_is_used_or_told_of(lab: Lab, name: str, how: str) -> None:
    path = lab.folder / name
    damaged(path, how)
    before, message = digest(path), ""
    try:
        lab.assert_invariant(lab.run(study_data(seeds=1)))
    except StoreUnavailable as error:
        message = str(error)
    assert not message or (str(path) in message and digest(path) == before)


# nothing that can be written to


@pytest.mark.fault(8, "a study's folder that takes no note of its stores, once both are open")
def test_stores_that_cannot_be_noted_are_not_left_open(lab: Lab, two_runs: Path) -> None:
    note = lab.out / "tiny" / "stores.json"
    copy_place(two_runs, lab.folder)
    lab.tracking_uri = sqlite_url(lab.folder / "team.db")
    shutil.copy(lab.blank / "mlflow.db", lab.folder / "team.db")

    class Careless(Observer):
        def warned(self, what: str) -> None:
            assert "was tracked at" in what
            note.unlink()
            note.mkdir()

    with pytest.raises(StoreUnavailable, match="Is a directory"):
        lab.run(study_data(seeds=1, cells=1), tracking_uri=lab.tracking_uri, observer=Careless())
    assert [run.info.status for run in lab.mlflow_runs()] == ["KILLED"]
    note.rmdir()
    lab.assert_invariant(lab.run(study_data(seeds=1, cells=1), tracking_uri=lab.tracking_uri))


@pytest.fixture(scope="module")
def namespace() -> list[str]:
    """How to start a program in whose eyes a path is read-only: permissions do not keep everybody out."""
    probe = 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1"'
    for command in (["unshare", "--mount"], ["unshare", "--map-root-user", "--mount"]):
        words = [*command, "sh", "-c", probe, "sh", "/mnt"]
        if shutil.which("unshare") and subprocess.run(words, capture_output=True).returncode == 0:
            return command
    pytest.skip("mounting read-only is not allowed here, neither as this user nor in a user namespace")


def run_where_read_only(namespace: list[str], lab: Lab, path: Path, *command: str) -> tuple[int, str]:
    """Run a program that can only read a path; return its exit code and what it said on standard error."""
    mount = 'p=$1; shift; mount --bind "$p" "$p" && mount -o remount,ro,bind "$p" && cd . && exec "$@"'
    process = subprocess.run(
        [*namespace, "sh", "-c", mount, "sh", str(path), sys.executable, *command],
        cwd=lab.folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=LOCK_SECONDS - 10,
    )
    return process.returncode, process.stderr


@pytest.mark.fault(8, "a read-only database, its read-only folder, or all of a study's folder (read-only mounts)")
@pytest.mark.parametrize("where", some_fast([*DATABASE, *(f"folder of {name}" for name in DATABASE), "out"]))
def test_what_cannot_be_written_to_is_code_3_at_once(namespace: list[str], lab: Lab, where: str) -> None:
    name = where.rpartition(" ")[2]
    home = lab.folder / "home"
    home.mkdir()
    lab.out.mkdir()
    if where != "out":
        (lab.folder / name).rename(home / name)
    path = lab.out if where == "out" else home / name if where == name else home
    options = {
        "out": str(lab.out),
        "storage": sqlite_url(home / name) if name == "optuna.db" else lab.storage,
        "tracking_uri": sqlite_url(home / name) if name == "mlflow.db" else lab.tracking_uri,
        "jobs": 1,
    }
    program = ("-m", "tests.harness.study_program", json.dumps(study_data(seeds=1)), json.dumps(options))
    before = {file: digest(file) for file in lab.folder.rglob("*.db")}
    code, errors = run_where_read_only(namespace, lab, path, *program)
    assert code == 3, errors
    assert str(path) in errors
    assert "Traceback" not in errors
    assert digest(home / name if where != "out" else lab.folder / "optuna.db") in before.values()
    lab.storage, lab.tracking_uri = options["storage"], options["tracking_uri"]  # type: ignore[assignment]
    study = lab.run(study_data(seeds=1), tracking_uri=lab.tracking_uri)
    lab.assert_invariant(study)


@SLOW
@pytest.mark.fault(8, "a read-only folder under the commands that only look: status, list, doctor, sync")
@pytest.mark.parametrize("command", ["status tiny", "list", "doctor tiny", "sync tiny"])
def test_commands_on_a_read_only_study_end_without_a_traceback(namespace: list[str], lab: Lab, command: str) -> None:
    lab.run(study_data(seeds=1))
    code, errors = run_where_read_only(namespace, lab, lab.out, "-m", "studies.cli", *command.split(), "--out", "out")
    assert "Traceback" not in errors, errors
    assert code == (0 if command in ("status tiny", "list") else 3 if command == "sync tiny" else code)
    assert sqlite_path(lab.storage) is not None
