"""Examine studies after a crash without changing them, and repair them on request."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from harness.commands.damage import damaged_files, repair_files
from harness.commands.sync import mirrored_runs, sync_study
from harness.errors import DamagedRecord, HarnessError
from harness.mirrors.addresses import MEMORY, default_storage, stores_of
from harness.record.attempt import failed_attempts
from harness.record.files import drafts, set_aside
from harness.record.folder import IDENTITY_FILE, PLAN_FILE, RUNS_FOLDER
from harness.record.lock import last_holder, nobody_runs, study_lock
from harness.record.plan import study_identity
from harness.record.run import finished_runs, verify_record
from harness.record.study import Study, load_study
from harness.redaction import redact


def examine_study(folder: Path, storage: str | None = None, tracking_uri: str | None = None) -> list[str]:
    """Return what is wrong with a study, a sentence each; nothing is changed.

    Args:
        folder: the study's.
        storage: Optuna's storage URL; None: as the study was last run with.
        tracking_uri: MLflow's; None: as the study was last run with.

    Raises:
        StudyLocked: if it is being run now, when half-written files are in order.
    """
    with nobody_runs(folder):
        return list(dict.fromkeys(_findings(folder, storage, tracking_uri)))  # what is wrong in two ways is listed once


def _findings(folder: Path, storage: str | None, tracking_uri: str | None) -> Iterator[str]:
    if holder := last_holder(folder):
        yield f"left locked by {holder}, which ended without unlocking it: nobody is kept out"
    if half_written := drafts(folder):
        yield f"{len(half_written)} half-written files or folders"
    damaged = damaged_files(folder)
    yield from map(str, [*damaged, *_damaged_records(folder)])
    plan = folder / PLAN_FILE
    if not plan.is_file() or any(error.path == plan for error in damaged):
        kept = _count(len(finished_runs(folder / RUNS_FOLDER)), "finished run")
        yield f"without {plan} no store is looked at: continue with `a3c-bench run STUDY`, the {kept} on disk are kept"
        return
    yield from _or_why_not(lambda: _stores(folder, storage, tracking_uri))


def _or_why_not(find: Callable[[], Iterable[str]]) -> Iterator[str]:
    """Yield findings, and the lines of the error that cut them short."""
    try:
        yield from find()
    except HarnessError as error:
        yield from redact(str(error)).splitlines()


def _damaged_records(folder: Path) -> Iterator[DamagedRecord]:
    for run in finished_runs(folder / RUNS_FOLDER):
        try:
            verify_record(folder / RUNS_FOLDER / run)
        except DamagedRecord as error:
            yield error


def _stores(folder: Path, storage: str | None, tracking_uri: str | None) -> Iterator[str]:
    study = load_study(folder)
    storage, uri = stores_of(folder, storage, tracking_uri)
    if storage != MEMORY:
        yield from _or_why_not(lambda: _optuna(study, storage))
    if uri != MEMORY:
        yield from _or_why_not(lambda: _mlflow(study, uri))


def _optuna(study: Study, storage: str | None) -> Iterator[str]:
    from harness.mirrors.optuna.trials import attempts_in_optuna

    trials = attempts_in_optuna(storage or default_storage(study.folder), study.spec.name)
    judged = [record.run for record in mirrored_runs(study) if record.trial is None]
    yield from _differences("Optuna", "trial", trials, "COMPLETE", judged)


def _mlflow(study: Study, uri: str | None) -> Iterator[str]:
    from harness.mirrors.mlflow.download import attempts_in_mlflow

    owner = study_identity(study.folder) if (study.folder / IDENTITY_FILE).exists() else ""
    runs = attempts_in_mlflow(study.spec.name, uri, owner)
    yield from _differences("MLflow", "run", runs, "FINISHED", finished_runs(study.folder / RUNS_FOLDER))
    failed = {(failure.run, failure.attempt) for failure in failed_attempts(study.folder)}
    if missing := len(failed.difference(runs.get("FAILED", ()))):
        yield f"MLflow: {_count(missing, 'failed attempt')} unsynced"


def _differences(
    store: str, what: str, attempts: Mapping[str, Sequence[tuple[str, int]]], complete: str, runs: Collection[str]
) -> Iterator[str]:
    """Compare the attempts a store holds, by state, with the finished runs on disk."""
    if running := len(attempts.get("RUNNING", ())):
        yield f"{store}: {_count(running, what)} left as RUNNING"
    counted = Counter(run for run, _ in attempts.get(complete, ()))
    if missing := sum(run not in counted for run in runs):
        yield f"{store}: {_count(missing, 'finished run')} unsynced"
    if double := sum(count > 1 for run, count in counted.items() if run in runs):
        yield f"{store}: {_count(double, 'run')} recorded twice"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")


def repair_study(folder: Path, storage: str | None, tracking_uri: str | None, warn: Callable[[str], None]) -> None:
    """Repair what :func:`examine_study` finds: set aside damaged files, and deliver the rest to both stores.

    Runs whose records are set aside are computed again when the study is continued. Where its plan is missing, or was
    set aside, the stores are left as they are: continuing the study writes it anew and repairs them.

    Args:
        folder: the study's.
        storage: Optuna's storage URL; None: as the study was last run with.
        tracking_uri: MLflow's; None: as the study was last run with.
        warn: receives a sentence for everything that is set aside.

    Raises:
        BadInput: if a store must be given and is not.
        StudyLocked: if it is being run.
        StoreUnavailable: if a store cannot be used.
    """
    with study_lock(folder):
        stores_of(folder, storage, tracking_uri)  # must be known before what is damaged is set aside
        repair_files(folder, warn, thorough=True)
        for error in list(_damaged_records(folder)):
            run = next(path for path in (error.path, *error.path.parents) if path.parent == folder / RUNS_FOLDER)
            warn(f"{error}; kept as {set_aside(run, folder)}, the run is computed again when the study is continued")
    if (folder / PLAN_FILE).exists():
        sync_study(folder, storage, tracking_uri, warn)
