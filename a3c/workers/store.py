"""The parameter store: the global network, the optimizers whose statistics all workers share, and the log."""

from __future__ import annotations

import threading
from typing import NamedTuple

import numpy as np

from a3c.config import TrainConfig
from a3c.engines.base import Learned
from a3c.engines.choice import make_update
from a3c.networks.layout import Layout, Vector
from a3c.networks.optimizers import StepCount
from a3c.rollout import Episode
from a3c.schedules import Stopped
from a3c.workers.update_log import CURVE_BINS, CurveMeans, UpdateLog


class Push(NamedTuple):
    """A gradient and what the store counts with it.

    Attributes:
        worker: its number.
        pulled: the version its gradient was computed with.
        gradient: float32 ``[size]``.
        steps: environment steps of the rollout, which is as many targets.
        episode: the episode that ended with it, if one did.
        learned: losses and the like.
    """

    worker: int
    pulled: int
    gradient: Vector
    steps: int
    episode: Episode | None
    learned: Learned = Learned()


class ParameterStore:
    """The global network, to which workers push gradients and from which they pull parameters, in one step.

    Gradients travel as arguments, never through a shared attribute, so none is lost or applied twice. Its lock
    is the only one around the global network.

    Attributes:
        lock: held for as long as a push takes, and a local critic's step.
        parameters: the global network, float32 ``[size]``; read it only when no worker runs.
        version: updates applied.
        steps: environment steps of all pushed rollouts.
        episodes: episodes finished in them.
        finished: whether the budget is reached.
        grid: the points, in the budget's unit, at which snapshots fall due.
        log: the update log.
        curves: what is drawn of the updates.
        snapshots: parameters at the first push that reached each grid point, float32 ``[grid, size]``.
        snapshot_steps: environment steps at each snapshot taken, int64 ``[taken]``.
        differing, shift: sums over all pushes, see :class:`~a3c.engines.base.Learned`.
        critic_count: the critic optimizer's step count, which local critics share.
    """

    def __init__(self, config: TrainConfig, layout: Layout, initial: Vector) -> None:
        self.lock = threading.Lock()
        self.parameters = initial.copy()
        self.version = 0
        self.steps = 0
        self.episodes = 0
        self.finished = False
        self.log = UpdateLog()
        self.curves = CurveMeans()
        self.grid = snapshot_grid(config)
        self.snapshots = np.empty((len(self.grid), layout.size), dtype=np.float32)
        self.snapshot_steps: list[int] = []
        self.differing = 0.0
        self.shift = 0.0
        self.critic_count = StepCount()
        self._budget = config.budget
        self._in_steps = config.budget_unit == "steps"
        self._anneal = config.anneal_learning_rate
        self._actor_rate = config.learning_rate
        self._critic_rate = config.critic_learning_rate or config.learning_rate
        self._update = make_update(config, layout, self.critic_count)

    @property
    def progress(self) -> int:
        """Steps or episodes counted so far, in the budget's unit."""
        return self.steps if self._in_steps else self.episodes

    def learning_rates(self) -> tuple[float, float]:
        """Return the actor's and the critic's step size now; annealed, they fall linearly with the budget used."""
        left = max(0.0, 1 - self.progress / self._budget) if self._anneal else 1.0
        return self._actor_rate * left, self._critic_rate * left

    def pull(self, out: Vector) -> int:
        """Copy the parameters into ``out`` and return their version."""
        with self.lock:
            np.copyto(out, self.parameters)
            return self.version

    def push_and_pull(self, push: Push, out: Vector) -> tuple[int, bool]:
        """Apply a gradient, count, and copy the new parameters into ``out``.

        Returns:
            Their version, and whether half of the budget was used before.

        Raises:
            Stopped: if the budget was reached before; nothing is applied.
            Diverged: if the gradient or the parameters it leads to are not finite; nothing is applied.
        """
        with self.lock:
            if self.finished:
                raise Stopped
            self._update.apply(self.parameters, push.gradient, *self.learning_rates())
            late = 2 * self._count(push) >= CURVE_BINS
            np.copyto(out, self.parameters)
            return self.version, late

    def _count(self, push: Push) -> int:
        """Count a push; return the stretch of the budget, from 0, that it falls into."""
        worker, pulled, _, steps, episode, (critic_loss, actor_loss, entropy, differing, shift) = push
        stretch = self.progress * CURVE_BINS // self._budget
        staleness = self.version - pulled
        self.version += 1
        self.steps += steps
        self.differing += differing
        self.shift += shift
        if episode is None:
            self.log.append(worker, pulled, steps)
        else:
            self.episodes += 1
            self.log.append(worker, pulled, steps, episode.total)
        self.curves.add(stretch, self.steps, actor_loss, critic_loss, entropy, staleness)
        progress = self.progress
        while len(self.snapshot_steps) < len(self.grid) and progress >= self.grid[len(self.snapshot_steps)]:
            self.snapshots[len(self.snapshot_steps)] = self.parameters
            self.snapshot_steps.append(self.steps)
        self.finished = progress >= self._budget
        return stretch


def snapshot_grid(config: TrainConfig) -> list[int]:
    """Return the points, in the budget's unit, at which snapshots fall due: even, the last at the budget's end."""
    points = config.evaluations
    return [max(1, config.budget * (i + 1) // points) for i in range(points)]
