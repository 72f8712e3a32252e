"""Judge all comparisons of a study together: DIFFERENT, EQUIVALENT, UNDECIDED or VACUOUS for each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from statistics import stdev
from typing import TYPE_CHECKING

from reports.statistics.decisions import (
    DIFFERENT,
    EQUIVALENT,
    NEVER,
    OPEN,
    Decisions,
    Grounds,
    Rules,
    decide,
    guard_pairs,
    look_grounds,
)
from reports.statistics.intervals import MIN_PAIRS, MIN_VERDICT_PAIRS, Estimate, interval_at
from reports.statistics.sequential import nominal_levels

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Evidence", "Judgement", "Rules", "Verdict", "judge", "pairs_to_settle"]

POWER = 0.8
MOST_FURTHER_PAIRS = 1_000


class Verdict(StrEnum):
    """The verdict on a comparison."""

    DIFFERENT = "DIFFERENT"
    EQUIVALENT = "EQUIVALENT"
    UNDECIDED = "UNDECIDED"
    VACUOUS = "VACUOUS"
    NONE = "no verdict"


@dataclass(frozen=True)
class Evidence:
    """The evidence of one comparison (one candidate in one cell).

    Attributes:
        looks: the paired differences (candidate minus baseline, in the order of the seeds) as they stood at each look
            reached, the first look first; each begins with those before it. Empty before the first look.
        primary: whether the study's answer rests on it; the others are exploratory, a family of their own.
        vacuous: the arms' targets never differed.
        lost: for each look reached, whether of every pair exactly one run came to nothing.
    """

    looks: tuple[tuple[float, ...], ...]
    primary: bool = True
    vacuous: bool = False
    lost: tuple[bool, ...] = ()

    def one_arm_lost(self, look: int) -> bool:
        """Return whether by a look, from 1, one arm had lost every run, the other none, and nothing else varied."""
        if not 0 < look <= min(len(self.lost), len(self.looks)) or not self.lost[look - 1]:
            return False
        return len({*self.looks[look - 1]}) == 1 and self.looks[look - 1][0] != 0


@dataclass(frozen=True)
class Judgement:
    """The verdict on a comparison, with its grounds.

    Attributes:
        verdict: the verdict.
        look: the look it was reached at, or the last one there was, from 1; 0 before the first.
        final: whether no further look can change it: it was reached, or there is no further look.
        candidate_better: for DIFFERENT, which way; None otherwise.
        negligible: DIFFERENT, yet as surely within ±Δ as EQUIVALENT asks: correction and rare-failure guard included.
        estimate: mean paired difference with its (repeated) confidence interval, for this comparison alone.
        simultaneous: the same, all comparisons of its family together (level 1 - α/m); interval None where there is
            none.
        p_different: repeated p-value of "no difference"; None below 10 pairs and where the differences bound nothing.
        p_equivalent: repeated p-value of "differs by the margin or more", 1 while there are too few pairs for the
            rare-failure guard; None likewise.
        adjusted_different: the same after Holm, over the family, when the verdict fell or as it stands.
        adjusted_equivalent: the same after Holm, over the family, likewise.
        nominal: the error level of the look alone, which the estimate's interval has.
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
    nominal: float
    more_pairs: int | None
    reason: str


def judge(evidence: Sequence[Evidence], rules: Rules) -> list[Judgement]:
    """Judge all comparisons of a study together, look by look; a comparison that is decided keeps its p-value.

    There are two families, each with a Holm correction of its own: the primary comparisons and the exploratory ones.
    Vacuous comparisons belong to neither. One that has not reached a look is judged by what it has, and stays open.

    Args:
        evidence: of every comparison, in any order.
        rules: of the study.

    Returns:
        A judgement for each, in the same order.
    """
    found: list[Judgement | None] = [None] * len(evidence)
    for primary in (True, False):
        members = [i for i, e in enumerate(evidence) if e.primary == primary and not e.vacuous]
        family = [evidence[i] for i in members]
        decisions = decide(_grounds(family, rules), rules)
        for column, i in enumerate(members):
            found[i] = _judgement(evidence[i], _Ruling.of(decisions, column), rules, len(members))
    return [
        _vacuous(e, rules) if judgement is None else judgement for e, judgement in zip(evidence, found, strict=True)
    ]


