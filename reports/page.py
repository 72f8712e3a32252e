"""The report: one HTML page that fetches nothing, and its tables as CSV."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.results import Study
from harness.scores import SCALED
from reports import views
from reports.cells import Comparison, compare_cells, comparisons_table
from reports.curves import budget_unit, evaluation_curves, measure, training_curves
from reports.frame import paired_differences, runs_table
from reports.heatmap import heatmaps
from reports.layout import arrange
from reports.learning import CurveStyle, learning_curves
from reports.overview import overview
from reports.selection import CELLS_SHOWN, ROWS_KEPT, select_cells
from reports.statistics import MIN_PAIRS
from reports.style import arm_colours, dark_colour
from reports.summary import summarise
from reports.tables import csv_text, write_text
from reports.text import cell_name, count, interval, number, percent, show, signed
from reports.throughput import shows_cells, throughput_figure, throughput_table
from reports.units import scale_of, unit_of
from reports.vacuity import compares_targets

if TYPE_CHECKING:
    import pandas as pd

PAGE_FILE = "report.html"
TABLES_FOLDER = "tables"


def write_report(study: Study, folder: Path | None = None) -> Path:
    """Write ``report.html`` and ``tables/*.csv``, each file whole or not at all; return the page's path.

    Args:
        study: the study, finished or not.
        folder: where to write; the study's own folder by default.

    Raises:
        OSError: if the disk takes no more; files that were there stay as they were.
    """
    folder = study.folder if folder is None else folder
    (folder / TABLES_FOLDER).mkdir(parents=True, exist_ok=True)
    comparisons = compare_cells(study)
    speeds, series = throughput_table(study)
    evaluations, training = evaluation_curves(study), training_curves(study)
    tables: dict[str, pd.DataFrame] = {
        "cells": comparisons_table(study, comparisons),
        "curves": evaluations,
        "pairs": paired_differences(study),
        "runs": runs_table(study),
        "throughput": speeds,
        "training": training,
    }
    page = _render(
        {
            **_opening(study),
            **_figures(study, comparisons, evaluations, training),
            "summary": summarise(study, comparisons),
            "counts": views.counts(study),
            "rows": views.cell_rows(study, comparisons),
            "controls": [c for c in comparisons if c.control],
            "speed_figure": throughput_figure(speeds, series),
            "speed_points": shows_cells(speeds),
            "speed_rows": views.throughput_rows(speeds, series),
            "speed_series": series,
        }
    )
    for name, table in tables.items():
        write_text(folder / TABLES_FOLDER / f"{name}.csv", csv_text(table))
    write_text(folder / PAGE_FILE, page)
    return folder / PAGE_FILE


def _figures(
    study: Study, comparisons: Sequence[Comparison], evaluations: pd.DataFrame, training: pd.DataFrame
) -> dict[str, Any]:
    """Draw the differences and the curves: of every cell, or of a large study a map and the cells most telling."""
    layout, selection = arrange(study), select_cells(study, comparisons)
    vacuous = {c.cell.id for c in comparisons if c.control}
    evaluation_style = _evaluation_style(study, evaluations, vacuous)
    return {
        "selection": selection,
        "heatmaps": heatmaps(study, layout, comparisons) if selection.whole else [],
        "overview": None if selection.whole else overview(study, layout, comparisons),
        "curves": learning_curves(study, layout, selection, evaluations, evaluation_style),
        "training": learning_curves(study, layout, selection, training, _training_style(study, vacuous)),
    }


def _opening(study: Study) -> dict[str, Any]:
    """Return what the page says whatever came out: the question, the design, settings and versions."""
    compare = study.spec.compare
    budget = _budget(study)
    colours = arm_colours(study.arms)
    return {
        "name": show(study.spec.name, 200),
        "question": show(study.spec.study.question, 2000),
        "factor": show(compare.factor),
        "baseline": show(study.arms[0]),
        "candidates": [show(arm) for arm in study.arms[1:]],
        "arms": [(show(arm), colour, dark_colour(colour)) for arm, colour in colours.items()],
        "metric": show(compare.metric),
        "unit": unit_of(study),
        "scaled": compare.metric in SCALED and scale_of(study) != "return",
        "higher_is_better": compare.higher_is_better,
        "level": percent(compare.level),
        "min_pairs": MIN_PAIRS,
        "environment": views.setting(study, "env_id"),
        "budget": budget,
        "schedule": views.setting(study, "schedule"),
        "cells": len(study.cells),
        "seeds": len(study.spec.study.seeds),
        "targets": compares_targets(study),
        "by_episode": budget_unit(study) == "episodes",
        "factors": [show(name, 30) for name in views.cell_factors(study)],
        "sweep": views.factor_rows(study),
        "settings": views.settings(study),
        "provenance": views.provenance(study),
        "failures": views.failure_rows(study),
        "diverged": views.diverged_rows(study),
        "aliases": views.alias_rows(study),
    }


def _budget(study: Study) -> str:
    """Return how long each run trains, with its unit; empty if it is not known."""
    unit = budget_unit(study)
    amount = views.setting(study, "total_episodes" if unit == "episodes" else "total_steps")
    if amount.isdecimal():
        amount = f"{int(amount):,}".replace(",", "\N{NARROW NO-BREAK SPACE}")
    return f"{amount} {unit}" if amount else ""


def _evaluation_style(study: Study, curves: pd.DataFrame, vacuous: set[str]) -> CurveStyle:
    column = measure(curves)
    threshold = _threshold(study)
    if column == "scaled" and scale_of(study) == "return":
        marks, label = {}, "evaluation return"
    elif column == "scaled" and views.setting(study, "evaluation_scale"):
        marks, label = {1.0: "scores 1"}, "scaled evaluation return"
    elif column == "scaled":
        of = f" ({number(threshold).rstrip('0').rstrip('.')})" if threshold is not None else ""
        marks = {1.0: f"reward threshold{of}"}
        label = "scaled evaluation return"
    else:
        marks = {} if threshold is None else {threshold: "reward threshold"}
        label = "evaluation return"
    return CurveStyle(column, budget_unit(study), label, marks, study.spec.compare.level, vacuous)


def _training_style(study: Study, vacuous: set[str]) -> CurveStyle:
    threshold = _threshold(study)
    marks = {} if threshold is None else {threshold: "reward threshold"}
    return CurveStyle("return", budget_unit(study), "training return", marks, study.spec.compare.level, vacuous)


def _threshold(study: Study) -> float | None:
    """Return the environment's reward threshold, if all runs share one."""
    seen = {r.metrics["reward_threshold"] for r in study.records if "reward_threshold" in r.metrics}
    return next(iter(seen)) if len(seen) == 1 else None


def _render(context: dict[str, Any]) -> str:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("reports"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        count=count,
        number=number,
        signed=signed,
        cell_name=cell_name,
        rows_shown=CELLS_SHOWN,
        rows_kept=ROWS_KEPT,
        interval=interval,
        control_finding=views.control_finding,
    )
    return environment.get_template("report.html").render(context)
