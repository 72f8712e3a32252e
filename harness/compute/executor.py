"""The protocol of executors, and the executor that computes in this process."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from harness.algorithm.protocol import Algorithm
from harness.compute.run import Cancelled, OutOfTime, compute
from harness.compute.task import Event, Task


class Executor(Protocol):
    """A place where up to ``slots`` tasks are computed at a time."""

    slots: int

    def prepare(self, algorithm: Algorithm) -> None:
        """Start importing an algorithm, without waiting for it."""

    def submit(self, task: Task) -> None:
        """Start a task; at most ``slots`` may be running. At its time limit it is ended and reported as failed."""

    def events(self, timeout: float) -> list[Event]:
        """Return the events since the last call, waiting up to ``timeout`` seconds for one while a task runs.

        Progress may be left out; how a task ended may not.
        """

    def close(self) -> None:
        """End all running tasks, at once where they run in processes of their own."""


class InlineExecutor:
    """An executor in this process, one task at a time: for debugging, and where no processes can be started.

    Args:
        interrupted: called at every progress event; true ends the run.
        watch: called with every progress event, as the train function made it.
    """

    slots = 1

    def __init__(
        self, interrupted: Callable[[], bool] = lambda: False, watch: Callable[[Any], None] | None = None
    ) -> None:
        self._interrupted = interrupted
        self._watch = watch
        self._waiting: deque[Task] = deque()

    def prepare(self, algorithm: Algorithm) -> None:
        """See :class:`Executor`; does nothing: importing earlier in the same process gains nothing."""

    def submit(self, task: Task) -> None:
        """See :class:`Executor`."""
        self._waiting.append(task)

    def events(self, timeout: float) -> list[Event]:
        """See :class:`Executor`; computes the next task, however long it takes."""
        if not self._waiting:
            return []
        task = self._waiting.popleft()
        deadline = time.monotonic() + task.time_limit

        def emit(event: Any) -> None:
            if self._interrupted():
                raise Cancelled("the study was interrupted")
            if time.monotonic() > deadline:
                raise OutOfTime(f"took longer than its time limit of {task.time_limit:g} s")
            if self._watch is not None:
                self._watch(event)

        return [compute(task, emit)]

    def close(self) -> None:
        """See :class:`Executor`."""
        self._waiting.clear()
