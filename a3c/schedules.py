"""Who pushes next.

``round_robin``: update u, from 0, belongs to worker u mod W, while rollouts still run concurrently in their
threads. What comes out depends on the config alone, never on the machine's load.
``free``: whoever finishes first.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Protocol


class Stopped(Exception):
    """Training is over: whatever this worker was doing is to be discarded."""


class Schedule(Protocol):
    """Hands out turns at the parameter store.

    Attributes:
        stopped: set once training is over; workers look at it at every environment step.
    """

    stopped: bool

    def turn(self, worker: int) -> AbstractContextManager[None]:
        """Wait for a worker's turn and hold it for the ``with`` block; an exception in the block ends training.

        Raises:
            Stopped: if training stopped before the turn came.
        """

    def stop(self) -> None:
        """End training: nobody gets another turn, nobody waits for one."""


class RoundRobin:
    """Turns in worker order, 0 … W-1 and again; each worker waits at a gate of its own."""

    def __init__(self, workers: int) -> None:
        self.stopped = False
        self._gates = [threading.Lock() for _ in range(workers)]
        for gate in self._gates[1:]:
            gate.acquire()

    @contextmanager
    def turn(self, worker: int) -> Iterator[None]:
        """See :meth:`Schedule.turn`."""
        self._gates[worker].acquire()
        if self.stopped:
            raise Stopped
        try:
            yield
        except BaseException:
            self.stop()
            raise
        _open(self._gates[(worker + 1) % len(self._gates)])

    def stop(self) -> None:
        """See :meth:`Schedule.stop`."""
        self.stopped = True
        for gate in self._gates:
            _open(gate)


class Free:
    """First come, first served; the store's lock makes the order.

    Giving up the GIL before each turn keeps CPython's switch interval from letting one worker push a hundred
    times in a row.
    """

    def __init__(self) -> None:
        self.stopped = False

    @contextmanager
    def turn(self, worker: int) -> Iterator[None]:
        """See :meth:`Schedule.turn`."""
        time.sleep(0)
        if self.stopped:
            raise Stopped
        try:
            yield
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """See :meth:`Schedule.stop`."""
        self.stopped = True


def make_schedule(name: str, workers: int) -> Schedule:
    """Make the schedule called ``name`` for a number of workers."""
    return RoundRobin(workers) if name == "round_robin" else Free()


def _open(gate: threading.Lock) -> None:
    """Open a gate; one that ``stop`` has opened already stays open."""
    with suppress(RuntimeError):
        gate.release()
