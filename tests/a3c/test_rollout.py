"""Collecting: rollouts are the environment's own story, cut at its ends and at the rollout length."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from a3c.environment import make, spaces_of
from a3c.rollout import Collector
from a3c.schedules import Free, Stopped
from a3c.streams import Purpose, Uniforms, generator
from tests.a3c.oracles import small_config
from tests.environments import ENDINGS, scripted_observation


def collector(rollout_length, env_id="Scripted-v0", **env_kwargs):
    small_config()  # the environments are registered
    environment = make(env_id, env_kwargs)
    spaces = spaces_of(environment, env_id)
    return Collector(environment, spaces, rollout_length, 0, Uniforms(generator(0, Purpose.ACTIONS)))


def alternate():
    """Actions 0, 1, 0, 1, …, whatever is observed."""
    taken = iter(range(10**9))
    return lambda observation, uniform: next(taken) % 2


@given(
    st.lists(st.integers(1, 12), min_size=1, max_size=5),
    st.one_of(st.just("episode"), st.integers(1, 15)),
    st.sampled_from(sorted(ENDINGS)),
)
def test_rollouts_laid_end_to_end_are_the_episodes_and_never_cross_one(lengths, rollout_length, ending):
    collecting, act = collector(rollout_length, lengths=lengths, ending=ending), alternate()
    terminated, truncated = ENDINGS[ending]
    steps = 0
    for episode, length in enumerate(lengths):
        t = 0
        while t < length:
            rollout = collecting.collect(act, Free())
            T = len(rollout)
            assert length - t == T if rollout_length == "episode" else min(rollout_length, length - t) == T
            shown = [scripted_observation(episode, i) for i in range(t, t + T + 1)]
            np.testing.assert_array_equal(rollout.observations, shown)
            assert rollout.rewards.tolist() == list(range(t + 1, t + T + 1))
            assert rollout.actions.tolist() == [i % 2 for i in range(steps, steps + T)]
            t, steps = t + T, steps + T
            over = t == length
            assert (rollout.terminated, rollout.truncated) == ((terminated, truncated) if over else (False, False))
            assert (rollout.episode is not None) == over
        assert (rollout.episode.total, rollout.episode.length) == (length * (length + 1) / 2, length)
        assert collecting.steps == steps


def test_an_episode_longer_than_any_buffer_is_one_rollout():
    rollout = collector("episode", lengths=(3000,)).collect(alternate(), Free())
    assert rollout.rewards.tolist() == list(range(1, 3001))
    np.testing.assert_array_equal(rollout.observations[2500], scripted_observation(0, 2500))
    np.testing.assert_array_equal(rollout.observations[-1], scripted_observation(0, 3000))
    assert rollout.episode.length == 3000


@pytest.mark.parametrize("start", [-3, 0, 5])
def test_actions_are_counted_from_0_and_offset_for_the_environment(start):
    rollout = collector(6, start=start, reward="action").collect(alternate(), Free())
    assert rollout.actions.tolist() == [0, 1, 0, 1, 0, 1]
    assert rollout.rewards.tolist() == [start, start + 1] * 3


@pytest.mark.parametrize("dtype", ["float64", "float16", "int64", "uint8"])
def test_observations_of_any_dtype_arrive_as_float32(dtype):
    rollout = collector(5, dtype=dtype).collect(alternate(), Free())
    assert rollout.observations.dtype == np.float32
    shown = [scripted_observation(0, t, dtype=dtype).astype(np.float32) for t in range(6)]
    np.testing.assert_array_equal(rollout.observations, shown)


def test_what_is_passed_to_the_policy_is_what_is_recorded():
    seen = []

    def act(observation, uniform):
        seen.append((observation.copy(), uniform))
        return 1

    rollout = collector(8, lengths=(50,)).collect(act, Free())
    np.testing.assert_array_equal(rollout.observations[:-1], [observation for observation, _ in seen])
    assert [u for _, u in seen] == generator(0, Purpose.ACTIONS).random(8).tolist()


def test_collecting_stops_within_a_step_of_the_schedule():
    collecting, schedule, taken = collector("episode", lengths=(10**6,)), Free(), []

    def act(observation, uniform):
        taken.append(uniform)
        if len(taken) == 7:
            schedule.stop()
        return 0

    with pytest.raises(Stopped):
        collecting.collect(act, schedule)
    assert len(taken) == collecting.steps == 7
