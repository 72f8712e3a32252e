"""Decide families of comparisons, look by look: of one study, or of thousands of simulated ones at once.

A family is what Holm's correction is made over (Holm 1979, Scand. J. Statist. 6). At each look, every comparison that
is still open gains that look's evidence; a comparison that is decided keeps its p-values and takes no further data.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from reports.statistics.bootstrap import moments, p_values
from reports.statistics.intervals import MIN_VERDICT_PAIRS
from reports.statistics.sequential import nominal_levels, repeated_p, walk_scores

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

OPEN: Final = 0
DIFFERENT: Final = 1
EQUIVALENT: Final = 2
NEVER: Final = 10**9  # pairs: more than any study has
RARE: Final = 0.05  # a failure so frequent that n pairs would show none at most this often is ruled out


@dataclass(frozen=True)
class Rules:
    """The rules of judgement that a study declared before it ran.

    Attributes:
        level: confidence level, in (0, 1).
        margin: Δ: a difference smaller than this does not matter, in units of the compared metric.
        looks: pairs at each look, rising, the last being the most there can be; one look for a fixed number of seeds.
        span: r, the best score there can be minus the worst a run can fall to, in units of the metric; ∞ where it is
            not known: then no number of pairs rules out a rare failure.
        higher_is_better: whether more of the metric is better.
    """

    level: float
    margin: float
    looks: tuple[int, ...]
    span: float
    higher_is_better: bool = True

    @property
    def alpha(self) -> float:
        """The error level over all looks."""
        return round(1 - self.level, 12)

    @property
    def nominal(self) -> tuple[float, ...]:
        """The error level of each look alone."""
        return nominal_levels(self.looks, self.alpha)


@dataclass(frozen=True)
class Grounds:
    """The evidence of comparisons at each look: arrays [..., looks, comparisons].

    Attributes:
        different: two-sided p-value of "no difference"; NaN where there is no such look, or nothing to judge by.
        above: the same of "the candidate's mean is Δ higher", 1 where it is seen to be higher still; NaN likewise.
        below: the same of "the candidate's mean is Δ lower", 1 where it is seen to be lower still; NaN likewise.
        guarded: whether that many pairs would have shown a rare failure.
    """

    different: Floats
    above: Floats
    below: Floats
    guarded: NDArray[np.bool_]


@dataclass(frozen=True)
class Decisions:
    """The decisions on comparisons: arrays [..., comparisons].

    Attributes:
        verdict: :data:`OPEN`, :data:`DIFFERENT` or :data:`EQUIVALENT`.
        look: the look whose evidence decided it, or the last one it has evidence of, from 1; 0 without any.
        different: repeated p-value of "no difference" by then; NaN without evidence.
        equivalent: repeated p-value of "differs by Δ or more" by then, 1 before a guarded look; NaN without evidence.
        adjusted_different: the same after Holm, as it stood at the decision or stands now.
        adjusted_equivalent: the same after Holm, likewise.
    """

    verdict: NDArray[np.int8]
    look: NDArray[np.int64]
    different: Floats
    equivalent: Floats
    adjusted_different: Floats
    adjusted_equivalent: Floats


def look_grounds(differences: ArrayLike, rules: Rules) -> tuple[Floats, Floats, Floats, bool]:
    """Return the grounds of comparisons that have equally many pairs, at one look.

    Args:
        differences: [..., n] finite figures, one a pair.
        rules: of the study.

    Returns:
        ``different``, ``above`` and ``below`` of :class:`Grounds`, [...] each, and ``guarded``. All p-values are NaN
        below :data:`MIN_VERDICT_PAIRS` pairs, and where all differences are equal but not 0: that bounds nothing.
    """
    import numpy as np

    given = np.asarray(differences, np.float64)
    n = given.shape[-1]
    guarded = n >= guard_pairs(rules)
    if n < MIN_VERDICT_PAIRS:
        nothing = np.full(given.shape[:-1], np.nan)
        return nothing, nothing, nothing, guarded
    sample = moments(given)
    zero, above, below = p_values(sample, 0.0, rules.margin, -rules.margin)
    above = np.where(sample.mean < rules.margin, above, 1.0)
    below = np.where(sample.mean > -rules.margin, below, 1.0)
    silent = (sample.error == 0) & (sample.mean != 0)
    zero, above, below = (np.where(silent, np.nan, p) for p in (zero, above, below))
    return zero, above, below, guarded


def stacked_grounds(differences: ArrayLike, rules: Rules) -> Grounds:
    """Return the grounds of comparisons that reach every look they have the pairs for.

    Args:
        differences: [..., comparisons, n] finite figures, one a pair, in the order of the seeds.
        rules: of the study; looks beyond n are not reached.
    """
    import numpy as np

    given = np.asarray(differences, np.float64)
    nothing = np.full(given.shape[:-1], np.nan)
    stack = [
        look_grounds(given[..., :pairs], rules)
        if pairs <= given.shape[-1]
        else (nothing, nothing, nothing, pairs >= guard_pairs(rules))
        for pairs in rules.looks
    ]
    zero, above, below = (np.stack([found[i] for found in stack], axis=-2) for i in range(3))
    guarded = np.stack([np.full(nothing.shape, found[3]) for found in stack], axis=-2)
    return Grounds(zero, above, below, guarded)


def decide(grounds: Grounds, rules: Rules) -> Decisions:
    """Walk the looks and decide what can be decided at each, all comparisons being one family.

    DIFFERENT needs the look's own p-value at its nominal level (its interval excludes 0) and the repeated one, after
    Holm, at α. EQUIVALENT needs the same of ±Δ, with pairs enough for the rare-failure guard: a look with fewer
    counts for nothing towards it, or the quiet before the first failure would. What meets both is DIFFERENT.
    """
    import numpy as np

    shape = (*grounds.different.shape[:-2], grounds.different.shape[-1])
    verdict, look = np.zeros(shape, np.int8), np.zeros(shape, np.int64)
    walks = [np.zeros(shape) for _ in range(3)]
    excludes, inside = np.zeros(shape, bool), np.zeros(shape, bool)
    figures = [np.full(shape, np.nan) for _ in range(4)]
    for k, nominal in enumerate(rules.nominal):
        guarded = grounds.guarded[..., k, :]
        seen = [grounds.different[..., k, :]]
        seen += [np.where(guarded, p[..., k, :], 1.0) for p in (grounds.above, grounds.below)]
        now = (verdict == OPEN) & np.isfinite(seen[0])
        scores = [walk_scores(p, k + 1, rules.looks) for p in seen]
        walks = [np.where(now, np.maximum(walk, score), walk) for walk, score in zip(walks, scores, strict=True)]
        look[now] = k + 1
        excludes = np.where(now, seen[0] <= nominal, excludes)
        inside = np.where(now, np.maximum(seen[1], seen[2]) <= nominal, inside)

        zero, above, below = (np.where(look > 0, repeated_p(walk, rules.looks), np.nan) for walk in walks)
        equivalent = np.maximum(above, below)
        latest = [zero, equivalent, holm(zero), holm(equivalent)]
        is_open = verdict == OPEN
        figures = [np.where(is_open, new, old) for new, old in zip(latest, figures, strict=True)]
        differs = now & excludes & (figures[2] <= rules.alpha)
        equals = now & ~differs & inside & (figures[3] <= rules.alpha)
        verdict[differs], verdict[equals] = DIFFERENT, EQUIVALENT
    return Decisions(verdict, look, *figures)


def holm(p: ArrayLike) -> Floats:
    """Return p-values adjusted for their number by Holm's step-down rule.

    Args:
        p: [..., comparisons]; NaN stays NaN and counts as 1 among the others.
    """
    import numpy as np

    given = np.asarray(p, np.float64)
    known = np.nan_to_num(given, nan=1.0)
    order = np.argsort(known, axis=-1)
    remaining = np.arange(given.shape[-1], 0, -1)
    stepped = np.maximum.accumulate(np.take_along_axis(known, order, -1) * remaining, axis=-1)
    adjusted = np.empty_like(known)
    np.put_along_axis(adjusted, order, np.minimum(stepped, 1.0), -1)
    return np.asarray(np.where(np.isnan(given), np.nan, adjusted))


def guard_pairs(rules: Rules) -> int:
    """Return how many pairs EQUIVALENT needs, if one arm may fail rarely: (1 − 0.05^(1/n))·r ≤ Δ; at most NEVER.

    n pairs without a failure leave it possible, at 95 %, that a share 1 − 0.05^(1/n) of runs fails; each would cost r.
    """
    if rules.margin >= rules.span:
        return 1
    share = rules.margin / rules.span
    if share <= -math.log(RARE) / NEVER:
        return NEVER
    return math.ceil(math.log(RARE) / math.log1p(-share) - 1e-9)
