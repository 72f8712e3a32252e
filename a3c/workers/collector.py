"""Collecting rollouts: the only place that steps a training environment."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from a3c.environments.making import LONGEST_EPISODE, Environment, Spaces, first_not_finite, require_shape
from a3c.errors import Diverged, EpisodeTooLong
from a3c.rollout import FIRST_CAPACITY, Act, Episode, Rollout, Steps
from a3c.schedules import Schedule, Stopped
from a3c.streams import Uniforms

CHECK_EVERY = 64  # steps between checks of what a long rollout has gathered


class Collector:
    """One worker's environment, in the middle of an episode or between two.

    Args:
        environment: made by :func:`a3c.environments.making.make`; owned by this collector alone.
        spaces: its spaces.
        rollout_length: steps, or ``"episode"``.
        reset_seed: seed of the environment's own generator.
        uniforms: the stream actions are sampled with.
        acting: binds the policy to where rollouts are written, see :meth:`a3c.engines.base.Engine.acting`.
    """

    def __init__(
        self,
        environment: Environment,
        spaces: Spaces,
        rollout_length: int | Literal["episode"],
        reset_seed: int,
        uniforms: Uniforms,
        acting: Callable[[Steps], Act],
    ) -> None:
        self._environment = environment
        self._first_action = spaces.first_action
        self._limit = None if rollout_length == "episode" else rollout_length
        self._shape = (spaces.observation_size,)
        self._uniforms = uniforms
        self._acting = acting
        self._converting = False
        self._bind(Steps.room(min(self._limit or FIRST_CAPACITY, FIRST_CAPACITY), spaces.observation_size))
        self._reset_seed: int | None = reset_seed
        self._following: Any = None
        self._return = 0.0
        self._length = 0
        self.steps = 0

    def collect(self, schedule: Schedule) -> Rollout:
        """Act until the cut; return the rollout.

        Args:
            schedule: asked at every step whether training has stopped.

        Raises:
            Stopped: if training stopped meanwhile; the rollout is discarded.
            Diverged: if a reward or an observation is not finite.
            EpisodeTooLong: if the episode has not ended after :data:`~a3c.environments.making.LONGEST_EPISODE` steps.
        """
        observation = self._following if self._following is not None else self._reset()
        t, checked, next_check = 0, 0, self._prepare(0)
        act, step, rewards = self._act, self._environment.step, self._steps.rewards
        limit, first_action = self._limit, self._first_action
        try:
            while True:
                try:
                    action = act(observation, t)
                except TypeError:  # not a float32 array of its own; the environment's ways are known from now on
                    act = self._convert()
                    action = act(observation, t)
                observation, reward, terminated, truncated, _ = step(action + first_action)
                rewards[t] = reward
                t += 1
                if terminated or truncated or t == limit:
                    break
                if t == next_check:  # an episode fed with NaN may never end
                    self._check(observation, checked, t)
                    checked, next_check = t, self._prepare(t)
                    act, rewards = self._act, self._steps.rewards
                if schedule.stopped:
                    raise Stopped
            self._check(observation, checked, t)
        except (Stopped, Diverged):
            raise
        except Exception:
            self._record(observation, t)
            self._require_finite(0, t)  # what broke on a NaN diverged
            raise
        finally:
            self.steps += t
        return self._cut(t, observation, bool(terminated), bool(truncated))

    def _cut(self, t: int, observation: Any, terminated: bool, truncated: bool) -> Rollout:
        observations, actions, rewards, _ = self._steps
        self._length += t
        if terminated or truncated:
            episode = Episode(self._return, self._length)
            self._following, self._return, self._length = None, 0.0, 0
        else:
            episode, self._following = None, observation
        return Rollout(observations[: t + 1], actions[:t], rewards[:t], terminated, truncated, episode)

    def _check(self, observation: Any, start: int, end: int) -> None:
        """Check the steps since the last check: record the last observation, count, refuse what is not finite."""
        self._record(observation, end)
        total = sum(self._steps.rewards[start:end].tolist())  # numpy takes longer for so few
        flat = self._flat[start * self._shape[0] : (end + 1) * self._shape[0]]
        if not math.isfinite(total + flat.dot(flat)):  # which may be an overflow
            self._require_finite(start, end)
        self._return += total
        self._uniforms.advance(end - start)

    def _prepare(self, t: int) -> int:
        """Make room for the steps from ``t`` up to the next check, give them uniforms, and return when that is."""
        if self._length + t >= LONGEST_EPISODE:
            raise EpisodeTooLong(self._length + t, "env_kwargs")
        end = t + CHECK_EVERY if self._limit is None else min(t + CHECK_EVERY, self._limit)
        if end > len(self._steps.rewards):
            self._bind(self._steps.doubled())
        self._steps.uniforms[t:end] = self._uniforms.upcoming(end - t)
        return end

    def _bind(self, steps: Steps) -> None:
        self._steps = steps
        self._flat = steps.observations.reshape(-1)
        act = self._acting(steps)
        self._act = act if not self._converting else lambda observation, t: act(self._as_vector(observation), t)

    def _convert(self) -> Act:
        """Hand the policy what it takes from now on, whatever the environment returns."""
        self._converting = True
        self._bind(self._steps)
        return self._act

    def _as_vector(self, observation: ArrayLike) -> NDArray[np.float32]:
        require_shape(observation, self._shape)
        return np.array(observation, dtype=np.float32)

    def _record(self, observation: ArrayLike, t: int) -> None:
        if getattr(observation, "shape", None) != self._shape:
            require_shape(observation, self._shape)
        self._steps.observations[t] = observation

    def _require_finite(self, start: int, end: int) -> None:
        """Raise ``Diverged`` at the first reward or observation of steps ``start`` to ``end`` that is not finite."""
        rewards, observations = self._steps.rewards[start:end], self._steps.observations[start : end + 1]
        for name, values, offset in (("reward", rewards, 1), ("observation", observations, 0)):
            if (index := first_not_finite(values)) is not None:
                step = self.steps + start + index + offset
                raise Diverged(f"{name} is not finite at the worker's environment step {step}: {values[index]}")

    def _reset(self) -> Any:
        seed, self._reset_seed = self._reset_seed, None  # later episodes follow from the environment's own generator
        observation = self._environment.reset(seed=seed)[0]
        require_shape(observation, self._shape)
        return observation
