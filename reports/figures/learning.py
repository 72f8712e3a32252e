"""Learning curves as small multiples: every cell a facet, the arms together in it.

A thick line is the mean over seeds with its interval (from five seeds on); a thin line is one seed.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from harness.record.study import Study
from reports.data.curves import EVALUATION_COLUMNS, measure, training_curves
from reports.data.names import REWARD_THRESHOLD, SCALED
from reports.data.settings import setting
from reports.data.units import scale_of
from reports.data.wallclock import time_curves
from reports.figures.exhibit import Exhibit, Words
from reports.figures.facets import Frame, Limits, arm_handles, facet_pictures
from reports.figures.findings import Findings
from reports.figures.style import MUTED, Picture, Style, arm_styles, legend_line
from reports.figures.thinning import Thinning
from reports.statistics.intervals import MIN_PAIRS, Estimate, mean_interval
from reports.text import number, percent, show

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class CurveStyle:
    """The properties that a family of curves has in common.

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


def learning_curves(curves: pd.DataFrame, findings: Findings, style: CurveStyle) -> list[Picture]:
    """Draw the curves of the selected cells; axes are shared by all of them. No picture without curves.

    A study shown whole has a picture for every panel of its layout that has curves, any other a single picture.

    Args:
        curves: long form: ``cell``, ``arm``, ``seed``, ``at``, the measure, and perhaps ``filled``.
        findings: the study's, with the cells to draw.
        style: labels, reference lines, confidence level.
    """
    study, curves = findings.study, findings.selected(curves)
    if curves.empty:
        return []
    (x, y), thinning = _limits(curves, style), Thinning.of(curves, style.measure)
    by_cell = {str(cell): thinning.thin_points(own) for cell, own in curves.groupby("cell")}
    return facet_pictures(
        findings,
        by_cell,
        Frame(style.x_label, style.y_label, x, y, "no curve yet", style.vacuous),
        lambda: [*arm_handles(study), *(legend_line(**_MARK, label=name) for name in style.marks.values())],
        lambda axes, cell: _draw_cell(axes, study, by_cell[cell], thinning, style),
        "Learning curves of",
        lambda cells: _ends(study, [by_cell[cell] for cell in cells], style),
    )


_MARK: Mapping[str, Any] = {"color": MUTED, "linewidth": 0.9, "linestyle": (0, (4, 3))}


def _draw_cell(axes: Axes, study: Study, curves: pd.DataFrame, thinning: Thinning, style: CurveStyle) -> None:
    """Draw a cell: thin lines for what was measured, the mean over that and what stands in for it."""
    for value in style.marks:
        axes.axhline(value, **_MARK, zorder=1)
    arms = arm_styles(study.arms)
    shown = thinning.thin_seeds(curves)
    measured = shown[~shown["filled"].astype(bool)] if "filled" in shown else shown
    for arm, own in arms.items():
        for _, line in _finite(measured, arm, style).sort_values("at", kind="stable").groupby("seed"):
            axes.plot(line["at"], line[style.measure], color=own.colour, linewidth=0.7, alpha=0.4)
    if curves.groupby("arm")["seed"].nunique().max() > 1:
        for arm, own in arms.items():
            _draw_mean(axes, _finite(curves, arm, style), own, style)


def _finite(curves: pd.DataFrame, arm: str, style: CurveStyle) -> pd.DataFrame:
    """Return the points of an arm that can be drawn."""
    import numpy as np

    own = curves[curves["arm"] == arm]
    finite: pd.DataFrame = own[np.isfinite(own[["at", style.measure]].to_numpy(float)).all(axis=1)]
    return finite


def _draw_mean(axes: Axes, points: pd.DataFrame, own: Style, style: CurveStyle) -> None:
    """Draw the mean over seeds and its interval, point by point."""
    if points.empty:
        return
    by_point = {float(str(at)): _estimate(values, style) for at, values in points.groupby("at")[style.measure]}
    at, estimates = list(by_point), list(by_point.values())
    axes.plot(at, [estimate.mean or 0.0 for estimate in estimates], color=own.colour, linewidth=1.9, linestyle=own.line)
    low = [math.nan if estimate.low is None else estimate.low for estimate in estimates]
    high = [math.nan if estimate.high is None else estimate.high for estimate in estimates]
    axes.fill_between(at, low, high, color=own.colour, alpha=0.16, linewidth=0)


def _middle(values: pd.Series[float], style: CurveStyle) -> float:
    return _estimate(values, style).mean or 0.0


def _estimate(values: pd.Series[float], style: CurveStyle) -> Estimate:
    return mean_interval([float(value) for value in values], style.level)


