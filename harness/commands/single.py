"""Run single runs outside of any study, recorded and tracked like those of one."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import provenance
from harness.algorithm.protocol import Algorithm
from harness.algorithm.questions import seed_of
from harness.compute.executor import InlineExecutor
from harness.compute.task import Failed, Finished, Task
from harness.errors import BadInput, HarnessError, Interrupted, Problem, Undelivered, disk_errors
from harness.interrupts import Interrupts
from harness.mirrors.addresses import MEMORY
from harness.mirrors.databases import explain, explained
from harness.mirrors.opening import open_experiment, open_single_runs
from harness.record.attempt import Failure, fail_attempt, failed_attempts, start_attempt
from harness.record.folder import RUNS_FOLDER, study_folder
from harness.record.lock import study_lock
from harness.record.run import RunRecord, finished_runs, write_record
from harness.record.study import read_records
from harness.redaction import redact

if TYPE_CHECKING:
    from harness.mirrors.mlflow.experiment import MLflowExperiment

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
        tracking_uri: MLflow's tracking URI; None: ``mlflow.db`` in the working directory; ``memory:``: none is kept.
        emit: is called with the train function's progress events.

    Raises:
        BadInput: before anything runs.
        StoreUnavailable: if the disk or MLflow's store cannot be used.
        Undelivered: if MLflow's store did not take the run; :func:`sync_singles` delivers it from its record.
        RunFailed: if the run raised; MLflow has it as FAILED if its store could be used.
        Interrupted: after SIGINT or SIGTERM; MLflow has it as KILLED.
    """
    config = algorithm.build_checked(settings)
    seed = seed_of(config)
    run = f"{time.strftime('%Y%m%d-%H%M%S')}-seed-{seed}-{uuid.uuid4().hex[:6]}"
    task = Task(run, algorithm, config.model_dump(mode="json"), NO_LIMIT)
    origin = provenance.collect()
    folder = study_folder(EXPERIMENT, Path(out))
    with Interrupts() as interrupts, disk_errors(Path(out)):
        (folder / RUNS_FOLDER).mkdir(parents=True, exist_ok=True)  # else nothing is to be trained in vain
        with single_run_mirrored(EXPERIMENT, tracking_uri, origin, run, seed) as report:
            start_attempt(folder, run)
            executor = InlineExecutor(lambda: interrupts.caught is not None, emit)
            executor.submit(task)
            (event,) = executor.events(0)
            if isinstance(event, Finished):
                return report(_keep(event, task, seed, origin, folder / RUNS_FOLDER))
            interrupts.check()
            assert isinstance(event, Failed)  # noqa: S101 - progress goes to `emit`
            failure = Failure(run, "", "", seed, 1, redact(event.reason), redact(event.detail))
            fail_attempt(folder, failure)
            raise RunFailed(failure.reason, failure.detail)


@contextmanager
def single_run_mirrored(
    experiment: str, tracking_uri: str | None, origin: Mapping[str, Any], run: str, seed: int
) -> Iterator[Callable[[RunRecord], RunRecord]]:
    """Open an MLflow experiment for a single run; yield a function that reports the run's record and returns it.

    A run that raises or is interrupted is reported, too: nothing stands in MLflow before a run has ended.

    Args:
        experiment: its name.
        tracking_uri: MLflow's; None: ``mlflow.db`` in the working directory.
        origin: provenance of this command.
        run: the run's name.
        seed: its seed.

    Raises:
        StoreUnavailable: if the store cannot be used.
        Undelivered: if the run finished and could not be reported.
        RunFailed: as raised inside; where it could not be reported a line of that follows its reason.
        Interrupted: as raised inside.
    """
    started = time.time()
    mirror = open_single_runs(experiment, tracking_uri, origin)

    def report(record: RunRecord) -> RunRecord:
        try:
            mirror.finished(record)
        except Exception as error:
            raise Undelivered(f"{mirror.address}: {explain(error)}; results on disk are kept") from error
        return record

    try:
        yield report
    except RunFailed as error:
        failure = Failure(run, "", "", seed, 1, redact(str(error)), redact(error.detail), None, started, time.time())
        reason = failure.reason
        try:
            mirror.failed(failure)
        except Exception as trouble:
            reason += f"\nMLflow could not be told: {explain(trouble)}"
        raise RunFailed(reason, failure.detail) from error
    except Interrupted:
        with suppress(Exception):  # what went wrong first is what is raised
            mirror.interrupted(run, seed, started)
        raise
    finally:
        with suppress(Exception):
            mirror.cut_short()


def _keep(event: Finished, task: Task, seed: int, origin: Mapping[str, Any], runs: Path) -> RunRecord:
    """Write a finished run to disk."""
    record = RunRecord.of(
        event.output,
        task.run,
        task.settings,
        started=event.started,
        seconds=event.seconds,
        provenance=origin,
        seed=seed,
    )
    return write_record(runs, record, event.output)


def sync_singles(out: str | Path = "out", tracking_uri: str | None = None) -> tuple[int, Sequence[str]]:
    """Deliver to MLflow the single runs it lacks; what it refuses keeps nothing else back.

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
    if tracking_uri == MEMORY:
        return len(records), damaged
    with Interrupts() as interrupts, disk_errors(folder), study_lock(folder):
        experiment = open_experiment(EXPERIMENT, tracking_uri, provenance.collect())
        try:
            with explained(experiment.address):
                failures = failed_attempts(folder)
                on_disk = {record.run for record in records}
                complete = experiment.settle(on_disk, {(failure.run, failure.attempt) for failure in failures})
                missing = [record for record in records if record.run not in complete]
                refused = _deliver([*failures, *missing], experiment, interrupts)
        finally:
            with suppress(Exception):  # what went wrong first is what is raised
                experiment.cut_short()
    if refused:
        raise Undelivered(f"{experiment.address} refused {len(refused)} of {len(records)} runs, first: {refused[0]}")
    return len(records), damaged


def _deliver(ended: Iterable[RunRecord | Failure], experiment: MLflowExperiment, interrupts: Interrupts) -> list[str]:
    """Report runs; return those that were refused, and why."""
    refused = []
    for run in ended:
        interrupts.check()
        try:
            experiment.failed(run) if isinstance(run, Failure) else experiment.finished(run)
        except Exception as error:
            if not experiment.refuses(error):
                raise
            refused.append(f"{run.run}: {explain(error)}")
    return refused
