"""One training run: start the threads, stop them, evaluate, and say what came out."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd
import torch

from a3c.config import TrainConfig
from a3c.engines import choose_engine, make_engine
from a3c.environment import Spaces, close, make, require_same_spaces, spaces_of
from a3c.errors import Diverged, WorkerFailed
from a3c.evaluate import evaluate, random_return
from a3c.learner import Learner
from a3c.measures import PLAIN, evaluation_measures, evaluation_scale, training_curve
from a3c.parameters import Layout, Vector
from a3c.rollout import Collector
from a3c.schedules import Schedule, make_schedule
from a3c.store import ParameterStore, Push
from a3c.streams import Purpose, Uniforms, generator, reset_seed
from a3c.worker import Worker


@dataclass(frozen=True, slots=True)
class Progress:
    """What ``emit`` receives after every push, in the worker's turn.

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


@dataclass(frozen=True)
class TrainResult:
    """A finished run.

    Attributes:
        config: what it was trained with.
        engine: the engine that computed it.
        outcome: ``complete``, ``diverged`` or ``failed``.
        parameters: the final global network, flat float32 ``[size]``; see :class:`a3c.parameters.Layout`.
        episodes: one row per finished training episode: ``step`` (environment steps of all workers at the push),
            ``return``, ``length``, ``worker``.
        evaluations: one row per snapshot: ``grid`` (its point, in the budget's unit), ``step``, and over the
            evaluation episodes ``return`` (mean), ``std``, ``length`` (mean), ``scaled``.
        update_log: one row per update, in the order applied: ``update`` (from 0), ``worker``, ``pulled`` (the version
            its gradient saw), ``applied`` (the version it made), ``step``, ``staleness`` (updates in between).
        metrics: figures that depend on the config and the seed alone (under ``round_robin``).
        timings: figures that depend on the machine too.
        curves: per name (environment step, value), thin enough to plot.
    """

    config: TrainConfig
    engine: str
    outcome: Literal["complete", "diverged", "failed"]
    parameters: Vector
    episodes: pd.DataFrame
    evaluations: pd.DataFrame
    update_log: pd.DataFrame
    metrics: dict[str, float]
    timings: dict[str, float]
    curves: dict[str, list[tuple[int, float]]] = field(repr=False)

    @property
    def parameters_hash(self) -> str:
        """SHA-256 of the parameters' bytes."""
        return hashlib.sha256(self.parameters.tobytes()).hexdigest()

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """The tables worth keeping as text."""
        return {"episodes": self.episodes, "evaluations": self.evaluations}

    @property
    def arrays(self) -> dict[str, dict[str, np.ndarray]]:
        """The arrays worth keeping as binary: final parameters and the update log."""
        log = {name: self.update_log[name].to_numpy() for name in ("worker", "pulled", "step")}
        return {"parameters": {"parameters": self.parameters}, "updates": log}


def train(config: TrainConfig, emit: Emit | None = None) -> TrainResult:
    """Train one A3C and evaluate its snapshots.

    Args:
        config: every setting.
        emit: called after every push with the progress, from worker threads but one call at a time; what it raises
            stops training.

    Raises:
        EnvironmentUnsuitable: before anything is computed.
        Diverged: if something that must be finite is not; its ``result`` holds what was trained until then.
        WorkerFailed: if a worker raised; from the first exception, with worker, step and seed.
    """
    threads_before = torch.get_num_threads()
    torch.set_num_threads(1)  # workers are the parallelism; more would fight over cores and change results
    try:
        return _train(config, emit)
    finally:
        torch.set_num_threads(threads_before)


def _train(config: TrainConfig, emit: Emit | None) -> TrainResult:
    with ExitStack() as stack:
        environments = []
        for _ in range(config.workers):
            environments.append(make(config.env_id, config.env_kwargs))
            stack.callback(close, environments[-1])
        spaces = spaces_of(environments[0], config.env_id)
        if config.evaluations and config.evaluation_env_kwargs is not None:
            require_same_spaces(config, spaces)
        layout = Layout(spaces.observation_size, spaces.actions, config.hidden_sizes)
        store = ParameterStore(config, layout, layout.initial(generator(config.seed, Purpose.PARAMETERS)))
        schedule = make_schedule(config.schedule, config.workers)

        emitting = threading.Lock()  # under `free` several workers can have pushed at once

        def pushed(push: Push) -> None:
            if emit is not None:
                last = push.episode.total if push.episode is not None else None
                with emitting:
                    emit(Progress(min(1.0, store.progress / config.budget), store.steps, len(store.episodes), last))

        # a local critic step counts in the step count of all, so its place in the order must not depend on speed
        in_turn = config.local_critic_step and config.schedule == "round_robin"
        workers = []
        for number, environment in enumerate(environments):
            engine = make_engine(config, layout)
            start = reset_seed(config.seed, Purpose.ENVIRONMENT, number)
            uniforms = Uniforms(generator(config.seed, Purpose.ACTIONS, number))
            collector = Collector(environment, spaces, config.rollout_length, start, uniforms)
            learner = Learner(config, layout, engine, store, number)
            workers.append(Worker(number, store, schedule, engine, collector, learner, in_turn, pushed))
            workers[-1].pull()
        started = time.perf_counter()
        failure = _run_threads(workers, schedule)
        seconds = time.perf_counter() - started
    if failure is None:
        return _result(config, spaces, layout, store, "complete", seconds)
    worker, error = failure
    where = f"worker {worker.number} at its environment step {worker.steps}, seed {config.seed}"
    if isinstance(error, Diverged):
        diverged = Diverged(f"{where}: {error}")
        diverged.result = _result(config, spaces, layout, store, "diverged", seconds)
        raise diverged from error
    failed = WorkerFailed(f"{where}: {type(error).__name__}: {error}")
    failed.result = _result(config, spaces, layout, store, "failed", seconds)
    raise failed from error


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


