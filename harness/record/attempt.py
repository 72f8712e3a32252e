"""How often each run was tried, counted across commands: an interrupted attempt leaves no other trace on disk."""

from __future__ import annotations

from pathlib import Path

from harness.errors import DamagedRecord
from harness.record.run import read_as, write_json
from harness.record.study import FAILURES_FOLDER, Failure

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
