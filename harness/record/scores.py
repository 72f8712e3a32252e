"""Score runs by the compared metric; a run that diverged counts as the worst value and is never dropped."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

from harness.algorithm.traits import NO_TRAITS, MetricTraits
from harness.record.run import RunRecord
from harness.study.spec import CompareSection


class Scale(NamedTuple):
    """The scale of a run's metric; only figures of one scale can be compared.

    Attributes:
        declared: whether the metric's traits hold, rather than those that hold otherwise.
        chance: what acting at random scores, where the traits name a metric for that.
    """

    declared: bool = True
    chance: float | None = None


class Scores:
    """The scores of a study's runs by its compared metric.

    A run without a result (one that diverged) counts as the worst of what the metric is known to fall to (its traits'
    ``worst``, a random policy's score) and of what complete runs on the same scale were seen to score. Where it stopped
    before it could show its scale, that is the scale of its cell and arm, else of its cell, else of the study.

    Args:
        compare: what is compared. Its ``diverged_score`` is what such a run counts as instead.
        traits: of the metrics, by name.
        records: runs to learn from.
        seeds: those whose complete runs count as seen; None: all.
    """

    def __init__(
        self,
        compare: CompareSection,
        traits: Mapping[str, MetricTraits],
        records: Iterable[RunRecord] = (),
        seeds: Collection[int] | None = None,
    ) -> None:
        self._compare = compare
        self._traits = traits.get(compare.metric, NO_TRAITS)
        self._scales: dict[tuple[str, ...], Scale] = {}
        self._seen: dict[Scale, tuple[float, float]] = {}
        self._worst: dict[Scale, set[float]] = {}
        for record in records:
            self.note(record)
            if record.outcome == "complete" and (seeds is None or record.seed in seeds):
                self._see(record)

    def note(self, record: RunRecord) -> None:
        """Note the scale of a run, for others that cannot show theirs."""
        if (scale := self._shown(record)) is not None:
            for scope in ((record.cell, record.arm), (record.cell,), ()):
                self._scales.setdefault(scope, scale)
            self._worst.setdefault(scale, set()).update(self._known(scale, record.config))

    def _see(self, record: RunRecord) -> None:
        value, scale = self._measured(record), self._shown(record)
        if value is not None and scale is not None:
            low, high = self._seen.get(scale, (value, value))
            self._seen[scale] = min(low, value), max(high, value)

    def is_settled(self, record: RunRecord) -> bool:
        """Return whether the scale of a run is known, rather than assumed to be the one its metric mostly has."""
        known = self._compare.diverged_score is not None or record.outcome != "diverged"
        return known or (self._shown(record) or self._like(record.cell, record.arm)) is not None

    def of(self, record: RunRecord) -> float | None:
        """Return the score of a finished run, or None without the metric."""
        if record.outcome != "diverged":
            return self._measured(record)
        return self._lost(self._shown(record) or self._like(record.cell, record.arm), record.config)

    def lost(self, cell: str, arm: str, config: Mapping[str, Any]) -> float | None:
        """Return the score of a run that left no record, or None if no worst value is known.

        Args:
            cell: the run's.
            arm: likewise.
            config: its settings, which hold its budget.
        """
        return self._lost(self._like(cell, arm), config)

    def span(self, config: Mapping[str, Any]) -> float:
        """Return the best score known or seen minus the worst a run can fall to; ∞ if either is unknown.

        Where runs are on several scales, the longest of theirs.

        Args:
            config: the settings all runs share, for want of runs.
        """
        scales = {*self._scales.values()} or {Scale()}
        return max(self._span_of(scale, config) for scale in scales)

    def _span_of(self, scale: Scale, config: Mapping[str, Any]) -> float:
        given = self._compare.diverged_score
        worst = {given} if given is not None else self._worst.get(scale) or {*self._known(scale, config)}
        traits = self._holding(scale)
        best = {traits.best} if traits is not None and traits.best is not None else set()
        others = {*self._seen.get(scale, ()), *best}
        ends = {*worst, *others}
        return max(ends) - min(ends) if worst and others else math.inf

    def _measured(self, record: RunRecord) -> float | None:
        value = record.metrics.get(self._compare.metric)
        return float(value) if value is not None and math.isfinite(value) else None

    def _lost(self, scale: Scale | None, config: Mapping[str, Any]) -> float | None:
        if self._compare.diverged_score is not None:
            return self._compare.diverged_score
        scale = scale or Scale()
        if self._holding(scale) is None:
            return None
        worst = min if self._compare.higher_is_better else max
        return worst([*self._seen.get(scale, ()), *self._known(scale, config)], default=None)

    def _known(self, scale: Scale, config: Mapping[str, Any]) -> list[float]:
        """Return the values known to be the worst of a run with these settings."""
        traits = self._holding(scale)
        known = [] if traits is None else [traits.known_worst(config), scale.chance]
        return [value for value in known if value is not None]

    def _shown(self, record: RunRecord) -> Scale | None:
        """Return the scale that a run's own metrics and settings show, or None."""
        complete = record.outcome == "complete"
        if (declared := self._traits.holds(complete, record.metrics, record.config)) is None:
            return None
        traits = self._holding(Scale(declared))
        if traits is None or traits.chance is None:
            return Scale(declared)
        chance = record.metrics.get(traits.chance)
        return Scale(declared, chance) if chance is not None or complete else None

    def _like(self, cell: str, arm: str) -> Scale | None:
        """Return the scale of the runs nearest to an arm in a cell, or None."""
        scopes: tuple[tuple[str, ...], ...] = ((cell, arm), (cell,), ())
        return next((self._scales[scope] for scope in scopes if scope in self._scales), None)

    def _holding(self, scale: Scale) -> MetricTraits | None:
        return self._traits if scale.declared else self._traits.otherwise
