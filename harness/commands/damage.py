"""Check a study's small files before it goes on: what is torn is kept as a backup, and made anew."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from harness.errors import DamagedRecord
from harness.mirrors.addresses import remembered
from harness.record.attempt import attempt_files, read_attempt, reset_attempt
from harness.record.files import remove_drafts, set_aside
from harness.record.folder import ATTEMPTS_FOLDER, IDENTITY_FILE, RUNS_FOLDER
from harness.record.plan import read_plan, study_identity
from harness.record.run import finished_runs
from harness.record.search import read_search


def repair_files(folder: Path, warn: Callable[[str], None], thorough: bool = False) -> None:
    """Remove what interrupted writes left, and set aside what cannot be read; the caller holds the study's lock.

    Nothing of it is lost for good: the plan is declared anew, proposals of a search follow from its records, numbers of
    attempts go on, a failure is tried again, and where results go is noted anew.

    Args:
        folder: the study's.
        warn: called with a sentence for every file that was set aside.
        thorough: whether to read the attempts of finished runs, too, on which nothing depends.
    """
    remove_drafts(folder)
    for damaged in damaged_files(folder, thorough):
        kept = set_aside(damaged.path, folder)
        warn(f"{damaged}; kept as {kept}")
        if ATTEMPTS_FOLDER in damaged.path.relative_to(folder).parts:
            reset_attempt(damaged.path)


def damaged_files(folder: Path, thorough: bool = True) -> list[DamagedRecord]:
    """Return the damage to a study's files, its runs' records aside; see :func:`repair_files`."""
    finished = () if thorough else finished_runs(folder / RUNS_FOLDER)
    readers: list[Callable[[], object]] = [
        lambda: read_plan(folder),
        lambda: (folder / IDENTITY_FILE).exists() and study_identity(folder),
        lambda: read_search(folder),
        lambda: remembered(folder),
        *(partial(read_attempt, path) for path in attempt_files(folder, finished)),
    ]
    found = []
    for read in readers:
        try:
            read()
        except DamagedRecord as error:
            found.append(error)
    return found
