"""What a fault left behind in a study, told without touching anything, and made good when asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path

from harness.databases import explain
from harness.errors import DamagedRecord, HarnessError
from harness.files import drafts
from harness.lock import last_holder, nobody_runs, study_lock
from harness.mending import damaged_files, mend
from harness.records import finished_runs, set_aside, verify_record
from harness.results import IDENTITY_FILE, PLAN_FILE, RUNS_FOLDER, load_study, study_identity
from harness.spool import SPOOL_FOLDER, Spool
from harness.stores import default_storage, stores_of
from harness.sync import sync_study, told_runs


def examine_study(folder: Path, storage: str | None = None, tracking_uri: str | None = None) -> list[str]:
    """Return what is wrong with a study, a sentence each; nothing is changed.

    Args:
        folder: the study's.
        storage: Optuna's storage URL; None: as the study was last run with.
        tracking_uri: MLflow's; None: as the study was last run with.

    Raises:
        StudyLocked: if it is being run now, when half-written things are as they should be.
    """
    with nobody_runs(folder):
        return list(_findings(folder, storage, tracking_uri))


def _findings(folder: Path, storage: str | None, tracking_uri: str | None) -> Iterator[str]:
    if holder := last_holder(folder):
        yield f"left locked by {holder}, which ended without unlocking it: nobody is kept out"
    if half_written := drafts(folder):
        yield f"{len(half_written)} half-written files or folders"
    yield from map(str, [*damaged_files(folder), *_damaged_records(folder)])
    if waiting := Spool(folder).waiting():
        yield f"{waiting} attempts wait in {folder / SPOOL_FOLDER} for MLflow"
    try:
        yield from _stores(folder, storage, tracking_uri)
    except HarnessError as error:
        yield explain(error)


def _damaged_records(folder: Path) -> Iterator[DamagedRecord]:
    for run in finished_runs(folder / RUNS_FOLDER):
        try:
            verify_record(folder / RUNS_FOLDER / run)
        except DamagedRecord as error:
            yield error


def _stores(folder: Path, storage: str | None, tracking_uri: str | None) -> Iterator[str]:
    from harness.read_back import attempts_in_mlflow
    from harness.trials import attempts_in_optuna

    study = load_study(folder)
    told = told_runs(study)
    judged = [record.run for record in told if record.trial is None]
    storage, uri = stores_of(folder, storage, tracking_uri)
    trials = attempts_in_optuna(storage or default_storage(folder), study.spec.name)
    yield from _differences("Optuna", "trial", trials, "COMPLETE", judged)
    owner = study_identity(folder) if (folder / IDENTITY_FILE).exists() else ""
    runs = attempts_in_mlflow(study.spec.name, uri, owner)
    yield from _differences("MLflow", "run", runs, "FINISHED", [record.run for record in told])


def _differences(
    store: str, what: str, attempts: Mapping[str, Sequence[str]], complete: str, runs: Collection[str]
) -> Iterator[str]:
    """Compare what a store holds, by state the runs its attempts stand for, with the runs on disk."""
    if running := len(attempts.get("RUNNING", ())):
        yield f"{store}: {_count(running, what)} left as RUNNING"
    counted = Counter(attempts.get(complete, ()))
    if missing := sum(run not in counted for run in runs):
        yield f"{store}: {_count(missing, 'finished run')} unsynced"
    if double := sum(count > 1 for run, count in counted.items() if run in runs):
        yield f"{store}: {_count(double, 'run')} recorded twice"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")


def repair_study(folder: Path, storage: str | None, tracking_uri: str | None, warn: Callable[[str], None]) -> None:
    """Make good what :func:`examine_study` tells of: set aside what is damaged, and deliver the rest to both stores.

    Runs whose records are set aside are computed again when the study is continued.

    Args:
        folder: the study's.
        storage: Optuna's storage URL; None: as the study was last run with.
        tracking_uri: MLflow's; None: as the study was last run with.
        warn: is told of everything that is set aside.

    Raises:
        BadInput: if a store must be given and is not.
        StudyLocked: if it is being run.
        StoreUnavailable: if a store cannot be used.
    """
    with study_lock(folder):
        stores_of(folder, storage, tracking_uri)  # must be known before what is damaged is set aside
        mend(folder, warn)
        for error in list(_damaged_records(folder)):
            run = next(path for path in (error.path, *error.path.parents) if path.parent == folder / RUNS_FOLDER)
            warn(f"{error}; kept as {set_aside(run, folder)}, the run is computed again when the study is continued")
    if (folder / PLAN_FILE).exists():
        sync_study(folder, storage, tracking_uri, warn)
    else:
        warn(f"{folder} has no plan: continuing the study declares it anew and mends the stores")
