"""Programs of this project started by this one: with its interpreter, and with the modules it finds."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

SINGLE_THREADED = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def command(module: str, *arguments: str) -> list[str]:
    """Return the command that runs a module; the working directory comes no earlier than it does here."""
    return [sys.executable, "-P", "-m", module, *arguments]


def environment() -> dict[str, str]:
    """Return the environment variables it needs."""
    return {**os.environ, **SINGLE_THREADED, "PYTHONPATH": os.pathsep.join(_import_path())}


def _import_path() -> list[str]:
    """Return where this process looks for modules, in its order; the working directory by its name."""
    found = []
    for entry in sys.path:
        with suppress(FileNotFoundError):  # the working directory is gone
            found.append(entry or str(Path.cwd()))
    return found
