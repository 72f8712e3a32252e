"""Residuals: the differences of targets and values, by distance to the cut.

Where the critic is unbiased, targets that lack nothing lie around the values: their mean residual G_t − v_t is 0. What
a tail rule leaves out shows there and nowhere else: ``missing_as_zero`` lacks γ^d·b at d ≤ n, so its mean residual is
about −γ^d·b.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from a3c.engines.signal import Signal
from a3c.targets.rule import Floats

if TYPE_CHECKING:
    import pandas as pd

DISTANCES = 64  # with figures of their own; steps further from their cut are not counted


class Residuals:
    """One worker's sums by distance to the cut, over the rollouts it has pushed.

    A rollout is written when it is learnt from and counted once it is known to have been pushed, which is when the
    next is learnt from, or at the end: so the compiled engine counts it on the way, in machine code.

    Attributes:
        arrays: float64 ``[2, 3, 64]``, :attr:`sums` and :attr:`latest`.
        sums: ``[3, 64]`` over the rollouts counted; rows as in :attr:`latest`.
        latest: ``[3, 64]`` of the rollout written last; column d − 1 holds 1, G_t − v_t and the shift (see
            :attr:`Signal.shifts`) of the step at distance d, or 0 where there is none, or it is not used.
    """

    def __init__(self) -> None:
        self.arrays = np.zeros((2, 3, DISTANCES))
        self.sums, self.latest = self.arrays
        self._early: Floats | None = None

    def count_and_write(self, signal: Signal) -> None:
        """Count the rollout written before and write this one."""
        self.count()
        reach = min(len(signal.values), DISTANCES)
        steps = slice(None, -reach - 1, -1)  # by distance: the last step first
        used = signal.use[steps]
        residuals = signal.n_step[steps] - signal.values[steps]
        self.latest[:, :reach] = np.where(used, (used, residuals, signal.shifts[steps]), 0.0)

    def count(self) -> None:
        """Count the rollout written last, which was pushed."""
        self.sums += self.latest
        self.discard()

    def discard(self) -> None:
        """Forget the rollout written last, which is not pushed."""
        self.latest[...] = 0

    def begin_second_half(self) -> None:
        """Let the rollout written last begin the second half of the budget, unless one before has."""
        if self._early is None:
            self._early = self.sums.copy()

    @property
    def late(self) -> Floats:
        """The sums over the second half of the budget, ``[3, 64]``."""
        return np.zeros_like(self.sums) if self._early is None else self.sums - self._early


def residual_table(workers: Sequence[Residuals]) -> pd.DataFrame:
    """Return means over the rollouts of all workers, one row per distance up to the largest there was, at most 64.

    Columns: ``distance`` (d), ``count`` (steps at that distance whose target enters a loss), ``residual`` (mean of
    G_t − v_t) and ``shift`` (mean of γ^d·b where d ≤ n, else 0) over them, NaN where there are none; ``count_late``,
    ``residual_late``, ``shift_late``: the same over the second half of the budget.
    """
    import pandas as pd

    sums = np.sum([(worker.sums, worker.late) for worker in workers], axis=0)
    seen = np.flatnonzero(sums[0, 0])
    rows = int(seen[-1]) + 1 if seen.size else 0
    columns = {"distance": np.arange(1, rows + 1)}
    for suffix, (count, residual, shift) in zip(("", "_late"), sums[:, :, :rows], strict=True):
        columns["count" + suffix] = count.astype(np.int64)
        for name, total in (("residual", residual), ("shift", shift)):
            mean = np.full(rows, np.nan)
            columns[name + suffix] = np.divide(total, count, out=mean, where=count > 0)
    return pd.DataFrame(columns)
