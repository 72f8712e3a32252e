"""The program a :class:`~harness.executors.ProcessExecutor` runs: receive a task, compute it, send what came out.

An algorithm may be sent ahead of its tasks, to be imported meanwhile.

``python -m harness.child FD CORE`` talks over the socket FD, pins itself to CORE (where the system can) before it
imports anything numeric, and ends when its standard input does, which is when its parent dies.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import signal
import sys
import threading
import time
from multiprocessing.connection import Connection
from typing import Any

PROGRESS_SECONDS = 0.25


def main(descriptor: int, core: int) -> None:
    """Serve tasks until the parent closes the socket or dies."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    faulthandler.enable()
    if hasattr(os, "sched_setaffinity"):
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, {core})
    threading.Thread(target=_die_with_parent, daemon=True).start()
    from harness.algorithm import Algorithm
    from harness.executors import Advanced, Task, compute

    connection = Connection(descriptor)
    while True:
        try:
            task: Task | Algorithm = connection.recv()
        except EOFError:
            return
        if isinstance(task, Algorithm):
            with contextlib.suppress(Exception):  # its first task will meet the same, and report it
                task.config_type()
                task.train_function()
            continue
        last = 0.0

        def emit(event: Any, task: Task = task) -> None:
            nonlocal last
            now = time.monotonic()
            if now - last >= PROGRESS_SECONDS:
                last = now
                connection.send(Advanced(task.run, float(event.fraction)))

        connection.send(compute(task, emit))


def _die_with_parent() -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os._exit(1)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
