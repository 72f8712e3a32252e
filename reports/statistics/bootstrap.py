"""Means of many samples at once: half-widths of their intervals, and p-values that agree with them.

A mean is judged by t = |m - θ| / se, se = s/√n (0/0 = 0, a/0 = ∞). Its interval is m ± q·se. Two quantiles compete
for q:

- Student's t with n - 1 degrees of freedom;
- from :data:`MIN_RESAMPLED` values on, the *symmetric studentised bootstrap*: that of |m* - m| / se* over resamples
  (Hall 1988, Biometrika 75). Equal-tailed bootstrap intervals cover too rarely where scores press against a ceiling.

The larger one counts. As p-values: p_t is Student's, p_b = (1 + number of resamples at t or beyond) / (B + 1), and

    p = p_t            where p_b ≤ 20/B, which is as far out as B resamples can be trusted,
    p = max(p_t, p_b)  elsewhere.

So the interval of error level a excludes θ exactly where p(θ) ≤ a, if q is the larger of Student's quantile at a and
the bootstrap's at max(a, 20/B): below 20/B the bootstrap is not extrapolated but stays a floor, without which a
stricter interval could come out narrower than a laxer one.

Resampling weights are drawn once for each n, from a fixed seed, and all samples of that size share them. The means and
second moments of all resamples of all samples are then two matrix products. Samples are brought to one order and
orientation first, so the outcome depends on neither the order of the values nor on which arm is called the candidate.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

RESAMPLES = 10_000
MIN_RESAMPLED = 20
MAX_RESAMPLED = 1_000  # above this Student's t alone: by then the two hardly differ, and the weights would fill memory
TRUSTED = 20 / RESAMPLES  # the smallest error level that 10,000 resamples resolve
_SEED = 20_260_101
_BLOCK = 200  # samples resampled together: 16 MB for each array of one figure a resample
_EQUAL = 1e-12  # values that differ by less, relative to the largest, differ by rounding alone
_TIE = 1 - 1e-9  # statistics closer than this are ties: they differ by rounding


@dataclass(frozen=True)
class Moments:
    """Of samples [..., n].

    Attributes:
        mean: [...].
        error: [...], s/√n; exactly 0 where all values are equal.
        ordered: [..., n], the values less their mean, over the largest of their sizes, in canonical order.
    """

    mean: Floats
    error: Floats
    ordered: Floats

    def distance(self, point: float) -> Floats:
        """Return t = |m - θ| / se, [...], with 0/0 = 0 and a/0 = ∞."""
        import numpy as np

        return _over(np.abs(self.mean - point), self.error)


def moments(values: ArrayLike) -> Moments:
    """Return what intervals and p-values are made of.

    Args:
        values: [..., n] finite figures, n at least 2.
    """
    import numpy as np

    given = np.sort(np.asarray(values, np.float64), axis=-1)
    mirrored = -given[..., ::-1]
    first = np.argmax(given != mirrored, axis=-1)[..., None]
    turned = np.take_along_axis(given, first, -1) > np.take_along_axis(mirrored, first, -1)
    ordered = np.where(turned, mirrored, given)
    n = ordered.shape[-1]
    largest = np.maximum(np.abs(ordered[..., 0]), np.abs(ordered[..., -1]))
    equal = ordered[..., -1] - ordered[..., 0] <= _EQUAL * largest
    mean = np.where(equal, ordered[..., n // 2], ordered.mean(-1))
    centred = np.where(equal[..., None], 0.0, ordered - mean[..., None])
    scale = np.maximum(np.abs(centred[..., 0]), np.abs(centred[..., -1]))
    scaled = centred / np.where(scale > 0, scale, 1.0)[..., None]
    error = scale * np.sqrt((scaled**2).sum(-1) / (n - 1) / n)
    return Moments(np.where(turned[..., 0], -mean, mean), error, scaled)


def half_widths(sample: Moments, error: float) -> Floats:
    """Return q·se, [...]: ∞ where too few values vary to bound the mean, 0 where all are equal.

    Args:
        sample: of [..., n] values.
        error: error level, 1 less the confidence level; it may be as small as a first look's.
    """
    import numpy as np

    n = sample.ordered.shape[-1]
    quantile = np.full(sample.mean.shape, _student(n, error))
    if MIN_RESAMPLED <= n <= MAX_RESAMPLED:
        share = max(error, TRUSTED)
        beyond = int(share * (RESAMPLES + 1) * (1 + 1e-12)) - 1  # resamples that may lie beyond the quantile
        flat = quantile.reshape(-1)
        for rows, studentised in _resampled(sample):
            # Comparing with t adds a margin for ties, so the quantile has it too.
            found = np.partition(studentised, RESAMPLES - 1 - beyond, axis=-1)[:, RESAMPLES - 1 - beyond] / _TIE
            flat[rows] = np.maximum(flat[rows], found)
        quantile = flat.reshape(quantile.shape)
    # In rows of equal values every resample is 0/0 = 0, and t's quantile stands: 0 wide.
    return np.asarray(quantile * sample.error, np.float64)


def p_values(sample: Moments, *points: float) -> tuple[Floats, ...]:
    """Return for each point θ the two-sided p-values of "the mean is θ", [...].

    Args:
        sample: of [..., n] values.
        points: the θ.
    """
    import numpy as np
    from scipy import stats

    n = sample.ordered.shape[-1]
    distances = [sample.distance(point) for point in points]
    found = [np.asarray(2 * stats.t.sf(distance, n - 1), np.float64) for distance in distances]
    if not MIN_RESAMPLED <= n <= MAX_RESAMPLED:
        return tuple(found)
    flat = [p.reshape(-1) for p in found]
    bounds = [distance.reshape(-1) * _TIE for distance in distances]
    for rows, studentised in _resampled(sample):
        for p, bound in zip(flat, bounds, strict=True):
            beyond = np.count_nonzero(studentised >= bound[rows, None], axis=-1)
            share = (1 + beyond) / (RESAMPLES + 1)
            p[rows] = np.where(share <= TRUSTED, p[rows], np.maximum(p[rows], share))
    return tuple(p.reshape(sample.mean.shape) for p in flat)


@functools.cache
def t_quantile(n: int, level: float) -> float:
    """Return the two-sided Student-t quantile for the mean of ``n`` values."""
    from scipy import stats

    return float(stats.t.ppf(0.5 + level / 2, n - 1))


@functools.cache
def _student(n: int, error: float) -> float:
    """Return Student's two-sided quantile for the mean of ``n`` values at an error level."""
    from scipy import stats

    return float(stats.t.isf(error / 2, n - 1))


