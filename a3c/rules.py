"""What a tail rule is, and how one is found by its name.

A tail rule completes the n-step windows of a rollout: :mod:`a3c.targets` says what they are.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from a3c.errors import did_you_mean

Floats = NDArray[np.float64]


class Windows(NamedTuple):
    """The n-step windows of one rollout, before a tail rule completes them; arrays are float64 ``[T]``.

    Attributes:
        rewards: r_t + … + γ^{m-1} r_{t+m-1}, m = min(n, d).
        values: v_{t+n} where the window is complete, else 0.
        discounts: γ^m.
        missing: where n ≥ d: the value term is not in the rollout.
        bootstrap: b.
        ended: the cut is an end that is worth nothing (b = 0 for good), not a cut in mid-episode.
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
    """What a tail rule returns.

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
TAIL_RULES: dict[str, TailRule] = {}


def tail_rule(function: TailRule) -> TailRule:
    """Register a tail rule under its function's name, which is then a legal ``target`` in this process.

    Raises:
        ValueError: if another function has that name already.
    """
    name = function.__name__
    taken = TAIL_RULES.get(name, function)
    if (taken.__module__, taken.__qualname__) != (function.__module__, function.__qualname__):
        raise ValueError(f"the tail rule {name!r} is already {taken.__module__}:{taken.__qualname__}")
    TAIL_RULES[name] = function
    return function


def find_tail_rule(name: str) -> TailRule:
    """Return the tail rule of a registered name, or the function ``module:name``, whose module is imported.

    Raises:
        ValueError: saying what is allowed, if there is none.
    """
    if name in TAIL_RULES:
        return TAIL_RULES[name]
    if ":" in name:
        return _imported(name)
    for module in ("a3c.targets", "a3c.further_rules"):  # which register theirs, and need this one for it
        import_module(module)
    if name in TAIL_RULES:
        return TAIL_RULES[name]
    hint = did_you_mean(name, TAIL_RULES)
    raise ValueError(f"must be one of {', '.join(sorted(TAIL_RULES))}, or the module:name of a function{hint}")


@cache
def _imported(dotted: str) -> TailRule:
    """Import a function and see that it is a tail rule."""
    module, _, name = dotted.partition(":")
    try:
        rule: TailRule = getattr(import_module(module), name)
        complete(rule, EXAMPLE)
    except (
        Exception,
        SystemExit,
    ) as error:  # whatever a module does when it is imported, and a function that is no tail rule
        what = "must be the module:name of a tail rule"
        raise ValueError(f"{what}, a function from Windows to Targets ({type(error).__name__}: {error})") from error
    return rule


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
