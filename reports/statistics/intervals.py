"""Intervals of the figures a comparison rests on. The unit is one pair of runs (one seed), never an episode."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

from reports.statistics.bootstrap import half_widths, moments, t_quantile

__all__ = [
    "MIN_PAIRS",
    "MIN_VERDICT_PAIRS",
    "Correlation",
    "Estimate",
    "clopper_pearson",
    "correlation",
    "interval_at",
    "mean_interval",
    "t_quantile",
    "variance_ratio",
    "welch_interval",
]

MIN_PAIRS = 5
MIN_VERDICT_PAIRS = 10


@dataclass(frozen=True)
class Estimate:
    """A mean with its two-sided interval.

    Attributes:
        count: how many values stand behind it.
        level: the confidence level, in (0, 1).
        mean: their mean; None without values.
        low: lower end of the interval; None below :data:`MIN_PAIRS` values, and where they bound nothing.
        high: upper end of the interval; None likewise.
    """

    count: int
    level: float
    mean: float | None = None
    low: float | None = None
    high: float | None = None

    @property
    def has_interval(self) -> bool:
        """Whether there were values enough for an interval."""
        return self.low is not None

    @property
    def side(self) -> int:
        """+1 or −1 if the interval lies wholly above or below 0; 0 if it holds 0 or there is none."""
        if self.low is None or self.high is None:
            return 0
        return 1 if self.low > 0 else -1 if self.high < 0 else 0


@dataclass(frozen=True)
class Correlation:
    """Pearson's r of two paired samples with Fisher's interval.

    Attributes:
        count: how many pairs stand behind it.
        level: the confidence level, in (0, 1).
        value: r, in [-1, 1].
        low: lower end of the interval.
        high: upper end of the interval.
    """

    count: int
    level: float
    value: float
    low: float
    high: float


def mean_interval(values: Sequence[float], level: float) -> Estimate:
    """Return m ± q·s/√n, q Student's t or the symmetric studentised bootstrap's (:mod:`reports.statistics.bootstrap`).

    There is no interval below :data:`MIN_PAIRS` values; nor where all are equal but not 0, or where so few differ from
    the rest that a resample may well hold none of these: such values bound nothing, and an interval of no width would
    feign certainty.

    Args:
        values: [n] finite figures, one a pair.
        level: confidence level, in (0, 1).
    """
    return interval_at(values, 1 - level, level)


def interval_at(values: Sequence[float], error: float, level: float) -> Estimate:
    """Return the mean with the interval of :func:`mean_interval` at one look of several.

    Args:
        values: [n] finite figures, one a pair.
        error: the error level of this look alone.
        level: the confidence level over all looks, to be shown.
    """
    n = len(values)
    if n == 0:
        return Estimate(0, level)
    mean = math.fsum(values) / n
    if n < MIN_PAIRS:
        return Estimate(n, level, mean)
    sample = moments(values)
    half = float(half_widths(sample, error))
    if not math.isfinite(half) or (mean != 0 and sample.error == 0):
        return Estimate(n, level, mean)
    return Estimate(n, level, mean, mean - half, mean + half)


def welch_interval(candidate: Sequence[float], baseline: Sequence[float], level: float) -> Estimate:
    """Return the difference of two means (candidate minus baseline) with Welch's interval, as if they were unpaired.

    Args:
        candidate: [n] finite figures.
        baseline: [m] finite figures.
        level: confidence level, in (0, 1).

    Returns:
        Its count is the smaller of n and m; it has no interval below :data:`MIN_PAIRS`, or where neither varies.
    """
    from scipy import stats

    count = min(len(candidate), len(baseline))
    if count == 0:
        return Estimate(0, level)
    mean = math.fsum(candidate) / len(candidate) - math.fsum(baseline) / len(baseline)
    if count < MIN_PAIRS or not (_varies(candidate) or _varies(baseline)):
        return Estimate(count, level, mean)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of an arm that does not vary, as where all its runs are lost
        found = stats.ttest_ind(candidate, baseline, equal_var=False).confidence_interval(level)
    return Estimate(count, level, mean, float(found.low), float(found.high))


def correlation(candidate: Sequence[float], baseline: Sequence[float], level: float) -> Correlation | None:
    """Return how strongly the values of pairs go together; None below five pairs or where one side does not vary.

    Args:
        candidate: [n] finite figures.
        baseline: [n] finite figures, of the same pairs.
        level: confidence level, in (0, 1).
    """
    if len(candidate) < MIN_PAIRS or not (_varies(candidate) and _varies(baseline)):
        return None
    from scipy import stats

    found = stats.pearsonr(candidate, baseline)
    bounds = found.confidence_interval(level)
    value, low, high = (float(x) for x in (found.statistic, bounds.low, bounds.high))
    return Correlation(len(candidate), level, value, low, high)


def variance_ratio(candidate: Sequence[float], baseline: Sequence[float]) -> float | None:
    """Return var(difference) / (var candidate + var baseline): below 1 as far as pairing gains; None if neither varies.

    Args:
        candidate: [n] finite figures.
        baseline: [n] finite figures, of the same pairs.
    """
    import numpy as np

    if len(candidate) < 2 or not (_varies(candidate) or _varies(baseline)):
        return None
    a, b = np.asarray(candidate, float), np.asarray(baseline, float)
    return float((a - b).var(ddof=1) / (a.var(ddof=1) + b.var(ddof=1)))


def clopper_pearson(hits: int, trials: int, level: float) -> tuple[float, float]:
    """Return the exact interval of a rate.

    Args:
        hits: how often it happened, from 0 to ``trials``.
        trials: how often it could have, at least 1.
        level: confidence level, in (0, 1).
    """
    from scipy import stats

    found = stats.binomtest(hits, trials).proportion_ci(level, method="exact")
    return float(found.low), float(found.high)


def _varies(values: Sequence[float]) -> bool:
    """Return whether values differ by more than rounding does."""
    largest = max(abs(value) for value in values)
    return max(values) - min(values) > 1e-12 * largest
