"""Learning curves as small multiples: every cell a facet, the arms together in it.

A thick line is the mean over seeds with its interval (from five seeds on), or their interquartile mean with its own;
a thin line is one seed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from harness.record.study import Study
from reports.figures.facets import Frame, Limits, arm_handles, facet_pictures
from reports.figures.layout import Layout
from reports.figures.selection import Selection
from reports.figures.style import MUTED, Picture, arm_looks
from reports.figures.thinning import Thinning
from reports.statistics.intervals import Estimate, mean_interval
from reports.statistics.trimmed import interquartile_mean
from reports.text import count, number, show

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

Centre = Literal["mean", "iqm"]

_CENTRES: Mapping[Centre, tuple[str, Callable[[Sequence[float], float], Estimate]]] = {
    "mean": ("Mean", mean_interval),
    "iqm": ("Interquartile mean", interquartile_mean),
}


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
        centre: what the thick lines are: ``mean`` over seeds, or ``iqm``, the interquartile mean.
    """

    measure: str
    x_label: str
    y_label: str
    marks: Mapping[float, str]
    level: float
    vacuous: Collection[str] = ()
    centre: Centre = "mean"


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
    (x, y), thinning = _limits(curves, style), Thinning.of(curves, style.measure)
    by_cell = {str(cell): thinning.thin_points(own) for cell, own in curves.groupby("cell")}
    pictures = facet_pictures(
        study,
        layout,
        selection,
        by_cell,
        Frame(style.x_label, style.y_label, x, y, "no curve yet", style.vacuous),
        lambda: [*arm_handles(study), *_mark_handles(style)],
        lambda axes, cell: _draw_cell(axes, study, by_cell[cell], thinning, style),
        lambda title, cells: _alt(study, title, [by_cell[cell] for cell in cells], style),
    )
    return Curves(pictures, thinning) if pictures else None


def _draw_cell(axes: Axes, study: Study, curves: pd.DataFrame, thinning: Thinning, style: CurveStyle) -> None:
    """Draw a cell: thin lines for what was measured, the mean over that and what stands in for it."""
    import seaborn as sns

    for value in style.marks:
        axes.axhline(value, color=MUTED, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
    looks = arm_looks(study.arms)
    common: dict[str, Any] = {
        "x": "at",
        "y": style.measure,
        "hue": "arm",
        "hue_order": list(looks),
        "palette": {arm: look.colour for arm, look in looks.items()},
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
            style_order=list(looks),
            dashes=[look.dashes or "" for look in looks.values()],
            estimator=lambda values: _middle(values, style),
            errorbar=lambda values: _band(values, style),
            err_kws={"alpha": 0.16, "linewidth": 0},
            linewidth=1.9,
        )


def _middle(values: pd.Series[float], style: CurveStyle) -> float:
    return _estimate(values, style).mean or 0.0


def _band(values: pd.Series[float], style: CurveStyle) -> tuple[float, float]:
    estimate = _estimate(values, style)
    if estimate.low is None or estimate.high is None:
        return math.nan, math.nan
    return estimate.low, estimate.high


def _estimate(values: pd.Series[float], style: CurveStyle) -> Estimate:
    return _CENTRES[style.centre][1]([float(value) for value in values], style.level)


def _mark_handles(style: CurveStyle) -> list[Line2D]:
    from matplotlib.lines import Line2D

    return [
        Line2D([], [], color=MUTED, linewidth=0.9, linestyle=(0, (4, 3)), label=name) for name in style.marks.values()
    ]


def _limits(curves: pd.DataFrame, style: CurveStyle) -> tuple[Limits, Limits]:
    """Return limits for both axes that hold every curve and every reference line, with a little air."""
    values = [float(value) for value in curves[style.measure] if math.isfinite(value)]
    low = min([*values, *style.marks, 0.0])
    high = max([*values, *style.marks, 0.0])
    air = 0.06 * (high - low) or 1.0
    first, last = float(curves["at"].min()), float(curves["at"].max())
    return (min(first, 0.0), last if last > min(first, 0.0) else first + 1.0), (low - air, high + air)


def _alt(study: Study, title: str, drawn: Sequence[pd.DataFrame], style: CurveStyle) -> str:
    """Say where the curves end: per arm the range over cells of the middle at the last point."""
    parts = []
    for arm in study.arms:
        ends = [own.loc[(own["arm"] == arm) & (own["at"] == own["at"].max()), style.measure].dropna() for own in drawn]
        if middles := [_middle(end, style) for end in ends if len(end)]:
            parts.append(f"{show(arm)} from {number(min(middles))} to {number(max(middles))}")
    where = f" ({title})" if title else ""
    name = _CENTRES[style.centre][0]
    return f"Learning curves of {count(len(drawn), 'cell')}{where}. {name} at the end: {'; '.join(parts)}."
