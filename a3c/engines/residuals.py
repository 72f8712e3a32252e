"""How far targets lie from values, by distance to the cut.

Where the critic is unbiased, targets that lack nothing lie around the values: their mean residual G_t − v_t is 0. What
a tail rule leaves out shows there and nowhere else: ``missing_as_zero`` lacks γ^d·b at d ≤ n, so its mean residual is
about −γ^d·b.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from a3c.engines.signal import Signal

if TYPE_CHECKING:
    import pandas as pd

DISTANCES = 64  # that are told apart; steps further from their cut are not counted
SUMS = ("count", "residual", "shift")


class Residuals:
    """One worker's sums by distance to the cut, over the rollouts it has pushed.

    A rollout is noted when it is learnt from, and settled once it is known to have been pushed (which is when the next
    is learnt from, or at the end): what is in flight when the budget is reached depends on the machine's speed.

    Attributes:
        tally: float64 ``[6, 64]``, column d − 1: count, sum of G_t − v_t and sum of the shift (see
            :attr:`a3c.engines.signal.Signal.shifts`) over the steps used; three rows for settled rollouts, three for
            the one noted.
    """

    def __init__(self) -> None:
        self.tally = np.zeros((2 * len(SUMS), DISTANCES))
        self._early: NDArray[np.float64] | None = None

    def note(self, signal: Signal) -> None:
        """Note a rollout; the one before is settled by then."""
        reach = min(len(signal.values), DISTANCES)
        steps = slice(None, -reach - 1, -1)  # by distance: the last step first
        used = signal.use[steps]
        residuals = signal.n_step[steps] - signal.values[steps]
        self.tally[3:, :reach] = np.where(used, (used, residuals, signal.shifts[steps]), 0.0)

    def settle(self) -> None:
        """Count the rollout noted last, if there is one: it was pushed."""
        self.tally[:3] += self.tally[3:]
        self.tally[3:] = 0

    def turn_late(self) -> None:
        """Say, once or more often, that the rollout noted last is of the second half of the budget, and all to come."""
        if self._early is None:
            self._early = self.tally[:3].copy()

    def sums(self) -> NDArray[np.float64]:
        """Return the sums over all settled rollouts and over those of the second half, ``[2, 3, 64]``."""
        settled = self.tally[:3]
        return np.stack([settled, np.zeros_like(settled) if self._early is None else settled - self._early])


def residual_table(workers: Sequence[Residuals]) -> pd.DataFrame:
    """Return means over the rollouts of all workers, one row per distance up to the largest there was, at most 64.

    Columns: ``distance`` (d), ``count`` (steps at that distance whose target enters a loss), ``residual`` (mean of
    G_t − v_t) and ``shift`` (mean of γ^d·b where d ≤ n, else 0) over them, NaN where there are none; ``count_late``,
    ``residual_late``, ``shift_late``: the same over the second half of the budget.
    """
    import pandas as pd

    sums = np.sum([worker.sums() for worker in workers], axis=0)
    seen = np.flatnonzero(sums[0, 0])
    rows = int(seen[-1]) + 1 if seen.size else 0
    columns = {"distance": np.arange(1, rows + 1)}
    for suffix, (count, residual, shift) in zip(("", "_late"), sums[:, :, :rows], strict=True):
        columns["count" + suffix] = count.astype(np.int64)
        for name, total in (("residual", residual), ("shift", shift)):
            mean = np.full(rows, np.nan)
            columns[name + suffix] = np.divide(total, count, out=mean, where=count > 0)
    return pd.DataFrame(columns)
