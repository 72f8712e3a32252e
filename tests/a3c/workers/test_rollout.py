"""Collecting: rollouts are the environment's own story, cut at its ends and at the rollout length."""

import math
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from a3c import Diverged, EpisodeTooLong
from a3c.engines.choice import ENGINES, make_engine
from a3c.environments.making import LONGEST_EPISODE, make, spaces_of
from a3c.networks.layout import Layout
from a3c.schedules import Free, Stopped
from a3c.streams import Purpose, Uniforms, generator
from a3c.workers.collector import Collector
from tests.a3c.oracles import small_config
from tests.environments import DRESSES, ENDINGS, scripted_observation

STREAM = generator(0, Purpose.ACTIONS).random(20_000)
engines = pytest.mark.parametrize("name", ENGINES)
rollout_lengths = st.one_of(st.just("episode"), st.integers(1, 15))


def collector(rollout_length, acting, env_id="Scripted-v0", **env_kwargs):
    small_config()  # the environments are registered
    environment = make(env_id, env_kwargs)
    spaces = spaces_of(environment, env_id)
    return Collector(environment, spaces, rollout_length, 0, Uniforms(generator(0, Purpose.ACTIONS)), acting)


def acting_by(policy):
    """What an engine's ``acting`` promises, with a policy of the test's own: ``policy(observation, uniform)``."""

    def acting(steps):
        def act(observation, t):
            steps.observations[t] = observation
            steps.actions[t] = action = policy(steps.observations[t], steps.uniforms[t])
            return action

        return act

    return acting


def alternate():
    """Actions 0, 1, 0, 1, …, whatever is observed."""
    taken = iter(range(10**9))
    return acting_by(lambda observation, uniform: next(taken) % 2)


def fair_coin(name, size=3):
    """An engine whose weights are all 0: of two actions it takes the second where the uniform number is ≥ ½."""
    return make_engine(small_config(engine=name), Layout(size, 2, (8,))).acting


def assert_story(collecting, lengths, rollout_length, actions, ending="terminated"):
    """Collect every episode once; the story is Scripted-v0's, the actions are those given, in order."""
    terminated, truncated = ENDINGS[ending]
    steps = 0
    for episode, length in enumerate(lengths):
        t = 0
        while t < length:
            rollout = collecting.collect(Free(1))
            T = rollout.length
            assert length - t == T if rollout_length == "episode" else min(rollout_length, length - t) == T
            shown = [scripted_observation(episode, i) for i in range(t, t + T + 1)]
            np.testing.assert_array_equal(rollout.observations, shown)
            assert rollout.observations.dtype == np.float32
            assert rollout.rewards.tolist() == list(range(t + 1, t + T + 1))
            assert rollout.actions.tolist() == [int(action) for action in actions[steps : steps + T]]
            t, steps = t + T, steps + T
            over = t == length
            assert (rollout.terminated, rollout.truncated) == ((terminated, truncated) if over else (False, False))
            assert (rollout.episode is not None) == over
        assert (rollout.episode.total, rollout.episode.length) == (length * (length + 1) / 2, length)
        assert collecting.steps == steps


@given(st.lists(st.integers(1, 12), min_size=1, max_size=5), rollout_lengths, st.sampled_from(sorted(ENDINGS)))
def test_rollouts_laid_end_to_end_are_the_episodes_and_never_cross_one(lengths, rollout_length, ending):
    collecting = collector(rollout_length, alternate(), lengths=lengths, ending=ending)
    assert_story(collecting, lengths, rollout_length, [t % 2 for t in range(sum(lengths))], ending)


@engines
@settings(max_examples=8)
@given(st.lists(st.integers(1, 700), min_size=1, max_size=4), st.one_of(rollout_lengths, st.integers(60, 600)))
def test_the_policy_uses_its_streams_numbers_in_order_whatever_the_rollouts_are_cut_into(name, lengths, rollout_length):
    """None skipped, none used twice, also where buffers grow in mid-rollout."""
    collecting = collector(rollout_length, fair_coin(name), lengths=lengths)
    assert_story(collecting, lengths, rollout_length, STREAM >= 0.5)


