"""One run by itself, recorded and tracked like any run of a study."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import provenance
from harness.algorithm.protocol import Algorithm
from harness.algorithm.questions import seed_of
from harness.compute.executor import InlineExecutor
from harness.compute.task import Failed, Finished, Task
from harness.errors import BadInput, HarnessError, Problem, StoreUnavailable, Undelivered, disk_errors
from harness.interrupts import Interrupts
from harness.mirrors.databases import explain
from harness.mirrors.mirror import Projections
from harness.mirrors.opening import open_single, open_tracker
from harness.record.attempt import Failure, fail_attempt, start_attempt
from harness.record.folder import RUNS_FOLDER, study_folder
from harness.record.lock import study_lock
from harness.record.run import RunRecord, finished_runs, write_record
from harness.record.study import read_records
from harness.redaction import redact

if TYPE_CHECKING:
    from harness.mirrors.mlflow.tracker import Tracker

EXPERIMENT = "train"
NO_LIMIT = 10 * 365 * 24 * 3600.0


class RunFailed(HarnessError):
    """The run raised; ``detail`` is its traceback."""

    def __init__(self, reason: str, detail: str) -> None:
        self.detail = detail
        super().__init__(reason)


def run_single(
    settings: dict[str, Any],
    algorithm: Algorithm,
    *,
    out: str | Path = "out",
    tracking_uri: str | None = None,
    emit: Callable[[Any], None] | None = None,
) -> RunRecord:
    """Compute one run in this process; its files go to ``<out>/train/runs/<id>/``, its results to MLflow.

    Args:
        settings: config fields, or ``preset``.
        algorithm: dotted names of the config type and the train function.
        out: folder for results.
        tracking_uri: MLflow's tracking URI; None: ``mlflow.db`` in the working directory.
        emit: is called with the train function's progress events.

    Raises:
        BadInput: before anything runs.
        StoreUnavailable: if the disk or MLflow's store cannot be used.
        Undelivered: if MLflow's could not be told of the run; :func:`sync_singles` does so from its record.
        RunFailed: if the run raised; MLflow has it as FAILED if it could be told.
        Interrupted: after SIGINT or SIGTERM; MLflow has it as KILLED.
    """
    config = algorithm.build_checked(settings)
    seed = seed_of(config)
    run = f"{time.strftime('%Y%m%d-%H%M%S')}-seed-{seed}-{uuid.uuid4().hex[:6]}"
    task = Task(run, algorithm, config.model_dump(mode="json"), NO_LIMIT)
    origin = provenance.collect()
    folder = study_folder(EXPERIMENT, Path(out))
    runs = folder / RUNS_FOLDER
    with Interrupts() as interrupts, disk_errors(Path(out)):
        runs.mkdir(parents=True, exist_ok=True)  # where it cannot be, nothing is to be trained in vain
        mirror = open_single(EXPERIMENT, tracking_uri, origin, run, {"seed": str(seed)})
        try:
            attempt = start_attempt(folder, run)
            executor = InlineExecutor(lambda: interrupts.caught is not None, emit)
            executor.submit(task)
            (event,) = executor.events(0)
            if isinstance(event, Finished):
                return _keep(event, task, seed, origin, runs, mirror)
            interrupts.check()
            assert isinstance(event, Failed)  # noqa: S101 - progress goes to `emit`
            failure = Failure(run, "", "", seed, attempt, redact(event.reason), redact(event.detail))
            fail_attempt(folder, failure)
            raise told_failure(failure, mirror)
        finally:
            with suppress(StoreUnavailable):  # what went wrong first is what is told
                mirror.close("FINISHED")


def _keep(
    event: Finished, task: Task, seed: int, origin: Mapping[str, Any], runs: Path, mirror: Projections
) -> RunRecord:
    """Write a finished run to disk, then tell MLflow of it."""
    record = RunRecord.of(
        event.output,
        task.run,
        task.settings,
        started=event.started,
        seconds=event.seconds,
        provenance=origin,
        seed=seed,
    )
    record = write_record(runs, record, event.output)
    try:
        mirror.finished(record)
    except StoreUnavailable as error:
        raise Undelivered(str(error)) from error
    return record


def told_failure(failure: Failure, mirror: Projections) -> RunFailed:
    """Tell MLflow of what came to nothing; return what is to be raised of it, MLflow's own trouble after its reason."""
    failure = replace(failure, reason=redact(failure.reason), detail=redact(failure.detail))
    reason = failure.reason
    try:
        mirror.failed(failure)
    except StoreUnavailable as error:
        reason += f"\nMLflow could not be told: {explain(error.__cause__ or error)}"
    return RunFailed(reason, failure.detail)


def sync_singles(out: str | Path = "out", tracking_uri: str | None = None) -> tuple[int, Sequence[str]]:
    """Deliver to MLflow the single runs it does not know; what it refuses keeps nothing else back.

    Returns:
        How many are on disk, and what is wrong with those that cannot be read.

    Raises:
        BadInput: if there never was one.
        StudyLocked: if another process does the same.
        StoreUnavailable: if MLflow's store cannot be used.
        Undelivered: if it refused a run.
        Interrupted: after SIGINT or SIGTERM; what was delivered stays.
    """
    folder = study_folder(EXPERIMENT, Path(out))
    if not (folder / RUNS_FOLDER).is_dir():
        raise BadInput([Problem("study", EXPERIMENT, f"must have been run; under {out} nothing was trained by itself")])
    records, damaged = read_records(folder, finished_runs(folder / RUNS_FOLDER))
    with Interrupts() as interrupts, disk_errors(folder), study_lock(folder):
        tracker = open_tracker(EXPERIMENT, tracking_uri, provenance.collect())
        try:
            with tracker.errors():
                tracker.close_abandoned()
                refused = _deliver(records, tracker, interrupts)
        finally:
            with suppress(Exception):  # what went wrong first is what is told
                tracker.close("FINISHED")
    if refused:
        raise Undelivered(f"{tracker.address} refused {len(refused)} of {len(records)} runs, first: {refused[0]}")
    return len(records), damaged


def _deliver(records: Iterable[RunRecord], tracker: Tracker, interrupts: Interrupts) -> list[str]:
    """Tell MLflow of those runs it does not know; return what it refused, and why."""
    known = tracker.told()  # other folders' runs are none of ours
    refused = []
    for record in records:
        interrupts.check()
        if record.run in known:
            continue
        try:
            tracker.finished(record)
        except Exception as error:
            if not tracker.refuses(error):
                raise
            refused.append(f"{record.run}: {explain(error)}")
    return refused
