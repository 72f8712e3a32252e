"""Runs that start helper processes, as a vectorised environment does, or leave their own."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.harness.fake_algorithm import Config, Progress, Result, train

HELPER_SECONDS = 30


def train_with_helper(config: Config, emit: Callable[[Progress], None] | None = None) -> Result:
    """Start a helper, tell its number in ``marks``, then do what the mode says."""
    helper = os.fork()
    if not helper:
        time.sleep(HELPER_SECONDS)
        os._exit(0)
    (Path(config.marks) / f"helper-{helper}").touch()
    return train(config.model_copy(update={"marks": ""}), emit)


def train_and_wait_for_children(config: Config, emit: Callable[[Progress], None] | None = None) -> Result:
    """Wait for every child of this process, as a program does that has started some."""
    try:
        while True:
            os.wait()
    except ChildProcessError:
        return train(config, emit)


def train_and_leave(config: Config, emit: Callable[[Progress], None] | None = None) -> Result:
    """Leave the process as a script does that is done."""
    sys.exit(0)


def helpers(marks: Path) -> list[int]:
    """The numbers of the helpers that were started."""
    return [int(path.name.removeprefix("helper-")) for path in marks.glob("helper-*")]


def end_helpers(marks: Path) -> None:
    """End those that are left."""
    for helper in helpers(marks):
        try:
            os.kill(helper, signal.SIGKILL)
        except ProcessLookupError:
            continue
