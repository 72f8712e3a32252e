"""The parameter store's log of pushes: 17 bytes an update, and means for curves."""

from __future__ import annotations

import math
import struct

import numpy as np
from numpy.typing import NDArray

UPDATE = np.dtype([("worker", "<u2"), ("pulled", "<u4"), ("step", "<u8")])
EPISODE = np.dtype([("step", "<u8"), ("return", "<f8"), ("length", "<u8"), ("worker", "<u2")])
CURVES = ("actor_loss", "critic_loss", "entropy", "staleness")
CURVE_BINS = 50

_ROW = struct.Struct("<BIId")  # worker, version pulled, steps of the rollout, return of the episode that ended or NaN
_ROWS = np.dtype([("worker", "u1"), ("pulled", "<u4"), ("steps", "<u4"), ("return", "<f8")])
_CHUNK = 4096  # rows


class UpdateLog:
    """Every update, in the order applied. Row u made version u + 1 out of version u."""

    def __init__(self) -> None:
        self._chunks: list[bytearray] = []
        self._count = 0

    def append(self, worker: int, pulled: int, steps: int, episode_return: float = math.nan) -> None:
        """Log one update.

        Args:
            worker: whose, 0 … 255.
            pulled: the version its gradient saw.
            steps: environment steps of its rollout.
            episode_return: undiscounted return of the episode that ended with it; NaN if none did.
        """
        row = self._count % _CHUNK
        if row == 0:
            self._chunks.append(bytearray(_CHUNK * _ROW.size))
        _ROW.pack_into(self._chunks[-1], row * _ROW.size, worker, pulled, steps, episode_return)
        self._count += 1

    def updates(self) -> NDArray[np.void]:
        """Return worker, version pulled and environment steps so far, ``[updates]`` of dtype :data:`UPDATE`."""
        rows = self._rows()
        updates = np.empty(len(rows), dtype=UPDATE)
        updates["worker"], updates["pulled"] = rows["worker"], rows["pulled"]
        updates["step"] = np.cumsum(rows["steps"], dtype=np.uint64)
        return updates

    def episodes(self) -> NDArray[np.void]:
        """Return the finished episodes in the order of their pushes, ``[episodes]`` of dtype :data:`EPISODE`.

        ``step`` counts the environment steps of all workers at the push. A worker's rollouts follow one another, so
        an episode is as long as its rollouts since the last one ended.
        """
        rows = self._rows()
        ended = np.flatnonzero(~np.isnan(rows["return"]))
        episodes = np.empty(len(ended), dtype=EPISODE)
        episodes["step"] = np.cumsum(rows["steps"], dtype=np.uint64)[ended]
        episodes["return"], episodes["worker"] = rows["return"][ended], rows["worker"][ended]
        for worker in np.unique(episodes["worker"]):
            own = np.flatnonzero(rows["worker"] == worker)
            steps = np.cumsum(rows["steps"][own], dtype=np.uint64)[~np.isnan(rows["return"][own])]
            episodes["length"][episodes["worker"] == worker] = np.diff(steps, prepend=np.uint64(0))
        return episodes

    def _rows(self) -> NDArray[np.void]:
        return np.frombuffer(b"".join(self._chunks), dtype=_ROWS)[: self._count]


class CurveMeans:
    """Means of :data:`CURVES` over even stretches of the budget."""

    def __init__(self) -> None:
        self._sums: list[list[float]] = [[0.0] * (2 + len(CURVES)) for _ in range(CURVE_BINS)]

    def add(
        self, stretch: int, step: int, actor_loss: float, critic_loss: float, entropy: float, staleness: int
    ) -> None:
        """Count one update in a stretch, from 0, that led to an environment step."""
        sums = self._sums[min(CURVE_BINS - 1, stretch)]
        sums[0] += 1
        sums[1] = step
        sums[2] += actor_loss
        sums[3] += critic_loss
        sums[4] += entropy
        sums[5] += staleness

    def curves(self) -> dict[str, list[tuple[int, float]]]:
        """Return (environment step, mean) of every stretch that had an update, by name."""
        filled = [sums for sums in self._sums if sums[0]]
        return {name: [(int(s[1]), s[2 + i] / s[0]) for s in filled] for i, name in enumerate(CURVES)}
