"""The interval of a mean paired difference. The unit is one pair of runs (one seed), never an episode."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

MIN_PAIRS = 5


@dataclass(frozen=True)
class Estimate:
    """A mean with its two-sided Student-t interval.

    Attributes:
        count: how many values stand behind it.
        level: the confidence level, in (0, 1).
        mean: their mean; None without values.
        low: lower end of the interval; None below :data:`MIN_PAIRS` values.
        high: upper end of the interval; None below :data:`MIN_PAIRS` values.
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


def mean_interval(values: Sequence[float], level: float) -> Estimate:
    """Return m ± q·s/√n, q the Student-t quantile with n − 1 degrees of freedom.

    Args:
        values: [n] finite figures, one a pair.
        level: confidence level, in (0, 1).
    """
    n = len(values)
    if n == 0:
        return Estimate(0, level)
    mean = math.fsum(values) / n
    if n < MIN_PAIRS:
        return Estimate(n, level, mean)
    if mean != 0 and len(set(values)) == 1:
        return Estimate(n, level, mean)  # equal figures bound nothing: an interval of no width would feign certainty
    spread = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1))
    half = t_quantile(n, level) * spread / math.sqrt(n)
    return Estimate(n, level, mean, mean - half, mean + half)


@functools.cache
def t_quantile(n: int, level: float) -> float:
    """Return the two-sided Student-t quantile for the mean of ``n`` values."""
    from scipy import stats

    return float(stats.t.ppf(0.5 + level / 2, n - 1))
