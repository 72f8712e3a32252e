"""One run, computed in the calling process; whatever it raises becomes an event."""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Callable
from typing import Any

from harness.algorithm.output import RunOutput
from harness.algorithm.protocol import RunResult
from harness.compute.task import Failed, Finished, Task


class OutOfTime(Exception):
    """A run used up its time limit."""


class Cancelled(Exception):
    """A signal asked the study to stop while a run was computed in this process."""


def compute(task: Task, emit: Callable[[Any], None]) -> Finished | Failed:
    """Compute one task, and turn what it returns or raises into an event."""
    started, clock = time.time(), time.monotonic()
    try:
        config = task.algorithm.config_type().model_validate_json(json.dumps(task.settings))
        output = RunOutput.of(task.algorithm.train_function()(config, emit))
    except (Exception, SystemExit) as error:  # leaving is the process's own affair, not its run's
        partial: RunResult | None = getattr(error, "result", None)
        if partial is None or partial.outcome != "diverged":
            cause = error.__cause__ if isinstance(error.__cause__, OutOfTime) else error
            return Failed(task.run, f"{type(cause).__name__}: {cause}", traceback.format_exc())
        output = RunOutput.of(partial)
    return Finished(task.run, output, started, time.monotonic() - clock)


def out_of_time(task: Task, where: str = "", detail: str = "") -> Failed:
    """Return the failure of a task that used up its time limit, with where it was then."""
    at = f": {where}" if where else ""
    return Failed(task.run, f"OutOfTime: took longer than its time limit of {task.time_limit:g} s{at}", detail)
