"""The n-step targets: the laws, the worked examples, and the formula written out term by term."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from a3c import n_step_targets
from a3c.targets.n_step import discounted_returns, windows
from a3c.targets.registry import TAIL_RULES, find_tail_rule
from tests.a3c.oracles import definitional_returns, definitional_targets, definitional_use

RULES = ("missing_as_zero", "max_terms")
ALL_RULES = (*RULES, "drop", "wrong_gamma")
MOST = 12

dyadic = st.integers(-512, 512).map(lambda k: k / 16)
dyadic_gamma = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0, 2.0])
real = st.floats(-1e6, 1e6, allow_subnormal=False)
real_gamma = st.floats(0, 1, allow_subnormal=False)
window = st.integers(1, MOST + 4)


@st.composite
def rollouts(draw, numbers):
    T = draw(st.integers(1, MOST))
    row = st.lists(numbers, min_size=T, max_size=T).map(np.array)
    return draw(row), draw(row), draw(numbers)


dyadic_rollouts, real_rollouts = rollouts(dyadic), rollouts(real)


def distances(rewards):
    return np.arange(len(rewards), 0, -1)


def close_to(expected, rewards, values, bootstrap):
    """To rounding: relative to the largest number that goes into a target."""
    largest = max(1.0, np.abs(rewards).sum(), np.abs(values).max(), abs(bootstrap))
    return pytest.approx(expected, rel=1e-12, abs=1e-12 * largest)


# The formula


@given(dyadic_rollouts, dyadic_gamma, window, st.sampled_from(ALL_RULES))
def test_targets_are_the_formula_exactly_on_dyadic_numbers(rollout, gamma, n, tail):
    expected = definitional_targets(*rollout, gamma, n, tail)
    np.testing.assert_array_equal(n_step_targets(*rollout, gamma, n, tail), expected)


@given(real_rollouts, real_gamma, window, st.sampled_from(ALL_RULES))
def test_targets_are_the_formula_to_rounding(rollout, gamma, n, tail):
    expected = definitional_targets(*rollout, gamma, n, tail)
    assert n_step_targets(*rollout, gamma, n, tail) == close_to(expected, *rollout)


@given(dyadic_rollouts, dyadic_gamma)
def test_discounted_returns_are_the_formula(rollout, gamma):
    rewards, _, bootstrap = rollout
    expected = definitional_returns(rewards, bootstrap, gamma)
    np.testing.assert_array_equal(discounted_returns(rewards, bootstrap, gamma), expected)


def test_an_integer_discount_counts_as_its_number():
    T = 80
    rewards = values = np.ones(T)
    for tail in RULES:
        as_integer = n_step_targets(rewards, values, 1.0, 2, T, tail)
        np.testing.assert_array_equal(as_integer, n_step_targets(rewards, values, 1.0, 2.0, T, tail))


# The laws of the design document, by number


@given(dyadic_rollouts, dyadic_gamma, window)
def test_law_1_complete_windows_agree(rollout, gamma, n):
    missing, most = (n_step_targets(*rollout, gamma, n, tail) for tail in RULES)
    complete = distances(rollout[0]) > n
    np.testing.assert_array_equal(missing[complete], most[complete])


@given(real_rollouts, real_gamma, window)
def test_law_2_the_rules_agree_where_the_bootstrap_is_zero(rollout, gamma, n):
    rewards, values, bootstrap = rollout
    missing = n_step_targets(rewards, values, bootstrap, gamma, n, "missing_as_zero")
    np.testing.assert_array_equal(missing, n_step_targets(rewards, values, 0.0, gamma, n, "max_terms"))


@given(dyadic_rollouts, dyadic_gamma, window)
def test_law_3_the_rules_differ_by_the_discounted_bootstrap_exactly(rollout, gamma, n):
    missing, most = (n_step_targets(*rollout, gamma, n, tail) for tail in RULES)
    d = distances(rollout[0])
    shift = np.where(d <= n, gamma**d * rollout[2], 0.0)
    np.testing.assert_array_equal(most - missing, shift)
    np.testing.assert_array_equal(windows(*rollout, gamma, n).shift, shift)


@given(real_rollouts, real_gamma, window)
def test_law_3_holds_to_rounding_on_any_numbers(rollout, gamma, n):
    missing, most = (n_step_targets(*rollout, gamma, n, tail) for tail in RULES)
    d = distances(rollout[0])
    assert most - missing == close_to(np.where(d <= n, gamma**d * rollout[2], 0.0), *rollout)


@given(dyadic_rollouts, dyadic_gamma, st.integers(0, 4))
def test_law_4_long_windows_with_max_terms_are_the_bootstrapped_return(rollout, gamma, beyond):
    rewards, _, bootstrap = rollout
    targets = n_step_targets(*rollout, gamma, len(rewards) + beyond, "max_terms")
    np.testing.assert_array_equal(targets, discounted_returns(rewards, bootstrap, gamma))


@given(dyadic_rollouts, dyadic_gamma, st.sampled_from(RULES))
def test_law_5_one_step_is_the_temporal_difference_target(rollout, gamma, tail):
    rewards, values, _ = rollout
    targets = n_step_targets(*rollout, gamma, 1, tail)
    np.testing.assert_array_equal(targets[:-1], rewards[:-1] + gamma * values[1:])


@given(st.data(), dyadic_gamma, window, st.sampled_from(RULES), st.integers(-8, 8), st.integers(-8, 8))
def test_law_6_targets_are_linear_in_rewards_values_and_bootstrap(data, gamma, n, tail, a, c):
    one = data.draw(dyadic_rollouts)
    T = len(one[0])
    row = st.lists(dyadic, min_size=T, max_size=T).map(np.array)
    other = data.draw(row), data.draw(row), data.draw(dyadic)
    both = [a * x + c * y for x, y in zip(one, other, strict=True)]
    separately = a * n_step_targets(*one, gamma, n, tail) + c * n_step_targets(*other, gamma, n, tail)
    np.testing.assert_array_equal(n_step_targets(*both, gamma, n, tail), separately)


# Further rules


@given(dyadic_rollouts, dyadic_gamma, window, st.sampled_from(ALL_RULES), st.booleans())
def test_the_steps_used_are_the_definitions(rollout, gamma, n, tail, ended):
    rewards, values, bootstrap = rollout
    w = windows(rewards, values, 0.0 if ended else bootstrap, gamma, n, ended=ended)
    np.testing.assert_array_equal(find_tail_rule(tail)(w).use, definitional_use(len(rewards), n, tail, ended))


@given(dyadic_rollouts, dyadic_gamma, window)
def test_drop_leaves_nothing_out_at_the_true_end_of_an_episode(rollout, gamma, n):
    rewards, values, _ = rollout
    w = windows(rewards, values, 0.0, gamma, n, ended=True)
    dropped, whole = (find_tail_rule(tail)(w) for tail in ("drop", "max_terms"))
    assert dropped.use.all()
    np.testing.assert_array_equal(dropped.targets, whole.targets)


@given(dyadic_rollouts, dyadic_gamma, window, st.sampled_from(["drop", "missing_as_zero", "max_terms"]))
def test_what_drop_uses_every_rule_agrees_on(rollout, gamma, n, other):
    w = windows(*rollout, gamma, n, ended=False)
    dropped = find_tail_rule("drop")(w)
    assert dropped.use.sum() == max(0, len(rollout[0]) - n)
    np.testing.assert_array_equal(dropped.targets[dropped.use], find_tail_rule(other)(w).targets[dropped.use])


@given(dyadic_rollouts, dyadic_gamma, window)
def test_wrong_gamma_shifts_every_incomplete_window_by_the_same(rollout, gamma, n):
    wrong, missing, most = (n_step_targets(*rollout, gamma, n, tail) for tail in ("wrong_gamma", *RULES))
    d = distances(rollout[0])
    np.testing.assert_array_equal(wrong - missing, np.where(d <= n, gamma**n * rollout[2], 0.0))
    np.testing.assert_array_equal(wrong[d >= n], most[d >= n])


def test_further_rules_by_hand():
    rollout = ([1, 2, 3], [10, 20, 30], 100, 0.5, 2)
    assert n_step_targets(*rollout, "wrong_gamma").tolist() == [9.5, 28.5, 28]
    assert n_step_targets(*rollout, "drop").tolist() == [9.5, 3.5, 3]
    assert n_step_targets(*rollout[:4], 5, "wrong_gamma").tolist() == [2.75 + 100 / 32, 3.5 + 100 / 32, 3 + 100 / 32]


@pytest.mark.parametrize(("convention", "n", "effective"), [("textbook", 9, 9), ("seed", 9, 2), ("seed", 2, 1)])
def test_windows_say_what_n_and_gamma_they_were_made_with(convention, n, effective):
    w = windows([1, 2, 3], [10, 20, 30], 100, 0.5, n, convention)
    assert (w.n, w.gamma) == (effective, 0.5)


# Literal arrays


@pytest.mark.parametrize(
    ("tail", "expected"), [("missing_as_zero", [10, 17, 24, 11, 4]), ("max_terms", [10, 17, 24, 51, 24])]
)
def test_the_published_notebooks_example(tail, expected):
    ladder = [0, 1, 2, 3, 4]
    np.testing.assert_array_equal(n_step_targets(ladder, ladder, 10, 2, 2, tail), expected)


@pytest.mark.parametrize(
    ("convention", "n", "missing_as_zero", "max_terms"),
    [
        pytest.param("textbook", 1, [11, 17, 3], [11, 17, 53], id="one step"),
        pytest.param("textbook", 2, [9.5, 3.5, 3], [9.5, 28.5, 53], id="n < T"),
        pytest.param("textbook", 3, [2.75, 3.5, 3], [15.25, 28.5, 53], id="n = T"),
        pytest.param("textbook", 5, [2.75, 3.5, 3], [15.25, 28.5, 53], id="n > T"),
        pytest.param("seed", 1, [10, 20, 30], [10, 20, 30], id="seed, N = 1"),
        pytest.param("seed", 2, [11, 17, 3], [11, 17, 53], id="seed, N < T"),
        pytest.param("seed", 3, [9.5, 3.5, 3], [9.5, 28.5, 53], id="seed, N = T"),
        pytest.param("seed", 4, [9.5, 3.5, 3], [9.5, 28.5, 53], id="seed, N = T + 1"),
        pytest.param("seed", 50, [9.5, 3.5, 3], [9.5, 28.5, 53], id="seed, N > T"),
    ],
)
def test_three_steps_by_hand(convention, n, missing_as_zero, max_terms):
    rollout = ([1, 2, 3], [10, 20, 30], 100, 0.5, n)
    np.testing.assert_array_equal(n_step_targets(*rollout, "missing_as_zero", convention), missing_as_zero)
    np.testing.assert_array_equal(n_step_targets(*rollout, "max_terms", convention), max_terms)


def test_a_single_step_has_only_its_reward_and_the_bootstrap():
    assert n_step_targets([3], [7], 8, 0.5, 4, "max_terms").tolist() == [7]
    assert n_step_targets([3], [7], 8, 0.5, 4, "missing_as_zero").tolist() == [3]


# The published program's convention


@given(dyadic_rollouts, dyadic_gamma, st.integers(2, MOST), st.sampled_from(RULES))
def test_the_seed_conventions_n_is_one_more_than_the_textbooks(rollout, gamma, n, tail):
    clamped = min(n, len(rollout[0]))
    expected = rollout[1] if clamped == 1 else n_step_targets(*rollout, gamma, clamped - 1, tail)
    np.testing.assert_array_equal(n_step_targets(*rollout, gamma, n, tail, "seed"), expected)


@given(real_rollouts, real_gamma, st.sampled_from(RULES))
def test_the_seed_conventions_n_of_one_targets_the_values_themselves(rollout, gamma, tail):
    np.testing.assert_array_equal(n_step_targets(*rollout, gamma, 1, tail, "seed"), rollout[1])


@given(dyadic_rollouts, dyadic_gamma, st.integers(1, 20), st.sampled_from(RULES))
def test_the_seed_convention_clamps_n_so_the_first_target_ends_in_the_last_value(rollout, gamma, beyond, tail):
    rewards, values, _ = rollout
    T = len(rewards)
    first = n_step_targets(*rollout, gamma, T + beyond, tail, "seed")[0]
    assert first == sum(gamma**i * rewards[i] for i in range(T - 1)) + gamma ** (T - 1) * values[T - 1]


# What is refused


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"n": 0}, "n=0"),
        ({"n": -3}, "n=-3"),
        ({"tail": "max_term"}, "tail='max_term'"),
        ({"convention": "papers"}, "convention='papers'"),
        ({"values": [1.0]}, "rewards and values"),
        ({"rewards": [], "values": []}, "rewards and values"),
        ({"rewards": [[1.0], [2.0]], "values": [[1.0], [2.0]]}, "rewards and values"),
    ],
)
def test_arguments_that_make_no_sense_are_named(changes, named):
    arguments = {"rewards": [1.0, 2.0], "values": [3.0, 4.0], "bootstrap": 5.0, "gamma": 0.5, "n": 2}
    arguments |= {"tail": "max_terms"} | changes
    with pytest.raises(ValueError, match=named):
        n_step_targets(**arguments)


def test_the_arguments_are_left_as_they_were():
    rewards, values = np.arange(4.0), np.arange(4.0) + 10
    n_step_targets(rewards, values, 1.0, 0.5, 2, "max_terms")
    assert rewards.tolist() == [0, 1, 2, 3]
    assert values.tolist() == [10, 11, 12, 13]


def test_a_registered_rule_completes_the_windows_its_own_way(drop_incomplete):
    w = windows([1, 2, 3], [10, 20, 30], 100, 0.5, 2)
    targets, use = TAIL_RULES[drop_incomplete](w)
    assert targets[use].tolist() == [9.5]
    assert use.tolist() == [True, False, False]
