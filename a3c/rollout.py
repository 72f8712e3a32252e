"""Rollouts: the steps a worker collects between two updates."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FIRST_CAPACITY = 512  # steps that buffers have room for before they grow


Act = Callable[[NDArray[np.float32], int], int]


class Steps(NamedTuple):
    """The buffers a rollout is written into while it is collected: room for C steps.

    Attributes:
        observations: float32 ``[≥ C + 1, k]``.
        actions: int64 ``[C]``, counted from 0.
        rewards: float64 ``[C]``.
        uniforms: float64 ``[C]``, what actions are sampled with.
    """

    observations: NDArray[np.float32]
    actions: NDArray[np.int64]
    rewards: NDArray[np.float64]
    uniforms: NDArray[np.float64]

    @classmethod
    def room(cls, capacity: int, observation_size: int) -> Steps:
        """Make room for ``capacity`` steps."""
        return cls(
            np.empty((capacity + 1, observation_size), dtype=np.float32),
            np.empty(capacity, dtype=np.int64),
            np.empty(capacity),
            np.empty(capacity),
        )

    def doubled(self) -> Steps:
        """Return twice the room, what is written copied."""
        return Steps(*(np.concatenate([array, np.empty_like(array)]) for array in self))


class Episode(NamedTuple):
    """A finished training episode: undiscounted return, and length in environment steps."""

    total: float
    length: int


class Rollout(NamedTuple):
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

    @property
    def length(self) -> int:
        """The number of steps, T."""
        return len(self.rewards)
