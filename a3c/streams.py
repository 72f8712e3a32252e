"""Random numbers: one seed, one independent stream per purpose and worker, no global generator."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

BLOCK = 4096


class Purpose(IntEnum):
    """The purpose of a stream; its number is part of every result, so it never changes."""

    PARAMETERS = 0
    ENVIRONMENT = 1
    ACTIONS = 2
    EVALUATION_ENVIRONMENT = 3
    EVALUATION_ACTIONS = 4


def _sequence(seed: int, purpose: Purpose, worker: int) -> np.random.SeedSequence:
    return np.random.SeedSequence(seed, spawn_key=(int(purpose), worker))


def generator(seed: int, purpose: Purpose, worker: int = 0) -> np.random.Generator:
    """Return the stream of one purpose and worker; it does not depend on how many workers there are."""
    return np.random.default_rng(_sequence(seed, purpose, worker))


def reset_seed(seed: int, purpose: Purpose, worker: int = 0) -> int:
    """Return the seed for an environment's first ``reset``, which starts its own generator."""
    return int(_sequence(seed, purpose, worker).generate_state(1)[0] >> 1)


class Uniforms:
    """Uniform numbers in [0, 1), drawn in blocks and read before they are used up."""

    def __init__(self, random: np.random.Generator) -> None:
        self._random = random
        self._block = np.empty(0)
        self._used = 0

    def upcoming(self, count: int) -> NDArray[np.float64]:
        """Return the next numbers of the stream, ``[count]``, without using them up."""
        if self._used + count > len(self._block):
            rest = self._block[self._used :]
            blocks = -(-(count - len(rest)) // BLOCK)
            self._block = np.concatenate([rest, self._random.random(blocks * BLOCK)])
            self._used = 0
        return self._block[self._used : self._used + count]

    def advance(self, count: int) -> None:
        """Use up the next ``count`` numbers."""
        self._used += count
