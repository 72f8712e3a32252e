from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from reports.statistics.bootstrap import MIN_RESAMPLED, RESAMPLES, TRUSTED, half_widths, moments, p_values
from reports.statistics.intervals import (
    MIN_PAIRS,
    clopper_pearson,
    correlation,
    mean_interval,
    variance_ratio,
    welch_interval,
)


@pytest.mark.parametrize("level", [0.5, 0.9, 0.95, 0.99])
@pytest.mark.parametrize("n", [5, 6, 19])
def test_interval_of_few_values_is_scipys(n: int, level: float) -> None:
    values = np.random.default_rng(n).normal(0.3, 1.0, n)
    estimate = mean_interval(list(values), level)
    expected = stats.ttest_1samp(values, 0.0).confidence_interval(level)
    assert (estimate.low, estimate.high) == pytest.approx((expected.low, expected.high), rel=1e-12)
    assert estimate.mean == pytest.approx(values.mean())


def test_interval_by_hand() -> None:
    # mean 3, s = sqrt(2.5), t(0.975; 4) = 2.776445: half width 2.776445 * 1.581139 / 2.236068 = 1.963243
    estimate = mean_interval([1.0, 2.0, 3.0, 4.0, 5.0], 0.95)
    assert estimate.mean == 3.0
    assert (estimate.low, estimate.high) == pytest.approx((1.036757, 4.963243), abs=1e-6)
    assert estimate.side == 1


@pytest.mark.parametrize("n", range(1, MIN_PAIRS))
def test_below_five_values_there_are_points_only(n: int) -> None:
    estimate = mean_interval([0.5] * n, 0.95)
    assert (estimate.mean, estimate.low, estimate.high, estimate.count) == (0.5, None, None, n)
    assert not estimate.has_interval
    assert estimate.side == 0


def test_without_values_there_is_nothing() -> None:
    estimate = mean_interval([], 0.95)
    assert (estimate.mean, estimate.low, estimate.count) == (None, None, 0)


@pytest.mark.parametrize(("shift", "side"), [(2.0, 1), (-2.0, -1), (0.0, 0)])
def test_side_says_where_the_interval_lies(shift: float, side: int) -> None:
    assert mean_interval([shift + x for x in (-0.2, -0.1, 0.0, 0.1, 0.2)], 0.95).side == side


def test_equal_values_that_are_zero_do_not_exclude_zero() -> None:
    estimate = mean_interval([0.0] * 5, 0.95)
    assert (estimate.low, estimate.high, estimate.side) == (0.0, 0.0, 0)


def skewed(seed: int, n: int) -> NDArray[np.float64]:
    return np.random.default_rng(seed).lognormal(0, 1, n) - 1.2


def resampled_distances(values: NDArray[np.float64], resamples: int, seed: int) -> NDArray[np.float64]:
    """|m* - m| / se* the long way round: every resample drawn, its own mean and standard error taken."""
    drawn = np.random.default_rng(seed).choice(values, (resamples, len(values)))
    error = drawn.std(axis=1, ddof=1) / math.sqrt(len(values))
    size = np.abs(drawn.mean(axis=1) - values.mean())
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.nan_to_num(size / error, nan=0.0, posinf=np.inf)


@pytest.mark.parametrize(("seed", "n"), [(5, 20), (2, 40), (3, 100)])
def test_interval_of_skewed_values_is_the_bootstraps(seed: int, n: int) -> None:
    values = skewed(seed, n)
    error = values.std(ddof=1) / math.sqrt(n)
    quantile = np.quantile(resampled_distances(values, 200_000, seed), 0.95)
    assert quantile > 1.05 * stats.t.ppf(0.975, n - 1)  # else this says nothing of the bootstrap
    assert half_widths(moments(values), 0.05) == pytest.approx(quantile * error, rel=0.03)


