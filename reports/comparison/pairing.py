"""Describe the gain of pairing runs by their seed, beside the unpaired interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reports.statistics.intervals import Correlation, Estimate, correlation, variance_ratio, welch_interval
from reports.text import interval, number


@dataclass(frozen=True)
class Pairing:
    """The likeness of the two runs of a pair.

    Attributes:
        correlation: Pearson's, of the two runs' values over pairs; None where one of them never varies.
        variance_ratio: var(difference) / (var a + var b): 1 without any gain, 0 where pairing removes all noise; None
            where nothing varies.
        welch: the difference of the arms' means with Welch's interval, as if runs were not paired.
    """

    correlation: Correlation | None
    variance_ratio: float | None
    welch: Estimate

    @property
    def gains(self) -> bool:
        """Whether the correlation's interval lies above 0."""
        return self.correlation is not None and self.correlation.low > 0

    @property
    def words(self) -> str:
        """The gain in a line or two."""
        if self.correlation is None:
            text = "the correlation of the pairs is not defined"
        else:
            gain = "" if self.gains else ": no measurable gain from pairing"
            if self.correlation.high < 0:
                gain = ": pairing made the difference less certain"
            reach = interval(self.correlation.low, self.correlation.high)
            text = f"correlation of the pairs {number(self.correlation.value, 2)} {reach}{gain}"
        if self.variance_ratio is not None:
            text += f"; var(difference) / (var a + var b) = {number(self.variance_ratio, 2)}"
        return f"{text}; Welch’s interval, unpaired: {interval(self.welch.low, self.welch.high)}"


def describe_pairing(baseline: Sequence[float], candidate: Sequence[float], level: float) -> Pairing:
    """Compare pairing with not pairing.

    Args:
        baseline: [n] values of the baseline's runs.
        candidate: [n] values of the candidate's runs, pair by pair.
        level: confidence level, in (0, 1).
    """
    return Pairing(
        correlation=correlation(candidate, baseline, level),
        variance_ratio=variance_ratio(candidate, baseline),
        welch=welch_interval(candidate, baseline, level),
    )
