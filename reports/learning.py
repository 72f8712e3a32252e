"""Learning curves as small multiples: every cell a facet, the arms together in it.

A thick line is the mean over seeds with its t-interval (from five seeds on), a thin one is one seed.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.results import Study
from reports.layout import Layout, Panel
from reports.selection import Selection
from reports.statistics import mean_interval
from reports.style import MUTED, Picture, arm_colours, drawing, picture, thousands
from reports.text import cell_name, count, number, show, wrapped
from reports.thinning import Thinning

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH = 11.0
_FACET_WIDTHS = (2.4, 3.6)
_FACET_HEIGHT = 2.1
_TITLE_LINE = 0.16  # inches a further line of a facet's title takes
_MAX_ACROSS = 4


@dataclass(frozen=True)
class CurveStyle:
    """What a family of curves has in common.

    Attributes:
        measure: the column drawn.
        x_label: what runs across, with its unit.
        y_label: what runs up, with its unit.
        marks: horizontal reference lines: value → name.
        level: confidence level of the bands.
        vacuous: ids of cells to be marked as having the same targets in both arms.
    """

    measure: str
    x_label: str
    y_label: str
    marks: Mapping[float, str]
    level: float
    vacuous: Collection[str] = ()


@dataclass(frozen=True)
class Facet:
    """One field of a figure: a cell's curves, or a note in their place."""

    title: str
    cell: str | None
    note: str = ""


@dataclass(frozen=True)
class Curves:
    """A family of curves as drawn, and how much of each curve was drawn."""

    pictures: Sequence[Picture]
    thinning: Thinning


def learning_curves(
    study: Study, layout: Layout, selection: Selection, curves: pd.DataFrame, style: CurveStyle
) -> Curves | None:
    """Draw the curves of the selected cells; axes are shared by all of them. None without curves.

    A study shown whole has a picture for every panel of its layout that has curves, any other a single picture.

    Args:
        study: the study; its arms fix the colours.
        layout: where the cells stand.
        selection: the cells to draw.
        curves: long form: ``cell``, ``arm``, ``seed``, ``at``, the measure, and perhaps ``filled``.
        style: labels, reference lines, confidence level.
    """
    curves = curves[curves["cell"].isin([cell.id for cell in selection.cells])]
    if curves.empty:
        return None
    limits, thinning = _limits(curves, style), Thinning.of(curves, style.measure)
    by_cell = {str(cell): thinning.thin_points(own) for cell, own in curves.groupby("cell")}
    pictures = []
    for title, facets, across in _pages(study, layout, selection, by_cell):
        with drawing():
            figure = _grid(facets, across, limits)
            for axes, facet in zip(figure.axes, facets, strict=False):
                _draw_facet(axes, study, facet, by_cell, thinning, style)
            figure.supxlabel(style.x_label, fontsize=10)
            figure.supylabel(style.y_label, fontsize=10)
            _legend(figure, study, style)
            drawn = [by_cell[facet.cell] for facet in facets if facet.cell in by_cell]
            pictures.append(picture(figure, title, _alt(study, title, drawn, style)))
    return Curves(pictures, thinning) if pictures else None


def _pages(
    study: Study, layout: Layout, selection: Selection, by_cell: Collection[str]
) -> list[tuple[str, list[Facet], int]]:
    """Return for every picture its title, its facets and how many stand in a row."""
    if not selection.whole:
        chosen = [cell for cell in selection.cells if cell.id in by_cell]
        return [("", [Facet(wrapped(cell_name(cell), 38), cell.id) for cell in chosen], _MAX_ACROSS)] if chosen else []
    across = len(layout.columns) if layout.row else min(len(layout.columns), _MAX_ACROSS)
    return [
        (panel.title, _facets(study, layout, panel), across)
        for panel in layout.panels
        if any(place.cell in by_cell and not place.alias for place in panel.places.values())
    ]


def _facets(study: Study, layout: Layout, panel: Panel) -> list[Facet]:
    facets = []
    for row in layout.rows:
        for column in layout.columns:
            title, place = layout.field_name(row, column), panel.places.get((row, column))
            if place is None:
                facets.append(Facet(title, None, "not planned"))
            elif place.alias:
                standing_for = _standing_for(study, panel, layout, place.cell)
                facets.append(Facet(title, None, f"same settings as\n{standing_for}"))
            else:
                facets.append(Facet(title, place.cell, "no curve yet"))
    return facets


def _grid(facets: Sequence[Facet], across: int, limits: tuple[tuple[float, float], tuple[float, float]]) -> Figure:
    """Return a figure of empty, titled axes that share their limits."""
    from matplotlib.figure import Figure

    across = min(across, len(facets))
    down = math.ceil(len(facets) / across)
    facet_width = min(max(_WIDTH / across, _FACET_WIDTHS[0]), _FACET_WIDTHS[1])
    lines = max(facet.title.count("\n") for facet in facets)
    size = (max(across * facet_width, 7.0) + 0.3, down * (_FACET_HEIGHT + lines * _TITLE_LINE) + 0.7)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(down, across, squeeze=False, sharex=True, sharey=True)
    grid[0, 0].set(xlim=limits[0], ylim=limits[1])
    grid[0, 0].xaxis.set_major_formatter(thousands())
    for axes, facet in zip(grid.flat, facets, strict=False):
        axes.set_title(facet.title, fontsize=10 if not lines else 9, loc="left")
    for axes in list(grid.flat)[len(facets) :]:
        axes.set_axis_off()
    return figure


