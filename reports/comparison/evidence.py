"""Gather the evidence of a study's comparisons: their pairs at every complete look, and the declared rules."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass

from harness.record.study import Study
from reports.data.pairs import Pair, RunKey, by_key, pairs, scores_of
from reports.statistics.verdicts import Rules

ComparisonKey = tuple[str, str]  # cell, candidate


@dataclass(frozen=True)
class Gathered:
    """The pairs of one comparison.

    Attributes:
        pairs: every pair there is, in the order of the seeds.
        looks: the pairs at each look that is complete; each begins with those before it.
    """

    pairs: tuple[Pair, ...]
    looks: tuple[tuple[Pair, ...], ...]

    @property
    def measured(self) -> bool:
        """Whether any run of the last complete look has a result; without one there is nothing to judge."""
        return any(pair.measured for pair in (self.looks[-1] if self.looks else self.pairs))


def gather(study: Study) -> dict[ComparisonKey, Gathered]:
    """Return every comparison's pairs, look by look.

    A look is complete when every run of its seeds, of the baseline and of the candidate, has finished or failed.
    """
    order = {seed: place for place, seed in enumerate(study.spec.study.seeds)}
    found: dict[ComparisonKey, list[Pair]] = {}
    for pair in pairs(study):
        found.setdefault((pair.cell, pair.candidate), []).append(pair)
    settled: set[RunKey] = {*by_key(study), *((failure.cell, failure.arm, failure.seed) for failure in study.failures)}
    baseline, *candidates = study.arms
    gathered = {}
    for cell in study.cells:
        for candidate in candidates:
            own = found.get((cell.id, candidate), [])
            leading = _leading(study.spec.study.seeds, settled, cell.id, (baseline, candidate))
            complete = bisect.bisect_right(study.spec.study.stages, leading)
            looks = tuple(
                tuple(pair for pair in own if order[pair.seed] < stage) for stage in study.spec.study.stages[:complete]
            )
            gathered[cell.id, candidate] = Gathered(tuple(own), looks)
    return gathered


def _leading(seeds: Sequence[int], settled: set[RunKey], cell: str, arms: Sequence[str]) -> int:
    """Return how many seeds stand before the first of which a run is still to come."""
    for place, seed in enumerate(seeds):
        if any((cell, arm, seed) not in settled for arm in arms):
            return place
    return len(seeds)


def declared_rules(study: Study) -> Rules:
    """Return the rules of the verdict as declared, with the span of the metric."""
    compare = study.spec.compare
    return Rules(
        level=compare.level,
        margin=compare.margin,
        looks=study.spec.study.stages,
        span=scores_of(study).span(study.spec.base),
        higher_is_better=compare.higher_is_better,
    )
