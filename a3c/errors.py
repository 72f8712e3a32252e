"""What training can raise.

A3CError
├── EnvironmentUnsuitable   the environment cannot be trained on; raised before any thread starts
├── WorkerFailed            a worker thread raised; ``__cause__`` is what it raised
└── Diverged                a number that must be finite was not; the global network never received it
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from a3c.results import TrainResult


class A3CError(Exception):
    """Base of every error this package raises on purpose."""


class EnvironmentUnsuitable(A3CError, ValueError):
    """The environment is missing, broken, or not Discrete actions with a flat Box observation.

    Attributes:
        field: the config field to blame.
        value: what it says.
        allowed: what it may say.
    """

    def __init__(self, field: str, value: object, allowed: str) -> None:
        self.field, self.value, self.allowed = field, value, allowed
        super().__init__(f"{field} = {value!r}: {allowed}")


class WorkerFailed(A3CError):
    """A worker raised; all others were stopped.

    Attributes:
        result: what was trained until then, with outcome ``"failed"``.
    """

    result: TrainResult | None = None


class Diverged(A3CError):
    """A reward, observation, loss, gradient or parameter was not finite.

    Attributes:
        result: what was trained until then, with outcome ``"diverged"``; its parameters are finite.
    """

    result: TrainResult | None = None
