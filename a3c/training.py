"""One training run: start the threads, stop them, evaluate, and return the result."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import NamedTuple

from a3c.config import TrainConfig
from a3c.engines.choice import make_engine, single_threaded
from a3c.engines.residuals import Residuals
from a3c.environments.making import Spaces, close, make, require_no_statistics, spaces_of
from a3c.environments.probing import require_same_spaces
from a3c.errors import Diverged, EvaluationFailed, WorkerFailed
from a3c.evaluation.snapshots import evaluate_run
from a3c.networks.layout import Layout
from a3c.results import Outcome, TrainResult, make_result
from a3c.schedules import Schedule, make_schedule
from a3c.streams import Purpose, Uniforms, generator, reset_seed
from a3c.workers.collector import Collector
from a3c.workers.learner import Learner
from a3c.workers.profile import Profile, untimed
from a3c.workers.store import ParameterStore, Push
from a3c.workers.worker import Worker


class Progress(NamedTuple):
    """A run's progress, which ``emit`` receives after every push, in the worker's turn.

    Attributes:
        fraction: of the budget, in [0, 1].
        step: environment steps so far.
        episodes: episodes finished so far.
        last_return: the return of the episode that just ended, if one did.
    """

    fraction: float
    step: int
    episodes: int
    last_return: float | None


Emit = Callable[[Progress], None]


def train(config: TrainConfig, emit: Emit | None = None, *, profile: bool = False) -> TrainResult:
    """Train one A3C and evaluate its snapshots.

    Args:
        config: every setting.
        emit: called after every push with the progress, from worker threads but one call at a time; what it raises
            stops training.
        profile: whether to clock the workers' CPU time by phase, into ``timings``: ``collect_cpu_seconds``,
            ``learn_cpu_seconds``, ``push_cpu_seconds``, and ``worker_cpu_seconds`` for all they did.

    Raises:
        EnvironmentUnsuitable: before anything is computed.
        Diverged: if something that must be finite is not; its ``result`` holds what was trained until then.
        WorkerFailed: if a worker raised; from the first exception, with environment, worker, step and seed.
        EvaluationFailed: if the evaluation raised; likewise.
    """
    with single_threaded(config):
        return _train(config, emit, Profile() if profile else None)


def _train(config: TrainConfig, emit: Emit | None, profile: Profile | None) -> TrainResult:
    with ExitStack() as stack:
        environments = []
        for _ in range(config.workers):
            environments.append(make(config.env_id, config.env_kwargs))
            stack.callback(close, environments[-1])
        spaces = spaces_of(environments[0], config.env_id)
        if config.evaluations:
            require_no_statistics(environments[0], config.env_id)
        if config.evaluations and config.evaluation_env_kwargs is not None:
            require_same_spaces(config, spaces)
        layout = Layout(spaces.observation_size, spaces.actions, config.hidden_sizes)
        store = ParameterStore(config, layout, layout.initial(generator(config.seed, Purpose.PARAMETERS)))
        schedule = make_schedule(config.schedule, config.workers)

        # a local critic step counts in the step count of all, so its place in the order must not depend on speed
        in_turn = config.local_critic_step and schedule.repeats
        pushed = None if emit is None else _reporting(emit, config, store)
        workers = []
        for number, environment in enumerate(environments):
            engine = make_engine(config, layout)
            start = reset_seed(config.seed, Purpose.ENVIRONMENT, number)
            uniforms = Uniforms(generator(config.seed, Purpose.ACTIONS, number))
            collector = Collector(environment, spaces, config.rollout_length, start, uniforms, engine.acting)
            learner = Learner(config, layout, engine, store, number)
            timed = untimed if profile is None else profile.timed
            workers.append(Worker(number, store, schedule, engine, collector, learner, in_turn, pushed, timed))
            workers[-1].pull()
        started, cpu_started = time.perf_counter(), time.process_time()
        failure = _run_threads(workers, schedule)
        timings = {
            "train_seconds": time.perf_counter() - started,
            "train_cpu_seconds": time.process_time() - cpu_started,
        }
    if profile is not None:
        timings |= profile.seconds()
    residuals = [worker.residuals() for worker in workers]
    error = None if failure is None else _failure(config, *failure)
    return _conclude(config, spaces, layout, store, error, timings, residuals)


def _failure(config: TrainConfig, worker: Worker, cause: BaseException) -> Diverged | WorkerFailed:
    """Return the error that names where a worker failed, and its cause."""
    where = f"{config.env_id}: worker {worker.number} at its environment step {worker.steps}, seed {config.seed}"
    error: Diverged | WorkerFailed
    if isinstance(cause, Diverged):
        error = Diverged(f"{where}: {cause}")
    else:
        error = WorkerFailed(f"{where}: {type(cause).__name__}: {cause}")
    error.__cause__ = cause
    return error


def _conclude(
    config: TrainConfig,
    spaces: Spaces,
    layout: Layout,
    store: ParameterStore,
    error: Diverged | WorkerFailed | EvaluationFailed | None,
    timings: dict[str, float],
    residuals: Sequence[Residuals],
) -> TrainResult:
    """Evaluate a run that did not fail; return its result, or raise what stopped it with the result so far."""
    evaluation = None
    started, cpu_started = time.perf_counter(), time.process_time()
    if store.snapshot_steps and not isinstance(error, WorkerFailed):
        try:
            evaluation = evaluate_run(config, spaces, layout, store)
        except (Diverged, EvaluationFailed) as raised:
            error = error or raised  # a run that diverged in training counts as that
    timings |= {
        "evaluation_seconds": time.perf_counter() - started,
        "evaluation_cpu_seconds": time.process_time() - cpu_started,
    }
    if error is None:
        return make_result(config, store, "complete", evaluation, timings, residuals)
    outcome: Outcome = "diverged" if isinstance(error, Diverged) else "failed"
    try:
        error.result = make_result(config, store, outcome, evaluation, timings, residuals)
    except Exception as another:  # out of memory, perhaps: what came first is to be raised
        error.add_note(f"No result could be made of it: {type(another).__name__}: {another}")
    raise error


def _reporting(emit: Emit, config: TrainConfig, store: ParameterStore) -> Callable[[Push], None]:
    """Return a function that calls ``emit`` with the progress, one call at a time under ``free``, too."""
    emitting = threading.Lock()

    def pushed(push: Push) -> None:
        last = push.episode.total if push.episode is not None else None
        with emitting:
            emit(Progress(min(1.0, store.progress / config.budget), store.steps, store.episodes, last))

    return pushed


def _run_threads(workers: list[Worker], schedule: Schedule) -> tuple[Worker, BaseException] | None:
    """Run every worker to its end; return the first that failed, and how."""
    failures: list[tuple[Worker, BaseException]] = []

    def body(worker: Worker) -> None:
        try:
            worker.work()
        except BaseException as error:  # SystemExit and MemoryError, too, must not die silently in a thread
            failures.append((worker, error))
            schedule.stop()

    threads = [
        threading.Thread(target=body, args=(worker,), name=f"a3c-worker-{worker.number}", daemon=True)
        for worker in workers
    ]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    except BaseException:  # Ctrl-C arrives here, in the main thread
        schedule.stop()
        for thread in threads:
            while thread in threading.enumerate():  # one whose start was interrupted is listed before it can be joined
                time.sleep(0.001)
        raise
    return failures[0] if failures else None
