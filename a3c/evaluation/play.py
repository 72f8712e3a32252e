"""Play episodes after training: in every environment as training steps it, several at a time.

An environment is made for each episode, reset once with a seed of its own and never again, at most ``LANES`` of them at
a time; what training does not read (infos, options) is not asked for. Gymnasium's hand-vectorised CartPole, which is
proven to step as its single one does, plays all episodes of a run in one batch.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from a3c.config import TrainConfig
from a3c.environments.making import (
    ENVIRONMENT_ERRORS,
    LONGEST_EPISODE,
    Spaces,
    close,
    first_not_finite,
    make,
    registered,
    require_shape,
)
from a3c.errors import Diverged, EpisodeTooLong, EvaluationFailed
from a3c.networks.layout import Layout
from a3c.streams import Purpose, generator, reset_seed

RANDOM_EPISODES = 200
RANDOM_SEED = 0
LANES = 32  # environments open at a time
CARTPOLE = "gymnasium.envs.classic_control.cartpole:"
CARTPOLE_ARGUMENTS = {"sutton_barto_reward", "max_episode_steps", "render_mode"}  # its batch takes them alike
# Of this process: every run of a study asks for the same one. The registration is kept with it, as it may be replaced.
_RANDOM_RETURNS: dict[str, tuple[object, float]] = {}

Observations = NDArray[np.float32]
Policy = Callable[[Observations, NDArray[np.int64], int], NDArray[np.int64]]


class Episodes(NamedTuple):
    """One episode of each of N environments: undiscounted returns and lengths in steps, ``[N]``."""

    returns: NDArray[np.float64]
    lengths: NDArray[np.int64]


def evaluate(
    config: TrainConfig, layout: Layout, spaces: Spaces, snapshots: NDArray[np.float32], endless: bool = False
) -> Episodes:
    """Evaluate K snapshots on ``evaluation_episodes`` episodes each.

    Args:
        config: the run's settings; its seed seeds the environments, so arms that share it share start states.
        layout: the networks' shapes.
        spaces: the environment's spaces.
        snapshots: flat parameters, float32 ``[K, size]``.
        endless: whether no episode ended in training: then one is played alone first, so that it is soon known
            whether any ends.

    Returns:
        Returns and lengths, each ``[K, evaluation_episodes]``.

    Raises:
        Diverged: if an observation, a reward or a return is not finite.
        EvaluationFailed: if an environment raises anything, or an episode does not end.
    """
    count, episodes = len(snapshots), config.evaluation_episodes
    layers = layout.layers(snapshots, "actor")
    random = generator(config.seed, Purpose.EVALUATION_ACTIONS)

    def policy_of(first: int, last: int) -> Policy:
        """Return the policy of these snapshots, for as many episodes of each, snapshot by snapshot."""
        some = [(weight[first:last], bias[first:last]) for weight, bias in layers]

        def policy(observations: Observations, playing: object, step: object) -> NDArray[np.int64]:
            batches = observations.reshape(last - first, -1, spaces.observation_size)
            logits = forward(some, config.activation, batches)
            if config.evaluation_policy == "sampled":  # by the Gumbel-max trick
                logits += random.gumbel(size=logits.shape).astype(np.float32)
            return np.asarray(logits.argmax(axis=-1).reshape(-1) + spaces.first_action)

        return policy

    seed = reset_seed(config.seed, Purpose.EVALUATION_ENVIRONMENT)
    who = f"evaluation at step {{step}} of its episodes, seed {config.seed}"
    if endless:
        play(config, spaces, 1, policy_of(count - 1, count), seed, who)
    at_once = count if _is_vectorised_by_hand(config) else 1
    played = [
        play(config, spaces, at_once * episodes, policy_of(k, k + at_once), seed + k * episodes, who)
        for k in range(0, count, at_once)
    ]
    returns, lengths = (np.concatenate(parts).reshape(count, episodes) for parts in zip(*played, strict=True))
    return Episodes(returns, lengths)


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


def play(config: TrainConfig, spaces: Spaces, count: int, policy: Policy, seed: int, who: str) -> Episodes:
    """Play ``count`` episodes, each in an environment of its own.

    Args:
        config: names the environment.
        spaces: its spaces.
        count: how many.
        policy: called with the observations of those that run, float32 ``[n, k]``, their numbers ``[n]``, and how
            many steps each has taken; returns the environments' actions ``[n]``.
        seed: of the first environment; each has the one after.
        who: whose episodes they are, for error messages, which fill in ``{step}``.

    Raises:
        Diverged: see :func:`evaluate`.
        EvaluationFailed: likewise.
    """
    played = Episodes(np.zeros(count), np.zeros(count, dtype=np.int64))

    def message(error: object) -> str:
        return f"{config.env_id}: {who.format(step=played.lengths.max())}: {error}"

    try:
        with np.errstate(over="ignore", invalid="ignore"):
            if _is_vectorised_by_hand(config):
                _play_in_a_batch(config, policy, seed, played)
            else:
                for start in range(0, count, LANES):
                    lanes = slice(start, start + LANES)
                    side_by_side = Episodes(played.returns[lanes], played.lengths[lanes])
                    _play_side_by_side(config, spaces, policy, seed, start, side_by_side)
            _require_finite("return", played.returns)
    except Diverged as error:
        raise Diverged(message(error)) from error
    except ENVIRONMENT_ERRORS as error:
        raise EvaluationFailed(message(f"{type(error).__name__}: {error}")) from error
    return played


def _play_side_by_side(
    config: TrainConfig, spaces: Spaces, policy: Policy, seed: int, first: int, played: Episodes
) -> None:
    """Play the episodes from number ``first`` on into ``played``, which an error leaves as far as they got."""
    returns, lengths = played
    count, size = len(returns), spaces.observation_size
    observations, rewards = np.empty((count, size), dtype=np.float32), np.zeros(count)
    kwargs, field = evaluation_kwargs(config), _kwargs_field(config)
    with ExitStack() as stack:  # closes them, each for itself, whichever fails to be made or to close
        environments = []
        for _ in range(count):
            environments.append(make(config.env_id, kwargs, field))
            stack.callback(close, environments[-1])
        for lane, environment in enumerate(environments):
            observation = environment.reset(seed=seed + first + lane)[0]
            require_shape(observation, (size,))
            observations[lane] = observation
        _require_finite("observation", observations)
        running, step = np.arange(count), 0
        while running.size:
            _require_an_end(config, step)
            actions = policy(observations[running], first + running, step).tolist()
            going = []
            for lane, action in zip(running.tolist(), actions, strict=True):
                observation, rewards[lane], terminated, truncated, _ = environments[lane].step(action)
                require_shape(observation, (size,))
                observations[lane] = observation
                if not (terminated or truncated):
                    going.append(lane)
            returns[running] += rewards[running]
            lengths[running] += 1
            _require_finite("reward", rewards[running])
            _require_finite("observation", observations[running])
            running, step = np.array(going, dtype=np.int64), step + 1


def _play_in_a_batch(config: TrainConfig, policy: Policy, seed: int, played: Episodes) -> None:
    """Play as :func:`_play_side_by_side` does, all in one environment that is vectorised by hand."""
    returns, lengths = played
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is out of date", category=DeprecationWarning)
        environments: gym.vector.VectorEnv[Any, Any, Any] = gym.make_vec(
            config.env_id, num_envs=len(returns), **evaluation_kwargs(config)
        )
    with ExitStack() as stack:
        stack.callback(close, environments)
        observations, _ = environments.reset(seed=seed)
        running, everyone, step = np.ones(len(returns), dtype=np.bool_), np.arange(len(returns)), 0
        while running.any():
            _require_an_end(config, step)
            actions = policy(observations, everyone, step)
            observations, rewards, terminated, truncated, _ = environments.step(actions)
            returns[running] += rewards[running]
            lengths += running
            running &= ~(terminated | truncated)
            step += 1


def _is_vectorised_by_hand(config: TrainConfig) -> bool:
    """Return whether the environment is Gymnasium's own CartPole, with arguments that its batch takes alike."""
    spec, kwargs = registered(config.env_id), evaluation_kwargs(config)
    if spec is None:
        return False
    limit = kwargs.get("max_episode_steps", spec.max_episode_steps)
    return (
        type(limit) is int
        and limit > 0  # the single one may have none
        and (spec.entry_point, spec.vector_entry_point) == (CARTPOLE + "CartPoleEnv", CARTPOLE + "CartPoleVectorEnv")
        and not spec.additional_wrappers
        and not spec.kwargs
        and kwargs.keys() <= CARTPOLE_ARGUMENTS
    )


