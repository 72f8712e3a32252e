"""What is dear and made or read once: places, by the first of the session's workers that asks, and migrations."""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

MADE = ".made"


def read_migrations_once() -> None:
    """Let MLflow and Optuna read their migrations (sixty modules) once a process, not whenever a database is opened."""
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    read, known = ScriptDirectory.from_config, dict[str | None, ScriptDirectory]()

    def from_config(config: Config) -> ScriptDirectory:
        location = config.get_alembic_option("script_location")
        if location not in known:
            known[location] = read(config)
        return known[location]

    ScriptDirectory.from_config = from_config  # type: ignore[method-assign]


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """Return the session's folder of that name, filled by ``make`` if nobody has yet; change copies, not it."""
    base = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent  # all workers share it
    folder = base / name
    with (base / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / MADE).exists():
            shutil.rmtree(folder, ignore_errors=True)  # making it has failed before
            folder.mkdir()
            make(folder)
            (folder / MADE).touch()
    return folder


def copy_place(source: Path, target: Path) -> None:
    """Copy a working directory with its studies and ``mlflow.db``, and the absolute paths in them."""
    shutil.copytree(source, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns(MADE))
    for note in target.glob("out/*/stores.json"):
        note.write_text(note.read_text(encoding="utf-8").replace(str(source), str(target)), encoding="utf-8")
    with closing(sqlite3.connect(target / "mlflow.db")) as database, database:
        for table, column in (("experiments", "artifact_location"), ("runs", "artifact_uri")):
            moved = f"UPDATE {table} SET {column} = replace({column}, ?, ?)"  # noqa: S608 - the names above
            database.execute(moved, (str(source), str(target)))
