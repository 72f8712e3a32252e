"""Stable-Baselines3 computes n-step returns and λ-returns too; where it can say, the targets are the same."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3.common.buffers import NStepReplayBuffer, RolloutBuffer

from a3c import n_step_targets
from a3c.targets.n_step import discounted_returns

SPACES = gym.spaces.Box(-1000, 1000, (1,), np.float32), gym.spaces.Discrete(2)
FLOAT32 = {"rel": 1e-5, "abs": 1e-4}

number = st.floats(-10, 10, width=32)
gamma = st.floats(0.125, 1, width=32)


@st.composite
def rollouts(draw):
    T = draw(st.integers(1, 10))
    row = st.lists(number, min_size=T, max_size=T).map(np.array)
    return draw(row), draw(row), draw(number)


@settings(max_examples=60)
@given(rollouts(), gamma, st.integers(1, 13), st.booleans())
def test_max_terms_is_what_its_n_step_replay_buffer_returns(rollout, gamma, n, ends):
    rewards, values, bootstrap = rollout
    T = len(rewards)
    buffer = NStepReplayBuffer(T + n + 1, *SPACES, device="cpu", n_envs=1, n_steps=n, gamma=gamma)
    for t, reward in enumerate(rewards):
        done = np.array([ends and t == T - 1])
        buffer.add(np.array([[t]]), np.array([[t + 1]]), np.array([[0]]), np.array([reward]), done, [{}])
    samples = buffer.sample(40)
    t = samples.observations.numpy().astype(int).ravel()
    following = samples.next_observations.numpy().astype(int).ravel()
    value_after = np.append(values, bootstrap)[following] * (1 - samples.dones.numpy().ravel())
    theirs = samples.rewards.numpy().ravel() + samples.discounts.numpy().ravel() * value_after

    ours = n_step_targets(rewards, values, 0.0 if ends else bootstrap, gamma, n, "max_terms")
    assert ours[t] == pytest.approx(theirs, **FLOAT32)


@settings(max_examples=60)
@given(rollouts(), gamma, st.booleans())
def test_windows_over_the_whole_rollout_are_its_lambda_return_at_one(rollout, gamma, ends):
    rewards, values, bootstrap = rollout
    T = len(rewards)
    buffer = RolloutBuffer(T, *SPACES, device="cpu", gae_lambda=1.0, gamma=gamma, n_envs=1)
    for t in range(T):
        start, value = np.array([t == 0]), torch.tensor([values[t]])
        buffer.add(np.array([[t]]), np.array([[0]]), np.array([rewards[t]]), start, value, torch.zeros(1))
    buffer.compute_returns_and_advantage(torch.tensor([bootstrap]), np.array([ends]))

    b = 0.0 if ends else bootstrap
    theirs = buffer.returns.ravel()
    assert n_step_targets(rewards, values, b, gamma, T, "max_terms") == pytest.approx(theirs, **FLOAT32)
    assert discounted_returns(rewards, b, gamma) == pytest.approx(theirs, **FLOAT32)
