"""Where runs are computed: in this process, or in persistent children that each own a core.

Executors compute and nothing else: a task goes in, an event comes out. They know no study, disk or store.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import IO, Any, Protocol

from harness.algorithm import Algorithm, RunResult
from harness.machine import usable_cores
from harness.records import RunOutput

SINGLE_THREADED = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


@dataclass(frozen=True)
class Task:
    """One run to compute.

    Attributes:
        run: its id.
        algorithm: dotted names of the config type and the train function.
        settings: every field of the config, plain data.
        time_limit: seconds it may take.
    """

    run: str
    algorithm: Algorithm
    settings: Mapping[str, Any]
    time_limit: float


@dataclass(frozen=True)
class Advanced:
    """A run got on: fraction of its budget, in [0, 1]."""

    run: str
    fraction: float


@dataclass(frozen=True)
class Finished:
    """A run returned; ``started`` in seconds since the epoch."""

    run: str
    output: RunOutput
    started: float
    seconds: float


@dataclass(frozen=True)
class Failed:
    """A run came to nothing.

    Attributes:
        run: its id.
        reason: one line.
        detail: the traceback, where there is one.
        crashed: the process died under it, which may have nothing to do with the run: worth another try.
    """

    run: str
    reason: str
    detail: str = ""
    crashed: bool = False


Event = Advanced | Finished | Failed


class Executor(Protocol):
    """Computes up to ``slots`` tasks at a time."""

    slots: int

    def prepare(self, algorithm: Algorithm) -> None:
        """Begin what has to be done before the first task of an algorithm, without waiting for it."""

    def submit(self, task: Task) -> None:
        """Start a task; at most ``slots`` may be under way."""

    def events(self, timeout: float) -> list[Event]:
        """Wait up to ``timeout`` seconds for something to happen and return what did."""

    def close(self) -> None:
        """Stop at once, whatever is under way."""


class OutOfTime(Exception):
    """A run used up its time limit."""


class Cancelled(Exception):
    """A signal asked the study to stop while a run was computed in this process."""


def compute(task: Task, emit: Callable[[Any], None]) -> Finished | Failed:
    """Run one task to its end; whatever it raises becomes an event."""
    started, clock = time.time(), time.monotonic()
    try:
        config = task.algorithm.config_type().model_validate(dict(task.settings))
        output = RunOutput.of(task.algorithm.train_function()(config, emit))
    except Exception as error:
        partial: RunResult | None = getattr(error, "result", None)
        if partial is None or partial.outcome != "diverged":
            cause = error.__cause__ if isinstance(error.__cause__, OutOfTime) else error
            return Failed(task.run, f"{type(cause).__name__}: {cause}", traceback.format_exc())
        output = RunOutput.of(partial)
    return Finished(task.run, output, started, time.monotonic() - clock)


class InlineExecutor:
    """Computes in this process, one task at a time: for debugging, and where processes are not to be had.

    Args:
        interrupted: asked at every progress event; true ends the run.
        watch: is handed every progress event, as the train function made it.
    """

    slots = 1

    def __init__(
        self, interrupted: Callable[[], bool] = lambda: False, watch: Callable[[Any], None] | None = None
    ) -> None:
        self._interrupted = interrupted
        self._watch = watch
        self._waiting: deque[Task] = deque()

    def prepare(self, algorithm: Algorithm) -> None:
        """See :class:`Executor`; what this process imports early it does not import faster."""

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


class _Child:
    """One persistent child process on a core of its own."""

    def __init__(self, core: int) -> None:
        ours, theirs = socket.socketpair()
        self.errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the child
        self.process = subprocess.Popen(  # noqa: S603 - this interpreter
            [sys.executable, "-m", "harness.child", str(theirs.fileno()), str(core)],
            stdin=subprocess.PIPE,  # closes when this process dies, however it dies
            stdout=self.errors,
            stderr=self.errors,
            pass_fds=[theirs.fileno()],
            env={**os.environ, **SINGLE_THREADED, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            start_new_session=True,  # a Ctrl-C in the terminal is for the dispatcher to handle
        )
        theirs.close()
        self.connection = Connection(ours.detach())
        self.task: Task | None = None
        self.deadline = 0.0

    def give(self, task: Task) -> None:
        self.task, self.deadline = task, time.monotonic() + task.time_limit
        self.connection.send(task)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.connection.close()
        assert self.process.stdin is not None  # noqa: S101 - asked for above
        self.process.stdin.close()
        self.errors.close()

    def last_words(self) -> str:
        """Return the end of what the child printed."""
        size = self.errors.seek(0, os.SEEK_END)
        self.errors.seek(max(0, size - 4000))
        return self.errors.read().decode(errors="replace")


class ProcessExecutor:
    """Computes in ``slots`` child processes that live as long as the executor.

    Children are started as ``python -m harness.child``, not forked (threads and locks do not survive a fork) nor
    spawned through the caller's main module (which would need a guard in every script).
    """

    def __init__(self, slots: int) -> None:
        self.slots = slots
        cores = usable_cores()
        self._cores = [cores[i % len(cores)] for i in range(slots)]
        self._children: list[_Child | None] = [None] * slots

    def prepare(self, algorithm: Algorithm) -> None:
        """See :class:`Executor`; every child starts and imports the algorithm."""
        for slot in range(self.slots):
            with suppress(OSError):  # it died at once: so it will under its first task, which reports that
                self._child(slot).connection.send(algorithm)

    def submit(self, task: Task) -> None:
        """See :class:`Executor`."""
        for slot in range(self.slots):
            child = self._child(slot)
            if child.task is None:
                with suppress(OSError):  # it died while idle: `events` reports that
                    child.give(task)
                return
        raise RuntimeError("every slot is taken")

    def events(self, timeout: float) -> list[Event]:
        """See :class:`Executor`."""
        busy = [child for child in self._children if child is not None and child.task is not None]
        if not busy:
            return []
        until = min(timeout, max(0.0, min(child.deadline for child in busy) - time.monotonic()))
        ready = wait([child.connection for child in busy], until)
        found: list[Event] = []
        for child in busy:
            assert child.task is not None  # noqa: S101 - busy
            event: Event | None = None
            if child.connection in ready:
                try:
                    event = child.connection.recv()
                except (EOFError, OSError):
                    event = self._died(child)
            elif time.monotonic() > child.deadline:
                limit = child.task.time_limit
                event = Failed(child.task.run, f"OutOfTime: took longer than its time limit of {limit:g} s")
                self._replace(child)
            if event is not None:
                found.append(event)
                if not isinstance(event, Advanced):
                    child.task = None
        return found

    def close(self) -> None:
        """See :class:`Executor`."""
        for child in self._children:
            if child is not None:
                child.kill()
        self._children = [None] * self.slots

    def _child(self, slot: int) -> _Child:
        child = self._children[slot]
        if child is None:
            child = self._children[slot] = _Child(self._cores[slot])
        return child

    def _died(self, child: _Child) -> Failed:
        assert child.task is not None  # noqa: S101 - busy
        child.process.wait()
        code = child.process.returncode
        how = f"killed by signal {-code} ({signal.Signals(-code).name})" if code < 0 else f"exited with code {code}"
        failed = Failed(
            child.task.run,
            f"the process was {how}" if code < 0 else f"the process {how}",
            child.last_words(),
            crashed=True,
        )
        self._replace(child)
        return failed

    def _replace(self, child: _Child) -> None:
        child.kill()
        self._children[self._children.index(child)] = None
