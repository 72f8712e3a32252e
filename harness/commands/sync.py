"""Deliver what is on disk to both stores, without computing anything."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from harness.commands.damage import repair_files
from harness.errors import StoreUnavailable, disk_errors
from harness.interrupts import Interrupts
from harness.mirrors.addresses import stores_of
from harness.mirrors.opening import declared_files, open_projections
from harness.mirrors.spool import Spool
from harness.record.folder import REPORT_FILE, RUNS_FOLDER
from harness.record.lock import study_lock
from harness.record.run import RunRecord, finished_runs
from harness.record.study import Study, load_study, read_records


@dataclass(frozen=True)
class Synced:
    """What a study's stores hold now.

    Attributes:
        study: the study as it stands on disk.
        records: its finished runs, those of a search included.
        waited: attempts that had been waiting in the spool and were delivered.
        tracking_uri: where MLflow's store is; None: the default.
    """

    study: Study
    records: int
    waited: int
    tracking_uri: str | None


def sync_study(
    folder: Path,
    storage: str | None = None,
    tracking_uri: str | None = None,
    warn: Callable[[str], None] = lambda what: None,
) -> Synced:
    """Tell Optuna and MLflow everything a study's folder holds: runs, failures that waited, plan, report, how it ended.

    Whatever they know already stays as it is; nothing is doubled, and nothing is left as running.

    Args:
        folder: the study's.
        storage: Optuna's storage URL; None: as the study was last run with.
        tracking_uri: MLflow's, which takes the place of any other; None: as the study was last run with.
        warn: is told of what is damaged, refused or waited for.

    Raises:
        BadInput: if no study was run there, or a store must be given and is not: it has a password, which is not
            kept, or what was noted of it is damaged.
        StudyLocked: if another process is running it.
        StoreUnavailable: if a store cannot be used, still.
        Undelivered: if MLflow's went away meanwhile, or refused something.
        Interrupted: after SIGINT or SIGTERM; what was delivered stays.
    """
    load_study(folder)  # before anything is made in a folder that is none
    with Interrupts() as interrupts, disk_errors(folder), study_lock(folder):
        storage, uri = stores_of(folder, storage, tracking_uri)  # before what is damaged is set aside
        repair_files(folder, warn)
        study = load_study(folder)
        spool = Spool(folder)
        status = _status(study)
        waited = spool.waiting()
        adopt = tracking_uri is not None
        projections = open_projections(
            study.spec, study.metrics, folder, storage, uri, study.provenance, warn, interrupts.check, adopt
        )
        try:
            records = told_runs(study)
            projections.repair(records, frozenset(finished_runs(folder / RUNS_FOLDER)))
            projections.searched(study.searches)
            projections.attach([*declared_files(folder), *(p for p in [folder / REPORT_FILE] if p.exists())])
        except BaseException:
            with suppress(StoreUnavailable):  # what went wrong first is what is told
                projections.close(status)
            raise
        projections.close(status)
    return Synced(study, len(records), waited - spool.waiting(), uri)


def told_runs(study: Study) -> list[RunRecord]:
    """Return the finished runs that both stores should know: those of a search, then those asked for."""
    planned = set(study.planned)
    others = [run for run in finished_runs(study.folder / RUNS_FOLDER) if run not in planned]
    records, _ = read_records(study.folder, others)
    return [*(record for record in records if record.trial is not None), *study.records]


def _status(study: Study) -> str:
    """Return how the study ended, as its last command noted it or would have."""
    if len(study.records) + len(study.failures) < len(study.planned):
        return "KILLED"
    return "FAILED" if study.failures or study.failed_trials else "FINISHED"
