"""Find a tail rule by its name, and compute targets with it."""

from __future__ import annotations

from functools import cache
from importlib import import_module

from numpy.typing import ArrayLike

from a3c.errors import did_you_mean
from a3c.targets.n_step import Convention, drop, max_terms, missing_as_zero, windows, wrong_gamma
from a3c.targets.rule import EXAMPLE, Floats, TailRule, complete

TAIL_RULES: dict[str, TailRule] = {
    "missing_as_zero": missing_as_zero,
    "max_terms": max_terms,
    "drop": drop,
    "wrong_gamma": wrong_gamma,
}


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
        ValueError: if there is none; it names what is allowed.
    """
    if name in TAIL_RULES:
        return TAIL_RULES[name]
    if ":" in name:
        return _imported(name)
    hint = did_you_mean(name, TAIL_RULES)
    raise ValueError(f"must be one of {', '.join(sorted(TAIL_RULES))}, or the module:name of a function{hint}")


@cache
def _imported(dotted: str) -> TailRule:
    """Import a function and check that it is a tail rule."""
    module, _, name = dotted.partition(":")
    try:
        rule: TailRule = getattr(import_module(module), name)
        complete(rule, EXAMPLE)
    except (Exception, SystemExit) as error:  # a module may do anything when imported, and a function be no tail rule
        what = "must be the module:name of a tail rule"
        raise ValueError(f"{what}, a function from Windows to Targets ({type(error).__name__}: {error})") from error
    return rule


def n_step_targets(
    rewards: ArrayLike,
    values: ArrayLike,
    bootstrap: float,
    gamma: float,
    n: int,
    tail: str,
    convention: Convention = "textbook",
) -> Floats:
    """Return the n-step targets of one rollout.

    Args:
        rewards: r_t, received after the action at t, ``[T]``, T ≥ 1.
        values: v_t = V(s_t), ``[T]``.
        bootstrap: b, the value at the cut; 0 at the true end of an episode.
        gamma: discount γ a step.
        n: rewards in a complete window, ≥ 1.
        tail: name of the tail rule (``missing_as_zero``, ``max_terms``, … or ``module:name``).
        convention: ``textbook``, or ``seed`` for the published program's own counting (see :func:`windows`).

    Returns:
        G_t, float64 ``[T]``.

    Raises:
        ValueError: on arrays of other shapes, n < 1, or an unknown tail rule or convention.
    """
    try:
        rule = find_tail_rule(tail)
    except ValueError as error:
        raise ValueError(f"{tail=}: {error}") from error
    return complete(rule, windows(rewards, values, bootstrap, gamma, n, convention)).targets
