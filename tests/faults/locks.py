"""Another program that holds a SQLite database."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

PROGRAM = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
kind, seconds = sys.argv[2], float(sys.argv[3])
if kind == "reading":
    connection.execute("BEGIN")
    connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
else:
    connection.execute("BEGIN " + kind)
print("held", flush=True)
if seconds:
    time.sleep(seconds)
else:
    sys.stdin.read()
"""


class Holder:
    """A process that holds a database until it is told to let go, or for some seconds.

    Args:
        path: the database.
        kind: ``IMMEDIATE`` keeps writers out, ``EXCLUSIVE`` keeps readers out too, ``reading`` keeps others from
            committing.
        seconds: after which it lets go by itself; 0: when it is told to.
    """

    def __init__(self, path: Path, kind: str, seconds: float = 0) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-S", "-c", PROGRAM, str(path), kind, str(seconds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "held\n"

    def let_go(self) -> None:
        """End it, or wait for its end; what it held is free when this returns."""
        assert self._process.stdin is not None
        if not self._process.stdin.closed:
            self._process.communicate("")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.let_go()


def shorten_patience(patch: pytest.MonkeyPatch, seconds: float) -> None:
    """Wait for locked databases no longer than so many seconds."""
    for module in ("databases", "opening", "optuna.trials"):
        patch.setattr(f"harness.mirrors.{module}.LOCK_SECONDS", seconds)


def shorten_mlflows_patience(patch: pytest.MonkeyPatch, seconds: float) -> None:
    """Make MLflow, which sets 20 s itself, wait no longer than so many seconds for a locked database."""
    import mlflow.store.db.utils

    own = mlflow.store.db.utils.sql

    class Sql:
        @staticmethod
        def text(text: str) -> object:
            return own.text(text.replace("busy_timeout = 20000", f"busy_timeout = {int(1000 * seconds)}"))

    patch.setattr(mlflow.store.db.utils, "sql", Sql)
