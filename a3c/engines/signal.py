"""The learning signal of a rollout: values, n-step targets and returns, and what the tail rule changed."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from a3c.config import TrainConfig
from a3c.rollout import Rollout
from a3c.targets.n_step import discounted_returns, windows
from a3c.targets.registry import find_tail_rule
from a3c.targets.rule import Floats, complete


class Signal(NamedTuple):
    """The learning signal of a rollout, by one state of the critic; arrays ``[T]``, float64 but ``use``.

    Attributes:
        values: v_t.
        n_step: G_t of the tail rule.
        returns: the bootstrapped discounted return.
        use: the steps whose G_t enters a loss, bool.
        shifts: γ^d·b where the window is incomplete, else 0.
        differing: targets on which tail rules can disagree: γ^d·b is not 0 where the window is incomplete.
        shift: the sum of |γ^d·b| over them.
    """

    values: Floats
    n_step: Floats
    returns: Floats
    use: NDArray[np.bool_]
    shifts: Floats
    differing: float
    shift: float


def bootstrap_is_zero(rollout: Rollout, bootstrap_truncated: bool) -> bool:
    """Return whether b = 0: at a true end always, at a time limit if those are not bootstrapped."""
    return rollout.terminated or (rollout.truncated and not bootstrap_truncated)


def reference_signal(config: TrainConfig, rollout: Rollout, values: Floats) -> Signal:
    """Compute a rollout's signal by :mod:`a3c.targets.n_step`, given v_0 … v_T, ``[T + 1]``."""
    ended = bootstrap_is_zero(rollout, config.bootstrap_truncated)
    bootstrap = 0.0 if ended else float(values[-1])
    w = windows(rollout.rewards, values[:-1], bootstrap, config.gamma, config.n_step, config.n_step_convention, ended)
    targets, use = complete(find_tail_rule(config.target), w)
    returns = discounted_returns(rollout.rewards, bootstrap, config.gamma)
    shifts = w.shift
    shift = float(np.abs(shifts).sum())
    return Signal(values[:-1], targets, returns, use, shifts, float(np.count_nonzero(shifts)), shift)
