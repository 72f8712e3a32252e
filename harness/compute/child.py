"""The child process of a :class:`~harness.compute.processes.ProcessExecutor`: receives tasks, sends events.

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
GRACE_SECONDS = 1.0  # after a time limit, to report where the run hangs


def main(descriptor: int, core: int) -> None:
    """Serve tasks until the parent closes the socket or dies."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _start_watchdog(descriptor)
    faulthandler.enable()
    if hasattr(os, "sched_setaffinity"):
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, {core})
    from harness.algorithm.protocol import Algorithm
    from harness.compute.messages import receive, send
    from harness.compute.run import compute
    from harness.compute.task import Advanced, Begun

    connection = Connection(descriptor)
    sending = threading.Lock()  # a time limit may be reached while a worker thread sends
    while True:
        try:
            task = cast("Task | Algorithm", receive(connection))
        except EOFError:
            return
        algorithm = task if isinstance(task, Algorithm) else task.algorithm
        with contextlib.suppress(Exception):  # the task raises the same, which is reported
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
        with _time_limit(task, connection, sending):
            result = compute(task, emit)
        send(connection, result)


@contextlib.contextmanager
def _time_limit(task: Task, connection: Connection, sending: threading.Lock) -> Iterator[None]:
    """End the process at the task's time limit, after reporting where each of its threads hangs."""
    before = {thread.ident for thread in threading.enumerate()} - {threading.get_ident()}
    timer = threading.Timer(task.time_limit, _end_overdue, (task, connection, sending, before))
    timer.daemon = True
    timer.start()
    # where the GIL is never released the timer cannot run; this needs no GIL
    faulthandler.dump_traceback_later(task.time_limit + GRACE_SECONDS, exit=True)
    try:
        yield
    finally:
        timer.cancel()
        timer.join()  # one that has begun to send does not return
        faulthandler.cancel_dump_traceback_later()


def _end_overdue(task: Task, connection: Connection, sending: threading.Lock, others: set[int | None]) -> None:
    from harness.compute.messages import send
    from harness.compute.run import out_of_time
    from harness.compute.stacks import describe_stacks

    summary, stacks = describe_stacks(others | {threading.get_ident()})
    with sending:
        send(connection, out_of_time(task, summary, stacks))
        os._exit(1)


def _start_watchdog(descriptor: int) -> None:
    """Start a process that kills this one's group when standard input ends, as it does when the parent dies.

    A thread would not do: code that never releases the GIL would keep it waiting. The watchdog is no child of this
    process, which might wait for all of its children.
    """
    if os.getpgrp() != os.getpid():
        os.setpgid(0, 0)
    if between := os.fork():
        os.waitpid(between, 0)
        return
    try:
        if not os.fork():
            os.close(descriptor)  # the parent recognises this process's end by the end of the socket
            while os.read(sys.stdin.fileno(), 4096):
                pass
            os.kill(0, signal.SIGKILL)
    finally:
        os._exit(1)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
