"""The tables and figures of the page, in its order: a new one is a file of this folder, named here."""

from __future__ import annotations

from reports.figures import (
    differences,
    forest,
    horizon,
    importances,
    learning,
    profiles,
    residuals,
    survival,
    throughput,
    tuning,
)
from reports.figures.exhibit import Exhibit

CATALOGUE: tuple[Exhibit, ...] = (
    differences.CELLS,
    differences.PAIRS,
    differences.RUNS,
    forest.FOREST,
    learning.EVALUATIONS,
    learning.TRAINING,
    throughput.THROUGHPUT,
    profiles.PROFILES,
    survival.SURVIVAL,
    survival.SUMMARY,
    learning.OVER_TIME,
    residuals.RESIDUALS,
    horizon.HORIZON,
    tuning.TUNING,
    importances.IMPORTANCES,
)