def _resampled(sample: Moments) -> Iterator[tuple[slice, Floats]]:
    """Yield |m* - m| / se* of blocks of samples, [block, B], with the rows they stand for."""
    import numpy as np

    n = sample.ordered.shape[-1]
    weights = _weights(n)
    ordered = sample.ordered.reshape(-1, n)
    for start in range(0, len(ordered), _BLOCK):
        rows = slice(start, start + _BLOCK)
        block = ordered[rows]
        mean = block @ weights
        second = (block * block) @ weights
        spread = second - mean * mean
        # Rounding leaves a trace of both where resampled values are equal, or equal to the mean.
        spread[spread <= 8 * n * np.finfo(float).eps * second] = 0.0
        np.abs(mean, out=mean)
        mean[mean <= 8 * n * np.finfo(float).eps] = 0.0
        yield rows, _over(mean, np.sqrt(spread / (n - 1)))


@functools.lru_cache(maxsize=8)
def _weights(n: int) -> Floats:
    """Return how often each of ``n`` values is drawn in each resample, over n: [n, B]."""
    import numpy as np

    counts = np.random.default_rng([_SEED, n]).multinomial(n, np.full(n, 1 / n), size=RESAMPLES)
    return np.ascontiguousarray(counts.T / n)


def _over(size: Floats, error: Floats) -> Floats:
    """Return size / error with 0/0 = 0 and a/0 = ∞."""
    import numpy as np

    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        ratio = np.divide(size, error)
    ratio = np.asarray(ratio)
    ratio[np.isnan(ratio)] = 0.0
    return ratio
