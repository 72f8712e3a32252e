"""The figures of a run, by hand and by law."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from a3c.evaluation.measures import evaluation_measures, evaluation_scale, training_curve
from tests.a3c.oracles import small_config

returns = st.lists(st.floats(-500, 500), min_size=1, max_size=40).map(np.array)
finished = st.lists(st.tuples(st.integers(1, 50), st.integers(-10, 10)), min_size=1, max_size=300)


def measures(returns, scale=(0.0, 100.0)):
    grid = list(range(10, 10 * len(returns) + 1, 10))
    return evaluation_measures(np.asarray(returns, dtype=float), grid, grid[-1], scale)


def test_a_learning_curve_by_hand():
    curve = [0, 10, 50, 100, 120, 100, 90, 80, 60, 50, 40, 30]  # the last tenth of 12 points is 2 of them
    assert measures(curve) == pytest.approx(
        {
            "auc": 730 / 12 / 100,
            "final": 0.35,
            "best": 1.2,
            "final_return": 35,
            "collapsed": 1,
            "solved": 1,
            "steps_to_threshold": 40,
        }
    )


def test_a_curve_that_never_reaches_the_threshold_counts_its_whole_budget():
    found = measures([10, 20, 99.9])
    assert (found["solved"], found["steps_to_threshold"], found["collapsed"]) == (0, 30, 0)


def test_a_single_snapshot_is_its_own_mean_best_and_final():
    found = measures([250], scale=(50, 450))
    assert (found["auc"], found["best"], found["final"], found["final_return"]) == (0.5, 0.5, 0.5, 250)


@given(returns, st.floats(-100, 100), st.floats(1, 500))
def test_scores_are_linear_in_the_returns(curve, low, width):
    plain, scaled = measures(curve, (0.0, 1.0)), measures(curve, (low, low + width))
    for name in ("auc", "final", "best"):
        assert scaled[name] == pytest.approx((plain[name] - low) / width, abs=1e-9)
    assert scaled["final_return"] == plain["final_return"]


@given(returns)
def test_no_mean_exceeds_the_best(curve):
    found = measures(curve)
    assert max(found["auc"], found["final"]) <= found["best"] + 1e-9


@given(st.floats(-500, 500), st.integers(1, 30))
def test_a_flat_curve_never_collapsed(level, points):
    assert measures([level] * points)["collapsed"] == 0


@given(returns)
def test_steps_to_threshold_is_the_first_point_at_or_above_it(curve):
    found = measures(curve)
    reached = [10 * (i + 1) for i, value in enumerate(curve) if value >= 100]
    assert found["solved"] == bool(reached)
    assert found["steps_to_threshold"] == (reached[0] if reached else 10 * len(curve))


@pytest.mark.parametrize(
    ("configured", "random", "threshold", "scale"),
    [
        (None, 20.0, 475.0, (20.0, 475.0)),
        (None, 20.0, None, None),
        (None, 20.0, 20.0, None),
        ([-5.0, 5.0], 20.0, 475.0, (-5.0, 5.0)),
    ],
)
def test_the_scale_runs_from_the_random_policy_to_the_threshold_unless_given(configured, random, threshold, scale):
    assert evaluation_scale(small_config(evaluation_scale=configured), random, threshold) == scale


@given(finished, st.integers(0, 1000))
def test_the_training_curve_keeps_the_mean_of_every_stretch(finished, unfinished):
    steps = np.cumsum([length for length, _ in finished])
    totals = np.array([float(total) for _, total in finished])
    curve = training_curve(steps, totals, int(steps[-1]) + unfinished)
    assert len(curve) <= 100
    ends = [step for step, _ in curve]
    assert ends == sorted(set(ends))
    assert ends[-1] == steps[-1]
    start = 0
    for end, mean in curve:
        stretch = totals[(start < steps) & (steps <= end)]
        assert mean == pytest.approx(np.mean(stretch), abs=1e-9)
        start = end


def test_no_finished_episode_no_training_curve():
    assert training_curve(np.array([], dtype=np.uint64), np.array([]), 500) == []
