"""Processes that begin with the libraries loaded: real ones, but there in milliseconds rather than in seconds.

They are forked from a process that has imported what a study needs (``multiprocessing``'s fork server) and nothing
else. What an interpreter does at its start is for tests that call ``subprocess`` themselves.
"""

from __future__ import annotations

import atexit
import contextlib
import multiprocessing
import os
import runpy
import signal
import sys
import tempfile
from collections.abc import Mapping
from multiprocessing import forkserver
from multiprocessing.reduction import DupFd
from pathlib import Path
from typing import Any

LOADED = "tests.loaded"  # imports what takes seconds
ROOT = Path(__file__).parents[1]


class Running:
    """What ``python -m module`` is, to be used like a ``Popen``; but a KeyboardInterrupt nobody catches ends it with 1.

    Args:
        module: which; not among those loaded.
        arguments: words of the command line.
        cwd: its working directory.
        environment: its environment variables.
    """

    def __init__(self, module: str, arguments: list[str], cwd: Path, environment: Mapping[str, str]) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([LOADED])
        with contextlib.chdir(ROOT):  # it looks for what it preloads there
            forkserver.ensure_running()
        self._outputs = [tempfile.TemporaryFile() for _ in range(2)]  # noqa: SIM115 - see `wait`
        self._said: list[str] = []
        handed = [_Handed(file.fileno()) for file in self._outputs]
        self._process = context.Process(target=_run, args=(module, arguments, str(cwd), dict(environment), handed))
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid
        atexit.register(self.kill)  # else the tests would end when it does

    @property
    def returncode(self) -> int | None:
        """As ``Popen`` has it; None while it runs."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """See :attr:`returncode`."""
        return self.returncode

    def send_signal(self, sent: signal.Signals) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):  # it has, and that is not known here yet
                os.kill(self.pid, sent)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)

    def wait(self, timeout: float | None = None) -> int:
        """Return its exit code once it has ended."""
        self._process.join(timeout)
        code = self.returncode
        if code is None:
            raise TimeoutError(f"process {self.pid} still runs after {timeout} s")
        for file in self._outputs:
            with file:
                file.seek(0)
                self._said.append(file.read().decode())
        self._outputs.clear()
        atexit.unregister(self.kill)
        return code

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Wait for its end and return what it wrote to standard output and standard error."""
        self.wait(timeout)
        out, errors = self._said
        return out, errors


class _Handed:
    """A file descriptor that becomes the child's own."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def __reduce__(self) -> tuple[Any, ...]:
        return _detached, (DupFd(self._descriptor),)


def _detached(handle: Any) -> int:
    return int(handle.detach())


def _run(module: str, arguments: list[str], cwd: str, environment: dict[str, str], outputs: list[int]) -> None:
    assert LOADED in sys.modules
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    for number, output in enumerate(outputs, start=1):
        os.dup2(output, number)
        os.close(output)
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", 1, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
    sys.argv[1:] = arguments
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        sys.stdout.flush()
