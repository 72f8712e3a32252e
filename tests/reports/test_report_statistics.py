from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from reports.statistics import MIN_PAIRS, mean_interval


@pytest.mark.parametrize("level", [0.5, 0.9, 0.95, 0.99])
@pytest.mark.parametrize("n", [5, 6, 20])
def test_interval_is_scipys(n: int, level: float) -> None:
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