@settings(max_examples=25)
@given(st.lists(st.integers(1, 700), min_size=1, max_size=4), st.one_of(rollout_lengths, st.integers(60, 600)))
def test_the_numbers_themselves_are_the_streams_in_order(lengths, rollout_length):
    seen = []
    policy = acting_by(lambda observation, uniform: seen.append(uniform) or 0)
    collecting = collector(rollout_length, policy, lengths=lengths)
    while collecting.steps < sum(lengths):
        collecting.collect(Free(1))
    np.testing.assert_array_equal(seen, STREAM[: collecting.steps])


@engines
@pytest.mark.parametrize(("lengths", "rollout_length"), [((3000, 2, 5000), "episode"), ((2500, 900), 1100)])
def test_a_rollout_longer_than_any_buffer_is_one_rollout(name, lengths, rollout_length):
    assert_story(collector(rollout_length, fair_coin(name), lengths=lengths), lengths, rollout_length, STREAM >= 0.5)


@pytest.mark.parametrize("start", [-3, 0, 5])
def test_actions_are_counted_from_0_and_offset_for_the_environment(start):
    rollout = collector(6, alternate(), start=start, reward="action").collect(Free(1))
    assert rollout.actions.tolist() == [0, 1, 0, 1, 0, 1]
    assert rollout.rewards.tolist() == [start, start + 1] * 3


def test_what_is_passed_to_the_policy_is_what_is_recorded():
    seen = []

    def policy(observation, uniform):
        seen.append((observation.copy(), uniform))
        return 1

    rollout = collector(8, acting_by(policy), lengths=(50,)).collect(Free(1))
    np.testing.assert_array_equal(rollout.observations[:-1], [observation for observation, _ in seen])
    assert [u for _, u in seen] == STREAM[:8].tolist()


def test_collecting_stops_within_a_step_of_the_schedule():
    schedule, taken = Free(1), []

    def policy(observation, uniform):
        taken.append(uniform)
        if len(taken) == 7:
            schedule.stop()
        return 0

    collecting = collector("episode", acting_by(policy), lengths=(10**6,))
    with pytest.raises(Stopped):
        collecting.collect(schedule)
    assert len(taken) == collecting.steps == 7


# What observations come as


@engines
@pytest.mark.parametrize("dtype", ["float64", "float16", "int64", "uint8"])
def test_observations_of_any_dtype_arrive_as_float32(name, dtype):
    rollout = collector(5, fair_coin(name), dtype=dtype).collect(Free(1))
    assert rollout.observations.dtype == np.float32
    shown = [scripted_observation(0, t, dtype=dtype).astype(np.float32) for t in range(6)]
    np.testing.assert_array_equal(rollout.observations, shown)


@engines
@pytest.mark.parametrize("dress", sorted(DRESSES))
def test_observations_may_come_as_anything_with_the_right_numbers_from_any_step_on(name, dress):
    for before in (0, 1, 3, 7, 70):
        dresses = ["plain"] * before + [dress] * 200
        collecting = collector(7, fair_coin(name), "Dressed-v0", dresses=dresses, lengths=(23, 80))
        assert_story(collecting, (23, 80), 7, STREAM >= 0.5)


@engines
@settings(max_examples=20)
@given(
    st.lists(st.sampled_from(sorted(DRESSES)), min_size=1, max_size=5),
    st.lists(st.integers(1, 150), min_size=1, max_size=3),
    rollout_lengths,
)
def test_observations_may_change_clothes_at_every_step(name, dresses, lengths, rollout_length):
    collecting = collector(rollout_length, fair_coin(name), "Dressed-v0", dresses=dresses, lengths=lengths)
    assert_story(collecting, lengths, rollout_length, STREAM >= 0.5)


@engines
@pytest.mark.parametrize("shape", [(2,), (4,), (3, 1), (1, 3), (1,), (0,), ()])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_an_observation_of_another_size_is_refused_with_its_shape_whenever_it_comes(name, shape, dtype):
    """Of episodes of 23 and 80 steps in rollouts of 5: in one, at a cut, at an end, far into a long episode."""
    for at, rollout_length in product((1, 4, 5, 20, 23, 64, 70), (5, "episode")):
        misbehaving = {"fault": "shape", "at": at, "shape": shape, "dtype": dtype, "lengths": (23, 80)}
        collecting = collector(rollout_length, fair_coin(name), "Misbehaving-v0", **misbehaving)
        with pytest.raises(ValueError, match="observation of shape") as caught:
            collect_to_the_end(collecting)
        assert str(caught.value) == f"observation of shape {shape}, must be (3,)"
        assert at - 1 <= collecting.steps <= at