def _limits(curves: pd.DataFrame, style: CurveStyle) -> tuple[Limits, Limits]:
    """Return limits for both axes that hold every curve and every reference line, with a little air."""
    values = [float(value) for value in curves[style.measure] if math.isfinite(value)]
    low = min([*values, *style.marks, 0.0])
    high = max([*values, *style.marks, 0.0])
    air = 0.06 * (high - low) or 1.0
    first, last = float(curves["at"].min()), float(curves["at"].max())
    return (min(first, 0.0), last if last > min(first, 0.0) else first + 1.0), (low - air, high + air)


def _ends(study: Study, drawn: Sequence[pd.DataFrame], style: CurveStyle) -> str:
    """Describe where the curves end: per arm the range over cells of the mean at the last point."""
    parts = []
    for arm in study.arms:
        ends = [own.loc[(own["arm"] == arm) & (own["at"] == own["at"].max()), style.measure].dropna() for own in drawn]
        if middles := [_middle(end, style) for end in ends if len(end)]:
            parts.append(f"{show(arm)} from {number(min(middles))} to {number(max(middles))}")
    return f"Mean at the end: {'; '.join(parts)}"


def _evaluation_style(findings: Findings) -> CurveStyle:
    study, column = findings.study, measure(findings.evaluations)
    threshold = _threshold(study)
    marks, label = {} if threshold is None else {threshold: "reward threshold"}, "evaluation return"
    if column == SCALED and scale_of(study) == "return":
        marks = {}
    elif column == SCALED and setting(study, "evaluation_scale"):
        marks, label = {1.0: "scores 1"}, "scaled evaluation return"
    elif column == SCALED:
        of = f" ({number(threshold).rstrip('0').rstrip('.')})" if threshold is not None else ""
        marks, label = {1.0: f"reward threshold{of}"}, "scaled evaluation return"
    return CurveStyle(column, findings.budget, label, marks, study.spec.compare.level, findings.vacuous)


def _training_style(findings: Findings) -> CurveStyle:
    threshold = _threshold(findings.study)
    marks = {} if threshold is None else {threshold: "reward threshold"}
    level = findings.study.spec.compare.level
    return CurveStyle("return", findings.budget, "training return", marks, level, findings.vacuous)


def _threshold(study: Study) -> float | None:
    """Return the environment's reward threshold, if all runs share one."""
    seen = {r.metrics[REWARD_THRESHOLD] for r in study.records if REWARD_THRESHOLD in r.metrics}
    return next(iter(seen)) if len(seen) == 1 else None


def _caption(table: pd.DataFrame, findings: Findings, start: str, style: CurveStyle, of_diverged: str) -> str:
    thin = Thinning.of(findings.selected(table), style.measure).words
    diverged = any(record.outcome == "diverged" for record in findings.study.records)
    return (
        f"{start} Thick: mean over seeds, with its {percent(style.level)} t-interval from {MIN_PAIRS} seeds on. {thin}"
        + (f" {of_diverged}" if diverged else "")
    )


def _evaluation_words(table: pd.DataFrame, findings: Findings) -> Words:
    diverged = "A diverged run’s thin line ends where it diverged; in the mean it goes on at the worst value."
    start = "Evaluations of the global network."
    return Words(_caption(table, findings, start, _evaluation_style(findings), diverged))


def _training_words(table: pd.DataFrame, findings: Findings) -> Words:
    diverged = "A diverged run is in the mean only as far as it came."
    start = "Mean return of the training episodes in equal stretches of the budget."
    return Words(_caption(table, findings, start, _training_style(findings), diverged))


def _over_time_words(_: pd.DataFrame, findings: Findings) -> Words:
    level = percent(findings.study.spec.compare.level)
    return Words(
        "The same curves, each run at its own pace, on the machine the study ran on. Thick: mean over seeds with its "
        f"{level} interval, over the stretch in which every run of an arm has been evaluated.",
        "Over seconds of training",
    )


EVALUATIONS = Exhibit(
    "curves",
    "evaluation curves over the budget, run by run",
    lambda findings: findings.evaluations[EVALUATION_COLUMNS],
    lambda table, findings: learning_curves(table, findings, _evaluation_style(findings)),
    _evaluation_words,
    "curves",
    partial=True,
)
OVER_TIME = Exhibit(
    "time_curves",
    "evaluation curves over seconds of training, run by run",
    lambda findings: time_curves(findings.study, findings.evaluations),
    lambda table, findings: learning_curves(
        table, findings, replace(_evaluation_style(findings), x_label="seconds of training")
    ),
    _over_time_words,
    "curves",
    optional=True,
    partial=True,
)
TRAINING = Exhibit(
    "training",
    "returns of training episodes over the budget, run by run",
    lambda findings: training_curves(findings.study, findings.files),
    lambda table, findings: learning_curves(table, findings, _training_style(findings)),
    _training_words,
    "training",
    partial=True,
)
