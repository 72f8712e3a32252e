"""The report: one HTML page that fetches nothing, and its tables as CSV."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.record.files import write_text
from harness.record.study import Study
from reports.comparison.cells import compare_cells, comparisons_table
from reports.comparison.control import compares_targets
from reports.data.curves import budget_unit, evaluation_curves, measure, training_curves
from reports.data.names import REWARD_THRESHOLD
from reports.data.pairs import paired_differences, runs_table
from reports.data.settings import cell_factors, counts, provenance, seeds_words, setting, settings
from reports.data.units import scale_of, unit_of
from reports.figures.catalogue import EXHIBITED, exhibits
from reports.figures.forest import forest, forest_table
from reports.figures.heatmap import heatmaps
from reports.figures.layout import arrange
from reports.figures.learning import CurveStyle, learning_curves
from reports.figures.overview import overview
from reports.figures.selection import select_cells
from reports.figures.style import arm_colours, dark_colour
from reports.figures.throughput import shows_cells, throughput_figure, throughput_table
from reports.page.csv import csv_text
from reports.page.downloads import downloads
from reports.page.films import Film
from reports.page.rendering import render
from reports.page.rows import (
    alias_rows,
    cell_filters,
    cell_rows,
    diverged_rows,
    factor_rows,
    failure_rows,
    throughput_rows,
)
from reports.page.signs import tally
from reports.page.summary import summarise
from reports.statistics.intervals import MIN_PAIRS
from reports.text import cell_name, number, percent, show

if TYPE_CHECKING:
    import pandas as pd

PAGE_FILE = "report.html"
TABLES_FOLDER = "tables"
_OPTIONAL = frozenset(EXHIBITED)  # tables that only some studies have


def write_report(study: Study, folder: Path | None = None, films: Sequence[Film] = ()) -> Path:
    """Write ``report.html`` and ``tables/*.csv``, each file whole or not at all; return the page's path.

    Args:
        study: the study, finished or not.
        folder: where to write; the study's own folder by default.
        films: of trained policies, to be shown on the page.

    Raises:
        OSError: if the disk takes no more; files that were there stay as they were.
    """
    folder = study.folder if folder is None else folder
    (folder / TABLES_FOLDER).mkdir(parents=True, exist_ok=True)
    comparisons = compare_cells(study)
    layout, selection = arrange(study), select_cells(study, comparisons)
    speeds, series = throughput_table(study)
    evaluations, training = evaluation_curves(study), training_curves(study)
    vacuous = {c.cell.id for c in comparisons if c.control}
    style = _evaluation_style(study, evaluations, vacuous)
    shown = exhibits(study, layout, selection, comparisons, evaluations, style)
    tables: dict[str, pd.DataFrame] = {
        "cells": comparisons_table(study, comparisons),
        "pairs": paired_differences(study),
        "runs": runs_table(study),
        "forest": forest_table(comparisons),
        "curves": evaluations,
        "training": training,
        "throughput": speeds,
        **shown.tables,
    }
    texts = {name: csv_text(table) for name, table in tables.items()}
    whole = selection.whole
    rows = cell_rows(study, comparisons)
    page = render(
        "report.html",
        {
            **_opening(study),
            **_speed(speeds, series),
            "selection": selection,
            "forest": forest(study, comparisons, selection),
            "heatmaps": heatmaps(study, layout, comparisons) if whole else [],
            "overview": None if whole else overview(study, layout, comparisons),
            "curves": learning_curves(study, layout, selection, evaluations, style),
            "training": learning_curves(study, layout, selection, training, _training_style(study, vacuous)),
            "exhibits": shown,
            "films": [_film(study, film) for film in films],
            "summary": summarise(study, comparisons),
            "tally": tally(comparisons) if study.records or study.failures else [],
            "rows": rows,
            "filters": cell_filters(study, rows),
            "exploratory": not all(cell.primary for cell in study.cells),
            "controls": [c for c in comparisons if c.control],
            "downloads": downloads(texts, {name: len(table) for name, table in tables.items()}),
        },
    )
    _write(folder, page, texts)
    return folder / PAGE_FILE


def _write(folder: Path, page: str, texts: Mapping[str, str]) -> None:
    """Write the page and its tables; a table of an earlier report that this one has not goes."""
    tables = folder / TABLES_FOLDER
    for name, text in texts.items():
        write_text(tables / f"{name}.csv", text)
    for name in _OPTIONAL - texts.keys():
        (tables / f"{name}.csv").unlink(missing_ok=True)
    write_text(folder / PAGE_FILE, page)


def _speed(speeds: pd.DataFrame, series: str) -> dict[str, Any]:
    return {
        "speed_figure": throughput_figure(speeds, series),
        "speed_points": shows_cells(speeds),
        "speed_rows": throughput_rows(speeds, series),
        "speed_series": series,
    }


def _film(study: Study, film: Film) -> dict[str, Any]:
    """Put a film into the page as it is."""
    names = {cell.id: cell_name(cell) for cell in study.cells}
    source = "data:image/gif;base64," + base64.b64encode(film.gif).decode("ascii")
    words = {"alt": show(film.alt, 1000), "caption": show(film.caption, 1000)}
    return {
        "title": names.get(film.cell, film.cell),
        "source": source,
        **words,
        "width": film.width,
        "height": film.height,
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
        "higher_is_better": compare.higher_is_better,
        "level": percent(compare.level),
        "min_pairs": MIN_PAIRS,
        "environment": setting(study, "env_id"),
        "budget": budget,
        "schedule": setting(study, "schedule"),
        "cells": len(study.cells),
        "seeds_words": seeds_words(study),
        "looks": len(study.spec.study.looks) > 1,
        "margin": f"{compare.margin:g}",
        "counts": counts(study),
        "targets": compares_targets(study),
        "by_episode": budget_unit(study) == "episodes",
        "factors": [show(name, 30) for name in cell_factors(study)],
        "sweep": factor_rows(study),
        "settings": settings(study),
        "provenance": provenance(study),
        "failures": failure_rows(study),
        "diverged": diverged_rows(study),
        "aliases": alias_rows(study),
    }


def _budget(study: Study) -> str:
    """Return how long each run trains, with its unit; empty if it is not known."""
    unit = budget_unit(study)
    amount = setting(study, "total_episodes" if unit == "episodes" else "total_steps")
    if amount.isdecimal():
        amount = f"{int(amount):,}".replace(",", "\N{NARROW NO-BREAK SPACE}")
    return f"{amount} {unit}" if amount else ""


def _evaluation_style(study: Study, curves: pd.DataFrame, vacuous: set[str]) -> CurveStyle:
    column = measure(curves)
    threshold = _threshold(study)
    if column == "scaled" and scale_of(study) == "return":
        marks, label = {}, "evaluation return"
    elif column == "scaled" and setting(study, "evaluation_scale"):
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
    seen = {r.metrics[REWARD_THRESHOLD] for r in study.records if REWARD_THRESHOLD in r.metrics}
    return next(iter(seen)) if len(seen) == 1 else None
