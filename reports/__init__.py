"""Reports of studies: tidy tables, statistics, figures, one HTML page.

Everything here is loaded on first use, so that importing the package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reports.comparison.cells import compare_cells, seeds_wanted
    from reports.data.pairs import paired_differences, runs_table
    from reports.page.comparison_of_studies import write_comparison
    from reports.page.report import write_report

__all__ = ["compare_cells", "paired_differences", "runs_table", "seeds_wanted", "write_comparison", "write_report"]

_HOMES = {
    "compare_cells": "reports.comparison.cells",
    "paired_differences": "reports.data.pairs",
    "runs_table": "reports.data.pairs",
    "seeds_wanted": "reports.comparison.cells",
    "write_comparison": "reports.page.comparison_of_studies",
    "write_report": "reports.page.report",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
