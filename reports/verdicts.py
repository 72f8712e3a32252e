"""DIFFERENT, EQUIVALENT, UNDECIDED or VACUOUS: one verdict for each comparison of a study, all of them together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from reports.statistics import Estimate


class Verdict(StrEnum):
    """What a comparison came to."""

    DIFFERENT = "DIFFERENT"
    EQUIVALENT = "EQUIVALENT"
    UNDECIDED = "UNDECIDED"
    VACUOUS = "VACUOUS"
    NONE = "no verdict"


@dataclass(frozen=True)
class Evidence:
    """What one comparison (one candidate in one cell) puts forward.

    Attributes:
        looks: the paired differences (candidate minus baseline, in the order of the seeds) as they stood at each look
            reached, the first look first; each begins with those before it. Empty before the first look.
        primary: whether the study's answer rests on it; the others are exploratory, a family of their own.
        vacuous: the arms' targets never differed.
    """

    looks: tuple[tuple[float, ...], ...]
    primary: bool = True
    vacuous: bool = False


@dataclass(frozen=True)
class Rules:
    """How a study declared, before it ran, that it would be judged.

    Attributes:
        level: confidence level, in (0, 1).
        margin: Δ: a difference smaller than this does not matter, in units of the compared metric.
        looks: pairs at each look, rising, the last being the most there can be; one look for a fixed number of seeds.
        span: r, the best score there can be minus the worst a run can fall to, in units of the metric.
        higher_is_better: whether more of the metric is better.
    """

    level: float
    margin: float
    looks: tuple[int, ...]
    span: float
    higher_is_better: bool = True


@dataclass(frozen=True)
class Judgement:
    """What a comparison came to, and on what grounds.

    Attributes:
        verdict: the verdict.
        look: the look it was reached at, or the last one there was, from 1; 0 before the first.
        final: whether no further look can change it: it was reached, or there is no further look.
        candidate_better: for DIFFERENT, which way; None otherwise.
        negligible: DIFFERENT, yet the interval lies inside ±Δ.
        estimate: mean paired difference with its (repeated) confidence interval, for this comparison alone.
        simultaneous: the same, all primary comparisons together (level 1 - α/m); interval None where there is none.
        p_different: repeated p-value of "no difference"; None where there is no interval.
        p_equivalent: repeated p-value of "differs by the margin or more"; None where there is no interval.
        adjusted_different: the same after Holm, over the family.
        adjusted_equivalent: the same after Holm, over the family.
        more_pairs: for UNDECIDED about how many further pairs would probably settle it; None: too many to say.
        reason: one clause in plain words: why this verdict, or why there is none.
    """

    verdict: Verdict
    look: int
    final: bool
    candidate_better: bool | None
    negligible: bool
    estimate: Estimate
    simultaneous: Estimate
    p_different: float | None
    p_equivalent: float | None
    adjusted_different: float | None
    adjusted_equivalent: float | None
    more_pairs: int | None
    reason: str


def judge(evidence: Sequence[Evidence], rules: Rules) -> list[Judgement]:
    """Judge all comparisons of a study together, look by look; a comparison that is decided keeps its p-value."""
    raise NotImplementedError
