"""Figures of a run: over its evaluation curve, its training episodes, its updates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from a3c.config import TrainConfig

CURVE_POINTS = 100
PLAIN = (0.0, 1.0)  # the scale that changes nothing


def evaluation_measures(
    returns: NDArray[np.float64], grid: Sequence[int], budget: int, scale: tuple[float, float] | None
) -> dict[str, float]:
    """Measure a whole evaluation curve.

    Args:
        returns: mean evaluation return at each grid point, ``[K]``, K ≥ 1.
        grid: the grid points, in the budget's unit.
        budget: the budget.
        scale: the returns that score 0 and 1; None: nothing defines what is solved, and scores are plain returns.

    Returns:
        ``auc`` (mean over the grid), ``final`` (mean over its last tenth), ``best``, all scaled; ``final_return``
        in units of return; ``collapsed`` (final below half of best); where there is a scale also ``solved`` and
        ``steps_to_threshold``: the first grid point that scores 1, or the budget where none does.
    """
    low, high = scale or PLAIN
    scaled = (returns - low) / (high - low)
    last = slice(-max(1, math.ceil(len(scaled) / 10)), None)
    final, best = float(scaled[last].mean()), float(scaled.max())
    measures = {
        "auc": float(scaled.mean()),
        "final": final,
        "best": best,
        "final_return": float(returns[last].mean()),
        "collapsed": float(best > 0 and final < best / 2),
    }
    if scale is not None:
        reached = np.flatnonzero(returns >= high)
        measures["solved"] = float(reached.size > 0)
        measures["steps_to_threshold"] = float(grid[reached[0]] if reached.size else budget)
    return measures


def evaluation_scale(config: TrainConfig, random: float, threshold: float | None) -> tuple[float, float] | None:
    """Return the returns that score 0 and 1; None where neither config nor environment defines what is solved."""
    if config.evaluation_scale is not None:
        return config.evaluation_scale
    if threshold is None or threshold <= random:
        return None
    return (random, threshold)


def training_curve(
    steps: NDArray[np.integer[Any]], returns: NDArray[np.float64], last_step: int
) -> list[tuple[int, float]]:
    """Thin episodes' returns ``[N]`` to means over even stretches of environment steps, at most 100 points."""
    if not len(steps):
        return []
    bins = np.minimum(CURVE_POINTS - 1, steps.astype(np.int64) * CURVE_POINTS // max(1, last_step))
    _, start = np.unique(bins, return_index=True)
    counts = np.diff([*start, len(steps)])
    means = np.add.reduceat(returns, start) / counts
    ends = start + counts - 1
    return [(int(steps[end]), float(mean)) for end, mean in zip(ends, means, strict=True)]