def pairs_to_settle(estimate: Estimate, spread: float, rules: Rules, family: int) -> int | None:
    """Return about how many further pairs would bring a verdict with probability 0.8; None beyond 1,000.

    The mean and the standard deviation are taken to stay as they are, the mean to be normal, and all pairs to be looked
    at once, at the error level α/m: the smallest N such that DIFFERENT or EQUIVALENT (its guard included) has that
    probability.

    Args:
        estimate: the mean so far, and of how many pairs.
        spread: the standard deviation of their differences.
        rules: of the study.
        family: m, the comparisons corrected for.
    """
    import numpy as np
    from scipy import stats

    if estimate.mean is None:
        return None
    more = np.arange(1, MOST_FURTHER_PAIRS + 1)
    pairs = estimate.count + more
    bound = stats.norm.isf(rules.alpha / family / 2)
    scale = np.sqrt(pairs) / max(spread, 1e-9 * rules.margin)
    differs = stats.norm.cdf(abs(estimate.mean) * scale - bound)
    equals = [stats.norm.cdf((rules.margin + side * estimate.mean) * scale - bound) for side in (1, -1)]
    guarded = pairs >= guard_pairs(rules)
    settled = np.maximum(differs, np.where(guarded, np.sum(equals, axis=0) - 1, 0)) >= POWER
    settled &= pairs >= MIN_VERDICT_PAIRS
    return int(more[np.argmax(settled)]) if settled.any() else None


@dataclass(frozen=True)
class _Ruling:
    """One comparison's column of :class:`~reports.statistics.decisions.Decisions`."""

    verdict: int
    look: int
    different: float
    equivalent: float
    adjusted_different: float
    adjusted_equivalent: float

    @classmethod
    def of(cls, decisions: Decisions, column: int) -> _Ruling:
        return cls(**{name: getattr(decisions, name)[column].item() for name in cls.__dataclass_fields__})


def _grounds(family: Sequence[Evidence], rules: Rules) -> Grounds:
    """Return the grounds of a family at each look; looks with equally many pairs are computed together.

    Equal differences bound no mean. But where they are equal because one arm lost every run and the other none, what
    varies from run to run is which arm's is lost: as likely either's, it is n times the same one's once in 2^(n-1).
    """
    import numpy as np

    shape = (len(rules.looks), len(family))
    zero, above, below = (np.full(shape, np.nan) for _ in range(3))
    guarded: NDArray[np.bool_] = np.zeros(shape, bool)
    places: dict[int, list[tuple[int, int]]] = {}
    for column, one in enumerate(family):
        for k, differences in enumerate(one.looks[: len(rules.looks)]):
            places.setdefault(len(differences), []).append((k, column))
    for where in places.values():
        found = look_grounds([family[column].looks[k] for k, column in where], rules)
        rows, columns = zip(*where, strict=True)
        for array, figures in zip((zero, above, below, guarded), found, strict=True):
            array[rows, columns] = figures
    for column, one in enumerate(family):
        for k in range(shape[0]):
            if one.one_arm_lost(k + 1) and len(one.looks[k]) >= MIN_VERDICT_PAIRS:
                zero[k, column], above[k, column], below[k, column] = 2 * 0.5 ** len(one.looks[k]), 1.0, 1.0
    return Grounds(zero, above, below, guarded)


def _judgement(evidence: Evidence, ruling: _Ruling, rules: Rules, family: int) -> Judgement:
    """Return one comparison's decision in words and figures."""
    decided = ruling.verdict != OPEN
    look = ruling.look if decided else min(len(evidence.looks), len(rules.looks))
    differences = evidence.looks[look - 1] if look else ()
    estimate = _repeated_interval(differences, rules, look, 1)
    simultaneous = _repeated_interval(differences, rules, look, family)
    inside = _inside(estimate, rules.margin)
    different = ruling.verdict == DIFFERENT
    negligible = different and inside and ruling.adjusted_equivalent <= rules.alpha
    verdict = {DIFFERENT: Verdict.DIFFERENT, EQUIVALENT: Verdict.EQUIVALENT}.get(ruling.verdict, Verdict.UNDECIDED)
    if not decided and math.isnan(ruling.different):
        verdict = Verdict.NONE
    more = None
    if verdict is Verdict.UNDECIDED:
        more = pairs_to_settle(estimate, stdev(differences), rules, family)
    return Judgement(
        verdict=verdict,
        look=look,
        final=decided or look == len(rules.looks),
        candidate_better=((estimate.mean or 0.0) > 0) == rules.higher_is_better if different else None,
        negligible=negligible,
        estimate=estimate,
        simultaneous=simultaneous,
        p_different=_known(ruling.different),
        p_equivalent=_known(ruling.equivalent),
        adjusted_different=_known(ruling.adjusted_different),
        adjusted_equivalent=_known(ruling.adjusted_equivalent),
        nominal=rules.nominal[max(look, 1) - 1],
        more_pairs=more,
        reason=_reason(verdict, estimate, differences, rules, family, negligible, evidence.one_arm_lost(look)),
    )


