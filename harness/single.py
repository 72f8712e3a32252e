"""One run by itself, recorded and tracked like any run of a study."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from harness import provenance
from harness.algorithm import Algorithm
from harness.databases import redact
from harness.errors import HarnessError, StoreUnavailable, Undelivered, disk_errors
from harness.events import Failed, Finished, Task
from harness.executors import InlineExecutor
from harness.interrupts import Interrupts
from harness.lock import study_lock
from harness.records import RunRecord, finished_runs, write_record
from harness.results import RUNS_FOLDER, Failure, read_records, study_folder
from harness.stores import open_single, open_tracker

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
        RunFailed: if the run raised; MLflow has it as FAILED.
        Interrupted: after SIGINT or SIGTERM; MLflow has it as KILLED.
    """
    config = algorithm.build_checked(settings)
    seed = int(getattr(config, "seed", 0))
    run = f"{time.strftime('%Y%m%d-%H%M%S')}-seed-{seed}-{uuid.uuid4().hex[:6]}"
    origin = provenance.collect()
    runs = study_folder(EXPERIMENT, Path(out)) / RUNS_FOLDER
    with Interrupts() as interrupts, disk_errors():
        runs.mkdir(parents=True, exist_ok=True)  # where it cannot be, nothing is to be trained in vain
        mirror = open_single(EXPERIMENT, tracking_uri, origin, run, {"seed": str(seed)})
        try:
            executor = InlineExecutor(lambda: interrupts.caught is not None, emit)
            executor.submit(Task(run, algorithm, config.model_dump(mode="json"), NO_LIMIT))
            (event,) = executor.events(0)
            if isinstance(event, Finished):
                record = RunRecord.of(
                    event.output,
                    run=run,
                    cell="",
                    arm="",
                    seed=seed,
                    levels={},
                    attempt=1,
                    started=event.started,
                    seconds=event.seconds,
                    config=config.model_dump(mode="json"),
                    provenance=origin,
                )
                record = write_record(runs, record, event.output)
                try:
                    mirror.finished(record)
                except StoreUnavailable as error:
                    raise Undelivered(str(error)) from error
                return record
            interrupts.check()
            assert isinstance(event, Failed)  # noqa: S101 - progress goes to `emit`
            mirror.failed(Failure(run, "", "", seed, 1, redact(event.reason), redact(event.detail)))
            raise RunFailed(event.reason, event.detail)
        finally:
            mirror.close("FINISHED")


def sync_singles(out: str | Path = "out", tracking_uri: str | None = None) -> tuple[int, Sequence[str]]:
    """Deliver to MLflow the single runs it does not know.

    Returns:
        How many are on disk, and what is wrong with those that cannot be read.

    Raises:
        StudyLocked: if another process does the same.
        StoreUnavailable: if MLflow's store cannot be used.
    """
    folder = study_folder(EXPERIMENT, Path(out))
    records, damaged = read_records(folder, finished_runs(folder / RUNS_FOLDER))
    with study_lock(folder):
        tracker = open_tracker(EXPERIMENT, tracking_uri, provenance.collect())
        with tracker.errors():
            tracker.close_abandoned()
            known = tracker.told()  # other folders' runs are none of ours
            for record in records:
                if record.run not in known:
                    tracker.finished(record)
            tracker.close("FINISHED")
    return len(records), damaged
