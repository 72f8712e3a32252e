"""Executors by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, assert_never, get_args

from harness.compute.executor import Executor, InlineExecutor
from harness.compute.processes import ProcessExecutor

ExecutorName = Literal["processes", "inline"]
EXECUTORS: tuple[ExecutorName, ...] = get_args(ExecutorName)


def make_executor(name: ExecutorName, slots: int, interrupted: Callable[[], bool]) -> Executor:
    """Make the executor of a name.

    Args:
        name: ``processes``, or ``inline``, which has one slot.
        slots: tasks at a time.
        interrupted: asked by an executor that computes in this process; true ends its run.
    """
    match name:
        case "processes":
            return ProcessExecutor(slots)
        case "inline":
            return InlineExecutor(interrupted)
        case unknown:
            assert_never(unknown)