@pytest.mark.parametrize("point", [0.0, 0.8, -0.4])
def test_p_value_of_skewed_values_is_the_bootstraps(point: float) -> None:
    values = skewed(3, 30)
    distance = abs(values.mean() - point) / (values.std(ddof=1) / math.sqrt(30))
    share = (resampled_distances(values, 200_000, 0) >= distance).mean()
    (p,) = p_values(moments(values), point)
    expected = max(share, 2 * stats.t.sf(distance, 29))
    assert p == pytest.approx(expected, abs=4 * math.sqrt(expected * (1 - expected) / RESAMPLES) + 2 / RESAMPLES)


def test_p_value_of_few_values_is_scipys() -> None:
    values = skewed(0, 19)
    assert p_values(moments(values), 0.3)[0] == pytest.approx(stats.ttest_1samp(values, 0.3).pvalue, rel=1e-12)


samples = st.lists(
    st.one_of(st.sampled_from([0.0, 1.0, -1.0, 0.5]), st.floats(-10, 10, width=32)), min_size=5, max_size=45
)


@settings(max_examples=150, deadline=None)
@given(samples, st.floats(-3, 3), st.floats(0.0001, 0.4))
def test_interval_excludes_a_point_exactly_where_its_p_value_is_as_small(
    values: list[float], point: float, error: float
) -> None:
    sample = moments(values)
    half = half_widths(sample, error)
    distance = abs(sample.mean - point)
    if abs(distance - half) > 1e-6 * (1 + abs(half)):  # nearer than that rounding decides
        assert (distance > half) == (p_values(sample, point)[0] <= error)


@settings(max_examples=100, deadline=None)
@given(samples, st.randoms(use_true_random=False))
def test_order_does_not_matter_and_the_other_way_round_is_the_mirror_image(values: list[float], random: object) -> None:
    shuffled = values.copy()
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    one, other, mirrored = moments(values), moments(shuffled), moments([-value for value in values])
    assert (one.mean, one.error) == (other.mean, other.error) == (-mirrored.mean, mirrored.error)
    assert half_widths(one, 0.05) == half_widths(other, 0.05) == half_widths(mirrored, 0.05)
    assert p_values(one, 0.0, 0.5) == p_values(other, 0.0, 0.5) == p_values(mirrored, 0.0, -0.5)


@settings(max_examples=100, deadline=None)
@given(samples, st.floats(1e-5, 0.5), st.floats(1e-5, 0.5))
def test_a_stricter_interval_is_never_narrower(values: list[float], one: float, other: float) -> None:
    sample = moments(values)
    assert half_widths(sample, min(one, other)) >= half_widths(sample, max(one, other))


def test_below_what_resamples_resolve_students_t_speaks_but_not_over_the_bootstrap() -> None:
    values = skewed(5, 40)
    at_floor = half_widths(moments(values), TRUSTED)
    error = values.std(ddof=1) / math.sqrt(40)
    assert half_widths(moments(values), 1e-4) == pytest.approx(max(at_floor, stats.t.isf(5e-5, 39) * error))
    (p,) = p_values(moments(np.random.default_rng(0).normal(10, 1, 40)), 0.0)
    assert 0 < p < 1e-30


def test_many_samples_at_once_are_the_same_as_each_alone() -> None:
    many = np.random.default_rng(7).gamma(1.0, size=(3, 250, 20))
    together, widths = p_values(moments(many), 1.0)[0], half_widths(moments(many), 0.05)
    assert together.shape == widths.shape == (3, 250)
    for place in [(0, 0), (1, 249), (2, 3)]:
        assert together[place] == pytest.approx(p_values(moments(many[place]), 1.0)[0], abs=1e-12)
        assert widths[place] == pytest.approx(half_widths(moments(many[place]), 0.05), rel=1e-9)


def test_values_of_which_a_resample_may_hold_one_kind_alone_bound_nothing() -> None:
    # 18 of 20 alike: a resample holds these alone with chance 0.9^20 = 12 %, and its distance from the mean is a/0 = ∞.
    values = [0.0] * 18 + [1.0] * 2
    assert half_widths(moments(values), 0.05) == math.inf
    assert mean_interval(values, 0.95).low is None
    assert p_values(moments(values), 0.9)[0] == pytest.approx(0.9**20, abs=0.01)
    assert half_widths(moments(values), 0.2) < math.inf


