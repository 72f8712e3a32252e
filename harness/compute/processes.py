"""Execute runs in child processes, each on a core of its own, used again from run to run."""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import tempfile
import time
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import IO

from harness.algorithm.protocol import Algorithm
from harness.compute import program
from harness.compute.child import GRACE_SECONDS
from harness.compute.messages import receive, send
from harness.compute.run import out_of_time
from harness.compute.task import Advanced, Begun, Event, Failed, Finished, Task
from harness.machine import usable_cores

START_SECONDS = 60.0  # for a child to import what it needs, before its run's time limit begins to count
KILL_SECONDS = GRACE_SECONDS + 1.0  # after a time limit a child that has not ended itself is killed
STALL_SECONDS = 10.0  # of silence in the middle of a message; then its sender is killed
DYING_SECONDS = 1.0  # for a process whose end of the socket is closed
POLL_SECONDS = 0.25  # between two checks that a child still lives, where something it started holds its socket


class _Child:
    """A child process on a core of its own."""

    def __init__(self, core: int) -> None:
        ours, theirs = socket.socketpair()
        stall = struct.pack("ll", int(STALL_SECONDS), 0)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, stall)  # a child may stop in the middle of a message
        start = struct.pack("ll", int(START_SECONDS), 0)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, start)  # or read none, as while it imports
        self.errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the child
        self.process = subprocess.Popen(  # noqa: S603 - this interpreter
            program.command("harness.compute.child", str(theirs.fileno()), str(core)),
            stdin=subprocess.PIPE,  # closes when this process dies, however it dies
            stdout=self.errors,
            stderr=self.errors,
            pass_fds=[theirs.fileno()],
            env=program.environment(),
            start_new_session=True,  # a Ctrl-C in the terminal is for the dispatcher; what it starts ends with it
        )
        theirs.close()
        self.connection = Connection(ours.detach())
        self.task: Task | None = None
        self.deadline = 0.0
        self._group_ended = False

    def start(self, task: Task) -> None:
        """Send it a task; its deadline leaves time to import what the task needs."""
        self.task, self.deadline = task, time.monotonic() + START_SECONDS + task.time_limit
        send(self.connection, task)

    def has_ended(self) -> bool:
        """Check whether it has ended by itself; if so, end what it had started."""
        if self.process.poll() is None:
            return False
        self._end_group()
        return True

    def end(self) -> int:
        """End it with all that it has started; return its exit code."""
        self._end_group()
        return self.process.wait()

    def _end_group(self) -> None:
        if not self._group_ended:  # once it is empty its number may become somebody else's
            self._group_ended = True
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)

    def kill(self) -> None:
        """End it and close what this process holds of it."""
        self.end()
        self.connection.close()
        assert self.process.stdin is not None  # noqa: S101 - asked for above
        self.process.stdin.close()
        self.errors.close()

    def output(self) -> str:
        """Return the end of what it printed."""
        size = self.errors.seek(0, os.SEEK_END)
        self.errors.seek(max(0, size - 4000))
        return self.errors.read().decode(errors="replace")


class ProcessExecutor:
    """An executor of ``slots`` child processes, used again from task to task.

    Children are started as ``python -m harness.compute.child``, not forked (threads and locks do not survive a fork)
    nor spawned through the caller's main module (which would need a guard in every script).
    """

    def __init__(self, slots: int) -> None:
        self.slots = slots
        cores = usable_cores()
        self._cores = [cores[i % len(cores)] for i in range(slots)]
        self._children: list[_Child | None] = [None] * slots

    def prepare(self, algorithm: Algorithm) -> None:
        """See :class:`Executor`; every child starts and imports the algorithm."""
        for slot in range(self.slots):
            with suppress(OSError):  # it died at once, as it will under its first task, which is reported
                send(self._child(slot).connection, algorithm)

    def submit(self, task: Task) -> None:
        """See :class:`Executor`."""
        for slot in range(self.slots):
            child = self._child(slot)
            if child.task is None:
                try:
                    child.start(task)
                except OSError:  # it died while idle, or reads nothing: `events` reports it
                    child.end()
                return
        raise RuntimeError("every slot is taken")

    def events(self, timeout: float) -> list[Event]:
        """See :class:`Executor`."""
        busy = [child for child in self._children if child is not None and child.task is not None]
        if not busy:
            return []
        overdue = min(child.deadline for child in busy) + KILL_SECONDS
        patience = min(timeout, POLL_SECONDS, max(0.0, overdue - time.monotonic()))
        ready = wait([child.connection for child in busy], patience)
        found = (self._poll(child, child.connection in ready) for child in busy)
        return [event for event in found if event is not None]

    def _poll(self, child: _Child, ready: bool) -> Event | None:
        """Return the event of a busy child, if there is one; a child that is late or has ended is replaced."""
        task = child.task
        assert task is not None  # noqa: S101 - busy
        late = time.monotonic() > child.deadline
        ended = child.has_ended()  # checked first: whatever it sent before is in the socket then
        event: Event
        if ready or (ended and child.connection.poll()):
            try:
                message = receive(child.connection)
                if isinstance(message, Begun):
                    child.deadline = message.clock + task.time_limit
                    return None
                if not isinstance(message, Advanced | Finished | Failed) or message.run != task.run:
                    raise TypeError(f"{type(message).__name__} is not of {task.run}")
                event = message
            except (EOFError, OSError):
                event = self._died(child, task, late)
            except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
                why = f"{type(error).__name__}: {error}"
                event = Failed(task.run, "the process sent what is no message", why, crashed=True)
                self._replace(child)
        elif ended:  # and something it started holds its end of the socket
            event = self._died(child, task, late)
        elif time.monotonic() > child.deadline + KILL_SECONDS:
            event = out_of_time(task)
            self._replace(child)
        else:
            return None
        if not isinstance(event, Advanced):
            child.task = None
            if late:
                self._replace(child)  # its time limit may have been reported, and then it ends
        return event

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

    def _died(self, child: _Child, task: Task, late: bool) -> Failed:
        with suppress(subprocess.TimeoutExpired):  # it stopped in the middle of a message
            child.process.wait(DYING_SECONDS)
        code = child.end()
        output = child.output()
        self._replace(child)
        if late:
            return out_of_time(task, detail=output)
        how = f"was killed by {_signal(-code)}" if code < 0 else f"exited with code {code}"
        return Failed(task.run, f"the process {how}", output, crashed=True)

    def _replace(self, child: _Child) -> None:
        if child in self._children:
            self._children[self._children.index(child)] = None
            child.kill()


def _signal(number: int) -> str:
    try:
        return f"signal {number} ({signal.Signals(number).name})"
    except ValueError:  # a real-time signal has no name
        return f"signal {number}"
