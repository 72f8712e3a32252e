"""N-step targets: what the project is about, on one page.

A rollout is T transitions t = 0 … T-1 that end at the *cut*, index T; d = T - t is the distance to it. With
n the number of rewards a complete window has and m = min(n, d),

    G_t = r_t + γ r_{t+1} + … + γ^{m-1} r_{t+m-1}  +  γ^m · w_t
    w_t = v_{t+n}   where n < d: the window is complete and every rule agrees
        = the tail rule's, where n ≥ d and the value term would stand at the cut or beyond it

``b`` is the bootstrap value at the cut: V(s_T), or 0 at the true end of an episode. The two rules of the source
("A3C multi-threaded discrete version with N step targets") differ by γ^d·b at d ≤ n and nowhere else, so they
are the same wherever b = 0. ``drop`` and ``wrong_gamma`` stand in well-known libraries: further arms beside them.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from a3c.targets.rule import Floats, Targets, Windows

Convention = Literal["textbook", "seed"]


def missing_as_zero(w: Windows) -> Targets:
    """Take w_t = 0 where n ≥ d: missing terms are treated as 0."""
    return Targets(w.rewards + w.discounts * w.values, np.ones_like(w.missing))


def max_terms(w: Windows) -> Targets:
    """Take w_t = b where n ≥ d: the maximum terms possible (Mnih et al. 2016, algorithm S3)."""
    return Targets(w.rewards + w.discounts * np.where(w.missing, w.bootstrap, w.values), np.ones_like(w.missing))


def drop(w: Windows) -> Targets:
    """Leave incomplete windows out of the loss, but at the true end of an episode, where nothing is missing."""
    return Targets(w.rewards + w.discounts * w.values, ~w.missing | w.ended)


def wrong_gamma(w: Windows) -> Targets:
    """Take γ^n·b where n ≥ d: bootstrapped as if the window had been complete, instead of with γ^d."""
    tail = np.where(w.missing, w.gamma**w.n * w.bootstrap, w.discounts * w.values)
    return Targets(w.rewards + tail, np.ones_like(w.missing))


def windows(
    rewards: ArrayLike,
    values: ArrayLike,
    bootstrap: float,
    gamma: float,
    n: int,
    convention: Convention = "textbook",
    ended: bool | None = None,
) -> Windows:
    """Sum each step's window of rewards and find its value term.

    Arguments as in :func:`a3c.targets.registry.n_step_targets`.

    ``ended``: whether the cut is an end after which nothing follows; None: where b = 0.

    The ``seed`` convention is the published program's: it clamps its N to T and then sums N-1 rewards with the
    value at index N-1, so its N is the textbook n = min(N, T) - 1; N = 1 makes every target equal to v_t.
    """
    r = np.asarray(rewards, dtype=np.float64)
    v = np.asarray(values, dtype=np.float64)
    if r.ndim != 1 or r.shape != v.shape or not r.size:
        raise ValueError(f"rewards and values must be [T] with T >= 1, not {r.shape} and {v.shape}")
    if n < 1:
        raise ValueError(f"{n=}: must be at least 1")
    if convention not in ("textbook", "seed"):
        raise ValueError(f"{convention=}: must be textbook or seed")
    gamma = float(gamma)  # powers of an int overflow
    ended = bootstrap == 0 if ended is None else ended
    length = r.size
    if convention == "seed":
        n = min(n, length) - 1
    reach = min(n, length)  # windows longer than the rollout are cut by it

    sums = np.zeros(length)
    ahead = np.concatenate([r, np.zeros(reach)])
    for k in reversed(range(reach)):  # Horner in γ: sums_t = r_{t+k} + γ (…)
        sums = ahead[k : k + length] + gamma * sums
    distance = np.arange(length, 0, -1)
    missing = n >= distance
    following = np.concatenate([v[reach:], np.zeros(reach)])
    return Windows(sums, following, gamma ** np.minimum(n, distance), missing, float(bootstrap), ended, gamma, n)


def discounted_returns(rewards: ArrayLike, bootstrap: float, gamma: float) -> Floats:
    """Return r_t + γ r_{t+1} + … + γ^d b for every step of the rollout, float64 ``[T]``."""
    r = np.asarray(rewards, dtype=np.float64)
    returns = np.empty_like(r)
    following = float(bootstrap)
    for t in reversed(range(r.size)):
        following = r[t] + gamma * following
        returns[t] = following
    return returns
