"""The interquartile mean against scipy's own trimmed means."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.stats import mstats

from reports.statistics.trimmed import interquartile_mean

figures = st.floats(-1000, 1000).map(lambda value: round(value, 3))


@given(values=st.lists(figures, min_size=5, max_size=40, unique=True), level=st.floats(0.5, 0.99))
def test_it_is_scipys_trimmed_mean_and_its_interval(values: list[float], level: float) -> None:
    found = interquartile_mean(values, level)
    low, high = mstats.trimmed_mean_ci(values, limits=(0.25, 0.25), alpha=1 - level)
    assert found.count == len(values)
    assert found.mean == pytest.approx(stats.trim_mean(values, 0.25), abs=1e-9)
    assert (found.low, found.high) == (pytest.approx(low, abs=1e-6), pytest.approx(high, abs=1e-6))


def test_one_odd_run_in_eight_does_not_move_it() -> None:
    steady = [0.7, 0.72, 0.74, 0.75, 0.76, 0.78, 0.8]
    assert interquartile_mean([*steady, -50.0], 0.95).mean == pytest.approx((0.72 + 0.74 + 0.75 + 0.76) / 4)


@pytest.mark.parametrize(("values", "mean"), [([], None), ([2.0], 2.0), ([1.0, 2.0, 3.0, 10.0], 2.5), ([3.0] * 9, 3.0)])
def test_few_or_equal_figures_have_no_interval(values: list[float], mean: float | None) -> None:
    found = interquartile_mean(values, 0.95)
    assert (found.mean, found.low, found.high) == (mean, None, None)
