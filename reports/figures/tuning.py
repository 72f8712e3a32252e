"""Score against each searched setting, in search mode.

Score against learning rate over many random settings is figure 2 of Mnih et al. 2016; here for every searched field.
Tuning scores choose settings and decide nothing: they rest on seeds that the verdict does not use, and the best of many
is too high.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any

from harness.record.study import Study
from harness.study.design import Cell
from harness.study.names import label
from harness.study.search_space import Range
from reports.figures.exhibit import Exhibit, Words
from reports.figures.facets import arm_handles, put_legend
from reports.figures.findings import Findings
from reports.figures.style import MUTED, PAPER, Picture, Style, arm_styles, drawing, legend_line, multiples, picture
from reports.text import cell_name, count, listing, number, show

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CELLS_SHOWN = 12  # tuned cells with a picture of their own
SETTING = "setting."  # in front of a searched field's name in the table
_BINS = 8
_MIN_IN_BIN = 3
_LOG_RATIO = 50  # a range that spans more, without a declared scale, is drawn on a log axis
_MAX_ACROSS = 3
_STRIP = 0.5  # width of a category's strip, in categories


@dataclass(frozen=True)
class _Field:
    """One searched field as drawn: numbers, perhaps in their logarithm, or categories in strips."""

    name: str
    log: bool
    categories: tuple[str, ...] = ()


def tuning_table(findings: Findings) -> pd.DataFrame:
    """Return one row per trial: cell, arm, trial, its mean score, runs, whether it was taken, and its settings."""
    import pandas as pd

    rows = [
        {
            "cell": search.cell,
            "arm": search.arm,
            "trial": trial.number,
            "score": math.nan if trial.value is None else trial.value,
            "runs": len(trial.scores),
            "best": trial.number == search.best,
            **{SETTING + name: _plain(value) for name, value in trial.settings.items()},
        }
        for search in findings.study.searches
        for trial in search.trials
    ]
    return pd.DataFrame(rows) if rows else pd.DataFrame(columns=["cell", "arm", "trial", "score", "runs", "best"])


def tuning_figure(table: pd.DataFrame, findings: Findings) -> list[Picture]:
    """Draw score against each searched field: a picture for each tuned cell, the first :data:`CELLS_SHOWN` of them.

    Thick lines are each arm's running median: medians of groups of neighbouring trials, equal in number.
    """
    study, table = findings.study, table.dropna(subset=["score"])
    pictures = []
    for cell in [cell for cell in study.cells if cell.id in set(table["cell"])][:CELLS_SHOWN]:
        own = table[table["cell"] == cell.id].dropna(axis=1, how="all")
        fields = [_field(study, own, column) for column in own.columns if column.startswith(SETTING)]
        if fields:
            with drawing():
                title = cell_name(cell) if len({search.cell for search in study.searches}) > 1 else ""
                pictures.append(picture(_figure(study, own, fields), title, _alt(study, cell, own, fields)))
    return pictures


def running_median(x: Sequence[float], y: Sequence[float]) -> tuple[list[float], list[float]]:
    """Return the medians of x and y in groups of neighbours in x, equal in number: at most eight, of three or more."""
    import numpy as np

    order = np.argsort(np.asarray(x, float), kind="stable")
    bins = min(_BINS, len(order) // _MIN_IN_BIN)
    groups = np.array_split(order, bins) if bins else []
    xs, ys = np.asarray(x, float), np.asarray(y, float)
    return [float(np.median(xs[g])) for g in groups], [float(np.median(ys[g])) for g in groups]


def _figure(study: Study, table: pd.DataFrame, fields: Sequence[_Field]) -> Figure:
    across = min(_MAX_ACROSS, len(fields))
    height = math.ceil(len(fields) / across) * 2.7 + 0.7
    figure, grid = multiples(len(fields), across, max(7.0, across * 3.5) + 0.3, height)
    for axes, field in zip(grid, fields, strict=True):
        _draw(axes, study, table, field)
    figure.supylabel(f"{show(study.spec.compare.metric, 40)}, mean over tuning seeds", fontsize=10)
    best = legend_line(color=MUTED, markerfacecolor=PAPER, label="taken", **_BEST)
    put_legend(figure, [*arm_handles(study, markers=True), best])
    return figure


def _draw(axes: Axes, study: Study, table: pd.DataFrame, field: _Field) -> None:
    styles = {arm: style for arm, style in arm_styles(study.arms).items() if arm in set(table["arm"])}
    for place, (arm, style) in enumerate(styles.items()):
        own = table[table["arm"] == arm].dropna(subset=[SETTING + field.name])
        if field.categories:
            x = [_strip(field, value, place, len(styles)) for value in own[SETTING + field.name]]
        else:
            x = [float(value) for value in own[SETTING + field.name]]
        _draw_arm(axes, x, list(own["score"]), list(own["best"]), style, line=not field.categories)
    if field.categories:
        axes.set_xticks(range(len(field.categories)), [show(name, 14) for name in field.categories])
        axes.set_xlim(-0.6, len(field.categories) - 0.4)
    elif field.log:
        _log_axis(axes)
    axes.set_xlabel(show(field.name, 40))


def _draw_arm(
    axes: Axes, x: Sequence[float], y: Sequence[float], best: Sequence[bool], style: Style, *, line: bool
) -> None:
    axes.plot(x, y, linestyle="", marker=style.marker, markersize=4, color=style.colour, alpha=0.5, markeredgewidth=0)
    if line:
        axes.plot(*running_median(x, y), color=style.colour, linestyle=style.line, linewidth=1.9)
    for at, score, taken in zip(x, y, best, strict=True):
        if taken:
            axes.plot([at], [score], **_BEST, color=style.colour, markerfacecolor=PAPER, zorder=5)
            axes.plot([at], [score], marker=style.marker, markersize=4.5, color=style.colour, zorder=6)


_BEST: Mapping[str, Any] = {"marker": "o", "markersize": 10.5, "markeredgewidth": 1.6, "linestyle": ""}


def _log_axis(axes: Axes) -> None:
    from matplotlib.ticker import LogLocator

    axes.set_xscale("log")
    low, high = axes.get_xlim()
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high < 100 * low else (1.0,)))
    axes.xaxis.set_major_formatter(lambda value, _: _brief(value))
    axes.minorticks_off()


def _strip(field: _Field, value: object, arm: int, arms: int) -> float:
    """Return where an arm's trials of a category stand: side by side within the category's strip."""
    return field.categories.index(label(value)) + _STRIP * ((arm + 0.5) / arms - 0.5)


def _field(study: Study, table: pd.DataFrame, column: str) -> _Field:
    name, values = column.removeprefix(SETTING), list(table[column].dropna())
    declared = study.spec.search.space.get(name) if study.spec.search else None
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        given = [label(value) for value in getattr(declared, "choices", ())]
        return _Field(name, False, tuple(dict.fromkeys([*given, *sorted(label(value) for value in values)])))
    if isinstance(declared, Range):
        return _Field(name, declared.log)
    low, high = min(values), max(values)
    return _Field(name, low > 0 and high > _LOG_RATIO * low)


def _alt(study: Study, cell: Cell, table: pd.DataFrame, fields: Sequence[_Field]) -> str:
    """Describe each arm's best trial: its score and its settings."""
    parts = []
    for arm in study.arms:
        own = table[table["arm"] == arm]
        taken = own[own["best"]]
        if len(taken):
            first = taken.iloc[0]
            where = ", ".join(f"{show(f.name)} {_brief(first[SETTING + f.name])}" for f in fields)
            parts.append(f"{show(arm)} scored {number(float(first['score']))} with {where}")
        elif len(own):
            parts.append(f"{show(arm)} up to {number(float(own['score'].max()))} so far")
    of = "" if len(study.cells) == 1 else f" in the cell {cell_name(cell)}"
    return (
        f"Scores of {count(len(table), 'trial')}{of} against {listing(show(f.name) for f in fields)}. Taken: "
        f"{'; '.join(parts)}."
    )


def _plain(value: object) -> object:
    return value if isinstance(value, str | int | float) and not isinstance(value, bool) else label(value)


def _brief(value: Any) -> str:
    if not isinstance(value, Real):
        return show(value, 20)
    return f"{float(value):.3g}".replace("e-0", "e-").replace("-", "−")


def _words(_: pd.DataFrame, __: Findings) -> Words:
    return Words(
        "Each point a proposal, its score the mean over the tuning seeds, which the verdict’s runs share none of. "
        "Thick: running median. Marked: the settings taken. Each arm had the same budget, space and seeds.",
        "Score against each searched setting",
    )


TUNING = Exhibit(
    "tuning",
    "every trial of the search: settings and score",
    tuning_table,
    tuning_figure,
    _words,
    "tuning",
    optional=True,
)
