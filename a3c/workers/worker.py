"""One worker thread: pull, collect, learn, push, as in algorithm S3 of Mnih et al. 2016."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from a3c.engines.base import Engine
from a3c.engines.residuals import Residuals
from a3c.rollout import Rollout
from a3c.schedules import Schedule, Stopped
from a3c.workers.collector import Collector
from a3c.workers.learner import Learner
from a3c.workers.profile import Timed, untimed
from a3c.workers.store import ParameterStore, Push


class Worker:
    """A worker that trains until the store's budget is reached or somebody stops the schedule.

    Args:
        number: its place among the workers, from 0.
        store: the global network.
        schedule: who pushes next.
        engine: the local network.
        collector: the environment.
        learner: targets and losses.
        turn_before_learning: whether learning itself must happen in turn (a local critic step counts in the
            global critic's step count).
        pushed: called in turn after each push.
        timed: wraps the worker's phases where they are to be timed.
    """

    def __init__(
        self,
        number: int,
        store: ParameterStore,
        schedule: Schedule,
        engine: Engine,
        collector: Collector,
        learner: Learner,
        turn_before_learning: bool,
        pushed: Callable[[Push], None] | None,
        timed: Timed = untimed,
    ) -> None:
        self.number = number
        self._store = store
        self._schedule = schedule
        self._turn = schedule.turn(number)
        self._parameters = engine.parameters
        self._residuals = engine.residuals
        self._all_pushed = True
        self._collector = collector
        self._collect = timed("collect", collector.collect)
        self._learn = timed("learn", learner.learn)
        self._push_and_pull = timed("push", store.push_and_pull)
        self._timed = timed
        self._turn_before_learning = turn_before_learning
        self._pushed = pushed

    @property
    def steps(self) -> int:
        """Environment steps this worker has taken."""
        return self._collector.steps

    def residuals(self) -> Residuals:
        """Return those of all rollouts this worker has pushed; ask when it no longer works."""
        if self._all_pushed:
            self._residuals.count()
        return self._residuals

    def pull(self) -> None:
        """Copy version 0; done for all workers before any starts."""
        self._version = self._store.pull(self._parameters)

    def work(self) -> None:
        """Train until stopped; what goes wrong is raised in this worker's turn and stops the others."""
        self._timed("worker", self._work)()

    def _work(self) -> None:
        try:
            with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is found and reported as such
                while True:
                    self._update()
        except Stopped:
            return

    def _update(self) -> None:
        try:
            rollout = self._collect(self._schedule)
            push = None if self._turn_before_learning else self._learn_from(rollout)
        except Stopped:
            raise
        except BaseException:
            with self._turn:  # so that a failure, too, repeats exactly
                raise
        with self._turn:
            if push is None:
                push = self._learn_from(rollout)
            self._version, late = self._push_and_pull(push, self._parameters)
            self._all_pushed = True
            if late:
                self._residuals.begin_second_half()
            if self._pushed is not None:
                self._pushed(push)
            if self._store.finished:
                self._schedule.stop()

    def _learn_from(self, rollout: Rollout) -> Push:
        push = self._learn(rollout, self._version)
        self._all_pushed = False
        return push