def _vacuous(evidence: Evidence, rules: Rules) -> Judgement:
    """Judge a comparison of arms that did the same: its figures are shown, nothing is tested."""
    look = min(len(evidence.looks), len(rules.looks))
    estimate = _repeated_interval(evidence.looks[look - 1] if look else (), rules, look, 1)
    nothing = replace(estimate, low=None, high=None)
    return Judgement(
        verdict=Verdict.VACUOUS,
        look=look,
        final=True,
        candidate_better=None,
        negligible=False,
        estimate=estimate,
        simultaneous=nothing,
        p_different=None,
        p_equivalent=None,
        adjusted_different=None,
        adjusted_equivalent=None,
        nominal=rules.nominal[max(look, 1) - 1],
        more_pairs=None,
        reason="the compared factor changed nothing that the arms computed",
    )


def _repeated_interval(differences: Sequence[float], rules: Rules, look: int, family: int) -> Estimate:
    """Return the mean with its interval at the look's own level, under the level that holds over all looks."""
    alpha = rules.alpha / family
    nominal = nominal_levels(rules.looks, alpha)[max(look, 1) - 1]
    return interval_at(differences, nominal, 1 - alpha)


def _reason(
    verdict: Verdict,
    estimate: Estimate,
    differences: Sequence[float],
    rules: Rules,
    family: int,
    negligible: bool,
    one_arm_lost: bool,
) -> str:
    """Explain it in one clause."""
    band = f"inside ±{rules.margin:g}"
    corrected = f"correction for {family} comparisons"
    also = f", also after {corrected}" if family > 1 else ""
    inside = _inside(estimate, rules.margin)
    if one_arm_lost and verdict is not Verdict.NONE:
        return f"one arm lost all {len(differences)} runs, the other none"
    if verdict is Verdict.DIFFERENT:
        return f"interval excludes 0{also}" + (f", yet lies {band}" if negligible else "")
    if verdict is Verdict.EQUIVALENT:
        return f"interval lies {band}{also}, and {estimate.count} pairs are enough for the rare-failure guard"
    if verdict is Verdict.NONE:
        return _nothing(estimate)
    if estimate.side:
        return f"interval excludes 0 but not after {corrected}"
    needed = guard_pairs(rules)
    if inside and needed == NEVER:
        return f"{band} but nothing says how low a run can fall: [compare] diverged_score would"
    if inside and estimate.count < needed:
        return f"{band} but the rare-failure guard needs {needed} pairs"
    if inside:
        return f"{band} but not after {corrected}"
    if not estimate.has_interval:
        return f"too few of the {len(differences)} differences vary to bound their mean"
    return f"interval holds 0 and reaches beyond ±{rules.margin:g}"


def _nothing(estimate: Estimate) -> str:
    """Explain why there is no verdict."""
    n = estimate.count
    if n == 0:
        return "no pair is complete"
    pairs = f"only {n} pair{'s' if n > 1 else ''}"
    if n < MIN_PAIRS:
        return f"{pairs}, an interval needs {MIN_PAIRS} and a verdict {MIN_VERDICT_PAIRS}"
    if n < MIN_VERDICT_PAIRS:
        return f"{pairs}, a verdict needs {MIN_VERDICT_PAIRS}"
    return f"all {n} differences are equal, which bounds nothing"


def _inside(estimate: Estimate, margin: float) -> bool:
    return estimate.low is not None and estimate.high is not None and -margin < estimate.low and estimate.high < margin


def _known(figure: float) -> float | None:
    return None if math.isnan(figure) else figure
