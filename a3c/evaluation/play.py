"""Evaluation: all parameter snapshots of a run together, after training, in one vectorised batch."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from a3c.config import TrainConfig
from a3c.environments.making import (
    ENVIRONMENT_ERRORS,
    LONGEST_EPISODE,
    Environment,
    Spaces,
    close,
    first_not_finite,
    make,
)
from a3c.errors import Diverged, EpisodeTooLong, EvaluationFailed
from a3c.networks.layout import Layout
from a3c.streams import Purpose, generator, reset_seed

RANDOM_EPISODES = 200
RANDOM_SEED = 0
_RANDOM_RETURNS: dict[str, float] = {}  # of this process: every run of a study asks for the same one

Observations = NDArray[np.float32]
Environments = gym.vector.VectorEnv[Any, Any, Any]
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

    Raises:
        Diverged: if an observation, a reward or a return is not finite.
        EvaluationFailed: if the environments raise anything, or an episode does not end.
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
    who = f"evaluation at step {{step}} of its episodes, seed {config.seed}"
    played = play(config, count * episodes, policy, seed, who)
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


def play(config: TrainConfig, count: int, policy: Policy, seed: int, who: str) -> Episodes:
    """Play one episode in each of ``count`` environments; the hand-vectorised environment is used where one exists.

    Args:
        config: names the environment.
        count: how many.
        policy: observations ``[count, k]`` → the environments' actions ``[count]``.
        seed: of the environments.
        who: whose episodes they are, for error messages, which fill in ``{step}``.

    Raises:
        Diverged: see :func:`evaluate`.
        EvaluationFailed: likewise.
    """
    played = Episodes(np.zeros(count), np.zeros(count, dtype=np.int64))

    def message(error: object) -> str:
        return f"{config.env_id}: {who.format(step=played.lengths.max())}: {error}"

    try:
        with ExitStack() as stack, np.errstate(over="ignore", invalid="ignore"):
            _play(config, _vectorised(config, count, stack), policy, seed, played)
    except Diverged as error:
        raise Diverged(message(error)) from error
    except ENVIRONMENT_ERRORS as error:
        raise EvaluationFailed(message(f"{type(error).__name__}: {error}")) from error
    return played


def _play(config: TrainConfig, environments: Environments, policy: Policy, seed: int, played: Episodes) -> None:
    """Play one episode in each environment into ``played``, which an error leaves as far as they got."""
    returns, lengths = played
    observations, _ = environments.reset(seed=seed)
    running = np.ones(len(returns), dtype=np.bool_)
    _require_finite("observation", observations, running)
    while running.any():
        if lengths.max() >= LONGEST_EPISODE:
            raise EpisodeTooLong(LONGEST_EPISODE, _kwargs_field(config))
        observations, rewards, terminated, truncated, _ = environments.step(policy(observations))
        returns[running] += rewards[running]
        lengths += running
        _require_finite("reward", rewards, running)
        _require_finite("observation", observations, running)
        running &= ~(terminated | truncated)
    _require_finite("return", returns, np.ones_like(running))


def _require_finite(name: str, values: NDArray[Any], running: NDArray[np.bool_]) -> None:
    """Raise ``Diverged`` if a running environment shows what is not finite; those that are done may show anything."""
    if np.isfinite(values).all():
        return
    if (index := first_not_finite(values[running])) is not None:
        raise Diverged(f"{name} is not finite: {values[running][index]}")


def random_return(config: TrainConfig, spaces: Spaces) -> float:
    """Return the uniform random policy's mean return: a constant of the environment, whatever the run's seed.

    Raises:
        Diverged: see :func:`evaluate`.
        EvaluationFailed: likewise.
    """
    key = repr((config.env_id, evaluation_kwargs(config)))
    if key not in _RANDOM_RETURNS:
        _RANDOM_RETURNS[key] = _random_return(config, spaces)
    return _RANDOM_RETURNS[key]


def evaluation_kwargs(config: TrainConfig) -> Mapping[str, Any]:
    """Return the arguments the evaluation environment is made with."""
    kwargs: Mapping[str, Any] = getattr(config, _kwargs_field(config))
    return kwargs


def _kwargs_field(config: TrainConfig) -> str:
    return "env_kwargs" if config.evaluation_env_kwargs is None else "evaluation_env_kwargs"


def _random_return(config: TrainConfig, spaces: Spaces) -> float:
    random = generator(RANDOM_SEED, Purpose.EVALUATION_ACTIONS)

    def policy(observations: Observations) -> NDArray[np.int64]:
        return np.asarray(spaces.first_action + random.integers(spaces.actions, size=len(observations)))

    who = f"the random policy at step {{step}} of its episodes, seed {RANDOM_SEED}"
    return float(play(config, RANDOM_EPISODES, policy, RANDOM_SEED, who).returns.mean())


def _vectorised(config: TrainConfig, count: int, stack: ExitStack) -> Environments:
    """Make ``count`` environments; the stack closes them, each for itself, whichever fails to be made or to close."""
    kwargs, field = evaluation_kwargs(config), _kwargs_field(config)
    environments = []
    for _ in range(count):
        environments.append(make(config.env_id, kwargs, field))
        stack.callback(close, environments[-1])
        spec = environments[-1].unwrapped.spec
        if spec is not None and spec.vector_entry_point is not None:
            return _by_hand(config.env_id, kwargs, count, stack)
    return gym.vector.SyncVectorEnv([partial(_itself, environment) for environment in environments])


def _itself(environment: Environment) -> Environment:
    return environment


def _by_hand(env_id: str, env_kwargs: Mapping[str, Any], count: int, stack: ExitStack) -> Environments:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is out of date", category=DeprecationWarning)
        environments: Environments = gym.make_vec(env_id, num_envs=count, **env_kwargs)
    stack.callback(close, environments)
    return environments
