"""Tasks of an executor and the events it returns: plain data that crosses process borders."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.algorithm.output import RunOutput
from harness.algorithm.protocol import Algorithm


@dataclass(frozen=True)
class Task:
    """One run to compute.

    Attributes:
        run: its id.
        algorithm: dotted names of the config type and the train function.
        settings: every field of the config, as JSON knows them.
        time_limit: seconds it may take.
    """

    run: str
    algorithm: Algorithm
    settings: Mapping[str, Any]
    time_limit: float


@dataclass(frozen=True)
class Begun:
    """The start of a run in a child; its time limit counts from ``clock``, the monotonic clock, in seconds."""

    run: str
    clock: float


@dataclass(frozen=True)
class Advanced:
    """The progress of a run: the fraction of its budget that is used, in [0, 1]."""

    run: str
    fraction: float


@dataclass(frozen=True)
class Finished:
    """The output of a run that returned; ``started`` in seconds since the epoch."""

    run: str
    output: RunOutput
    started: float
    seconds: float


@dataclass(frozen=True)
class Failed:
    """The failure of a run.

    Attributes:
        run: its id.
        reason: one line.
        detail: the traceback, where there is one.
        crashed: whether its process died, which may have nothing to do with the run: worth another try.
    """

    run: str
    reason: str
    detail: str = ""
    crashed: bool = False


Event = Advanced | Finished | Failed
