"""Write the report: one HTML page that fetches nothing, and its tables as CSV."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.record.files import write_text
from harness.record.folder import REPORT_FILE
from harness.record.study import Study
from reports.comparison.control import compares_targets
from reports.data.settings import cell_factors, counts, provenance, seeds_words, setting, settings
from reports.data.units import unit_of
from reports.figures.catalogue import CATALOGUE
from reports.figures.exhibit import SECTIONS, Shown, show_exhibit
from reports.figures.findings import Findings, find
from reports.figures.overview import drawn_panels
from reports.figures.style import arm_colours, dark_colour
from reports.figures.throughput import series_factor
from reports.page.csv import csv_text
from reports.page.downloads import offer
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
from reports.text import cell_name, percent, show

TABLES_FOLDER = "tables"


def write_report(study: Study, folder: Path | None = None, films: Sequence[Film] = (), verify: bool = False) -> Path:
    """Write ``report.html`` and ``tables/*.csv``, each file whole or not at all; return the page's path.

    Args:
        study: the study, finished or not.
        folder: where to write; the study's own folder by default.
        films: of trained policies, to be shown on the page.
        verify: whether to compare every file of its runs with the digest in its record; each is read once all the same.

    Raises:
        DamagedRecord: if a file of a run cannot be read, or is found not to be what was written; nothing is written.
        OSError: if the disk takes no more; files that were there stay as they were.
    """
    folder = study.folder if folder is None else folder
    (folder / TABLES_FOLDER).mkdir(parents=True, exist_ok=True)
    findings = find(study, verify=verify)
    shown = {exhibit.name: show_exhibit(exhibit, findings) for exhibit in CATALOGUE}
    texts = {name: csv_text(one.table) for name, one in shown.items() if len(one.table) or not one.exhibit.optional}
    page = render(
        "report.html",
        {
            **_opening(findings),
            **_results(findings, shown),
            "figures": shown,
            "sections": {
                name: [one for one in shown.values() if one.exhibit.section == name and one.pictures]
                for name in SECTIONS
            },
            "films": [_film(study, film) for film in films],
            "downloads": [
                offer(name, shown[name].exhibit.holds, text, len(shown[name].table)) for name, text in texts.items()
            ],
        },
    )
    if verify:
        findings.files.verify_unread()
    _write(folder, page, texts)
    return folder / REPORT_FILE


def _write(folder: Path, page: str, texts: Mapping[str, str]) -> None:
    """Write the page and its tables; a table of an earlier report that this one has not goes."""
    tables = folder / TABLES_FOLDER
    for name, text in texts.items():
        write_text(tables / f"{name}.csv", text)
    for name in {exhibit.name for exhibit in CATALOGUE} - texts.keys():
        (tables / f"{name}.csv").unlink(missing_ok=True)
    write_text(folder / REPORT_FILE, page)


def _results(findings: Findings, shown: Mapping[str, Shown]) -> dict[str, Any]:
    """Return the results as the template shows them, figures aside."""
    study, comparisons = findings.study, findings.comparisons
    rows, series = cell_rows(study, comparisons), series_factor(study)
    return {
        "selection": findings.selection,
        "mappable": findings.selection.whole or drawn_panels(findings.layout),
        "summary": summarise(findings),
        "tally": tally(comparisons) if study.records or study.failures else [],
        "rows": rows,
        "filters": cell_filters(study, rows),
        "exploratory": not all(cell.primary for cell in study.cells),
        "controls": [c for c in comparisons if c.control],
        "speed_rows": throughput_rows(shown["throughput"].table, series),
        "speed_series": series,
    }


def _film(study: Study, film: Film) -> dict[str, Any]:
    """Return a film as the template shows it."""
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


def _opening(findings: Findings) -> dict[str, Any]:
    """Return the parts of the page that no result changes: the question, the design, settings and versions."""
    study, compare = findings.study, findings.study.spec.compare
    colours = arm_colours(study.arms)
    return {
        "name": show(study.spec.name, 200),
        "question": show(study.spec.study.question, 2000),
        "factor": show(compare.factor),
        "candidates": len(study.arms) - 1,
        "arms": [(show(arm), colour, dark_colour(colour)) for arm, colour in colours.items()],
        "metric": show(compare.metric),
        "unit": unit_of(study),
        "higher_is_better": compare.higher_is_better,
        "level": percent(compare.level),
        "min_pairs": MIN_PAIRS,
        "environment": setting(study, "env_id"),
        "budget": _budget(findings),
        "schedule": setting(study, "schedule"),
        "cells": len(study.cells),
        "seeds_words": seeds_words(study),
        "looks": len(study.spec.study.looks) > 1,
        "margin": f"{compare.margin:g}",
        "counts": counts(study),
        "targets": compares_targets(study),
        "by_episode": findings.budget == "episodes",
        "factors": [show(name, 30) for name in cell_factors(study)],
        "sweep": factor_rows(study),
        "settings": settings(study),
        "provenance": provenance(study),
        "failures": failure_rows(study),
        "diverged": diverged_rows(study),
        "aliases": alias_rows(study),
    }


def _budget(findings: Findings) -> str:
    """Return how long each run trains, with its unit; empty if it is not known."""
    unit = findings.budget
    amount = setting(findings.study, "total_episodes" if unit == "episodes" else "total_steps")
    if amount.isdecimal():
        amount = f"{int(amount):,}".replace(",", "\N{NARROW NO-BREAK SPACE}")
    return f"{amount} {unit}" if amount else ""
