"""Draw paired differences as heatmaps over two factors."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from harness.record.study import Study
from reports.comparison.cells import Comparison
from reports.figures.findings import Findings
from reports.figures.layout import Layout, Panel
from reports.figures.style import FAINT, INK, MUTED, Picture, better_or_worse, drawing, new_figure, picture
from reports.text import arm_name, brief, count, show, signed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_FIELD = (0.98, 0.62)


def heatmaps(findings: Findings) -> list[Picture]:
    """Draw the paired difference over the layout's two axes: a picture for each candidate and panel, one scale.

    A study of one cell gets none: the number stands in the table.
    """
    study, layout = findings.study, findings.layout
    limit = shade_limit(findings.comparisons)
    if sum(len(panel.places) for panel in layout.panels) < 2:
        return []
    pictures = []
    for candidate in study.arms[1:]:
        found = comparisons_of(findings, candidate)
        for panel in layout.panels if found else ():
            title = " · ".join(part for part in (versus(study, candidate), panel.title) if part)
            pictures.append(_heatmap(study, layout, panel, found, limit, title))
    return pictures


def comparisons_of(findings: Findings, candidate: str) -> dict[str, Comparison]:
    """Return a candidate's comparisons by cell; nothing where none of them has anything to show."""
    found = {c.cell.id: c for c in findings.comparisons if c.candidate == candidate}
    return found if any(c.estimate.count or c.control for c in found.values()) else {}


def versus(study: Study, candidate: str) -> str:
    """Return the arms of a map of differences; nothing where there are only two."""
    if len(study.arms) <= 2:
        return ""
    return f"{arm_name(study.spec.compare.factor, candidate)} minus {show(study.arms[0])}"


def shade_limit(comparisons: Sequence[Comparison]) -> float:
    """Return the difference that is given the fullest colour."""
    known = [c for c in comparisons if c.estimate.mean is not None and c.control is None]
    return max((abs(c.estimate.mean or 0.0) for c in known), default=0.0) or 1.0


def shade(comparison: Comparison | None, higher_is_better: bool) -> float:
    """Return the candidate's gain, by which a field is coloured; NaN where it is not known."""
    if comparison is None or comparison.estimate.mean is None or comparison.control:
        return math.nan
    return comparison.estimate.mean if higher_is_better else -comparison.estimate.mean


def _heatmap(
    study: Study, layout: Layout, panel: Panel, found: Mapping[str, Comparison], limit: float, title: str
) -> Picture:
    across, down = len(layout.columns), len(layout.rows)
    with drawing():
        figure = new_figure(across * _FIELD[0] + 0.6, down * _FIELD[1] + 0.5)
        axes = figure.subplots()
        _draw(axes, layout, panel, found, limit, study.spec.compare.higher_is_better)
        axes.set_xlabel(show(layout.column, 40))
        axes.set_ylabel(show(layout.row, 40))
        return picture(figure, title, map_alt([found[place.cell] for place in panel.places.values()]))


def _draw(
    axes: Axes, layout: Layout, panel: Panel, found: Mapping[str, Comparison], limit: float, higher_is_better: bool
) -> None:
    import pandas as pd
    import seaborn as sns

    def value(row: str, column: str) -> float:
        place = panel.places.get((row, column))
        return shade(found[place.cell] if place else None, higher_is_better)

    table = pd.DataFrame(
        [[value(row, column) for column in layout.columns] for row in layout.rows],
        index=[show(row, 14) for row in layout.rows],
        columns=[show(column, 14) for column in layout.columns],
    )
    sns.heatmap(table, ax=axes, cmap=better_or_worse(), vmin=-limit, vmax=limit, cbar=False)
    axes.grid(False)
    axes.tick_params(length=0, labelrotation=0)
    for y, row in enumerate(layout.rows):
        for x, column in enumerate(layout.columns):
            axes.add_patch(_frame(x, y))
            if place := panel.places.get((row, column)):
                _write_field(axes, x, y, found[place.cell], place.alias)


def _frame(x: int, y: int) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((x, y), 1, 1, fill=False, edgecolor=FAINT, linewidth=0.8)


def _write_field(axes: Axes, x: int, y: int, comparison: Comparison, alias: bool) -> None:
    estimate = comparison.estimate
    style: dict[str, Any] = {"ha": "center", "va": "center", "fontstyle": "italic" if alias else "normal"}
    mark = "= " if alias else ""
    if comparison.control:
        axes.text(x + 0.5, y + 0.5, f"{mark}same\n{_alike(comparison)}", color=MUTED, fontsize=9, **style)
        return
    if estimate.mean is None:
        nothing = "every\nrun lost" if comparison.lost else "no pairs"
        axes.text(x + 0.5, y + 0.5, f"{mark}{nothing}", color=MUTED, fontsize=9, **style)
        return
    weight = "bold" if estimate.side else "normal"
    below = count(estimate.count, "pair")
    if estimate.low is not None and estimate.high is not None:
        below = f"[{brief(estimate.low)}, {brief(estimate.high)}]"
    sign = "+" if estimate.mean > 0 else ""
    axes.text(x + 0.5, y + 0.36, mark + sign + brief(estimate.mean), color=INK, fontsize=11, weight=weight, **style)
    axes.text(x + 0.5, y + 0.70, below, color=INK, fontsize=8, **style)


def _alike(comparison: Comparison) -> str:
    return "targets" if comparison.share == 0 else "runs"


def map_alt(found: Collection[Comparison]) -> str:
    """Describe what a map of differences shows."""
    known = [c.estimate for c in found if c.control is None]
    means = [estimate.mean for estimate in known if estimate.mean is not None]
    if not means:
        return "Heatmap without a difference to show: no cell can be compared."
    return (
        f"Heatmap of the mean paired difference over {count(len(means), 'cell')}: from {signed(min(means))} to "
        f"{signed(max(means))}; {count(sum(bool(estimate.side) for estimate in known), 'interval')} without 0."
    )
