"""Bound the error over several looks at growing data: O'Brien-Fleming bounds and repeated p-values.

With n_k pairs at look k of K, and t_k = n_k / n_K, the evidence of look k stands on a Brownian walk: S_k = z_k·√t_k has
covariance min(t_j, t_k). O'Brien and Fleming (1979, Biometrics 35) stop where |S_k| ≥ c, one c for all looks. So

- the *nominal level* of look k, for a total of α, is P(|Z| ≥ c / √t_k), with c such that P(max |S_j| ≥ c) = α;
- the *repeated p-value* at look k is P(max over all looks of |S_j| ≥ M), M the largest |S_j| seen up to look k: the
  smallest α at which the study would have stopped by now (Jennison and Turnbull 2000, chapter 9).

As the variance is estimated, a look's p comes from Student's t and is turned into the normal z of the same p. The
probabilities are found by recursive integration over the looks (Armitage, McPherson and Rowe 1969, JRSS A 132), not by
simulation: a sum of positive terms, which keeps its relative accuracy however small it gets.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

_FAR = 38.5  # standard deviations beyond which a normal density is 0 in double precision
_TABLE_END = 10.0
_TABLE_DEGREE = 80
_MAX_NODES = 4_000


def walk_scores(p: ArrayLike, look: int, looks: tuple[int, ...]) -> Floats:
    """Turn two-sided p-values of one look into |S_k|.

    Args:
        p: [...] in [0, 1]; NaN (no evidence) counts as 1.
        look: k, from 1.
        looks: pairs at each look, rising.
    """
    import numpy as np
    from scipy import stats

    known = np.nan_to_num(np.asarray(p, np.float64), nan=1.0)
    return np.asarray(stats.norm.isf(known / 2) * math.sqrt(looks[look - 1] / looks[-1]))


def repeated_p(largest: ArrayLike, looks: tuple[int, ...]) -> Floats:
    """Return the repeated p-values of walks.

    Args:
        largest: [...] the largest :func:`walk_scores` of each, over its looks so far; ∞ gives 0.
        looks: pairs at each look that was planned, rising.
    """
    import numpy as np
    from scipy import stats

    heights = np.asarray(largest, np.float64)
    alone = 2 * stats.norm.sf(heights)
    if len(looks) == 1:
        return np.asarray(alone)
    found = alone * np.exp(_table(_fractions(looks))(np.minimum(heights, _TABLE_END)))
    far = (heights > _TABLE_END) & (alone > 0)
    if far.any():
        found[far] = [crossing_probability(float(height), looks) for height in heights[far]]
    return np.asarray(np.minimum(found, 1.0))


def crossing_probability(height: float, looks: tuple[int, ...]) -> float:
    """Return P(max |S_j| ≥ ``height``) over all looks.

    Args:
        height: c, at least 0.
        looks: pairs at each look, rising.
    """
    return _crossing(height, _fractions(looks))


@functools.cache
def nominal_levels(looks: tuple[int, ...], alpha: float) -> tuple[float, ...]:
    """Return the two-sided error level of each look that together spend ``alpha``.

    Args:
        looks: pairs at each look, rising; with one look its level is ``alpha`` itself.
        alpha: error level over all looks, in (0, 1).
    """
    from scipy import optimize, stats

    if len(looks) == 1:
        return (alpha,)
    lowest = float(stats.norm.isf(alpha / 2))  # one look alone
    highest = float(stats.norm.isf(alpha / 2 / len(looks)))  # Bonferroni
    height = optimize.brentq(
        lambda c: math.log(crossing_probability(c, looks) / alpha), 0.999 * lowest, 1.001 * highest, xtol=1e-13
    )
    return tuple(float(2 * stats.norm.sf(height / math.sqrt(t))) for t in _fractions(looks))


def _fractions(looks: tuple[int, ...]) -> tuple[float, ...]:
    return tuple(look / looks[-1] for look in looks)


@functools.lru_cache(maxsize=4096)
def _crossing(height: float, fractions: tuple[float, ...]) -> float:
    """Sum the chances to cross first at each look."""
    import numpy as np
    from scipy import stats

    total = float(2 * stats.norm.sf(height / math.sqrt(fractions[0])))
    if len(fractions) == 1:
        return total
    before = fractions[0]
    nodes, weights = _nodes(height, 0.0, before, fractions)
    density = stats.norm.pdf(nodes, scale=math.sqrt(before)) * weights  # of walks that have not crossed
    for fraction in fractions[1:]:
        step = math.sqrt(fraction - before)
        beyond = stats.norm.sf((height - nodes) / step) + stats.norm.sf((height + nodes) / step)
        total += float(density @ beyond)
        if fraction == fractions[-1]:
            break
        further, weights = _nodes(height, before, fraction, fractions)
        apart = (further[:, None] - nodes) / step
        density = (np.exp(-0.5 * apart * apart) @ density) * weights / (step * math.sqrt(2 * math.pi))
        nodes, before = further, fraction
    return min(total, 1.0)


def _nodes(height: float, before: float, fraction: float, fractions: tuple[float, ...]) -> tuple[Floats, Floats]:
    """Return Gauss-Legendre nodes and weights where a walk inside ±height can be at this look."""
    reach = min(height, _FAR * math.sqrt(fraction))
    after = fractions[fractions.index(fraction) + 1]
    narrowest = math.sqrt(min(fraction - before, after - fraction))
    count = min(24 + 8 * math.ceil(reach / narrowest), _MAX_NODES)
    nodes, weights = _legendre(count)
    return nodes * reach, weights * reach


@functools.lru_cache(maxsize=64)
def _legendre(count: int) -> tuple[Floats, Floats]:
    from scipy import special

    nodes, weights = special.roots_legendre(count)
    return nodes, weights


@functools.cache
def _table(fractions: tuple[float, ...]) -> np.polynomial.Chebyshev:
    """Return the log of how much likelier some look crosses than the last alone, as a polynomial of the height.

    It rises smoothly from 0, so a polynomial through 81 points has it to 1e-6 or better.
    """
    import numpy as np
    from scipy import stats

    def rise(heights: Floats) -> Floats:
        return np.array([math.log(_crossing(float(c), fractions) / (2 * stats.norm.sf(c))) for c in heights])

    return np.polynomial.Chebyshev.interpolate(rise, _TABLE_DEGREE, domain=[0.0, _TABLE_END])
