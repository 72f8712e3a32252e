"""Profile a run: clocks around the phases of its workers."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from typing import ParamSpec, Protocol, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class Timed(Protocol):
    """A function that wraps a phase of a worker in a clock, or leaves it as it is."""

    def __call__(self, phase: str, function: Callable[P, R]) -> Callable[P, R]:
        """Return a function that does the same."""


def untimed(phase: str, function: Callable[P, R]) -> Callable[P, R]:
    """Leave a phase as it is."""
    return function


class Profile:
    """CPU seconds by phase, summed over all workers; a clock's two readings cost about half a microsecond."""

    def __init__(self) -> None:
        self._clocks: defaultdict[str, list[list[float]]] = defaultdict(list)

    def timed(self, phase: str, function: Callable[P, R]) -> Callable[P, R]:
        """Return the function with a clock of its own: threads must not share one."""
        clock = [0.0]
        self._clocks[phase].append(clock)

        def timed(*args: P.args, **kwargs: P.kwargs) -> R:
            started = time.thread_time()
            try:
                return function(*args, **kwargs)
            finally:
                clock[0] += time.thread_time() - started

        return timed

    def seconds(self) -> dict[str, float]:
        """Return ``<phase>_cpu_seconds`` by name."""
        return {f"{phase}_cpu_seconds": sum(c[0] for c in clocks) for phase, clocks in self._clocks.items()}
