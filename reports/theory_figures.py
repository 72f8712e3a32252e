"""Theory beside data: what the page shows of it."""

from __future__ import annotations

from reports.horizon import horizon_figure, horizon_table, horizon_words
from reports.residuals import residual_figure, residual_table, residual_words

__all__ = [
    "horizon_figure",
    "horizon_table",
    "horizon_words",
    "residual_figure",
    "residual_table",
    "residual_words",
]
