"""Run a study: submit its runs to an executor, write results to disk, and report to the stores.

A finished run is written to disk first; Optuna and MLflow mirror the disk and are repaired from it when a study is
continued. So whatever breaks, the same command goes on from the disk.
"""

from __future__ import annotations

import gc
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from harness import provenance
from harness.algorithm.protocol import Algorithm
from harness.commands.agenda import Agenda, Batch, Judge
from harness.commands.damage import repair_files
from harness.commands.observer import Observer
from harness.compute.choice import EXECUTORS, ExecutorName, make_executor
from harness.compute.executor import Executor
from harness.compute.task import Advanced, Event, Failed, Finished, Task
from harness.errors import BadInput, Problem, StoreUnavailable, disk_errors
from harness.interrupts import Interrupts
from harness.machine import allow_open_files, usable_cores
from harness.mirrors.addresses import checked_storage_url, checked_tracking_uri
from harness.mirrors.mirror import Mirrors
from harness.mirrors.opening import declared_files, open_mirrors
from harness.record.attempt import Failure, fail_attempt, failed_attempts, finish_attempt, start_attempt
from harness.record.folder import RUNS_FOLDER, study_folder
from harness.record.lock import study_lock
from harness.record.run import RunRecord, finished_runs, write_record
from harness.record.study import Study, load_study
from harness.redaction import redact
from harness.study.design import Design, PlannedRun, expand
from harness.study.spec import StudySpec

MAX_TRIES = 3  # of one run in one command, where its process dies under it
POLL_SECONDS = 0.2
MAX_JOBS = 1024
CHILD_FILES, OWN_FILES = 3, 64  # open at a time: for each child, and for the stores and what reads them


def run_study(
    spec: StudySpec,
    algorithm: Algorithm,
    *,
    out: str | Path = "out",
    jobs: int | None = None,
    storage: str | None = None,
    tracking_uri: str | None = None,
    executor: ExecutorName = "processes",
    observer: Observer | None = None,
    judge: Judge | None = None,
    report: Callable[[Study], Sequence[Path]] | None = None,
) -> Study:
    """Run a study, or continue it: every planned run that is not finished is computed.

    Args:
        spec: what to run.
        algorithm: dotted names of the config type and the train function.
        out: folder for studies; this one's files go to ``<out>/<name>/``.
        jobs: runs at a time; None: one a core.
        storage: Optuna's storage URL; None: a SQLite file in the study's folder; ``memory:``: none is kept.
        tracking_uri: MLflow's tracking URI; None: ``mlflow.db`` in the working directory; ``memory:``: none is kept.
        executor: child processes, or this process (one run at a time).
        observer: receives what happens.
        judge: returns how many of a study's seeds each cell needs by now, by the cell's id; needed where seeds are
            given in looks. Asked whenever all that was asked for before is finished or failed.
        report: called when nothing is left to run; the files it returns are kept in MLflow beside the study.

    Returns:
        The study as it stands on disk, failures included.

    Raises:
        BadInput: before anything runs, naming every field that is not valid.
        StudyLocked: if another process is running it.
        StudyChanged: if finished runs were made with other settings.
        StoreUnavailable: if Optuna's or MLflow's store cannot be used.
        Undelivered: if all was computed, but MLflow was away at the end and does not know all of it yet.
        Interrupted: after SIGINT or SIGTERM; what was finished is kept.
    """
    observer = observer or Observer()
    if jobs is not None and not 1 <= jobs <= MAX_JOBS:
        raise BadInput([Problem("jobs", jobs, f"must be from 1 to {MAX_JOBS}")])
    if executor not in EXECUTORS:
        raise BadInput([Problem("executor", executor, f"must be one of {', '.join(EXECUTORS)}")])
    checked_storage_url(storage)
    checked_tracking_uri(tracking_uri)
    if spec.study.looks and judge is None:
        raise BadInput([Problem("study.looks", list(spec.study.looks), "need a judge of which cells are undecided")])
    with Interrupts() as interrupts, disk_errors(Path(out)):
        design = expand(spec, algorithm)
        slots = 1 if executor == "inline" else _slots(jobs, design)
        folder = study_folder(spec.name, Path(out))
        with study_lock(folder):
            repair_files(folder, observer.warned)
            origin = provenance.collect()
            agenda = Agenda(design, folder, origin, judge, observer.warned)
            batch = agenda.more()
            done = len(agenda.records)
            before = [record.provenance for record in agenda.records.values()]
            if otherwise := provenance.differences(before, origin):
                observer.warned(otherwise)
            at_once = slots if agenda.open_ended else min(slots, max(1, len(batch.runs)))
            chosen = make_executor(executor, at_once, lambda: interrupts.caught is not None)
            observer.planned(design, batch.total, done, chosen.slots)
            interrupts.check()
            observer.preparing("opening Optuna's and MLflow's stores")
            with closing(chosen):
                if batch.runs:
                    chosen.prepare(algorithm)  # children and this process each take seconds to import what they need
                mirrors = open_mirrors(
                    design.spec,
                    design.metrics,
                    folder,
                    storage,
                    tracking_uri,
                    origin,
                    observer.warned,
                    interrupts.check,
                )
                dispatcher = _Dispatcher(design, algorithm, folder, chosen, mirrors, observer, interrupts, origin)
                with _imports_set_aside():
                    dispatcher.run(agenda, batch, report)
        return load_study(folder)


