from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from reports.statistics.sequential import crossing_probability, nominal_levels, repeated_p, walk_scores

FOUR = (10, 20, 30, 40)
TWENTY = tuple(range(10, 210, 10))
looks_of_a_study = st.lists(st.integers(5, 400), min_size=1, max_size=6, unique=True).map(lambda n: tuple(sorted(n)))


def by_multivariate_normal(height: float, looks: tuple[int, ...]) -> float:
    """1 - P(all |S_j| < height), from scipy's integral over the box."""
    fractions = np.array(looks) / looks[-1]
    ends = np.full(len(looks), height)
    return 1 - stats.multivariate_normal.cdf(
        ends, cov=np.minimum.outer(fractions, fractions), lower_limit=-ends, abseps=1e-6, rng=0
    )


@pytest.mark.parametrize("looks", [(10, 40), (10, 20, 40), FOUR, (10, 15, 100), (10, 11, 12, 60, 200)])
@pytest.mark.parametrize("height", [0.5, 1.5, 2.024, 3.0])
def test_crossing_is_scipys_multivariate_normal(height: float, looks: tuple[int, ...]) -> None:
    assert crossing_probability(height, looks) == pytest.approx(by_multivariate_normal(height, looks), abs=5e-5)


def test_nominal_levels_are_those_of_the_textbook() -> None:
    levels = nominal_levels(FOUR, 0.05)
    assert levels == pytest.approx((5.17e-5, 0.00421, 0.01944, 0.0430), rel=0.005)
    quantiles = [stats.t.isf(level / 2, n - 1) for level, n in zip(levels, FOUR, strict=True)]
    assert quantiles == pytest.approx((7.185, 3.250, 2.474, 2.092), abs=0.003)


@pytest.mark.parametrize(
    ("looks", "height"), [(2, 1.977), (3, 2.004), (4, 2.024), (5, 2.040), (10, 2.087), (20, 2.126)]
)
def test_heights_are_jennison_and_turnbulls_table(looks: int, height: float) -> None:
    """Table 2.3 (C_B, α = 0.05) of Jennison and Turnbull 2000, to its three digits."""
    levels = nominal_levels(tuple(range(1, looks + 1)), 0.05)
    assert stats.norm.isf(levels[-1] / 2) == pytest.approx(height, abs=0.0006)


@settings(max_examples=15, deadline=None)
@given(looks_of_a_study, st.floats(1e-6, 0.5))
def test_nominal_levels_spend_alpha_and_rise(looks: tuple[int, ...], alpha: float) -> None:
    levels = nominal_levels(looks, alpha)
    assert all(one < other for one, other in itertools.pairwise(levels))
    assert levels[-1] <= alpha * (1 + 1e-9)
    assert sum(levels) >= alpha * (1 - 1e-9)
    for look, level in enumerate(levels, 1):  # a p at its nominal level has the repeated p-value α
        height = float(walk_scores(level, look, looks))
        assert crossing_probability(height, looks) == pytest.approx(alpha, rel=1e-9)


@settings(max_examples=40, deadline=None)
@given(looks_of_a_study, st.floats(0, 12), st.floats(0, 5))
def test_crossing_falls_with_height_between_the_last_look_alone_and_bonferroni(
    looks: tuple[int, ...], height: float, more: float
) -> None:
    p = crossing_probability(height, looks)
    alone = [2 * stats.norm.sf(height * math.sqrt(looks[-1] / look)) for look in looks]
    assert alone[-1] * (1 - 1e-9) <= p <= min(1, sum(alone)) * (1 + 1e-9)
    assert crossing_probability(height + more, looks) <= p * (1 + 1e-9)


@given(st.floats(0, 1))
def test_one_look_leaves_p_as_it_is(p: float) -> None:
    assert repeated_p(walk_scores(p, 1, (12,)), (12,)) == pytest.approx(p, rel=1e-9, abs=1e-300)
    assert nominal_levels((12,), 0.03) == (0.03,)


@pytest.mark.parametrize("looks", [(10, 40), FOUR, (10, 11, 100), TWENTY[:10]])
def test_the_table_is_the_integral(looks: tuple[int, ...]) -> None:
    heights = np.concatenate([np.linspace(0.01, 9.99, 23), [10.5, 20.0]])
    exact = [crossing_probability(float(height), looks) for height in heights]
    assert repeated_p(heights, looks) == pytest.approx(exact, rel=2e-6)


def test_tiny_probabilities_keep_their_digits() -> None:
    # Far out the last look alone counts: P = 2Φ(-c) to all digits, where 1 - P(box) would be 0.
    assert crossing_probability(20.0, FOUR) == pytest.approx(2 * stats.norm.sf(20.0), rel=1e-10)
    assert crossing_probability(6.0, TWENTY) > 2 * stats.norm.sf(6.0)
    assert repeated_p([math.inf, 0.0], FOUR).tolist() == [0.0, pytest.approx(1.0)]


def test_no_evidence_is_no_step() -> None:
    assert walk_scores([math.nan, 1.0], 2, FOUR).tolist() == [0.0, 0.0]
    assert walk_scores(0.05, 1, FOUR) == pytest.approx(1.959964 / 2, abs=1e-6)
