"""Random numbers: one seed, one independent stream per purpose and worker, no global generator."""

from __future__ import annotations

from enum import IntEnum

import numpy as np

BLOCK = 4096


class Purpose(IntEnum):
    """What a stream is for; the number is part of every result, so it never changes."""

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
    """Uniform numbers in [0, 1), drawn in blocks: one at a time costs a list access."""

    def __init__(self, random: np.random.Generator) -> None:
        self._random = random
        self._block: list[float] = []

    def next(self) -> float:
        """Return the next number of the stream."""
        if not self._block:
            self._block = self._random.random(BLOCK)[::-1].tolist()
        return self._block.pop()
