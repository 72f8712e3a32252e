"""A discrete, multi-threaded A3C with N-step targets whose missing terms are treated in a chosen way.

``from a3c import TrainConfig, train, n_step_targets``. Names are loaded when first used: importing
:class:`TrainConfig` loads neither torch nor numba.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from a3c.config import TrainConfig
    from a3c.errors import (
        A3CError,
        Diverged,
        EnvironmentUnsuitable,
        EpisodeTooLong,
        EvaluationFailed,
        WorkerFailed,
    )
    from a3c.results import TrainResult
    from a3c.targets.registry import n_step_targets, tail_rule
    from a3c.targets.rule import Targets, Windows
    from a3c.training import train

__all__ = [
    "A3CError",
    "Diverged",
    "EnvironmentUnsuitable",
    "EpisodeTooLong",
    "EvaluationFailed",
    "Targets",
    "TrainConfig",
    "TrainResult",
    "Windows",
    "WorkerFailed",
    "n_step_targets",
    "tail_rule",
    "train",
]

_HOMES = {
    "A3CError": "errors",
    "Diverged": "errors",
    "EnvironmentUnsuitable": "errors",
    "EpisodeTooLong": "errors",
    "EvaluationFailed": "errors",
    "Targets": "targets.rule",
    "TrainConfig": "config",
    "TrainResult": "results",
    "Windows": "targets.rule",
    "WorkerFailed": "errors",
    "n_step_targets": "targets.registry",
    "tail_rule": "targets.registry",
    "train": "training",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'a3c' has no attribute {name!r}")
    value = getattr(import_module(f"a3c.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
