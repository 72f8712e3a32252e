"""A study's small files looked through before it goes on: what is torn is kept as a backup, and made anew."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from harness.errors import DamagedRecord
from harness.mirrors.addresses import remembered
from harness.mirrors.spool import SPOOL_FOLDER, Entry
from harness.record.attempt import ATTEMPTS_FOLDER, Failure
from harness.record.files import remove_drafts, set_aside
from harness.record.folder import FAILURES_FOLDER, IDENTITY_FILE
from harness.record.json_file import read_as
from harness.record.plan import read_plan, study_identity
from harness.record.search import read_searches


def mend(folder: Path, warn: Callable[[str], None]) -> None:
    """Remove what interrupted writes left, and set aside what cannot be read; the caller holds the study's lock.

    Nothing of it is lost for good: the plan is declared anew, proposals of a search follow from its records, attempts
    are counted anew, a failure is tried again, what waits for MLflow is told from the records, and where results go is
    noted anew.

    Args:
        folder: the study's.
        warn: is told of every file that was set aside.
    """
    remove_drafts(folder)
    for damaged in damaged_files(folder):
        kept = set_aside(damaged.path, folder)
        warn(f"{damaged}; kept as {kept}")


def damaged_files(folder: Path) -> list[DamagedRecord]:
    """Return what cannot be read of a study's files, its runs' records aside."""
    readers: list[Callable[[], object]] = [
        lambda: read_plan(folder),
        lambda: (folder / IDENTITY_FILE).exists() and study_identity(folder),
        lambda: read_searches(folder),
        lambda: remembered(folder),
        *_readers(folder / ATTEMPTS_FOLDER, int),
        *_readers(folder / FAILURES_FOLDER, Failure.of),
        *_readers(folder / SPOOL_FOLDER, Entry.of),
    ]
    found = []
    for read in readers:
        try:
            read()
        except DamagedRecord as error:
            found.append(error)
    return found


def _readers(folder: Path, make: Callable[[Any], object]) -> list[Callable[[], object]]:
    return [partial(read_as, path, make) for path in sorted(folder.glob("*.json"))]
