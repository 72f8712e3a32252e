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
from harness.mirrors.opening import declared_files, open_mirrors
from harness.record.attempt import failed_attempts
from harness.record.folder import REPORT_FILE, RUNS_FOLDER
from harness.record.lock import study_lock
from harness.record.run import RunRecord, finished_runs
from harness.record.study import Study, load_study, read_records


@dataclass(frozen=True)
class Synced:
    """The outcome of a sync.

    Attributes:
        study: the study as it stands on disk.
        records: how many finished runs it has, those of a search included.
        waited: how many attempts a store had missed.
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
    """Deliver all a study's folder holds to Optuna and MLflow: runs, failed attempts, plan, report, how it ended.

    Whatever they hold already stays as it is; nothing is doubled, and nothing is left as running.

    Args:
        folder: the study's.
        storage: Optuna's storage URL; None: as the study was last run with.
        tracking_uri: MLflow's; None: as the study was last run with.
        warn: receives a sentence for all that is damaged, refused or waited for.

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
        status = _status(study)
        mirrors = open_mirrors(
            study.spec, study.metrics, folder, storage, uri, study.provenance, warn, interrupts.check
        )
        try:
            records = mirrored_runs(study)
            on_disk = frozenset(finished_runs(folder / RUNS_FOLDER))
            missing = mirrors.repair(records, failed_attempts(folder), on_disk)
            mirrors.searched(study.searches)
            mirrors.attach([*declared_files(folder), *(p for p in [folder / REPORT_FILE] if p.exists())])
        except BaseException:
            with suppress(StoreUnavailable):  # what went wrong first is what is raised
                mirrors.close(status)
            raise
        mirrors.close(status)
    return Synced(study, len(records), missing, uri)


def mirrored_runs(study: Study) -> list[RunRecord]:
    """Return the finished runs that belong to both stores: those of a search, then those asked for."""
    planned = set(study.planned)
    others = [run for run in finished_runs(study.folder / RUNS_FOLDER) if run not in planned]
    records, _ = read_records(study.folder, others)
    return [*(record for record in records if record.trial is not None), *study.records]


def _status(study: Study) -> str:
    """Return how the study's last command ended, as its record shows it."""
    if len(study.records) + len(study.failures) < len(study.planned):
        return "KILLED"
    return "FAILED" if study.failures or study.failed_trials else "FINISHED"