def _draw_facet(
    axes: Axes,
    study: Study,
    facet: Facet,
    by_cell: Mapping[str, pd.DataFrame],
    thinning: Thinning,
    style: CurveStyle,
) -> None:
    if facet.cell is None:
        _note(axes, facet.note)
        return
    for value in style.marks:
        axes.axhline(value, color=MUTED, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
    if facet.cell in by_cell:
        _draw_cell(axes, study, by_cell[facet.cell], thinning, style)
    else:
        _note(axes, facet.note)
    if facet.cell in style.vacuous:
        axes.text(0.98, 0.04, "same targets", transform=axes.transAxes, ha="right", color=MUTED, fontsize=9)


def _draw_cell(axes: Axes, study: Study, curves: pd.DataFrame, thinning: Thinning, style: CurveStyle) -> None:
    """Draw a cell: thin lines for what was measured, the mean over that and what stands in for it."""
    import seaborn as sns

    arms = list(study.arms)
    common: dict[str, Any] = {
        "x": "at",
        "y": style.measure,
        "hue": "arm",
        "hue_order": arms,
        "palette": arm_colours(arms),
        "legend": False,
        "ax": axes,
    }
    shown = thinning.thin_seeds(curves)
    measured = shown[~shown["filled"].astype(bool)] if "filled" in shown else shown
    sns.lineplot(measured, **common, units="seed", estimator=None, linewidth=0.7, alpha=0.4)
    if curves.groupby("arm")["seed"].nunique().max() > 1:
        sns.lineplot(
            curves,
            **common,
            style="arm",
            style_order=arms,
            # The baseline shows through the gaps of a candidate that lies on top of it.
            dashes=["", *[(5, 1.5)] * (len(arms) - 1)],
            estimator="mean",
            errorbar=lambda values: _band(values, style.level),
            err_kws={"alpha": 0.16, "linewidth": 0},
            linewidth=1.9,
        )
    axes.set(xlabel="", ylabel="")


def _band(values: pd.Series[float], level: float) -> tuple[float, float]:
    estimate = mean_interval([float(value) for value in values], level)
    if estimate.low is None or estimate.high is None:
        return math.nan, math.nan
    return estimate.low, estimate.high


def _note(axes: Axes, text: str) -> None:
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=MUTED, fontsize=9)


def _standing_for(study: Study, panel: Panel, layout: Layout, cell: str) -> str:
    """Name the field of the cell that an alias stands for; a cell of another panel by all its levels."""
    for (row, column), place in panel.places.items():
        if place.cell == cell and not place.alias:
            return layout.field_name(row, column)
    return next(cell_name(kept) for kept in study.cells if kept.id == cell).replace(", ", "\n")


def _legend(figure: Figure, study: Study, style: CurveStyle) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=colour, linewidth=1.9, linestyle=(0, (5, 1.5)) if i else "-", label=show(arm, 40))
        for i, (arm, colour) in enumerate(arm_colours(study.arms).items())
    ]
    handles += [
        Line2D([], [], color=MUTED, linewidth=0.9, linestyle=(0, (4, 3)), label=name) for name in style.marks.values()
    ]
    inches = sum(0.7 + 0.09 * len(str(handle.get_label())) for handle in handles)
    columns = len(handles) if inches < figure.get_figwidth() else 1
    figure.legend(handles=handles, loc="outside upper left", ncols=columns)


def _limits(curves: pd.DataFrame, style: CurveStyle) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return limits for both axes that hold every curve and every reference line, with a little air."""
    values = [float(value) for value in curves[style.measure] if math.isfinite(value)]
    low = min([*values, *style.marks, 0.0])
    high = max([*values, *style.marks, 0.0])
    air = 0.06 * (high - low) or 1.0
    first, last = float(curves["at"].min()), float(curves["at"].max())
    return (min(first, 0.0), last if last > min(first, 0.0) else first + 1.0), (low - air, high + air)


def _alt(study: Study, title: str, drawn: Sequence[pd.DataFrame], style: CurveStyle) -> str:
    """Say where the curves end: per arm the range over cells of the mean at the last point."""
    ends = [own[own["at"] == own["at"].max()].groupby("arm")[style.measure].mean() for own in drawn]
    parts = []
    for arm in study.arms:
        if means := [float(end[arm]) for end in ends if arm in end.index and math.isfinite(end[arm])]:
            parts.append(f"{show(arm)} from {number(min(means))} to {number(max(means))}")
    where = f" ({title})" if title else ""
    return f"Learning curves of {count(len(drawn), 'cell')}{where}. Mean at the end: {'; '.join(parts)}."