def collect_to_the_end(collecting, steps=10_000):
    with np.errstate(over="ignore", invalid="ignore"):
        while collecting.steps < steps:
            collecting.collect(Free(1))


# What is not finite


@pytest.mark.parametrize("fault", ["reward", "observation"])
@settings(max_examples=40)
@given(
    at=st.integers(1, 300),
    value=st.sampled_from(["nan", "inf", "-inf"]),
    rollout_length=st.one_of(rollout_lengths, st.integers(60, 200)),
    length=st.sampled_from([1, 7, 64, 100, 10**6]),
)
def test_the_first_number_that_is_not_finite_is_told_by_its_step(fault, at, value, rollout_length, length):
    """In mid-rollout, at its cut, at the end of an episode, long before the end of one that may never end."""
    misbehaving = {"fault": fault, "at": at, "values": (value, "1", "nan"), "lengths": (length,)}
    collecting = collector(rollout_length, fair_coin("compiled"), "Misbehaving-v0", **misbehaving)
    with pytest.raises(Diverged) as caught:
        collect_to_the_end(collecting)
    assert str(caught.value).startswith(f"{fault} is not finite at the worker's environment step {at}: ")
    assert value in str(caught.value)
    assert collecting.steps < at + 100


@engines
@pytest.mark.parametrize("rollout_length", [5, "episode"])
def test_large_numbers_whose_squares_overflow_are_finite(name, rollout_length):
    values = ["1e30", "-1e30", "3e38"]
    misbehaving = {"fault": "observation", "at": 3, "values": values, "lengths": (200,)}
    collecting = collector(rollout_length, fair_coin(name), "Misbehaving-v0", **misbehaving)
    collect_to_the_end(collecting, steps=200)
    assert collecting.steps == 200


@pytest.mark.parametrize("fault", ["step", "four", "exit", "memory", "reset"])
def test_what_the_environment_raises_arrives_as_it_was_raised(fault):
    """Also where it is the first thing that happens in a rollout."""
    raised = {
        "step": RuntimeError,
        "four": ValueError,
        "exit": SystemExit,
        "memory": MemoryError,
        "reset": RuntimeError,
    }
    said = {"step": "scripted failure in step", "four": "not enough values to unpack", "reset": "failure in reset"}
    for at, rollout_length in product((1, 2, 6, 11, 64, 65), (1, 5, "episode")):
        misbehaving = {"fault": fault, "at": at, "lengths": (10, 90)}
        collecting = collector(rollout_length, alternate(), "Misbehaving-v0", **misbehaving)
        with pytest.raises(raised[fault], match=said.get(fault)):
            collect_to_the_end(collecting)


@pytest.mark.parametrize("rollout_length", [100, "episode"])
@pytest.mark.fault(14, "environment: an episode never ends")
def test_an_episode_of_more_than_100_000_steps_counts_as_one_that_never_ends(rollout_length):
    collecting = collector(rollout_length, alternate(), lengths=(7, math.inf))
    with pytest.raises(EpisodeTooLong, match=r"not ended after 100,0[0-9]{2} steps: set max_episode_steps in env_kw"):
        collect_to_the_end(collecting, steps=200_000)
    assert LONGEST_EPISODE == 100_000 <= collecting.steps - 7 < 100_064


# What a rollout leaves behind


@given(st.lists(st.integers(1, 30), min_size=2, max_size=4), st.integers(1, 15))
def test_a_rollout_starts_where_the_last_one_of_its_episode_was_cut(lengths, rollout_length):
    collecting = collector(rollout_length, alternate(), lengths=lengths)
    rollouts = []
    while collecting.steps < sum(lengths):
        rollout = collecting.collect(Free(1))
        rollouts.append((rollout.observations.copy(), rollout.episode))
    for (one, episode), (following, _) in pairwise(rollouts):
        assert episode is not None or one[-1].tolist() == following[0].tolist()
