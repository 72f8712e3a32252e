"""Collecting rollouts: the only place that steps a training environment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from a3c.environment import Environment, Spaces, first_not_finite
from a3c.errors import Diverged
from a3c.schedules import Schedule, Stopped
from a3c.streams import Uniforms

FIRST_CAPACITY = 512
CHECK_EVERY = 64


@dataclass(frozen=True, slots=True)
class Episode:
    """A finished training episode: undiscounted return, and length in environment steps."""

    total: float
    length: int


@dataclass(frozen=True, slots=True)
class Rollout:
    """T transitions of one episode, cut by its end or by the rollout length.

    The arrays are views into the collector's buffers: the next ``collect`` overwrites them.

    Attributes:
        observations: s_0 … s_T, float32 ``[T + 1, k]``; the last is what follows the cut.
        actions: int64 ``[T]``, counted from 0.
        rewards: float64 ``[T]``.
        terminated: the task ended at the cut.
        truncated: a time limit ended the episode at the cut.
        episode: the episode that ended at the cut, if one did.
    """

    observations: NDArray[np.float32]
    actions: NDArray[np.int64]
    rewards: NDArray[np.float64]
    terminated: bool
    truncated: bool
    episode: Episode | None

    def __len__(self) -> int:
        return len(self.rewards)


class Collector:
    """One worker's environment and where its episode stands.

    Args:
        environment: made by :func:`a3c.environment.make`; owned by this collector alone.
        spaces: its spaces.
        rollout_length: steps, or ``"episode"``.
        reset_seed: seed of the environment's own generator.
        uniforms: the stream actions are sampled with.
    """

    def __init__(
        self,
        environment: Environment,
        spaces: Spaces,
        rollout_length: int | Literal["episode"],
        reset_seed: int,
        uniforms: Uniforms,
    ) -> None:
        self._environment = environment
        self._first_action = spaces.first_action
        self._limit = None if rollout_length == "episode" else rollout_length
        self._uniforms = uniforms
        capacity = self._limit or FIRST_CAPACITY
        self._observations = np.empty((capacity + 1, spaces.observation_size), dtype=np.float32)
        self._actions = np.empty(capacity, dtype=np.int64)
        self._rewards = np.empty(capacity, dtype=np.float64)
        self._reset_seed: int | None = reset_seed
        self._following: NDArray[np.float32] | None = None
        self._return = 0.0
        self._length = 0
        self.steps = 0

    def collect(self, act: Callable[[NDArray[np.float32], float], int], schedule: Schedule) -> Rollout:
        """Act until the cut.

        Args:
            act: maps an observation ``[k]`` and a uniform number to an action.
            schedule: asked at every step whether training has stopped.

        Raises:
            Stopped: if training stopped meanwhile; the rollout is discarded.
            Diverged: if a reward or an observation is not finite.
        """
        step, uniform = self._environment.step, self._uniforms.next
        limit, first_action = self._limit, self._first_action
        shape = self._observations.shape[1:]
        self._observations[0] = self._following if self._following is not None else self._reset()
        t = 0
        try:
            while True:
                if t == len(self._rewards):
                    self._grow()
                action = act(self._observations[t], uniform())
                observation, reward, terminated, truncated, _ = step(action + first_action)
                if getattr(observation, "shape", None) != shape:
                    self._require_shape(observation)
                self._actions[t] = action
                self._rewards[t] = reward
                self._observations[t + 1] = observation
                t += 1
                if not t % CHECK_EVERY:  # an episode fed with NaN may never end
                    self._require_finite(t - CHECK_EVERY, t)
                if terminated or truncated or t == limit:
                    break
                if schedule.stopped:
                    raise Stopped
            self._require_finite(0, t)
        except (Stopped, Diverged):
            raise
        except Exception:
            self._require_finite(0, t)  # what broke on a NaN diverged
            raise
        finally:
            self.steps += t
        return self._cut(t, bool(terminated), bool(truncated))

    def _cut(self, t: int, terminated: bool, truncated: bool) -> Rollout:
        observations, rewards = self._observations[: t + 1], self._rewards[:t]
        self._return += float(rewards.sum())
        self._length += t
        episode = None
        self._following = observations[t].copy()
        if terminated or truncated:
            episode = Episode(self._return, self._length)
            self._following, self._return, self._length = None, 0.0, 0
        return Rollout(observations, self._actions[:t], rewards, terminated, truncated, episode)

    def _require_shape(self, observation: ArrayLike) -> None:
        """Refuse what numpy would broadcast: an observation has the shape the environment declared."""
        if np.shape(observation) != (shape := self._observations.shape[1:]):
            raise ValueError(f"observation of shape {np.shape(observation)}, must be {shape}")

    def _require_finite(self, start: int, end: int) -> None:
        """Raise ``Diverged`` at the first reward or observation of steps ``start`` to ``end`` that is not finite."""
        rewards, observations = self._rewards[start:end], self._observations[start : end + 1]
        for name, values, offset in (("reward", rewards, 1), ("observation", observations, 0)):
            if (index := first_not_finite(values)) is not None:
                step = self.steps + start + index + offset
                raise Diverged(f"{name} is not finite at the worker's environment step {step}: {values[index]}")

    def _reset(self) -> NDArray[np.float32]:
        seed, self._reset_seed = self._reset_seed, None  # later episodes follow from the environment's own generator
        observation: NDArray[np.float32] = self._environment.reset(seed=seed)[0]
        self._require_shape(observation)
        return observation

    def _grow(self) -> None:
        size = len(self._rewards)
        self._observations = np.concatenate([self._observations, np.empty_like(self._observations[:size])])
        self._actions = np.concatenate([self._actions, np.empty_like(self._actions)])
        self._rewards = np.concatenate([self._rewards, np.empty_like(self._rewards)])