def _require_an_end(config: TrainConfig, step: int) -> None:
    if step >= LONGEST_EPISODE:
        raise EpisodeTooLong(LONGEST_EPISODE, _kwargs_field(config))


def _require_finite(name: str, values: NDArray[Any]) -> None:
    """Raise ``Diverged`` at the first of the values that is not finite."""
    if (index := first_not_finite(values)) is not None:
        raise Diverged(f"{name} is not finite: {values[index]}")


def random_return(config: TrainConfig, spaces: Spaces) -> float:
    """Return the uniform random policy's mean return: a constant of the environment, whatever the run's seed.

    Raises:
        Diverged: see :func:`evaluate`.
        EvaluationFailed: likewise.
    """
    key = repr((config.env_id, evaluation_kwargs(config)))
    registration = registered(config.env_id)
    known, value = _RANDOM_RETURNS.get(key, (None, 0.0))
    if known is None or known is not registration:
        value = _random_return(config, spaces)
        _RANDOM_RETURNS[key] = registration, value
    return value


def evaluation_kwargs(config: TrainConfig) -> Mapping[str, Any]:
    """Return the arguments the evaluation environment is made with."""
    kwargs: Mapping[str, Any] = getattr(config, _kwargs_field(config))
    return kwargs


def _kwargs_field(config: TrainConfig) -> str:
    return "env_kwargs" if config.evaluation_env_kwargs is None else "evaluation_env_kwargs"


def _random_return(config: TrainConfig, spaces: Spaces) -> float:
    random = generator(RANDOM_SEED, Purpose.EVALUATION_ACTIONS)
    drawn: list[NDArray[np.int64]] = []  # step by step for all episodes, those that have ended, too

    def policy(observations: object, playing: NDArray[np.int64], step: int) -> NDArray[np.int64]:
        while len(drawn) <= step:
            drawn.append(random.integers(spaces.actions, size=RANDOM_EPISODES))
        return np.asarray(spaces.first_action + drawn[step][playing])

    who = f"the random policy at step {{step}} of its episodes, seed {RANDOM_SEED}"
    return float(play(config, spaces, RANDOM_EPISODES, policy, RANDOM_SEED, who).returns.mean())
