"""Traits of metrics: direction, bounds, unit.

An algorithm states them (``metric_traits()`` of its config type, see :mod:`harness.algorithm.protocol`), ``study.json``
keeps them. So reports need not know the algorithm, and a run that came to nothing counts as the worst by any metric.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import pydantic
from pydantic import BaseModel, ConfigDict

STEPS = "steps"  # the metric that holds how many environment steps a run took, where there is one


class MetricTraits(BaseModel):
    """One metric, or one column of a table (then named ``table.column``).

    Attributes:
        lower_is_better: the direction.
        worst: what it falls to at worst: a number, or the names of settings of which the one given holds it (a budget).
        best: the best there can be.
        chance: the metric that holds what acting at random scores, in the same unit and the same for all runs of one
            environment. Where a metric has one, only runs with equal ones are on one scale.
        unit: the unit, as a phrase.
        units: setting → the unit of runs in which it is given; ``{}`` stands for its value.
        words: the predicates of an arm that is better by it and of one that is worse ("ends better", "ends worse").
        reached_by: of a time until something is reached, the metric that is 1 in runs that reached it and 0 in others.
        where: metrics and settings of which a complete run has at least one exactly where these traits hold; empty:
            they always do.
        otherwise: the traits elsewhere; None: there it is not measured.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    lower_is_better: bool = False
    worst: float | tuple[str, ...] | None = None
    best: float | None = None
    chance: str | None = None
    unit: str = ""
    units: dict[str, str] = {}
    words: tuple[str, str] = ("does better", "does worse")
    reached_by: str | None = None
    where: tuple[str, ...] = ()
    otherwise: Self | None = None

    def holds(self, complete: bool, metrics: Mapping[str, float], config: Mapping[str, Any]) -> bool | None:
        """Return whether these traits hold in a run; None if it stopped before it could show that."""
        if not self.where or any(name in metrics or config.get(name) is not None for name in self.where):
            return True
        return False if complete else None

    def known_worst(self, config: Mapping[str, Any]) -> float | None:
        """Return the worst value under these settings, or None if it is unknown."""
        if isinstance(self.worst, tuple):
            return next((float(config[name]) for name in self.worst if config.get(name) is not None), None)
        return self.worst


NO_TRAITS = MetricTraits()
TRAITS: pydantic.TypeAdapter[dict[str, MetricTraits]] = pydantic.TypeAdapter(dict[str, MetricTraits])
