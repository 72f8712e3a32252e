"""The interquartile mean with its interval: less moved by a few odd runs than the mean."""

from __future__ import annotations

from collections.abc import Sequence

from reports.statistics.intervals import MIN_PAIRS, Estimate, t_quantile


def interquartile_mean(values: Sequence[float], level: float) -> Estimate:
    """Return the mean of the middle half, with Tukey and McLaughlin's interval for a trimmed mean.

    A quarter of the n values, rounded down to g of them, is left out at either end (as Agarwal et al. 2021 do); with
    s_w the standard deviation of the values winsorised alike, the interval is m ± t·s_w / (½·√n), t the Student-t
    quantile with n - 2g - 1 degrees of freedom (Tukey and McLaughlin 1963, Sankhya A 25).

    Args:
        values: [n] finite figures, one a run.
        level: confidence level, in (0, 1).
    """
    import numpy as np

    n = len(values)
    if n == 0:
        return Estimate(0, level)
    ordered = np.sort(np.asarray(values, float))
    cut = n // 4
    kept = ordered[cut : n - cut]
    mean = float(kept.mean())
    spread = float(np.clip(ordered, kept[0], kept[-1]).std(ddof=1)) if n > 1 else 0.0
    if n < MIN_PAIRS or (spread == 0 and mean != 0):
        return Estimate(n, level, mean)  # equal figures bound nothing
    half = t_quantile(len(kept), level) * spread / (0.5 * n**0.5)
    return Estimate(n, level, mean, mean - half, mean + half)
