"""The parameter store: the global network, the optimizers whose statistics all workers share, and the log."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from a3c.errors import Diverged
from a3c.optimizers import StepCount, make_optimizer
from a3c.parameters import HEADS, Head, Layout, Vector
from a3c.rollout import Episode
from a3c.schedules import Stopped

if TYPE_CHECKING:
    from a3c.config import TrainConfig

UPDATE = np.dtype([("worker", "<u2"), ("pulled", "<u4"), ("step", "<u8")])
CURVE_BINS = 50


@dataclass(frozen=True, slots=True)
class Push:
    """What a worker brings to the store.

    Attributes:
        worker: its number.
        pulled: the version its gradient was computed with.
        gradient: float32 ``[size]``.
        steps: environment steps of the rollout, which is as many targets.
        episode: the episode that ended with it, if one did.
        differing: targets on which tail rules can disagree.
        shift: sum of |γ^d·b| over the rollout's targets.
        actor_loss: see :mod:`a3c.losses`.
        critic_loss: see :mod:`a3c.losses`.
        entropy: mean entropy of the policy, nats.
    """

    worker: int
    pulled: int
    gradient: Vector
    steps: int
    episode: Episode | None
    differing: int = 0
    shift: float = 0.0
    actor_loss: float = 0.0
    critic_loss: float = 0.0
    entropy: float = 0.0


class UpdateLog:
    """Every update, in the order applied: 14 bytes each. Row u made version u + 1 out of version u."""

    def __init__(self) -> None:
        self._rows = np.empty(1024, dtype=UPDATE)
        self._count = 0

    def append(self, worker: int, pulled: int, step: int) -> None:
        """Log one update: who, the version it had pulled, environment steps after it."""
        if self._count == len(self._rows):
            self._rows = np.concatenate([self._rows, np.empty_like(self._rows)])
        self._rows[self._count] = (worker, pulled, step)
        self._count += 1

    def rows(self) -> NDArray[np.void]:
        """Return the updates so far, a structured array ``[updates]`` of dtype :data:`UPDATE`."""
        return self._rows[: self._count].copy()


class ParameterStore:
    """Push-and-pull is one step: apply a gradient, count a version, copy the parameters out.

    Gradients travel as arguments, never through a shared attribute, so none is lost or applied twice. Its lock
    is the only one around the global network.

    Attributes:
        parameters: the global network, float32 ``[size]``; read it only when no worker runs.
        version: updates applied.
        steps: environment steps of all pushed rollouts.
        episodes: (environment steps at the push, return, length, worker) of every finished episode.
        finished: whether the budget is reached.
        log: the update log.
        snapshots: parameters at the first push that reached each grid point, float32 ``[grid, size]``.
        snapshot_steps: environment steps at each snapshot taken, int64 ``[taken]``.
        differing, shift: sums over all pushes, see :class:`Push`.
        critic_count: the critic optimizer's step count, which local critics share.
    """

    def __init__(self, config: TrainConfig, layout: Layout, initial: Vector) -> None:
        self.lock = threading.Lock()
        self.parameters = initial.copy()
        self.version = 0
        self.steps = 0
        self.episodes: list[tuple[int, float, int, int]] = []
        self.finished = False
        self.log = UpdateLog()
        self.grid = snapshot_grid(config)
        self.snapshots = np.empty((len(self.grid), layout.size), dtype=np.float32)
        self.snapshot_steps: list[int] = []
        self.differing = 0
        self.shift = 0.0
        self.critic_count = StepCount()
        self._budget = config.budget
        self._in_steps = config.budget_unit == "steps"
        self._anneal = config.anneal_learning_rate
        self._max_norm = config.max_grad_norm
        self._rates: dict[Head, float] = {
            "actor": config.learning_rate,
            "critic": config.critic_learning_rate or config.learning_rate,
        }
        self._spans = layout.spans
        self._optimizers = {
            head: make_optimizer(config, span.stop - span.start, self.critic_count if head == "critic" else None)
            for head, span in layout.spans.items()
        }
        self._candidate = np.empty_like(self.parameters)
        self._curve_sums = np.zeros((CURVE_BINS, 6))

    @property
    def progress(self) -> int:
        """Steps or episodes counted so far, in the budget's unit."""
        return self.steps if self._in_steps else len(self.episodes)

    def learning_rate(self, head: Head) -> float:
        """Return a head's step size now; annealed, it falls linearly with the budget used before this push."""
        rate = self._rates[head]
        return rate * max(0.0, 1 - self.progress / self._budget) if self._anneal else rate

    def pull(self, out: Vector) -> int:
        """Copy the parameters into ``out`` and return their version."""
        with self.lock:
            np.copyto(out, self.parameters)
            return self.version

    def push_and_pull(self, push: Push, out: Vector) -> int:
        """Apply a gradient, count, and copy the new parameters into ``out``; return their version.

        Raises:
            Stopped: if the budget was reached before; nothing is applied.
            Diverged: if the gradient or the parameters it leads to are not finite; nothing is applied.
        """
        with self.lock:
            if self.finished:
                raise Stopped
            with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is found and refused
                self._apply(push.gradient)
            self._count(push)
            np.copyto(out, self.parameters)
            return self.version

    def curves(self) -> dict[str, list[tuple[int, float]]]:
        """Return means over even stretches of the budget as (environment step, value), by name."""
        filled = self._curve_sums[:, 0] > 0
        sums = self._curve_sums[filled]
        steps = sums[:, 1].astype(np.int64).tolist()
        means = sums[:, 2:] / sums[:, :1]
        names = ("actor_loss", "critic_loss", "entropy", "staleness")
        return {name: list(zip(steps, means[:, i].tolist(), strict=True)) for i, name in enumerate(names)}

    def _apply(self, gradient: Vector) -> None:
        if self._max_norm is not None:
            norm = float(np.linalg.norm(gradient.astype(np.float64)))  # float32 squares overflow before their root
            if norm > self._max_norm:
                gradient = gradient * np.float32(self._max_norm / norm)
        if not math.isfinite(float(np.dot(gradient, gradient))):  # else the statistics hold infinities for ever
            raise Diverged("a gradient, or its square, is not finite")
        for head in HEADS:
            span = self._spans[head]
            step = self._optimizers[head].step(gradient[span], self.learning_rate(head))
            np.subtract(self.parameters[span], step, out=self._candidate[span])
        if not math.isfinite(float(self._candidate.sum(dtype=np.float64))):
            raise Diverged("an update would make parameters that are not finite")
        np.copyto(self.parameters, self._candidate)

    def _count(self, push: Push) -> None:
        bin_ = min(CURVE_BINS - 1, self.progress * CURVE_BINS // self._budget)
        staleness = self.version - push.pulled
        self.steps += push.steps
        self.log.append(push.worker, push.pulled, self.steps)
        self.version += 1
        self.differing += push.differing
        self.shift += push.shift
        if push.episode is not None:
            self.episodes.append((self.steps, push.episode.total, push.episode.length, push.worker))
        sums = self._curve_sums[bin_]
        sums += (1, 0, push.actor_loss, push.critic_loss, push.entropy, staleness)
        sums[1] = self.steps
        while len(self.snapshot_steps) < len(self.grid) and self.progress >= self.grid[len(self.snapshot_steps)]:
            self.snapshots[len(self.snapshot_steps)] = self.parameters
            self.snapshot_steps.append(self.steps)
        self.finished = self.progress >= self._budget


def snapshot_grid(config: TrainConfig) -> list[int]:
    """Return the points, in the budget's unit, at which snapshots fall due: even, the last at the budget's end."""
    points = config.evaluations
    return [max(1, config.budget * (i + 1) // points) for i in range(points)]
