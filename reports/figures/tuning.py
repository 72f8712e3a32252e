"""Search mode in figures: score against each searched setting, and what the settings mattered.

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
from reports.figures.facets import arm_handles, put_legend
from reports.figures.style import MUTED, PAPER, Look, Picture, arm_looks, drawing, picture
from reports.text import cell_name, count, listing, number, show

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CELLS_SHOWN = 12  # tuned cells with a picture of their own
SETTING = "setting."  # in front of a searched field's name in the table
_BINS = 8
_MIN_IN_BIN = 3
_LOG_RATIO = 50  # a range that spans more, in a space that does not say, is drawn on a log axis
_MAX_ACROSS = 3
_STRIP = 0.5  # width of a category's strip, in categories


@dataclass(frozen=True)
class _Field:
    """One searched field as drawn: numbers, perhaps in their logarithm, or categories in strips."""

    name: str
    log: bool
    categories: tuple[str, ...] = ()


def tuning_table(study: Study) -> pd.DataFrame:
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
        for search in study.searches
        for trial in search.trials
    ]
    return pd.DataFrame(rows) if rows else pd.DataFrame(columns=["cell", "arm", "trial", "score", "runs", "best"])


def importance_table(study: Study) -> pd.DataFrame:
    """Return one row per cell, arm and searched field: the share of the variation in scores that it explains."""
    import pandas as pd

    rows = [
        (search.cell, search.arm, name, share)
        for search in study.searches
        for name, share in search.importances.items()
    ]
    return pd.DataFrame(rows, columns=["cell", "arm", "field", "importance"])


def tuning_figure(study: Study) -> list[Picture]:
    """Draw score against each searched field: a picture for each tuned cell, the first :data:`CELLS_SHOWN` of them.

    Thick lines are each arm's running median: medians of groups of neighbouring trials, equal in number.
    """
    table = tuning_table(study).dropna(subset=["score"])
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
    from matplotlib.figure import Figure

    across = min(_MAX_ACROSS, len(fields))
    down = math.ceil(len(fields) / across)
    figure = Figure(figsize=(max(7.0, across * 3.5) + 0.3, down * 2.7 + 0.7), layout="constrained")
    grid = figure.subplots(down, across, squeeze=False, sharey=True)
    for axes, field in zip(grid.flat, fields, strict=False):
        _draw(axes, study, table, field)
    for axes in list(grid.flat)[len(fields) :]:
        axes.set_axis_off()
    figure.supylabel(f"{show(study.spec.compare.metric, 40)}, mean over tuning seeds", fontsize=10)
    put_legend(figure, [*arm_handles(study, markers=True), _best_handle()])
    return figure


def _draw(axes: Axes, study: Study, table: pd.DataFrame, field: _Field) -> None:
    looks = {arm: look for arm, look in arm_looks(study.arms).items() if arm in set(table["arm"])}
    for place, (arm, look) in enumerate(looks.items()):
        own = table[table["arm"] == arm].dropna(subset=[SETTING + field.name])
        if field.categories:
            x = [_strip(field, value, place, len(looks)) for value in own[SETTING + field.name]]
        else:
            x = [float(value) for value in own[SETTING + field.name]]
        _draw_arm(axes, x, list(own["score"]), list(own["best"]), look, line=not field.categories)
    if field.categories:
        axes.set_xticks(range(len(field.categories)), [show(name, 14) for name in field.categories])
        axes.set_xlim(-0.6, len(field.categories) - 0.4)
    elif field.log:
        _log_axis(axes)
    axes.set_xlabel(show(field.name, 40))


def _draw_arm(
    axes: Axes, x: Sequence[float], y: Sequence[float], best: Sequence[bool], look: Look, *, line: bool
) -> None:
    axes.plot(x, y, linestyle="", marker=look.marker, markersize=4, color=look.colour, alpha=0.5, markeredgewidth=0)
    if line:
        axes.plot(*running_median(x, y), color=look.colour, linestyle=look.line, linewidth=1.9)
    for at, score, taken in zip(x, y, best, strict=True):
        if taken:
            axes.plot([at], [score], **_BEST, color=look.colour, markerfacecolor=PAPER, zorder=5)
            axes.plot([at], [score], marker=look.marker, markersize=4.5, color=look.colour, zorder=6)


_BEST: Mapping[str, Any] = {"marker": "o", "markersize": 10.5, "markeredgewidth": 1.6, "linestyle": ""}


def _best_handle() -> Any:
    from matplotlib.lines import Line2D

    return Line2D([], [], color=MUTED, markerfacecolor=PAPER, label="taken", **_BEST)


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
    """Say each arm's best trial: its score and its settings."""
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


def importance_figure(study: Study) -> list[Picture]:
    """Draw the importances as bars, one an arm and field: the mean over tuned cells, every cell a dot."""
    table = importance_table(study)
    if table.empty:
        return []
    means = table.groupby(["field", "arm"])["importance"].mean()
    fields = [str(name) for name in means.groupby("field").max().sort_values(ascending=False).index]
    looks = {arm: look for arm, look in arm_looks(study.arms).items() if arm in set(table["arm"])}
    with drawing():
        figure = _bars(table, means, fields, looks)
        figure.supxlabel("share of the variation in scores explained", fontsize=10)
        return [picture(figure, "", _importance_alt(means, fields, list(looks), _searched(table)))]


def _bars(table: pd.DataFrame, means: pd.Series[float], fields: Sequence[str], looks: Mapping[str, Look]) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.0, 0.22 * len(fields) * len(looks) + 0.18 * len(fields) + 1.3), layout="constrained")
    axes = figure.subplots()
    height = 0.8 / len(looks)
    for place, (arm, look) in enumerate(looks.items()):
        for row, name in enumerate(fields):
            y = row + (place + 0.5) * height - 0.4
            mean = float(means.get((name, arm), 0.0))
            legend = show(arm, 40) if row == 0 else None
            style: dict[str, Any] = {"facecolor": look.colour, "edgecolor": PAPER, "hatch": look.hatch, "linewidth": 0}
            axes.barh(y, mean, 0.9 * height, label=legend, **style)
            dots = table.loc[(table["field"] == name) & (table["arm"] == arm), "importance"]
            if _searched(table) > 1:
                axes.plot(dots, [y] * len(dots), linestyle="", marker="|", markersize=6, color=MUTED)
    axes.set_yticks(range(len(fields)), [show(name, 30) for name in fields])
    axes.set(ylim=(len(fields) - 0.5, -0.5), xlim=(0, 1))
    axes.grid(False, axis="y")
    figure.legend(loc="outside upper left", ncols=2)
    return figure


def _searched(table: pd.DataFrame) -> int:
    return int(table["cell"].nunique())


def _importance_alt(means: pd.Series[float], fields: Sequence[str], arms: Sequence[str], cells: int) -> str:
    parts = []
    for arm in arms:
        shares = [f"{show(name)} {number(float(means[name, arm]), 2)}" for name in fields if (name, arm) in means.index]
        parts.append(f"{show(arm)}: {', '.join(shares)}")
    over = f", mean over {count(cells, 'cell')}" if cells > 1 else ""
    return f"Importance of each searched setting{over}. {'; '.join(parts)}."


def _plain(value: object) -> object:
    return value if isinstance(value, str | int | float) and not isinstance(value, bool) else label(value)


def _brief(value: Any) -> str:
    if not isinstance(value, Real):
        return show(value, 20)
    return f"{float(value):.3g}".replace("e-0", "e-").replace("-", "−")
