"""Runs → one tidy table → statistics → figures → one HTML page.

Everything here is loaded on first use, so that importing the package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reports.cells import compare_cells, seeds_wanted
    from reports.comparison_of_studies import write_comparison
    from reports.frame import paired_differences, runs_table
    from reports.page import write_report

__all__ = ["compare_cells", "paired_differences", "runs_table", "seeds_wanted", "write_comparison", "write_report"]

_HOMES = {
    "compare_cells": "reports.cells",
    "paired_differences": "reports.frame",
    "runs_table": "reports.frame",
    "seeds_wanted": "reports.cells",
    "write_comparison": "reports.comparison_of_studies",
    "write_report": "reports.page",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
