"""What a rollout teaches: values, n-step targets and returns, and how much the tail rule mattered."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from a3c.rollout import Rollout
from a3c.targets import TAIL_RULES, discounted_returns, windows

if TYPE_CHECKING:
    from a3c.config import TrainConfig

Floats = NDArray[np.float64]


class Signal(NamedTuple):
    """What one rollout teaches, by one state of the critic; arrays ``[T]``, float64 unless said.

    Attributes:
        values: v_t.
        n_step: G_t of the tail rule.
        returns: the bootstrapped discounted return.
        use: the steps whose G_t enters a loss, bool.
        differing: targets on which tail rules can disagree: γ^d·b is not 0 where the window is incomplete.
        shift: the sum of |γ^d·b| over them.
    """

    values: Floats
    n_step: Floats
    returns: Floats
    use: NDArray[np.bool_]
    differing: float
    shift: float


def is_worthless(rollout: Rollout, bootstrap_truncated: bool) -> bool:
    """Whether b = 0: at a true end always, at a time limit if those are not bootstrapped."""
    return rollout.terminated or (rollout.truncated and not bootstrap_truncated)


def reference_signal(config: TrainConfig, rollout: Rollout, values: Floats) -> Signal:
    """Compute a rollout's signal by :mod:`a3c.targets`, given v_0 … v_T, ``[T + 1]``."""
    ended = is_worthless(rollout, config.bootstrap_truncated)
    bootstrap = 0.0 if ended else float(values[-1])
    w = windows(rollout.rewards, values[:-1], bootstrap, config.gamma, config.n_step, config.n_step_convention, ended)
    targets, use = TAIL_RULES[config.target](w)
    targets, use = np.ascontiguousarray(targets, dtype=np.float64), np.ascontiguousarray(use, dtype=np.bool_)
    if not targets.shape == use.shape == rollout.rewards.shape:
        what = f"targets {targets.shape} and use {use.shape}, must be {rollout.rewards.shape}"
        raise ValueError(f"the tail rule {config.target!r} returned {what}")
    returns = discounted_returns(rollout.rewards, bootstrap, config.gamma)
    shift = np.abs(w.shift)
    return Signal(values[:-1], targets, returns, use, float(np.count_nonzero(shift)), float(shift.sum()))
