"""Programs that inject a fault many times and tell in a line of JSON what came of each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

from tests.harness.lab import ROOT

ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "JE_ARROW_MALLOC_CONF": "background_thread:false"}


def what_came(
    module: str, *arguments: str, show: Callable[[dict[str, Any]], str], within: Sequence[str] = ()
) -> tuple[list[dict[str, Any]], str]:
    """Run a program; return what came of each fault, having shown what was wrong, and its standard error.

    Args:
        module: the program.
        arguments: its own.
        show: says of one fault which it was.
        within: a command that starts the program.
    """
    process = subprocess.run(
        [*within, sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        env={**os.environ, **ONE_THREAD},
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr
    told = [json.loads(line) for line in process.stdout.splitlines()]
    wrong = [f"{show(one)}: {one['wrong']}" for one in told if one["wrong"]]
    assert not wrong, f"{len(wrong)} of {len(told)}\n" + "\n".join(wrong)
    return told, process.stderr
