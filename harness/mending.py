"""A study's small files looked through before it goes on: what is torn is kept as a backup, and made anew."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from harness.errors import DamagedRecord
from harness.records import RunRecord, read_as, remove_drafts, set_aside
from harness.results import FAILURES_FOLDER, IDENTITY_FILE, Failure, read_plan, study_identity
from harness.search import read_searches
from harness.spool import SPOOL_FOLDER, Entry

ATTEMPTS_FOLDER = "attempts"


def mend(folder: Path, warn: Callable[[str], None]) -> None:
    """Remove what interrupted writes left, and set aside what cannot be read; the caller holds the study's lock.

    Nothing of it is lost for good: the plan is declared anew, proposals of a search follow from its records, attempts
    are counted anew, a failure is tried again, and what waits for MLflow is told from the records.

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
        *_readers(folder / ATTEMPTS_FOLDER, int),
        *_readers(folder / FAILURES_FOLDER, lambda data: Failure(**data)),
        *_readers(folder / SPOOL_FOLDER, lambda data: Entry(**data)),
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


def other_origins(records: Iterable[RunRecord], origin: Mapping[str, Any]) -> str:
    """Say with what else than now finished runs were computed; empty if with the same.

    Args:
        records: the finished runs.
        origin: provenance of this command.
    """
    differing: dict[str, set[str]] = {}
    runs = 0
    now = _basis(origin)
    for record in records:
        then = _basis(record.provenance)
        names = [name for name in sorted({*now, *then}) if now.get(name) != then.get(name)]
        runs += bool(names)
        for name in names:
            differing.setdefault(name, set()).add(str(then.get(name)))
    if not differing:
        return ""
    clauses = [f"{name} was {' or '.join(sorted(was))}, is {now.get(name)}" for name, was in differing.items()]
    those = "1 finished run was" if runs == 1 else f"{runs} finished runs were"
    return (
        f"{those} computed otherwise ({'; '.join(clauses)}): figures may differ in the last bits; "
        "each run's record says with what"
    )


def _basis(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Return what can change a result though no setting does."""
    return {**provenance.get("versions", {}), **{name: provenance.get(name) for name in ("commit", "cpu")}}
