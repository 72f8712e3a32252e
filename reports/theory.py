"""Predict the effect of missing_as_zero from theory, to be compared with measurements.

A rollout of T steps, d = T - t the distance to its cut, b the value there. Targets under missing_as_zero lack γ^d·b
where d ≤ n. Where actor and critic both learn from them, the critic comes to rest at a value that is itself too low,
and the agent sees no further than that value: with a reward of 1 a step it *is* a number of steps.

Sums of k rewards are written A(k) = 1 + γ + … + γ^(k-1).
"""

from __future__ import annotations

import math


def discounted_sum(k: int, gamma: float) -> float:
    """Return A(k) = 1 + γ + … + γ^(k-1), for k ≥ 0 and γ in [0, 1]."""
    return float(k) if gamma == 1 else -math.expm1(k * math.log(gamma)) / (1 - gamma) if gamma > 0 else float(k > 0)


def effective_value(rollout_length: int, n_step: int, gamma: float) -> float:
    """Return the value V̂ at which missing_as_zero comes to rest: the steps it effectively sees ahead.

    For ``n_step_head = "both"``, a reward of 1 a step, no terminations and full rollouts of T steps, with
    m = min(n, T). The mean of the targets over a rollout, A(d) at d ≤ m and A(n) + γ^n·V̂ beyond, must be V̂ itself::

        V̂ = [A(1) + … + A(m) + (T - m)·A(n)] / [m + (T - m)(1 - γ^n)]

    which for γ < 1 is V̂/V* = 1 - S/(m + (T - m)(1 - γ^n)), S = γ(1 - γ^m)/(1 - γ), V* = 1/(1 - γ).

    Args:
        rollout_length: T, at least 1.
        n_step: n of the textbook convention, at least 1.
        gamma: γ, in [0, 1].

    Raises:
        ValueError: if an argument is outside its range.
    """
    _require(rollout_length, n_step, gamma)
    m = min(n_step, rollout_length)
    complete = rollout_length - m
    incomplete = math.fsum(discounted_sum(d, gamma) for d in range(1, m + 1))
    return (incomplete + complete * discounted_sum(n_step, gamma)) / (m + complete * (1 - gamma**n_step))


def full_value(gamma: float) -> float:
    """Return V* = 1/(1 - γ), the value under max_terms: infinite at γ = 1."""
    return math.inf if gamma == 1 else 1 / (1 - gamma)


def matched_gamma(rollout_length: int, n_step: int, gamma: float) -> float:
    """Return γ' = 1 - 1/V̂: the discount under which max_terms has the mean value that missing_as_zero has under γ.

    It matches the mean value, not the shape of the discount: direction and rough size are all it predicts.
    """
    return 1 - 1 / effective_value(rollout_length, n_step, gamma)


def affected_share(rollout_length: int, n_step: int) -> float:
    """Return min(n, T)/T, the largest share of steps whose targets the rules can disagree about.

    It is reached where every rollout is full and ends in mid-episode; rollouts that end with their episode are shorter,
    and their targets agree.
    """
    _require(rollout_length, n_step, 1.0)
    return min(n_step, rollout_length) / rollout_length


def _require(rollout_length: int, n_step: int, gamma: float) -> None:
    if rollout_length < 1:
        raise ValueError(f"{rollout_length=}: must be at least 1")
    if n_step < 1:
        raise ValueError(f"{n_step=}: must be at least 1")
    if not 0 <= gamma <= 1:
        raise ValueError(f"{gamma=}: must be from 0 to 1")
