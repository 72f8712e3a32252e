"""Studies as balanced designs of runs: planned whole, computed in processes, recorded, repaired, read back.

The harness knows runs, not algorithms: it is handed the dotted names of a config type and a train function (see
:mod:`harness.algorithm.protocol`). Names are loaded when first used, so that importing this package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.algorithm.protocol import Algorithm
    from harness.commands.dispatcher import run_study
    from harness.commands.observer import Observer
    from harness.errors import (
        BadInput,
        HarnessError,
        Interrupted,
        StoreUnavailable,
        StudyChanged,
        StudyLocked,
        Undelivered,
    )
    from harness.record.run import RunRecord
    from harness.record.study import Study, load_results, load_study
    from harness.study.checks import parse_spec, read_spec
    from harness.study.design import Design, expand
    from harness.study.spec import StudySpec

__all__ = [
    "Algorithm",
    "BadInput",
    "Design",
    "HarnessError",
    "Interrupted",
    "Observer",
    "RunRecord",
    "StoreUnavailable",
    "Study",
    "StudyChanged",
    "StudyLocked",
    "StudySpec",
    "Undelivered",
    "expand",
    "load_results",
    "load_study",
    "parse_spec",
    "read_spec",
    "run_study",
]

_HOMES = {
    "Algorithm": "algorithm.protocol",
    "BadInput": "errors",
    "Design": "study.design",
    "HarnessError": "errors",
    "Interrupted": "errors",
    "Observer": "commands.observer",
    "RunRecord": "record.run",
    "StoreUnavailable": "errors",
    "Study": "record.study",
    "StudyChanged": "errors",
    "StudyLocked": "errors",
    "StudySpec": "study.spec",
    "Undelivered": "errors",
    "expand": "study.design",
    "load_results": "record.study",
    "load_study": "record.study",
    "parse_spec": "study.checks",
    "read_spec": "study.checks",
    "run_study": "commands.dispatcher",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'harness' has no attribute {name!r}")
    value = getattr(import_module(f"harness.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
