"""Tail rules: functions that complete the n-step windows of a rollout, see :mod:`a3c.targets.n_step`."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Windows(NamedTuple):
    """The n-step windows of one rollout, before a tail rule completes them; arrays are float64 ``[T]``.

    Attributes:
        rewards: r_t + … + γ^{m-1} r_{t+m-1}, m = min(n, d).
        values: v_{t+n} where the window is complete, else 0.
        discounts: γ^m.
        missing: where n ≥ d: the value term is not in the rollout.
        bootstrap: b.
        ended: the cut is an end after which nothing follows (b = 0 for good), not a cut in mid-episode.
        gamma: γ.
        n: rewards in a complete window, also where the rollout is too short for one.
    """

    rewards: Floats
    values: Floats
    discounts: Floats
    missing: NDArray[np.bool_]
    bootstrap: float
    ended: bool
    gamma: float
    n: int

    @property
    def shift(self) -> Floats:
        """γ^d·b where the window is incomplete, else 0: all that tail rules can disagree about, ``[T]``."""
        return np.where(self.missing, self.discounts * self.bootstrap, 0.0)


class Targets(NamedTuple):
    """The targets of one rollout, as a tail rule returns them.

    Attributes:
        targets: G_t, float64 ``[T]``.
        use: the steps that enter the loss, bool ``[T]``.
    """

    targets: Floats
    use: NDArray[np.bool_]


# Three steps of reward 1 and value 1, cut in mid-episode at b = 1, with n = 2 and γ = 1/2.
EXAMPLE = Windows(
    rewards=np.array([1.5, 1.5, 1.0]),
    values=np.array([1.0, 0.0, 0.0]),
    discounts=np.array([0.25, 0.25, 0.5]),
    missing=np.array([False, True, True]),
    bootstrap=1.0,
    ended=False,
    gamma=0.5,
    n=2,
)


TailRule = Callable[[Windows], Targets]


def complete(rule: TailRule, w: Windows) -> Targets:
    """Apply a tail rule: targets float64 ``[T]``, use bool ``[T]``.

    Raises:
        ValueError: if what it returns has other shapes.
    """
    targets, use = rule(w)
    targets, use = np.ascontiguousarray(targets, dtype=np.float64), np.ascontiguousarray(use, dtype=np.bool_)
    if not targets.shape == use.shape == w.rewards.shape:
        what = f"targets {targets.shape} and use {use.shape}, must be {w.rewards.shape}"
        raise ValueError(f"the tail rule {getattr(rule, '__name__', rule)!r} returned {what}")
    return Targets(targets, use)
