"""Rounds of measurements in child processes; results go to disk, then to MLflow, as any run's do."""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from harness import provenance
from harness.commands.single import RunFailed, single_run_mirrored
from harness.compute.processes import ProcessExecutor
from harness.compute.task import Failed, Finished, Task
from harness.errors import BadInput, Problem, disk_errors
from harness.interrupts import Interrupts
from harness.machine import usable_cores
from studies.bench.contestants import Contestant, choose
from studies.bench.measure import MEASURE, Measurement
from studies.bench.record import EXPERIMENT, make_folder, write_bench
from studies.bench.summary import PairRow, Row, Summary, headlines, summarise

TIME_LIMIT = 3600.0  # seconds one measurement may take before it is taken to hang
POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Options:
    """The extent of a bench.

    Attributes:
        rounds: measurements of each contestant, from 1 to 1000.
        seconds: a contestant runs at least this long in a round, from 0.01 to 600.
        steps: environment steps of one training run, from 100 to 10 million.
        only: parts of the names of the contestants wanted; empty: all.
    """

    rounds: int = 5
    seconds: float = 0.5
    steps: int = 20_000
    only: tuple[str, ...] = ()

    def check(self) -> None:
        """Raise :class:`~harness.errors.BadInput` for every option out of its range."""
        bounds = {"rounds": (1, 1000), "seconds": (0.01, 600), "steps": (100, 10_000_000)}
        problems = [
            Problem(name, getattr(self, name), f"must be from {low} to {high}")
            for name, (low, high) in bounds.items()
            if not low <= getattr(self, name) <= high
        ]
        if problems:
            raise BadInput(problems)


QUICK = Options(rounds=2, seconds=0.2, steps=5_000)


@dataclass(frozen=True)
class Bench:
    """The results of a bench.

    Attributes:
        summaries: one a contestant.
        headlines: sentences.
        folder: where its files are.
        failures: a sentence for each contestant that failed, whose later rounds are missing.
    """

    summaries: Sequence[Summary]
    headlines: Sequence[str]
    folder: Path
    failures: Sequence[str] = ()


class Watcher(Protocol):
    """An observer of a bench's progress."""

    def planned(self, measurements: int, left_out: Sequence[str]) -> None:
        """Take the number of measurements, and a sentence for each contestant that is missing."""

    def measuring(self, number: int, contestant: str) -> None:
        """Take note that a contestant's turn in round ``number`` begins."""

    def measured(self) -> None:
        """Take note that it is over."""


def run_bench(options: Options, *, out: Path, tracking_uri: str | None, watcher: Watcher) -> Bench:
    """Measure all contestants, in rounds; files go to ``<out>/bench/<time>/``, results to MLflow.

    Args:
        options: how to measure.
        out: folder for results.
        tracking_uri: MLflow's tracking URI; None: ``mlflow.db`` in the working directory.
        watcher: observes its progress.

    Raises:
        BadInput: before anything is measured.
        RunFailed: if every contestant raised or its process died; nothing is written, MLflow has the bench as FAILED
            if it can be reached.
        StoreUnavailable: if MLflow's store, or the disk, cannot be used.
        Interrupted: after SIGINT or SIGTERM; nothing is written, MLflow has the bench as KILLED.
    """
    options.check()
    chosen, left_out = choose(options.only)
    folder = make_folder(out)
    name = f"{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:6]}"
    origin = provenance.collect()
    with Interrupts() as interrupts, single_run_mirrored(EXPERIMENT, tracking_uri, origin, name, seed=0) as report:
        watcher.planned(options.rounds * len(chosen), left_out)
        started = time.time()
        rows, pairs, failures = _measure_all(chosen, options, interrupts, watcher)
        summaries = summarise(chosen, rows)
        config = {**asdict(options), "contestants": [contestant.name for contestant in chosen]}
        with disk_errors(folder):
            record = write_bench(folder, name, started, config, origin, summaries, rows, pairs)
        report(record)
    return Bench(summaries, headlines(rows, pairs), record.folder, failures)


