"""Deliver what is on disk to both stores, without computing anything."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.errors import BadInput, Problem
from harness.lock import study_lock
from harness.records import RunRecord, finished_runs
from harness.results import RUNS_FOLDER, Study, load_study, read_records
from harness.spool import Spool
from harness.stores import declared_files, open_projections

REPORT_FILE = "report.html"


@dataclass(frozen=True)
class Synced:
    """What a study's stores hold now.

    Attributes:
        study: the study as it stands on disk.
        records: its finished runs, those of a search included.
        waited: attempts that had been waiting in the spool.
    """

    study: Study
    records: int
    waited: int


def sync_study(folder: Path, storage: str | None = None, tracking_uri: str | None = None) -> Synced:
    """Tell Optuna and MLflow everything a study's folder holds: runs, failures that waited, plan, report, how it ended.

    Whatever they know already stays as it is; nothing is doubled, and nothing is left as running.

    Args:
        folder: the study's.
        storage: Optuna's storage URL; None: in the folder.
        tracking_uri: MLflow's; None: the one that was away, or else the default.

    Raises:
        BadInput: if no study was run there, or the store that was away has a password and is not given.
        StudyLocked: if another process is running it.
        StoreUnavailable: if a store cannot be used, still.
    """
    study = load_study(folder)
    with study_lock(folder):
        spool = Spool(folder)
        entries, waited = spool.peek(), spool.waiting()
        uri = tracking_uri or store_that_was_away(folder)
        projections = open_projections(study.spec, folder, storage, uri, study.provenance, lambda what: None)
        records = told_runs(study)
        projections.repair(records, frozenset(finished_runs(folder / RUNS_FOLDER)))
        projections.searched(study.searches)
        projections.attach([*declared_files(folder), *(p for p in [folder / REPORT_FILE] if p.exists())])
        ended = [entry.status for entry in entries if entry.kind == "closed"]
        projections.close(ended[-1] if ended else _status(study))
    return Synced(study, len(records), waited)


def told_runs(study: Study) -> list[RunRecord]:
    """Return the finished runs that both stores should know: those of a search, then those asked for."""
    planned = set(study.planned)
    others = [run for run in finished_runs(study.folder / RUNS_FOLDER) if run not in planned]
    records, _ = read_records(study.folder, others)
    return [*(record for record in records if record.trial is not None), *study.records]


def store_that_was_away(folder: Path) -> str | None:
    """Return the tracking URI a study's spool waits for; None if nothing waits.

    Raises:
        BadInput: if it holds a password, which is not kept.
    """
    entries = Spool(folder).peek()
    uri = entries[-1].uri if entries else ""
    if "***" in uri:
        raise BadInput([Problem("tracking URI", uri, "holds a password that is not kept: give it")])
    return uri or None


def _status(study: Study) -> str:
    if len(study.records) == len(study.planned):
        return "FINISHED"
    return "FAILED" if len(study.records) + len(study.failures) == len(study.planned) else "KILLED"
