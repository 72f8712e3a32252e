"""Learning curves as small multiples: every cell a facet, the arms together in it.

A thick line is the mean over seeds with its t-interval (from five seeds on), a thin one is one seed.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.results import Study
from reports.layout import Layout, Panel
from reports.statistics import mean_interval
from reports.style import MUTED, Picture, arm_colours, drawing, picture, thousands
from reports.text import cell_name, count, number, show

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH = 11.0
_FACET_WIDTHS = (2.4, 3.6)
_FACET_HEIGHT = 2.1
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


def learning_curves(study: Study, layout: Layout, curves: pd.DataFrame, style: CurveStyle) -> list[Picture]:
    """Draw one picture for every panel of the layout that has curves; axes are shared by all of them.

    Args:
        study: the study; its arms fix the colours.
        layout: where the cells stand.
        curves: long form: ``cell``, ``arm``, ``seed``, ``at``, the measure, and perhaps ``filled``.
        style: labels, reference lines, confidence level.
    """
    if curves.empty:
        return []
    limits = _limits(curves, style)
    seen = set(curves["cell"])
    pictures = []
    for panel in layout.panels:
        if any(place.cell in seen and not place.alias for place in panel.places.values()):
            with drawing():
                figure = _draw_panel(study, layout, panel, curves, style, limits)
                pictures.append(picture(figure, panel.title, _alt(study, panel, curves, style)))
    return pictures


def _draw_panel(
    study: Study,
    layout: Layout,
    panel: Panel,
    curves: pd.DataFrame,
    style: CurveStyle,
    limits: tuple[tuple[float, float], tuple[float, float]],
) -> Figure:
    from matplotlib.figure import Figure

    fields = [(row, column) for row in layout.rows for column in layout.columns]
    across = len(layout.columns) if layout.row else min(len(layout.columns), _MAX_ACROSS)
    down = math.ceil(len(fields) / across)
    facet = min(max(_WIDTH / across, _FACET_WIDTHS[0]), _FACET_WIDTHS[1])
    size = (max(across * facet, 7.0) + 0.3, down * _FACET_HEIGHT + 0.7)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(down, across, squeeze=False, sharex=True, sharey=True)
    grid[0, 0].set(xlim=limits[0], ylim=limits[1])
    grid[0, 0].xaxis.set_major_formatter(thousands())
    for axes, (row, column) in zip(grid.flat, fields, strict=False):
        axes.set_title(layout.field_name(row, column), fontsize=10, loc="left")
        place = panel.places.get((row, column))
        if place is None:
            _note(axes, "not planned")
        elif place.alias:
            _note(axes, f"same settings as\n{_standing_for(study, panel, layout, place.cell)}")
        else:
            _draw_cell(axes, study, curves[curves["cell"] == place.cell], style)
            if place.cell in style.vacuous:
                axes.text(0.98, 0.04, "same targets", transform=axes.transAxes, ha="right", color=MUTED, fontsize=9)
    for axes in list(grid.flat)[len(fields) :]:
        axes.set_axis_off()
    figure.supxlabel(style.x_label, fontsize=10)
    figure.supylabel(style.y_label, fontsize=10)
    _legend(figure, study, style)
    return figure


def _draw_cell(axes: Axes, study: Study, curves: pd.DataFrame, style: CurveStyle) -> None:
    """Draw one facet: thin lines for what was measured, the mean over that and what stands in for it."""
    import seaborn as sns

    for value in style.marks:
        axes.axhline(value, color=MUTED, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
    if curves.empty:
        _note(axes, "no curve yet")
        return
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
    measured = curves[~curves["filled"].astype(bool)] if "filled" in curves else curves
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


def _alt(study: Study, panel: Panel, curves: pd.DataFrame, style: CurveStyle) -> str:
    """Say where the curves end: per arm the range over cells of the mean at the last point."""
    cells = {place.cell for place in panel.places.values() if not place.alias}
    own = curves[curves["cell"].isin(cells)]
    ends = own[own["at"] == own.groupby("cell")["at"].transform("max")]
    means = ends.groupby(["arm", "cell"])[style.measure].mean()
    parts = []
    for arm in study.arms:
        if arm in means.index.get_level_values("arm"):
            of_arm = means[arm]
            parts.append(f"{show(arm)} from {number(of_arm.min())} to {number(of_arm.max())}")
    where = f" ({panel.title})" if panel.title else ""
    return f"Learning curves of {count(own['cell'].nunique(), 'cell')}{where}. Mean at the end: {'; '.join(parts)}."
