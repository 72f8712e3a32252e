"""The formulas against published figures, and against targets iterated until they rest."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from a3c import n_step_targets
from reports.theory import affected_share, effective_value, full_value, matched_gamma

lengths = st.integers(1, 40)
steps = st.integers(1, 60)
discounts = st.floats(0, 0.99)


@pytest.mark.parametrize(
    ("rollout_length", "n_step", "value", "gamma"), [(5, 5, 2.96, 0.662), (20, 5, 15.4, 0.935), (20, 15, 11.8, 0.915)]
)
def test_figures_worked_out_by_hand(rollout_length: int, n_step: int, value: float, gamma: float) -> None:
    assert effective_value(rollout_length, n_step, 0.99) == pytest.approx(value, abs=0.05 if value > 3 else 0.005)
    assert matched_gamma(rollout_length, n_step, 0.99) == pytest.approx(gamma, abs=0.0005)
    assert full_value(0.99) == pytest.approx(100)


def test_the_horizon_is_set_by_the_rollout_and_hardly_by_n() -> None:
    at_20 = [effective_value(20, n, 0.99) for n in range(1, 21)]
    assert (min(at_20), max(at_20)) == (pytest.approx(9.9, abs=0.05), pytest.approx(16.8, abs=0.05))


def rest(rollout_length: int, n_step: int, gamma: float, target: str) -> float:
    """The value that the mean target of a full rollout of ones reproduces: a line's fixed point, from two points."""

    def mean_target(value: float) -> float:
        values = np.full(rollout_length, value)
        targets = n_step_targets(np.ones(rollout_length), values, bootstrap=value, gamma=gamma, n=n_step, tail=target)
        return float(np.mean(targets))

    at_0 = mean_target(0.0)
    return at_0 / (1 - (mean_target(1.0) - at_0))


@settings(deadline=None)
@given(rollout_length=lengths, n_step=steps, gamma=discounts)
def test_it_is_where_the_algorithms_own_targets_rest(rollout_length: int, n_step: int, gamma: float) -> None:
    assert effective_value(rollout_length, n_step, gamma) == pytest.approx(
        rest(rollout_length, n_step, gamma, "missing_as_zero"), rel=1e-9
    )
    assert full_value(gamma) == pytest.approx(rest(rollout_length, n_step, gamma, "max_terms"), rel=1e-9)


@pytest.mark.parametrize(("rollout_length", "n_step"), [(5, 5), (5, 1), (20, 5), (20, 15), (3, 50)])
def test_a_value_that_learns_from_its_own_targets_arrives_there(rollout_length: int, n_step: int) -> None:
    value = 0.0
    for _ in range(5000):
        ahead = [min(n_step, rollout_length - t) for t in range(rollout_length)]
        complete = [n_step < rollout_length - t for t in range(rollout_length)]
        sums = [sum(0.99**k for k in range(m)) for m in ahead]
        value = sum(s + whole * 0.99**n_step * value for s, whole in zip(sums, complete, strict=True)) / rollout_length
    assert effective_value(rollout_length, n_step, 0.99) == pytest.approx(value, rel=1e-9)


@given(rollout_length=lengths, n_step=steps, gamma=discounts)
def test_it_is_the_closed_form(rollout_length: int, n_step: int, gamma: float) -> None:
    m = min(n_step, rollout_length)
    lost = gamma * (1 - gamma**m) / (1 - gamma)
    share = 1 - lost / (m + (rollout_length - m) * (1 - gamma**n_step))
    assert effective_value(rollout_length, n_step, gamma) == pytest.approx(share / (1 - gamma), rel=1e-6, abs=1e-9)


@given(rollout_length=lengths, n_step=steps)
def test_without_discount_it_stays_finite_and_is_the_limit(rollout_length: int, n_step: int) -> None:
    assert effective_value(rollout_length, n_step, 1.0) == pytest.approx(
        effective_value(rollout_length, n_step, 1 - 1e-9), rel=1e-5
    )


@given(rollout_length=lengths, n_step=steps, gamma=discounts)
def test_it_sees_less_than_there_is_and_at_least_one_step(rollout_length: int, n_step: int, gamma: float) -> None:
    assert 1 - 1e-12 <= effective_value(rollout_length, n_step, gamma) <= full_value(gamma) * (1 + 1e-12)
    assert -1e-12 <= matched_gamma(rollout_length, n_step, gamma) <= gamma + 1e-12


@given(rollout_length=lengths, n_step=steps)
def test_the_share_is_that_of_steps_within_n_of_a_cut(rollout_length: int, n_step: int) -> None:
    ones = np.ones(rollout_length)
    rules = ("missing_as_zero", "max_terms")
    zero, most = (n_step_targets(ones, ones, bootstrap=1.0, gamma=0.5, n=n_step, tail=rule) for rule in rules)
    assert affected_share(rollout_length, n_step) == pytest.approx(np.mean(np.asarray(zero) != np.asarray(most)))


def test_shares_worked_out_by_hand() -> None:
    assert affected_share(20, 5) == 0.25
    assert affected_share(5, 5) == affected_share(5, 9) == 1


@pytest.mark.parametrize(
    "arguments", [a for a in itertools.product((0, 5), (0, 5), (-0.1, 0.5, 1.1)) if a != (5, 5, 0.5)]
)
def test_arguments_outside_their_range_are_named(arguments: tuple[int, int, float]) -> None:
    with pytest.raises(ValueError, match=r"=.*: must be"):
        effective_value(*arguments)