def _result(
    config: TrainConfig,
    spaces: Spaces,
    layout: Layout,
    store: ParameterStore,
    outcome: Literal["complete", "diverged", "failed"],
    train_seconds: float,
) -> TrainResult:
    rows = store.log.rows()
    staleness = np.arange(len(rows), dtype=np.int64) - rows["pulled"].astype(np.int64)
    update_log = pd.DataFrame(
        {
            "update": np.arange(len(rows)),
            "worker": rows["worker"],
            "pulled": rows["pulled"],
            "applied": np.arange(1, len(rows) + 1),
            "step": rows["step"],
            "staleness": staleness,
        }
    )
    episodes = pd.DataFrame(store.episodes, columns=["step", "return", "length", "worker"])
    metrics = _training_metrics(store, episodes, staleness)
    started = time.perf_counter()
    evaluations = pd.DataFrame(columns=["grid", "step", "return", "std", "length", "scaled"])
    if store.snapshot_steps and outcome != "failed":
        try:
            evaluations, measures = _evaluations(config, spaces, layout, store)
        except Exception:
            if outcome == "complete":
                raise
        else:  # a diverged run keeps the curve it had earned, not the figures of a whole one
            metrics |= measures if outcome == "complete" else {}
    timings = {
        "train_seconds": train_seconds,
        "evaluation_seconds": time.perf_counter() - started,
        "steps_per_second": store.steps / train_seconds if train_seconds > 0 else 0.0,
    }
    curves = {
        "evaluation_return": list(zip(evaluations["step"], evaluations["return"], strict=True)),
        "training_return": training_curve(store.episodes, store.steps),
        **store.curves(),
    }
    return TrainResult(
        config=config,
        engine=choose_engine(config),
        outcome=outcome,
        parameters=store.parameters.copy(),
        episodes=episodes,
        evaluations=evaluations,
        update_log=update_log,
        metrics=metrics,
        timings=timings,
        curves={name: curve for name, curve in curves.items() if curve},
    )


def _training_metrics(store: ParameterStore, episodes: pd.DataFrame, staleness: np.ndarray) -> dict[str, float]:
    metrics = {
        "steps": float(store.steps),
        "updates": float(store.version),
        "episodes": float(len(episodes)),
    }
    if len(episodes):
        metrics["training_return_last_100"] = float(episodes["return"].iloc[-100:].mean())
    if store.version:
        metrics |= {
            "staleness_mean": float(staleness.mean()),
            "staleness_median": float(np.median(staleness)),
            "staleness_max": float(staleness.max()),
            "differing_target_share": store.differing / store.steps,
            "mean_target_shift": store.shift / store.steps,
        }
    return metrics


def _evaluations(
    config: TrainConfig, spaces: Spaces, layout: Layout, store: ParameterStore
) -> tuple[pd.DataFrame, dict[str, float]]:
    taken = len(store.snapshot_steps)
    played = evaluate(config, layout, spaces, store.snapshots[:taken])
    means = played.returns.mean(axis=1)
    random = random_return(config)
    scale = evaluation_scale(config, random, spaces.reward_threshold)
    low, high = scale or PLAIN
    table = pd.DataFrame(
        {
            "grid": store.grid[:taken],
            "step": store.snapshot_steps,
            "return": means,
            "std": played.returns.std(axis=1),
            "length": played.lengths.mean(axis=1),
            "scaled": (means - low) / (high - low),
        }
    )
    measures = evaluation_measures(means, store.grid[:taken], config.budget, scale)
    measures["random_return"] = random
    if spaces.reward_threshold is not None:
        measures["reward_threshold"] = spaces.reward_threshold
    return table, measures
