"""The errors of training.

A3CError
├── EnvironmentUnsuitable   the environment cannot be trained on; raised before any thread starts
├── WorkerFailed            a worker thread raised; ``__cause__`` is what it raised
├── EvaluationFailed        the evaluation after training raised; ``__cause__`` is what it raised
├── EpisodeTooLong          an episode does not end; the ``__cause__`` of one of the two above
└── Diverged                a number that must be finite was not; the global network never received it

What stops a run names the environment, who stepped it, the step and the run's seed.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol


class PartialResult(Protocol):
    """The result of a run that stopped: the part of :class:`a3c.results.TrainResult` that the harness reads."""

    @property
    def outcome(self) -> str:
        """``diverged`` or ``failed``."""

    @property
    def metrics(self) -> Mapping[str, float]:
        """Final figures that depend on the config and the seed alone."""

    @property
    def timings(self) -> Mapping[str, float]:
        """Final figures that depend on the machine too."""

    @property
    def curves(self) -> Mapping[str, Sequence[tuple[int, float]]]:
        """Per metric name (environment step, value)."""

    @property
    def tables(self) -> Mapping[str, Any]:
        """Per name a pandas DataFrame."""

    @property
    def arrays(self) -> Mapping[str, Mapping[str, Any]]:
        """Per name named numpy arrays."""


class A3CError(Exception):
    """Base of every error this package raises on purpose."""


class EnvironmentUnsuitable(A3CError, ValueError):
    """The environment is missing, broken, or not Discrete actions with a flat Box observation.

    Attributes:
        field: the config field to blame.
        value: its value.
        allowed: the values allowed, in words.
    """

    def __init__(self, field: str, value: object, allowed: str) -> None:
        self.field, self.value, self.allowed = field, value, allowed
        super().__init__(f"{field} = {value!r}: {allowed}")


class WorkerFailed(A3CError):
    """A worker raised; all others were stopped.

    Attributes:
        result: what was trained until then, with outcome ``"failed"``.
    """

    result: PartialResult | None = None


class EvaluationFailed(A3CError):
    """The evaluation raised: making, resetting or stepping its environments.

    Attributes:
        result: what was trained, with outcome ``"failed"``.
    """

    result: PartialResult | None = None


class EpisodeTooLong(A3CError):
    """An episode went on for so long that it is taken for one that never ends."""

    def __init__(self, steps: int, field: str) -> None:
        super().__init__(f"an episode has not ended after {steps:,} steps: set max_episode_steps in {field}")


class Diverged(A3CError):
    """A reward, observation, return, loss, gradient, parameter or figure of the evaluation was not finite.

    Attributes:
        result: what was trained until then, with outcome ``"diverged"``; its parameters are finite.
    """

    result: PartialResult | None = None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``", did you mean 'x'?"`` for the nearest known word, or an empty string."""
    near = difflib.get_close_matches(word, [*known], n=1)
    return f", did you mean {near[0]!r}?" if near else ""
