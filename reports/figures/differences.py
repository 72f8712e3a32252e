"""The tables that every verdict rests on, and the maps of the differences over the study's levels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from reports.comparison.cells import comparisons_table
from reports.comparison.control import compares_targets
from reports.data.pairs import paired_differences, runs_table
from reports.data.units import unit_of
from reports.figures.exhibit import Exhibit, Words
from reports.figures.findings import Findings
from reports.figures.heatmap import heatmaps, shade_limit
from reports.figures.overview import drawn_panels, overview
from reports.figures.style import Picture
from reports.statistics.intervals import MIN_PAIRS
from reports.text import number, percent, show

if TYPE_CHECKING:
    import pandas as pd


def differences_of(findings: Findings) -> str:
    """Return which arms differ, in what unit: ``b or c minus a; return``."""
    study = findings.study
    unit = unit_of(study)
    candidates = " or ".join(show(arm) for arm in study.arms[1:])
    return f"{candidates} minus {show(study.arms[0])}" + (f"; {unit}" if unit else "")


def maps(_: pd.DataFrame, findings: Findings) -> Sequence[Picture]:
    """Draw the differences with their numbers; of a study too large for that, their signs and sizes alone."""
    return heatmaps(findings) if findings.selection.whole else overview(findings)


def _words(_: pd.DataFrame, findings: Findings) -> Words:
    compare = findings.study.spec.compare
    start = f"Mean over pairs (same seed) of {show(compare.metric)}, {differences_of(findings)}"
    level = percent(compare.level)
    if findings.selection.whole:
        same = " “Same targets”: nothing to compare." if compares_targets(findings.study) else ""
        return Words(
            f"{start}.\nBelow each number its {level} interval, or the number of pairs where there are fewer than "
            f"{MIN_PAIRS}. Bold: the interval excludes 0.\nBlue: the candidate did better; orange: the baseline. "
            f"Italic with “=”: the settings come to the same as another cell’s, whose number this is.{same}"
        )
    alike = " Settings that come to the same show the same cell." if findings.study.aliases else ""
    panels = findings.layout.panels
    drawn = len(drawn_panels(findings.layout))
    left_out = "" if drawn == len(panels) else f"The first {drawn} of {len(panels)} panels are drawn."
    return Words(
        f"{start}: a field for each combination of settings, one scale for all.\nBlue: the candidate did better; "
        f"orange: the baseline; full colour: {number(shade_limit(findings.comparisons))}. Dot: the {level} interval "
        "excludes 0. Grey: same targets, nothing to compare. Empty: nothing planned or no pair yet."
        f"{alike} {left_out}\n"
    )


CELLS = Exhibit(
    "cells",
    "every comparison: verdict, difference, intervals, p-values, look, pairing, control",
    lambda findings: comparisons_table(findings.study, findings.comparisons),
    maps,
    _words,
    "differences",
)
PAIRS = Exhibit(
    "pairs",
    "every pair of runs: both values of the compared metric and their difference",
    lambda findings: paired_differences(findings.study, findings.values),
)
RUNS = Exhibit(
    "runs",
    "every finished run: levels, outcome, metrics, timings",
    lambda findings: runs_table(findings.study, findings.values),
)
