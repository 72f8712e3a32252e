"""What is dear to make, made once: places, by the first of a session's workers that asks, and imports, by each."""

from __future__ import annotations

import fcntl
import functools
import gc
import os
import shutil
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

MADE = ".made"
MANY_MODULES = 150  # about as many as what a test imports beside those of the standard library
_set_aside = 0  # how many modules there were when the garbage collector was last kept off them


def set_imports_aside() -> None:
    """Keep the garbage collector off what has been imported, if that is much more than when it last was.

    MLflow, torch and others are imported when a test first needs them: objects by the 100,000, which the collector
    would visit again and again.
    """
    global _set_aside
    if len(sys.modules) > _set_aside + MANY_MODULES:
        gc.collect()
        gc.freeze()
        _set_aside = len(sys.modules)


@functools.cache
def read_migrations_once() -> None:
    """Let the stores' migrations be executed once a process, instead of whenever a store is opened."""
    from alembic.util import pyfiles

    execute, execute_once = pyfiles.load_module_py, functools.cache(pyfiles.load_module_py)

    def load(name: str, path: str | Path) -> object:
        migrates = Path(path).name == "env.py"  # that one does something, whenever a database is made
        return execute(name, path) if migrates else execute_once(name, path)

    pyfiles.load_module_py = load


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """Return the session's folder of that name, filled by ``make`` if nobody has yet; who changes it takes a copy."""
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
