"""Schedules: the order in which workers push.

``round_robin``: update u, from 0, belongs to worker u mod W, while rollouts still run concurrently in their
threads. What comes out depends on the config alone, never on the machine's load.
``free``: whoever finishes first.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from functools import partial
from typing import ClassVar, Literal, Protocol

# Lets others have the GIL, and on a shared core the core; sleep(0) takes 50 microseconds on Linux.
_yield = getattr(os, "sched_yield", partial(time.sleep, 0))


class Stopped(Exception):
    """Training is over: whatever this worker was doing is to be discarded."""


class Schedule(Protocol):
    """The order of turns at the parameter store.

    Attributes:
        repeats: whether the order of pushes depends on the config alone.
        stopped: set once training is over; workers read it at every environment step.
    """

    repeats: ClassVar[bool]
    stopped: bool

    def turn(self, worker: int) -> AbstractContextManager[None]:
        """Wait for a worker's turn and hold it for the ``with`` block; an exception in the block ends training.

        Raises:
            Stopped: if training stopped before the turn came.
        """

    def stop(self) -> None:
        """End training: nobody gets another turn, nobody waits for one."""


class _Turn:
    """One worker's turn, made once and entered at every update."""

    __slots__ = ("_schedule", "_worker")

    def __init__(self, schedule: _Turns, worker: int) -> None:
        self._schedule = schedule
        self._worker = worker

    def __enter__(self) -> None:
        self._schedule.wait(self._worker)
        if self._schedule.stopped:
            self._schedule.stop()  # whoever came through a gate has closed it again
            raise Stopped

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        if kind is None:
            self._schedule.hand_on(self._worker)
        else:
            self._schedule.stop()


class _Turns:
    """The part that schedules share; each waits for turns and hands them on in its own way."""

    repeats: ClassVar[bool] = False

    def __init__(self, workers: int) -> None:
        self.stopped = False
        self._turns = [_Turn(self, worker) for worker in range(workers)]

    def turn(self, worker: int) -> AbstractContextManager[None]:
        """See :meth:`Schedule.turn`."""
        return self._turns[worker]

    def stop(self) -> None:
        """See :meth:`Schedule.stop`."""
        self.stopped = True

    def wait(self, worker: int) -> None:
        """Return when it is the worker's turn, or training is over."""
        raise NotImplementedError

    def hand_on(self, worker: int) -> None:
        """Let the next worker in."""


class RoundRobin(_Turns):
    """Turns in worker order, 0 … W-1 and again; each worker waits at a gate of its own."""

    repeats = True

    def __init__(self, workers: int) -> None:
        super().__init__(workers)
        self._gates = [threading.Lock() for _ in range(workers)]
        for gate in self._gates[1:]:
            gate.acquire()

    def stop(self) -> None:
        """See :meth:`Schedule.stop`."""
        super().stop()
        for gate in self._gates:
            _open(gate)

    def wait(self, worker: int) -> None:
        """Wait at the worker's gate."""
        self._gates[worker].acquire()

    def hand_on(self, worker: int) -> None:
        """Open the next worker's gate and let it through: who waits for the GIL then seldom waits at a gate, too."""
        _open(self._gates[(worker + 1) % len(self._gates)])
        if len(self._gates) > 1:
            _yield()


class Free(_Turns):
    """First come, first served; the store's lock makes the order.

    Giving up the GIL before each turn keeps CPython's switch interval from letting one worker push a hundred
    times in a row.
    """

    def wait(self, worker: int) -> None:
        """Give up the GIL once."""
        _yield()


ScheduleName = Literal["round_robin", "free"]
SCHEDULES: Mapping[ScheduleName, type[_Turns]] = {"round_robin": RoundRobin, "free": Free}


def make_schedule(name: ScheduleName, workers: int) -> Schedule:
    """Make the schedule called ``name`` for a number of workers."""
    return SCHEDULES[name](workers)


def _open(gate: threading.Lock) -> None:
    """Open a gate; one that ``stop`` has opened already stays open."""
    try:  # noqa: SIM105 - contextlib.suppress takes three times as long
        gate.release()
    except RuntimeError:
        pass
