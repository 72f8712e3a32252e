"""The folder ``spool/`` of studies begun by an earlier version: what waited for MLflow is read once, then removed.

Finished runs, files and the end of a command follow from the record. Failed attempts stood nowhere else.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from harness.errors import DamagedRecord, disk_errors
from harness.record.attempt import Failure, read_attempt, write_failure
from harness.record.folder import FAILURES_FOLDER, SPOOL_FOLDER
from harness.record.json_file import read_as


@dataclass(frozen=True)
class _Entry:
    failure: Failure


_ENTRY = TypeAdapter(_Entry)


def take_over_spool(folder: Path) -> None:
    """Move the failed attempts of a study's spool to its record; the caller holds the study's lock.

    Raises:
        StoreUnavailable: if the disk does not take them.
    """
    spool = folder / SPOOL_FOLDER
    if not spool.is_dir():
        return
    with disk_errors(spool):
        for failure in _failures(spool):
            write_failure(folder, failure)
            with suppress(DamagedRecord, FileNotFoundError):  # of a run's last, which counts less than a numbered one
                if isinstance(last := read_attempt(folder / FAILURES_FOLDER / f"{failure.run}.json"), Failure):
                    write_failure(folder, last)
        shutil.rmtree(spool)


def _failures(spool: Path) -> Iterator[Failure]:
    """Yield the failed attempts among the entries; those that are torn, or name no run, are left out."""
    for path in sorted(spool.glob("*-failed.json")):
        with suppress(DamagedRecord):
            failure = read_as(path, _ENTRY).failure
            if Path(failure.run).name == failure.run and not failure.run.startswith("."):
                yield failure
