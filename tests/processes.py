"""Processes that begin with the libraries loaded: real ones, but there in milliseconds rather than in seconds.

They are forked from a process that has imported what a study needs (``multiprocessing``'s fork server) and nothing
else. What an interpreter does at its start is for tests that call ``subprocess`` themselves.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import signal
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

LOADED = "tests.loaded"  # imports what takes seconds


class Running:
    """What ``python -m module`` is, to be used like a ``Popen``.

    Args:
        module: which; not among those loaded.
        arguments: words of the command line.
        cwd: its working directory.
        environment: its environment variables.
    """

    def __init__(self, module: str, arguments: list[str], cwd: Path, environment: Mapping[str, str]) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([LOADED])
        self._folder = tempfile.TemporaryDirectory()
        self._out, self._errors = (Path(self._folder.name) / name for name in ("out", "errors"))
        self._out.touch()
        self._errors.touch()
        outputs = str(self._out), str(self._errors)
        self._process = context.Process(target=_run, args=(module, arguments, str(cwd), dict(environment), *outputs))
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

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
        return code

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Wait for its end and return what it wrote to standard output and standard error; once."""
        self.wait(timeout)
        said = self._out.read_text(encoding="utf-8"), self._errors.read_text(encoding="utf-8")
        self._folder.cleanup()
        return said


def _run(module: str, arguments: list[str], cwd: str, environment: dict[str, str], out: str, errors: str) -> None:
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    for number, path in ((1, out), (2, errors)):
        file = os.open(path, os.O_WRONLY | os.O_APPEND)
        os.dup2(file, number)
        os.close(file)
    sys.stdout, sys.stderr = (open(number, "w", encoding="utf-8", closefd=False) for number in (1, 2))  # noqa: SIM115
    sys.argv[1:] = arguments
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