def test_a_resample_of_values_at_the_mean_is_at_no_distance() -> None:
    values = [0.0] * 39 + [-0.25, 0.25]  # whose sums are exact, so that 0/0 stays 0/0 in the long way round, too
    drawn = resampled_distances(np.array(values), 200_000, 1)
    assert (drawn == 0).mean() == pytest.approx(0.308, abs=0.01)  # as many of the one as of the other: e^-2·I0(2)
    (p,) = p_values(moments(values), 0.9 * float(moments(values).error))
    assert p == pytest.approx((drawn >= 0.9).mean(), abs=0.02)


@pytest.mark.parametrize("n", [5, MIN_RESAMPLED, 40])
def test_equal_values(n: int) -> None:
    assert mean_interval([0.1] * n, 0.95).low is None
    assert moments([0.1] * n).error == 0  # exactly, whatever their mean rounds to
    zero, one = p_values(moments([0.0] * n), 0.0, 1.0)
    assert (zero, one) == (1.0, 0.0)


def test_equal_but_for_rounding_is_equal() -> None:
    values = [0.3 - 0.2, 0.4 - 0.3, 0.7 - 0.6, 1.1 - 1.0, 0.1]
    assert len(set(values)) > 1
    assert mean_interval(values, 0.95).low is None


def test_welch_by_hand() -> None:
    # means 3 and 6, variances 2.5 and 10, of five each: se = sqrt(0.5 + 2) = 1.581139; degrees of freedom
    # 2.5^2 / (0.5^2/4 + 2^2/4) = 5.882353, t(0.975) = 2.459...: scipy's quantile, our hand's se.
    estimate = welch_interval([1.0, 2.0, 3.0, 4.0, 5.0], [2.0, 4.0, 6.0, 8.0, 10.0], 0.95)
    half = float(stats.t.ppf(0.975, 100 / 17)) * math.sqrt(2.5)
    assert estimate.mean == -3.0
    assert (estimate.low, estimate.high) == pytest.approx((-3 - half, -3 + half))
    assert welch_interval([1.0] * 5, [0.0] * 5, 0.95).low is None
    assert welch_interval([1.0] * 4, [0.0, 1.0, 2.0, 3.0], 0.95).low is None
    assert welch_interval([], [1.0], 0.95).mean is None


def test_correlation_by_hand() -> None:
    # r = 8 / 10, Fisher: atanh(0.8) ± 1.959964 / sqrt(2) = 1.098612 ± 1.385904
    found = correlation([1.0, 2.0, 3.0, 4.0, 5.0], [2.0, 1.0, 4.0, 3.0, 5.0], 0.95)
    assert found is not None
    assert (found.value, found.low, found.high) == pytest.approx(
        (0.8, math.tanh(-0.287292), math.tanh(2.484516)), abs=1e-6
    )
    assert correlation([1.0] * 6, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 0.95) is None
    assert correlation([1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 5.0], 0.95) is None


def test_variance_ratio_by_hand() -> None:
    assert variance_ratio([1.0, 2.0, 3.0], [1.0, 2.0, 3.0]) == 0.0
    assert variance_ratio([1.0, 2.0, 3.0], [3.0, 2.0, 1.0]) == 2.0
    assert variance_ratio([1.0, 3.0], [2.0, 2.0]) == 1.0
    assert variance_ratio([1.0, 1.0], [2.0, 2.0]) is None
    assert variance_ratio([1.0], [2.0]) is None


@pytest.mark.parametrize(("hits", "trials"), [(0, 20), (1, 20), (100, 2000), (20, 20)])
def test_clopper_pearson_is_the_beta_distributions(hits: int, trials: int) -> None:
    low = 0.0 if hits == 0 else stats.beta.ppf(0.025, hits, trials - hits + 1)
    high = 1.0 if hits == trials else stats.beta.ppf(0.975, hits + 1, trials - hits)
    assert clopper_pearson(hits, trials, 0.95) == pytest.approx((low, high))
