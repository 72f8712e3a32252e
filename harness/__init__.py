"""Studies as balanced designs of runs: planned whole, computed in processes, recorded, repaired, read back.

The harness knows runs, not algorithms: it is handed the dotted names of a config type and a train function (see
:mod:`harness.algorithm`). Names are loaded when first used, so that importing this package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.algorithm import Algorithm
    from harness.design import Design, expand
    from harness.dispatcher import run_study
    from harness.errors import (
        BadInput,
        HarnessError,
        Interrupted,
        StoreUnavailable,
        StudyChanged,
        StudyLocked,
        Undelivered,
    )
    from harness.observer import Observer
    from harness.records import RunRecord
    from harness.results import Study, load_results, load_study
    from harness.spec import StudySpec, parse_spec, read_spec

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
    "Algorithm": "algorithm",
    "BadInput": "errors",
    "Design": "design",
    "HarnessError": "errors",
    "Interrupted": "errors",
    "Observer": "observer",
    "RunRecord": "records",
    "StoreUnavailable": "errors",
    "Study": "results",
    "StudyChanged": "errors",
    "StudyLocked": "errors",
    "StudySpec": "spec",
    "Undelivered": "errors",
    "expand": "design",
    "load_results": "results",
    "load_study": "results",
    "parse_spec": "spec",
    "read_spec": "spec",
    "run_study": "dispatcher",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'harness' has no attribute {name!r}")
    value = getattr(import_module(f"harness.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
