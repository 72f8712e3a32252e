"""SQLite databases are there whole or not at all, however their making ends."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.mirrors.addresses import storage_url_problem, tracking_uri_problem
from harness.mirrors.databases import ensure_database, sqlite_path, sqlite_url
from harness.redaction import redact
from tests.harness.lab import DATABASES, ROOT, wait_for

pytestmark = DATABASES


def make(url: str) -> None:
    """Make a database in two transactions, as MLflow and Optuna do in many; it cannot be made twice."""
    path = sqlite_path(url)
    assert path is not None
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE one (x)")
    connection.commit()
    connection.execute("CREATE TABLE two (x)")
    connection.commit()
    connection.close()


def half_make(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE one (x)")
    connection.commit()
    connection.close()


def tables(path: Path) -> set[str]:
    connection = sqlite3.connect(path)
    found = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    connection.close()
    return found


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def dead_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_database_is_made_with_its_folder_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "x.db"
    ensure_database(sqlite_url(path), make)
    assert tables(path) == {"one", "two"}
    assert names(path.parent) == ["x.db"]


def test_a_database_that_is_there_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    half_make(path)
    before = path.read_bytes()

    def never(url: str) -> None:
        raise AssertionError("must not be called")

    ensure_database(sqlite_url(path), never)
    assert path.read_bytes() == before
    path.write_bytes(b"no database at all, and longer than its header")
    with pytest.raises(sqlite3.DatabaseError, match="not a database"):
        ensure_database(sqlite_url(path), never)
    assert path.read_bytes() == b"no database at all, and longer than its header"


def test_other_stores_are_left_to_their_libraries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for url in ("postgresql://host/x", "http://localhost:5000", "sqlite:///"):
        ensure_database(url, make)
    assert names(tmp_path) == []


def test_nothing_is_left_of_a_database_that_could_not_be_made(tmp_path: Path) -> None:
    def fail(url: str) -> None:
        make(url)
        raise RuntimeError("halfway")

    with pytest.raises(RuntimeError, match="halfway"):
        ensure_database(sqlite_url(tmp_path / "x.db"), fail)
    assert names(tmp_path) == []


def test_what_a_dead_process_left_half_made_is_removed(tmp_path: Path) -> None:
    pid = dead_process()
    half_make(tmp_path / f"x.db.creating-{pid}")
    (tmp_path / f"x.db.creating-{pid}-journal").write_bytes(b"")
    ensure_database(sqlite_url(tmp_path / "x.db"), make)
    assert names(tmp_path) == ["x.db"]
    assert tables(tmp_path / "x.db") == {"one", "two"}


def test_a_dead_process_of_the_same_pid_is_no_hindrance(tmp_path: Path) -> None:
    """In a container every command may have the same process id as the one before it."""
    half_make(tmp_path / f"x.db.creating-{os.getpid()}")
    ensure_database(sqlite_url(tmp_path / "x.db"), make)
    assert names(tmp_path) == ["x.db"]
    assert tables(tmp_path / "x.db") == {"one", "two"}


def test_what_a_process_left_that_died_between_the_link_and_the_end_is_removed(tmp_path: Path) -> None:
    make(sqlite_url(tmp_path / "x.db"))
    os.link(tmp_path / "x.db", tmp_path / f"x.db.creating-{dead_process()}")
    ensure_database(sqlite_url(tmp_path / "x.db"), make)
    assert names(tmp_path) == ["x.db"]


def test_the_first_of_two_processes_wins(tmp_path: Path) -> None:
    def overtaken(url: str) -> None:
        make(url)
        make(sqlite_url(tmp_path / "x.db"))

    ensure_database(sqlite_url(tmp_path / "x.db"), overtaken)
    assert names(tmp_path) == ["x.db"]
    assert tables(tmp_path / "x.db") == {"one", "two"}


@pytest.mark.parametrize("name", ["plain.db", "with space.db", "ünï.db", "a#b.db", "100%41.db"])
def test_a_path_survives_being_a_url(tmp_path: Path, name: str) -> None:
    assert sqlite_path(sqlite_url(tmp_path / name)) == tmp_path / name


@pytest.mark.fault(8, "a SQLite URL that names a driver: waited for and made whole like any other, or refused")
def test_a_url_may_name_pythons_own_driver_and_no_other(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "x.db").replace("sqlite", "sqlite+pysqlite")
    ensure_database(url, make)
    assert tables(tmp_path / "x.db") == {"one", "two"}
    for ask in (storage_url_problem, tracking_uri_problem):
        assert ask(url) is None
        for other in ("sqlite+aiosqlite:///x.db", "sqlite+pysqlite://", "sqlite:///:memory:"):
            assert "must name a file" in str(ask(other))


def test_a_url_means_the_same_from_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert sqlite_url(Path("x.db")) == sqlite_url(tmp_path / "x.db")


@pytest.mark.parametrize(
    "uri",
    [
        "postgresql://me:s3cret@db/x", "http://me:s3cret@host:5000/p?q=1", "https://s3cret@host", "mysql+py://s3cret:s3cret@h",
        "postgresql://me:p@s3cret@db/x", "two http://a:s3cret@b and http://c:s3cret@d",
    ],
)  # fmt: skip
def test_passwords_are_hidden(uri: str) -> None:
    shown = redact(uri)
    assert "s3cret" not in shown
    assert "me:" not in shown
    assert "***" in shown


@pytest.mark.parametrize("text", ["sqlite:////a/b.db", "http://localhost:5000", "mail me@home", "http://h/a@b", ""])
def test_what_holds_no_password_is_shown_as_it_is(text: str) -> None:
    assert redact(text) == text


OPTUNA = """
import sys, json
from harness import parse_spec
from harness.mirrors.optuna.trials import OptunaMirror
from tests.harness.lab import study_data
OptunaMirror(sys.argv[1], parse_spec(study_data()), "owner").close("FINISHED")
"""
MLFLOW = """
import sys
from pathlib import Path
from harness.provenance import collect
from harness.mirrors.mlflow.mirror import MLflowMirror
MLflowMirror(sys.argv[1], "x", Path("mlartifacts"), collect(), "x").close("FINISHED")
"""


def draft_of(path: Path, size: int) -> Callable[[], bool]:
    """Whether a database is being made and has come so far."""
    return lambda: any(
        draft.stat().st_size >= size
        for draft in path.parent.glob(f"{path.name}.creating-*")
        if draft.suffix[-1].isdigit()
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("program", "sizes", "expected"),
    [(OPTUNA, [0, 60_000], {"studies", "trials"}), (MLFLOW, [300_000], {"runs", "experiments", "alembic_version"})],
    ids=["optuna", "mlflow"],
)
def test_a_process_killed_while_it_makes_a_database_harms_nothing(
    tmp_path: Path, program: str, sizes: list[int], expected: set[str]
) -> None:
    path = tmp_path / "x.db"
    command = [sys.executable, "-W", "ignore", "-c", program, sqlite_url(path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for size in sizes:
        process = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL)
        so_far = draft_of(path, size)
        try:
            wait_for(lambda so_far=so_far: path.exists() or so_far(), f"{size} bytes of the database")
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        assert not path.exists() or expected <= tables(path)
    finished = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    assert expected <= tables(path)
    assert not list(tmp_path.glob("x.db*.creating*"))
