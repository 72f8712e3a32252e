"""Evaluation: all parameter snapshots of a run together, after training, in one vectorised batch."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from a3c.environment import Spaces
from a3c.parameters import Layout
from a3c.streams import Purpose, generator, reset_seed

if TYPE_CHECKING:
    from a3c.config import TrainConfig

RANDOM_EPISODES = 200
RANDOM_SEED = 0
_RANDOM_RETURNS: dict[str, float] = {}  # of this process: every run of a study asks for the same one

Observations = NDArray[np.float32]
Policy = Callable[[Observations], NDArray[np.int64]]


class Episodes(NamedTuple):
    """One episode of each of N environments: undiscounted returns and lengths in steps, ``[N]``."""

    returns: NDArray[np.float64]
    lengths: NDArray[np.int64]


def evaluate(config: TrainConfig, layout: Layout, spaces: Spaces, snapshots: NDArray[np.float32]) -> Episodes:
    """Evaluate K snapshots on ``evaluation_episodes`` episodes each.

    Args:
        config: the run's settings; its seed seeds the environments, so arms that share it share start states.
        layout: the networks' shapes.
        spaces: the environment's spaces.
        snapshots: flat parameters, float32 ``[K, size]``.

    Returns:
        Returns and lengths, each ``[K, evaluation_episodes]``.
    """
    count, episodes = len(snapshots), config.evaluation_episodes
    layers = layout.layers(snapshots, "actor")
    random = generator(config.seed, Purpose.EVALUATION_ACTIONS)

    def policy(observations: Observations) -> NDArray[np.int64]:
        logits = forward(layers, config.activation, observations.reshape(count, episodes, -1))
        if config.evaluation_policy == "sampled":  # by the Gumbel-max trick
            logits += random.gumbel(size=logits.shape).astype(np.float32)
        return np.asarray(logits.argmax(axis=-1).reshape(-1) + spaces.first_action)

    seed = reset_seed(config.seed, Purpose.EVALUATION_ENVIRONMENT)
    played = play(config.env_id, evaluation_kwargs(config), count * episodes, policy, seed)
    return Episodes(played.returns.reshape(count, episodes), played.lengths.reshape(count, episodes))


def forward(
    layers: list[tuple[NDArray[np.float32], NDArray[np.float32]]], activation: str, inputs: Observations
) -> NDArray[np.float32]:
    """Apply K MLPs to K batches: inputs ``[K, N, k]``, weights ``[K, out, in]`` → ``[K, N, out]``."""
    x = inputs
    for i, (weight, bias) in enumerate(layers):
        x = np.matmul(x, weight.swapaxes(-1, -2)) + bias[..., None, :]
        if i < len(layers) - 1:
            x = np.tanh(x) if activation == "tanh" else np.clip(x, 0, 6 if activation == "relu6" else None)
    return x


def play(env_id: str, env_kwargs: Mapping[str, Any], count: int, policy: Policy, seed: int) -> Episodes:
    """Play one episode in each of ``count`` environments; the hand-vectorised environment is used where one exists."""
    environments = _vectorised(env_id, env_kwargs, count)
    try:
        observations, _ = environments.reset(seed=seed)
        returns = np.zeros(count)
        lengths = np.zeros(count, dtype=np.int64)
        running = np.ones(count, dtype=np.bool_)
        while running.any():
            observations, rewards, terminated, truncated, _ = environments.step(policy(observations))
            returns[running] += rewards[running]
            lengths += running
            running &= ~(terminated | truncated)
        return Episodes(returns, lengths)
    finally:
        environments.close()


def random_return(config: TrainConfig) -> float:
    """Return the uniform random policy's mean return: a constant of the environment, whatever the run's seed."""
    env_kwargs = evaluation_kwargs(config)
    key = repr((config.env_id, env_kwargs))
    if key not in _RANDOM_RETURNS:
        _RANDOM_RETURNS[key] = _random_return(config.env_id, env_kwargs)
    return _RANDOM_RETURNS[key]


def evaluation_kwargs(config: TrainConfig) -> Mapping[str, Any]:
    """Return the arguments the evaluation environment is made with."""
    return config.env_kwargs if config.evaluation_env_kwargs is None else config.evaluation_env_kwargs


def _random_return(env_id: str, env_kwargs: Mapping[str, Any]) -> float:
    random = generator(RANDOM_SEED, Purpose.EVALUATION_ACTIONS)
    single = _vectorised(env_id, env_kwargs, 1)
    space = single.single_action_space
    single.close()
    assert isinstance(space, gym.spaces.Discrete)  # noqa: S101 - checked before training

    def policy(observations: Observations) -> NDArray[np.int64]:
        return np.asarray(space.start + random.integers(space.n, size=len(observations)))

    return float(play(env_id, env_kwargs, RANDOM_EPISODES, policy, RANDOM_SEED).returns.mean())


def _vectorised(env_id: str, env_kwargs: Mapping[str, Any], count: int) -> gym.vector.VectorEnv[Any, Any, Any]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is out of date", category=DeprecationWarning)
        return gym.make_vec(env_id, num_envs=count, **env_kwargs)
