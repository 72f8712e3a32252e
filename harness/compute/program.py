"""Command and environment of a child process: this interpreter, and the modules this process finds."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

SINGLE_THREADED = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def command(module: str, *arguments: str) -> list[str]:
    """Return the command that runs a module, without putting the working directory first on the import path."""
    return [sys.executable, "-P", "-m", module, *arguments]


def environment() -> dict[str, str]:
    """Return the environment variables of a child process."""
    return {**os.environ, **SINGLE_THREADED, "PYTHONPATH": os.pathsep.join(_import_path())}


def _import_path() -> list[str]:
    """Return this process's import path, with the working directory by its name."""
    found = []
    for entry in sys.path:
        with suppress(FileNotFoundError):  # the working directory is gone
            found.append(entry or str(Path.cwd()))
    return found