def _measure_all(
    chosen: Sequence[Contestant], options: Options, interrupts: Interrupts, watcher: Watcher
) -> tuple[list[Row], list[PairRow], list[str]]:
    """Measure round by round: in each all contestants, in an order of its own, in fresh processes.

    A contestant that fails is left out from then on; the sentences returned describe its failure.

    Raises:
        RunFailed: if no contestant is left.
    """
    shuffler = random.Random(0)
    core = usable_cores()[-1]  # the first is where systems like to handle interrupts
    rows: list[Row] = []
    pairs: list[PairRow] = []
    left, failures = list(chosen), []
    for number in range(1, options.rounds + 1):
        order = list(left)
        shuffler.shuffle(order)
        with _Processes(interrupts) as processes:
            for contestant in order:
                watcher.measuring(number, contestant.name)
                try:
                    if contestant.kind == "pair":
                        pairs.append(_measure_pair(number, contestant, options, processes))
                    else:
                        split = contestant.kind == "a3c" and number == 1  # shares are steady: once is enough
                        measurement = _measurement(number, contestant, options, core=core, split=split)
                        (timings,) = processes.compute(contestant, [measurement])
                        rows.append(Row.of(number, contestant, timings))
                except RunFailed as error:
                    left.remove(contestant)
                    failures.append(str(error))
                    if not left:
                        raise
                watcher.measured()
    return rows, pairs, failures


def _measurement(number: int, contestant: Contestant, options: Options, **changes: Any) -> Measurement:
    fields = {"kind": contestant.kind, "changes": dict(contestant.changes), "seed": number}
    return Measurement.model_validate({**fields, "steps": options.steps, "seconds": options.seconds, **changes})


def _measure_pair(number: int, contestant: Contestant, options: Options, processes: _Processes) -> PairRow:
    """Measure one process, two at a time on a core each, and one again; twice as long, as both must overlap."""
    one = _measurement(number, contestant, options, kind="a3c", seconds=2 * options.seconds, beside_environment=False)
    processes.compute(contestant, [one.model_copy(update={"seconds": 0.0})] * 2)  # both import and compile
    before, both, after = (processes.compute(contestant, [one] * count) for count in (1, 2, 1))
    speeds = [sum(timings["steps"] / timings["seconds"] for timings in part) for part in (before, both, after)]
    return PairRow(number, *speeds)


class _Processes:
    """The child processes of one round; those without a task sleep."""

    def __init__(self, interrupts: Interrupts) -> None:
        self._interrupts = interrupts
        self._executors: dict[str, ProcessExecutor] = {}

    def __enter__(self) -> _Processes:
        return self

    def __exit__(self, *_: object) -> None:
        for executor in self._executors.values():
            executor.close()

    def compute(self, contestant: Contestant, measurements: Sequence[Measurement]) -> list[Mapping[str, float]]:
        """Make measurements at the same time and return their timings.

        Raises:
            Interrupted: if a signal came meanwhile.
            RunFailed: if any of them failed.
        """
        slots = 2 if contestant.kind == "pair" else 1
        if contestant.process not in self._executors:
            self._executors[contestant.process] = ProcessExecutor(slots)
        executor = self._executors[contestant.process]
        for measurement in measurements:
            executor.submit(Task(contestant.name, MEASURE, measurement.model_dump(mode="json"), TIME_LIMIT))
        finished: list[Mapping[str, float]] = []
        while len(finished) < len(measurements):
            self._interrupts.check()
            for event in executor.events(POLL_SECONDS):
                if isinstance(event, Failed):
                    self._executors.pop(contestant.process).close()  # the other of a pair may still run
                    raise RunFailed(f"{event.run}: {event.reason}", event.detail)
                if isinstance(event, Finished):
                    finished.append(event.output.timings)
        return finished
