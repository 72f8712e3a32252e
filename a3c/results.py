"""The result of a training run."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from a3c.config import TrainConfig
from a3c.engines.choice import choose_engine
from a3c.engines.residuals import Residuals, residual_table
from a3c.evaluation.measures import training_curve
from a3c.evaluation.snapshots import EVALUATION_COLUMNS, Evaluation
from a3c.networks.layout import Vector
from a3c.workers.store import ParameterStore

Outcome = Literal["complete", "diverged", "failed"]


@dataclass(frozen=True)
class TrainResult:
    """A finished run.

    Attributes:
        config: what it was trained with.
        engine: the engine that computed it.
        outcome: ``complete``, ``diverged`` or ``failed``.
        parameters: the final global network, flat float32 ``[size]``; see :class:`a3c.networks.layout.Layout`.
        episodes: one row per finished training episode: ``step`` (environment steps of all workers at the push),
            ``return``, ``length``, ``worker``.
        evaluations: one row per snapshot: ``grid`` (its point, in the budget's unit), ``step``, and over the
            evaluation episodes ``return`` (mean), ``std``, ``length`` (mean), ``scaled``.
        residuals: how far targets lay from values, one row per distance to the cut, see
            :func:`a3c.engines.residuals.residual_table`.
        updates: the update log, one row per update in the order applied: ``worker``, ``pulled``, ``step``, dtype
            :data:`a3c.workers.update_log.UPDATE`.
        metrics: figures that depend on the config and the seed alone (under ``round_robin``). All are finite.
        timings: figures that depend on the machine too.
        curves: per name (environment step, value), thin enough to plot; points that are not finite are left out.
    """

    config: TrainConfig
    engine: str
    outcome: Outcome
    parameters: Vector
    episodes: pd.DataFrame
    evaluations: pd.DataFrame
    residuals: pd.DataFrame
    updates: NDArray[np.void] = field(repr=False)
    metrics: dict[str, float]
    timings: dict[str, float]
    curves: dict[str, list[tuple[int, float]]] = field(repr=False)

    @cached_property
    def update_log(self) -> pd.DataFrame:
        """The update log as a table.

        One row per update, in the order applied: ``update`` (from 0), ``worker``, ``pulled`` (the version its gradient
        saw), ``applied`` (the version it made), ``step`` (environment steps of all workers), ``staleness`` (updates in
        between).
        """
        count = len(self.updates)
        columns = {name: self.updates[name].astype(np.int64) for name in ("worker", "pulled", "step")}
        numbers = {
            "update": np.arange(count),
            "applied": np.arange(1, count + 1),
            "staleness": _staleness(self.updates),
        }
        order = ["update", "worker", "pulled", "applied", "step", "staleness"]
        return pd.DataFrame({**columns, **numbers})[order]

    @property
    def parameters_hash(self) -> str:
        """SHA-256 of the parameters' bytes."""
        return hashlib.sha256(self.parameters.tobytes()).hexdigest()

    @property
    def labels(self) -> dict[str, str]:
        """The choices the config left open: the engine."""
        return {"engine": self.engine}

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """The tables worth keeping as text."""
        return {"episodes": self.episodes, "evaluations": self.evaluations, "residuals": self.residuals}

    @property
    def arrays(self) -> dict[str, dict[str, np.ndarray]]:
        """The arrays worth keeping as binary: final parameters and the update log."""
        log = {name: np.ascontiguousarray(self.updates[name]) for name in ("worker", "pulled", "step")}
        return {"parameters": {"parameters": self.parameters}, "updates": log}


def make_result(
    config: TrainConfig,
    store: ParameterStore,
    outcome: Outcome,
    evaluation: Evaluation | None,
    timings: dict[str, float],
    residuals: Sequence[Residuals],
) -> TrainResult:
    """Make the result of a run.

    Args:
        config: what it was trained with.
        store: its parameters, logs and snapshots.
        outcome: how it ended.
        evaluation: of its snapshots, if there was one.
        timings: ``train_seconds``, and what else was clocked.
        residuals: those of its workers.
    """
    updates, episodes = store.log.updates(), pd.DataFrame(store.log.episodes())
    train_seconds = timings["train_seconds"]
    evaluations = pd.DataFrame(columns=EVALUATION_COLUMNS) if evaluation is None else evaluation.table
    metrics = _training_metrics(store, updates, episodes)
    curves = {
        "evaluation_return": list(zip(evaluations["step"], evaluations["return"], strict=True)),
        "training_return": training_curve(episodes["step"].to_numpy(), episodes["return"].to_numpy(), store.steps),
        **store.curves.curves(),
    }
    if evaluation is not None and outcome == "complete":  # a diverged run keeps the curve it had earned, not these
        metrics |= evaluation.measures
    finite = {name: [(at, value) for at, value in curve if math.isfinite(value)] for name, curve in curves.items()}
    return TrainResult(
        config=config,
        engine=choose_engine(config),
        outcome=outcome,
        parameters=store.parameters.copy(),
        episodes=episodes,
        evaluations=evaluations,
        residuals=residual_table(residuals),
        updates=updates,
        metrics=metrics,
        timings={**timings, "steps_per_second": store.steps / train_seconds if train_seconds > 0 else 0.0},
        curves={name: curve for name, curve in finite.items() if curve},
    )


def _training_metrics(store: ParameterStore, updates: NDArray[np.void], episodes: pd.DataFrame) -> dict[str, float]:
    metrics = {
        "steps": float(store.steps),
        "updates": float(store.version),
        "episodes": float(len(episodes)),
    }
    if len(episodes):
        metrics["training_return_last_100"] = float(episodes["return"].iloc[-100:].mean())
    if store.version:
        staleness = _staleness(updates)
        metrics |= {
            "staleness_mean": float(staleness.mean()),
            "staleness_median": float(np.median(staleness)),
            "staleness_max": float(staleness.max()),
            "differing_target_share": store.differing / store.steps,
            "mean_target_shift": store.shift / store.steps,
        }
    return metrics


def _staleness(updates: NDArray[np.void]) -> NDArray[np.int64]:
    """Return how many updates came between each update's pull and its push: row u made version u + 1."""
    return np.arange(len(updates)) - updates["pulled"].astype(np.int64)
