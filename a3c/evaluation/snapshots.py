"""Evaluate a run's snapshots, and measure its curve."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import pandas as pd

from a3c.config import TrainConfig
from a3c.environments.making import Spaces
from a3c.errors import Diverged
from a3c.evaluation.measures import PLAIN, evaluation_measures, evaluation_scale
from a3c.evaluation.play import evaluate, random_return
from a3c.networks.layout import Layout
from a3c.workers.store import ParameterStore

EVALUATION_COLUMNS = ["grid", "step", "return", "std", "length", "scaled"]


class Evaluation(NamedTuple):
    """The evaluation of a run's snapshots; all of it finite.

    Attributes:
        table: see :attr:`TrainResult.evaluations`.
        measures: figures of the whole curve.
    """

    table: pd.DataFrame
    measures: dict[str, float]


def evaluate_run(config: TrainConfig, spaces: Spaces, layout: Layout, store: ParameterStore) -> Evaluation:
    """Evaluate the snapshots a run has left.

    Raises:
        Diverged: if a number in it is not finite, be it that returns of 1e308 have no finite sum: nobody knows how
            good such a run is, and infinity would be the best of all.
        EvaluationFailed: if the environments raise, or an episode does not end.
    """
    taken = len(store.snapshot_steps)
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is refused
        played = evaluate(config, layout, spaces, store.snapshots[:taken], endless=not store.episodes)
        random = random_return(config, spaces)
        means = played.returns.mean(axis=1)
        scale = evaluation_scale(config, random, spaces.reward_threshold)
        low, high = scale or PLAIN
        columns = (
            store.grid[:taken],
            store.snapshot_steps,
            means,
            played.returns.std(axis=1),
            played.lengths.mean(axis=1),
            (means - low) / (high - low),
        )
        measures = evaluation_measures(means, store.grid[:taken], config.budget, scale)
    measures["random_return"] = random
    if spaces.reward_threshold is not None:
        measures["reward_threshold"] = spaces.reward_threshold
    table = pd.DataFrame(dict(zip(EVALUATION_COLUMNS, columns, strict=True)))
    for name, value in [*measures.items(), *((name, table[name].sum()) for name in table)]:
        if not math.isfinite(value):
            raise Diverged(f"{config.env_id}: evaluation, seed {config.seed}: {name} is not finite: {value}")
    return Evaluation(table, measures)
