"""Serve a :class:`~harness.compute.processes.ProcessExecutor`: receive a task, compute it, send what came out.

An algorithm may be sent ahead of its tasks, to be imported meanwhile.

``python -m harness.compute.child FD CORE`` talks over the socket FD, pins itself to CORE (where the system can)
before it imports anything numeric, and is ended, with all that it has started, when its standard input ends, which is
when its parent dies.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from harness.algorithm.protocol import Algorithm
    from harness.compute.task import Task

PROGRESS_SECONDS = 0.25
GRACE_SECONDS = 1.0  # after a time limit, for the watchdog to say where the run hangs


def main(descriptor: int, core: int) -> None:
    """Serve tasks until the parent closes the socket or dies."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _leave_a_guard(descriptor)
    faulthandler.enable()
    if hasattr(os, "sched_setaffinity"):
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, {core})
    from harness.algorithm.protocol import Algorithm
    from harness.compute.messages import receive, send
    from harness.compute.run import compute
    from harness.compute.task import Advanced, Begun

    connection = Connection(descriptor)
    sending = threading.Lock()  # the watchdog may have to speak while a worker thread does
    while True:
        try:
            task = cast("Task | Algorithm", receive(connection))
        except EOFError:
            return
        algorithm = task if isinstance(task, Algorithm) else task.algorithm
        with contextlib.suppress(Exception):  # the task meets the same, and reports it
            algorithm.config_type()
            algorithm.train_function()
        if isinstance(task, Algorithm):
            continue
        last = 0.0

        def emit(event: Any, task: Task = task) -> None:
            nonlocal last
            now = time.monotonic()
            if now - last >= PROGRESS_SECONDS:
                last = now
                with sending:
                    send(connection, Advanced(task.run, float(event.fraction)))

        send(connection, Begun(task.run, time.monotonic()))
        with _watched(task, connection, sending):
            result = compute(task, emit)
        send(connection, result)


@contextlib.contextmanager
def _watched(task: Task, connection: Connection, sending: threading.Lock) -> Iterator[None]:
    """End the process at the task's time limit, and say first where each of its threads hangs."""
    before = {thread.ident for thread in threading.enumerate()} - {threading.get_ident()}
    watchdog = threading.Timer(task.time_limit, _end, (task, connection, sending, before))
    watchdog.daemon = True
    watchdog.start()
    # where the GIL is never let go the watchdog cannot run; this needs no GIL
    faulthandler.dump_traceback_later(task.time_limit + GRACE_SECONDS, exit=True)
    try:
        yield
    finally:
        watchdog.cancel()
        watchdog.join()  # one that has begun to speak does not return
        faulthandler.cancel_dump_traceback_later()


def _end(task: Task, connection: Connection, sending: threading.Lock, others: set[int | None]) -> None:
    from harness.compute.messages import send
    from harness.compute.run import out_of_time
    from harness.compute.stacks import whereabouts

    summary, stacks = whereabouts(others | {threading.get_ident()})
    with sending:
        send(connection, out_of_time(task, summary, stacks))
        os._exit(1)


def _leave_a_guard(descriptor: int) -> None:
    """Leave a process that waits for the end of standard input, which a parent that dies closes, and ends the group.

    A thread would not do: code that never lets go of the GIL keeps it waiting. Nor is it a child of this process,
    which might wait for all of its children.
    """
    if os.getpgrp() != os.getpid():
        os.setpgid(0, 0)
    if between := os.fork():
        os.waitpid(between, 0)
        return
    try:
        if not os.fork():
            os.close(descriptor)  # whose end tells the parent that this process's has come
            while os.read(sys.stdin.fileno(), 4096):
                pass
            os.kill(0, signal.SIGKILL)
    finally:
        os._exit(1)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
