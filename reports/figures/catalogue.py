"""The page's further figures: what is drawn, in which section, with which words and which table behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from harness.record.study import Study
from reports.comparison.cells import Comparison
from reports.data.wallclock import time_curves
from reports.figures.horizon import horizon_figure, horizon_table, horizon_words
from reports.figures.layout import Layout
from reports.figures.learning import CurveStyle, learning_curves
from reports.figures.profiles import profile_figure, profile_table
from reports.figures.residuals import residual_figure, residual_table, residual_words
from reports.figures.selection import Selection
from reports.figures.style import Picture
from reports.figures.survival import survival_figure, survival_summary, survival_table
from reports.figures.tuning import importance_figure, importance_table, tuning_figure, tuning_table
from reports.statistics.intervals import MIN_PAIRS
from reports.text import percent, show

if TYPE_CHECKING:
    import pandas as pd

EXHIBITED = (
    "profiles",
    "survival",
    "survival_summary",
    "time_curves",
    "residuals",
    "horizon",
    "tuning",
    "importances",
)


@dataclass(frozen=True)
class Exhibit:
    """One figure of a section, with what is said of it.

    Attributes:
        title: its heading.
        pictures: the figure; at least one picture.
        caption: how to read it.
        tables: names of the tables that hold its numbers.
        words: what it shows, in sentences; may be empty.
        partial: whether a study too large to be drawn whole is drawn in part.
    """

    title: str
    pictures: Sequence[Picture]
    caption: str
    tables: tuple[str, ...]
    words: str = ""
    partial: bool = False


@dataclass(frozen=True)
class Exhibits:
    """The further figures by section, and the tables behind them, those alone that hold anything."""

    across_runs: Sequence[Exhibit]
    over_time: Sequence[Exhibit]
    theory: Sequence[Exhibit]
    tuning: Sequence[Exhibit]
    tables: Mapping[str, pd.DataFrame]


def exhibits(
    study: Study,
    layout: Layout,
    selection: Selection,
    comparisons: Sequence[Comparison],
    evaluations: pd.DataFrame,
    style: CurveStyle,
) -> Exhibits:
    """Draw them all.

    Args:
        study: the study.
        layout: where the cells stand.
        selection: the cells to draw.
        comparisons: the study's.
        evaluations: its evaluation curves over steps.
        style: how those are drawn.
    """
    timed = time_curves(study, evaluations)
    tables = {
        "profiles": profile_table(study, comparisons),
        "survival": survival_table(study),
        "survival_summary": survival_summary(study),
        "time_curves": timed,
        "residuals": residual_table(study),
        "horizon": horizon_table(study, comparisons),
        "tuning": tuning_table(study),
        "importances": importance_table(study),
    }
    over_time = learning_curves(study, layout, selection, timed, replace(style, x_label="seconds of training"))
    return Exhibits(
        across_runs=_drawn([_profiles(study, comparisons), _survival(study, selection)]),
        over_time=_drawn([_over_time(over_time.pictures if over_time else (), style.level)]),
        theory=_drawn([_residuals(study, selection), _horizon(study, comparisons)]),
        tuning=_drawn([_tuning(study), _importances(study)]),
        tables={name: table for name, table in tables.items() if len(table)},
    )


def _drawn(found: Sequence[Exhibit]) -> list[Exhibit]:
    return [exhibit for exhibit in found if exhibit.pictures]


def _profiles(study: Study, comparisons: Sequence[Comparison]) -> Exhibit:
    compare = study.spec.compare
    return Exhibit(
        "Performance profiles",
        profile_figure(study, comparisons),
        f"The share of runs that score {'above' if compare.higher_is_better else 'below'} a value of "
        f"{show(compare.metric)}, for every value; the higher curve is the better arm. The mean over cells, so that "
        f"each cell counts alike; with its pointwise {percent(compare.level)} band from {MIN_PAIRS} runs a cell on. "
        "Diverged runs stand at the worst value. (After Agarwal et al. 2021.)",
        ("profiles",),
    )


def _survival(study: Study, selection: Selection) -> Exhibit:
    return Exhibit(
        "Time to the threshold",
        survival_figure(study, selection),
        "Kaplan-Meier curves: the share of runs that have not reached the environment’s reward threshold yet; lower is "
        "sooner. Runs that never reach it are censored at the budget, diverged ones count as the whole budget. "
        f"Bands: pointwise, {percent(study.spec.compare.level)}.",
        ("survival", "survival_summary"),
        partial=True,
    )


def _over_time(pictures: Sequence[Picture], level: float) -> Exhibit:
    return Exhibit(
        "Over seconds of training",
        pictures,
        "The same curves, each run at its own pace, on the machine the study ran on. Thick: mean over seeds with its "
        f"{percent(level)} interval, over the stretch in which every run of an arm has been evaluated.",
        ("time_curves",),
        partial=True,
    )


def _residuals(study: Study, selection: Selection) -> Exhibit:
    return Exhibit(
        "How far targets lie from the value, by distance to the cut",
        residual_figure(study, selection),
        "Markers: target minus value over the second half of training, mean over runs ±1 standard deviation between "
        "them. Lines: what theory says of a critic without bias: −γ^d·b up to n steps before the cut where missing "
        "terms count as zero, 0 where none is missing.",
        ("residuals",),
        residual_words(study),
        partial=True,
    )


def _horizon(study: Study, comparisons: Sequence[Comparison]) -> Exhibit:
    return Exhibit(
        "Predicted horizon beside measured effect",
        horizon_figure(study, comparisons),
        "Left: how many steps ahead theory lets an agent see where missing terms count as zero in actor and critic. "
        "Right: what was measured in each cell, against that prediction, with its interval.",
        ("horizon",),
        horizon_words(study, comparisons),
    )


def _tuning(study: Study) -> Exhibit:
    return Exhibit(
        "Score against each searched setting",
        tuning_figure(study),
        "Each point a proposal, its score the mean over the tuning seeds, which the verdict’s runs share none of. "
        "Thick: running median. Marked: the settings taken. Each arm had the same budget, space and seeds.",
        ("tuning",),
    )


def _importances(study: Study) -> Exhibit:
    return Exhibit(
        "Which settings mattered",
        importance_figure(study),
        "The share of the variation in scores that each searched setting explains (Optuna’s default evaluator).",
        ("importances",),
    )
