"""Attempts at runs: how many, and how those that failed failed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import DamagedRecord
from harness.record.folder import FAILURES_FOLDER
from harness.record.json_file import read_as, write_json

ATTEMPTS_FOLDER = "attempts"


def next_attempt(folder: Path, run: str) -> int:
    """Count one more attempt of a run, from 1, and return its number; a failure that is kept counts, too."""
    path = folder / ATTEMPTS_FOLDER / f"{run}.json"
    path.parent.mkdir(exist_ok=True)
    failed = folder / FAILURES_FOLDER / path.name
    attempt = 1 + max(_count(path), _failed(failed))
    write_json(path, attempt)
    return attempt


def _count(path: Path) -> int:
    return read_as(path, int) if path.exists() else 0


def _failed(path: Path) -> int:
    try:
        return read_as(path, Failure.of).attempt if path.exists() else 0
    except DamagedRecord:
        return 0


@dataclass(frozen=True)
class Failure:
    """A run that raised, timed out or died, at its last attempt.

    Attributes:
        run: its id.
        cell: the id of its cell.
        arm: the compared level, as text.
        seed: its seed.
        attempt: which try this was.
        reason: one line.
        detail: the traceback, where there is one.
        trial: in search mode the proposal it tried.
    """

    run: str
    cell: str
    arm: str
    seed: int
    attempt: int
    reason: str
    detail: str = ""
    trial: int | None = None

    @classmethod
    def of(cls, data: Any) -> Failure:
        """Make a failure of what was written of it.

        Raises:
            TypeError: if that is none.
        """
        return cls(**data)


def _read_failures(paths: Iterable[Path]) -> tuple[dict[str, Failure], tuple[str, ...]]:
    """Return those failures that can be read, by run, and what is wrong with the others."""
    failures, damaged = {}, []
    for path in paths:
        try:
            failures[path.stem] = read_as(path, Failure.of)
        except DamagedRecord as error:
            damaged.append(str(error))
        except FileNotFoundError:  # tried again meanwhile, with success
            continue
    return failures, tuple(damaged)
