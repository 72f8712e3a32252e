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


class _Turns:
    """A turn as every schedule has it; how one is waited for and handed on is the schedule's own."""

    def __init__(self) -> None:
        self.stopped = False

    @contextmanager
    def turn(self, worker: int) -> Iterator[None]:
        """See :meth:`Schedule.turn`."""
        self._wait(worker)
        if self.stopped:
            raise Stopped
        try:
            yield
        except BaseException:
            self.stop()
            raise
        self._hand_on(worker)

    def stop(self) -> None:
        """See :meth:`Schedule.stop`."""
        self.stopped = True

    def _wait(self, worker: int) -> None:
        raise NotImplementedError

    def _hand_on(self, worker: int) -> None:
        """Let the next worker in."""


class RoundRobin(_Turns):
    """Turns in worker order, 0 … W-1 and again; each worker waits at a gate of its own."""

    def __init__(self, workers: int) -> None:
        super().__init__()
        self._gates = [threading.Lock() for _ in range(workers)]
        for gate in self._gates[1:]:
            gate.acquire()

    def stop(self) -> None:
        """See :meth:`Schedule.stop`."""
        super().stop()
        for gate in self._gates:
            _open(gate)

    def _wait(self, worker: int) -> None:
        self._gates[worker].acquire()

    def _hand_on(self, worker: int) -> None:
        _open(self._gates[(worker + 1) % len(self._gates)])


class Free(_Turns):
    """First come, first served; the store's lock makes the order.

    Giving up the GIL before each turn keeps CPython's switch interval from letting one worker push a hundred
    times in a row.
    """

    def _wait(self, worker: int) -> None:
        time.sleep(0)


def make_schedule(name: str, workers: int) -> Schedule:
    """Make the schedule called ``name`` for a number of workers."""
    return RoundRobin(workers) if name == "round_robin" else Free()


def _open(gate: threading.Lock) -> None:
    """Open a gate; one that ``stop`` has opened already stays open."""
    with suppress(RuntimeError):
        gate.release()