def _slots(jobs: int | None, design: Design) -> int:
    """Return how many runs to compute at a time, for which there must be files enough that may be open.

    Raises:
        BadInput: if there are not for as many as were asked for.
    """
    grows = design.spec.search is not None or design.spec.study.looks
    slots = jobs or len(usable_cores())
    slots = slots if grows else min(slots, len(design.runs))
    files = allow_open_files(OWN_FILES + CHILD_FILES * slots)
    most = max(1, (files - OWN_FILES) // CHILD_FILES)
    if jobs is not None and slots > most:
        allowed = f"must be from 1 to {most} where a process may have {files} files open (see `ulimit -n`)"
        raise BadInput([Problem("jobs", jobs, allowed)])
    return min(slots, most)


@contextmanager
def _imports_set_aside() -> Iterator[None]:
    """Keep the garbage collector off the objects of the stores' libraries, some 200,000, while a study runs.

    SQLAlchemy makes thousands of objects a run, so they would all be visited, for 0.2 s, every few dozen runs. A caller
    that has frozen objects itself is left alone.
    """
    if gc.get_freeze_count():
        yield
        return
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


class _Dispatcher:
    def __init__(
        self,
        design: Design,
        algorithm: Algorithm,
        folder: Path,
        executor: Executor,
        mirrors: Mirrors,
        observer: Observer,
        interrupts: Interrupts,
        origin: Mapping[str, Any],
    ) -> None:
        self._design = design
        self._algorithm = algorithm
        self._folder = folder
        self._executor = executor
        self._mirrors = mirrors
        self._observer = observer
        self._interrupts = interrupts
        self._origin = origin
        self._queue: deque[PlannedRun] = deque()
        self._running: dict[str, tuple[PlannedRun, int]] = {}
        self._tries: dict[str, int] = {}
        self._lost: set[str] = set()

    def run(self, agenda: Agenda, batch: Batch, report: Callable[[Study], Sequence[Path]] | None) -> None:
        """Compute what is missing, and all that follows from it; leave nothing running, however it ends."""
        try:
            on_disk = frozenset(finished_runs(self._folder / RUNS_FOLDER))
            self._mirrors.repair(list(agenda.records.values()), failed_attempts(self._folder), on_disk)
            self._mirrors.searched(agenda.searches)
            while batch.runs:
                self._compute(batch.runs, agenda)
                batch = agenda.more(self._lost)
                self._mirrors.searched(agenda.searches)
                self._mirrors.attach(declared_files(self._folder) if agenda.open_ended else [])
                if batch.runs:
                    self._observer.extended(batch.total, len(batch.runs), batch.why)
            if report is not None:
                self._observer.preparing("writing the report")
                self._mirrors.attach(report(load_study(self._folder)))
        except BaseException:
            self._executor.close()
            try:
                self._mirrors.close("KILLED")
            except StoreUnavailable as error:
                self._observer.warned(str(error))
            raise
        self._executor.close()
        self._mirrors.close("FAILED" if self._lost else "FINISHED")

    def _compute(self, runs: Sequence[PlannedRun], agenda: Agenda) -> None:
        self._queue.extend(runs)
        while self._queue or self._running:
            self._interrupts.check()
            self._announce(self._submit())
            arrived = deque(self._executor.events(POLL_SECONDS))
            try:
                while arrived:
                    self._handle(arrived.popleft(), agenda)
            finally:
                self._keep_all(arrived)

    def _submit(self) -> list[tuple[PlannedRun, int]]:
        """Give every free slot a run; return the runs begun, with their attempts."""
        begun = []
        while self._queue and len(self._running) < self._executor.slots:
            run = self._queue.popleft()
            attempt = start_attempt(self._folder, run.id)
            settings = run.config.model_dump(mode="json")
            self._executor.submit(Task(run.id, self._algorithm, settings, self._design.spec.study.time_limit))
            self._running[run.id] = (run, attempt)
            begun.append((run, attempt))
        return begun

    def _announce(self, begun: Sequence[tuple[PlannedRun, int]]) -> None:
        for run, attempt in begun:
            self._observer.started(run, attempt)
            self._mirrors.started(run, attempt)

    def _handle(self, event: Event, agenda: Agenda) -> None:
        if isinstance(event, Advanced):
            self._observer.advanced(event.run, event.fraction)
            return
        run, attempt = self._running.pop(event.run)
        stopping = self._interrupts.caught is not None
        if isinstance(event, Finished):
            try:
                begun = [] if stopping else self._submit()  # children need not wait for disk and databases
            finally:
                record = self._keep(run, attempt, event)
            agenda.finished(record)
            self._observer.finished(record)
            self._mirrors.finished(record)
            self._announce(begun)
        elif not stopping:  # a run that is being stopped may fail of it
            self._give_up_or_retry(run, attempt, event)

    def _keep_all(self, events: Iterable[Event]) -> None:
        """Keep the results that came together with one that could not be handled; the next command mirrors them."""
        for event in events:
            if isinstance(event, Finished):
                run, attempt = self._running.pop(event.run)
                with suppress(OSError):  # what went wrong first is raised
                    self._keep(run, attempt, event)

    def _keep(self, run: PlannedRun, attempt: int, event: Finished) -> RunRecord:
        record = RunRecord.of(
            event.output,
            run.id,
            run.config.model_dump(mode="json"),
            cell=run.cell.id,
            arm=run.arm,
            seed=run.seed,
            levels=run.levels,
            attempt=attempt,
            started=event.started,
            seconds=event.seconds,
            provenance=self._origin,
            trial=run.trial,
        )
        record = write_record(self._folder / RUNS_FOLDER, record, event.output)
        finish_attempt(self._folder, run.id, attempt)
        return record

    def _give_up_or_retry(self, run: PlannedRun, attempt: int, event: Failed) -> None:
        self._tries[run.id] = self._tries.get(run.id, 0) + 1
        will_retry = event.crashed and self._tries[run.id] < MAX_TRIES
        reason, detail = redact(event.reason), redact(event.detail)
        failure = Failure(run.id, run.cell.id, run.arm, run.seed, attempt, reason, detail, run.trial)
        fail_attempt(self._folder, failure)
        self._observer.failed(failure, will_retry)
        self._mirrors.failed(failure)
        if will_retry:
            self._queue.appendleft(run)
        else:
            self._lost.add(run.id)
