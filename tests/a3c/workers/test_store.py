"""The parameter store, by one thread: one version a push, what is counted and kept, nothing that is not finite gets in.

What many threads may rely on stands in :mod:`tests.a3c.workers.test_store_concurrency`.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from a3c.engines.base import Learned
from a3c.errors import Diverged
from a3c.networks.layout import Layout
from a3c.rollout import Episode
from a3c.schedules import Stopped
from a3c.workers.store import ParameterStore, Push, snapshot_grid
from tests.a3c.oracles import small_config

LAYOUT = Layout(2, 2, (2,))
ACTOR, CRITIC = LAYOUT.spans["actor"], LAYOUT.spans["critic"]


def sgd_store(layout=LAYOUT, initial=None, **changes):
    settings = {"optimizer": "sgd", "learning_rate": 1.0, "critic_learning_rate": None, "anneal_learning_rate": False}
    budget = {} if "total_episodes" in changes else {"total_steps": 10**6}
    config = small_config(**settings | budget | changes)
    return ParameterStore(config, layout, np.zeros(layout.size, np.float32) if initial is None else initial)


def push_of(gradient, worker=0, pulled=0, steps=1, episode=None, **more):
    return Push(worker, pulled, np.asarray(gradient, np.float32), steps, episode, **more)


def ones(value=1.0, layout=LAYOUT):
    return np.full(layout.size, value, dtype=np.float32)


# Conservation


@given(st.lists(st.integers(-64, 64), min_size=1, max_size=30), st.sampled_from([2.0**-4, 0.5, 1.0]))
def test_the_sum_of_dyadic_gradients_arrives_exactly(numerators, rate):
    store = sgd_store(learning_rate=rate)
    out = ones()
    for k in numerators:
        store.push_and_pull(push_of(ones(k / 8)), out)
    np.testing.assert_array_equal(store.parameters, ones(-rate * sum(numerators) / 8))
    np.testing.assert_array_equal(out, store.parameters)


# Counting


def test_versions_steps_and_the_log_follow_the_pushes():
    store = sgd_store()
    out = ones()
    expected = []
    for u in range(1500):
        worker, pulled, steps = u % 3, max(0, u - 2), 1 + u % 4
        assert store.push_and_pull(push_of(ones(0), worker, pulled, steps), out) == (u + 1, False)
        expected.append((worker, pulled, (expected[-1][2] if expected else 0) + steps))
    assert store.log.updates().tolist() == expected
    assert store.steps == expected[-1][2]


def test_finished_episodes_are_kept_with_the_step_of_their_push():
    store = sgd_store()
    store.push_and_pull(push_of(ones(0), worker=1, steps=5), ones())
    store.push_and_pull(push_of(ones(0), worker=1, steps=2, episode=Episode(9.5, 7)), ones())
    store.push_and_pull(push_of(ones(0), worker=0, steps=4, episode=Episode(-1.0, 4)), ones())
    assert store.episodes == 2
    assert store.log.episodes().tolist() == [(7, 9.5, 7, 1), (11, -1.0, 4, 0)]


def test_curves_are_means_over_stretches_of_the_budget():
    store = sgd_store(total_steps=100)  # 50 stretches: two pushes of one step fall into each
    for u in range(4):
        learned = Learned(actor_loss=u, critic_loss=10 * u, entropy=-u)
        store.push_and_pull(push_of(ones(0), pulled=u // 2, learned=learned), ones())
    curves = store.curves.curves()
    assert curves["actor_loss"] == [(2, 0.5), (4, 2.5)]
    assert curves["critic_loss"] == [(2, 5), (4, 25)]
    assert curves["entropy"] == [(2, -0.5), (4, -2.5)]
    assert curves["staleness"] == [(2, 0.5), (4, 1.5)]


# Annealing


def test_annealing_by_steps_uses_the_count_before_the_push():
    store = sgd_store(anneal_learning_rate=True, critic_learning_rate=4.0, total_steps=8)
    seen = []
    for steps in (2, 2, 1, 3):
        before = store.parameters.copy()
        store.push_and_pull(push_of(ones(), steps=steps), ones())
        seen.append((before - store.parameters)[[0, -1]].tolist())
    assert seen == [[1.0, 4.0], [0.75, 3.0], [0.5, 2.0], [0.375, 1.5]]


def test_annealing_by_episodes_counts_episodes():
    store = sgd_store(anneal_learning_rate=True, total_episodes=4)
    seen = []
    for episode in (None, Episode(1.0, 1), None, Episode(1.0, 1), Episode(1.0, 1), Episode(1.0, 1)):
        seen.append(store.learning_rates()[0])
        store.push_and_pull(push_of(ones(), steps=10, episode=episode), ones())
    assert seen == [1.0, 1.0, 0.75, 0.75, 0.5, 0.25]
    assert store.finished


def test_without_annealing_the_rates_stay():
    store = sgd_store(critic_learning_rate=0.25, total_steps=8)
    store.push_and_pull(push_of(ones(), steps=6), ones())
    assert store.learning_rates() == (1.0, 0.25)


# The norm


def test_the_norm_is_taken_over_actor_and_critic_together():
    gradient = ones(0)
    gradient[ACTOR.start], gradient[CRITIC.start] = 3, 4
    store = sgd_store(max_grad_norm=1.0)
    store.push_and_pull(push_of(gradient), ones())
    np.testing.assert_allclose(store.parameters, -gradient / 5, rtol=1e-6)


@given(st.lists(st.integers(-50, 50), min_size=LAYOUT.size, max_size=LAYOUT.size), st.sampled_from([0.5, 40.0, 200.0]))
def test_long_gradients_are_scaled_to_the_limit_and_short_ones_are_left(entries, limit):
    gradient = np.array(entries, dtype=np.float32)
    norm = np.linalg.norm(gradient.astype(np.float64))
    store = sgd_store(max_grad_norm=limit)
    store.push_and_pull(push_of(gradient), ones())
    if norm <= limit:
        np.testing.assert_array_equal(store.parameters, -gradient)
    else:
        np.testing.assert_allclose(store.parameters, -gradient * (limit / norm), rtol=1e-5)


def test_a_gradient_whose_square_overflows_is_still_scaled():
    store = sgd_store(max_grad_norm=1.0)
    store.push_and_pull(push_of(ones(1e30)), ones())
    np.testing.assert_allclose(store.parameters, ones(-1 / np.sqrt(LAYOUT.size)), rtol=1e-5)


# What is not finite


def assert_refused(store, gradient):
    store.push_and_pull(push_of(ones(0.5)), ones())
    parameters, out = store.parameters.copy(), ones(9)
    with pytest.raises(Diverged):
        store.push_and_pull(push_of(gradient, steps=3, episode=Episode(1.0, 3)), out)
    np.testing.assert_array_equal(store.parameters, parameters)
    np.testing.assert_array_equal(out, ones(9))
    assert (store.version, store.steps, store.episodes, len(store.log.updates())) == (1, 1, 0, 1)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "rmsprop"])
@pytest.mark.parametrize("limit", [None, 1.0])
@pytest.mark.parametrize("bad", [[np.nan], [np.inf], [-np.inf], [np.inf, -np.inf], [np.nan, np.inf]])
@pytest.mark.parametrize("place", [0, CRITIC.start, LAYOUT.size - 2])
def test_a_gradient_that_is_not_finite_is_refused(optimizer, limit, bad, place):
    gradient = ones()
    gradient[place : place + len(bad)] = bad
    assert_refused(sgd_store(optimizer=optimizer, max_grad_norm=limit), gradient)


def test_an_update_that_would_make_infinite_parameters_is_refused():
    store = sgd_store(learning_rate=10.0)
    assert_refused(store, ones(3e38))


def test_an_update_that_would_overflow_only_when_added_is_refused():
    store = sgd_store(initial=ones(-3e38))
    assert_refused(store, ones(3e38))


@pytest.mark.parametrize("optimizer", ["adam", "rmsprop"])
def test_a_gradient_too_large_for_the_statistics_is_refused_rather_than_swallowed(optimizer):
    """Its square is infinite in float32: the entry would take steps of 0 for ever after."""
    assert_refused(sgd_store(optimizer=optimizer), ones(1e30))


# The budget and the snapshots


@given(st.integers(1, 500), st.integers(1, 40))
def test_the_snapshot_grid_is_even_and_ends_with_the_budget(budget, points):
    grid = snapshot_grid(small_config(total_steps=budget, evaluations=points))
    assert len(grid) == points
    assert grid[-1] == budget
    assert all(1 <= point <= budget for point in grid)
    for i, point in enumerate(grid, start=1):
        assert abs(point - budget * i / points) <= 1


@given(st.lists(st.integers(1, 9), min_size=1, max_size=40), st.integers(1, 7), st.booleans())
def test_snapshots_are_taken_after_the_first_push_that_reaches_their_point(sizes, points, in_steps):
    """Parameters are −version: a snapshot tells which push it followed."""
    budget = sum(sizes) if in_steps else len(sizes)
    store = sgd_store(**{"total_steps" if in_steps else "total_episodes": budget}, evaluations=points)
    steps, reached = np.cumsum(sizes), []
    for size in sizes:
        episode = None if in_steps else Episode(1.0, size)
        store.push_and_pull(push_of(ones(), steps=size, episode=episode), ones())
    progress = steps if in_steps else np.arange(1, len(sizes) + 1)
    reached = [int(np.argmax(progress >= point)) for point in store.grid]
    assert store.snapshot_steps == [int(steps[u]) for u in reached]
    assert store.snapshots[:, 0].tolist() == [-(u + 1) for u in reached]
    assert (store.snapshots == store.snapshots[:, :1]).all()


@pytest.mark.parametrize(
    ("budget", "steps", "episode"), [({"total_steps": 10}, 5, None), ({"total_episodes": 2}, 1, Episode(0.0, 1))]
)
def test_the_push_that_reaches_the_budget_is_the_last(budget, steps, episode):
    store = sgd_store(**budget)
    store.push_and_pull(push_of(ones(), steps=steps, episode=episode), ones())
    assert not store.finished
    store.push_and_pull(push_of(ones(), steps=steps + 2, episode=episode), ones())
    assert store.finished
    out = ones(9)
    with pytest.raises(Stopped):
        store.push_and_pull(push_of(ones(), steps=steps, episode=episode), out)
    np.testing.assert_array_equal(store.parameters, ones(-2))
    np.testing.assert_array_equal(out, ones(9))
    assert store.version == 2
