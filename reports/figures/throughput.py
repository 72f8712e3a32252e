"""Throughput and staleness against the number of workers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from harness.record.study import Study
from harness.study.names import label
from reports.data.names import STALENESS
from reports.figures.style import SERIES, Look, Picture, drawing, looks, picture, thousands
from reports.text import count, listing, show

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_MEASURES = {
    "steps_per_second": "environment steps per second",
    STALENESS["mean"]: "mean staleness (updates)",
}
_COLUMNS = (
    "steps_per_second",
    "train_seconds",
    "evaluation_seconds",
    *STALENESS.values(),
)
_MAX_SERIES = 6
_MAX_POINTS = 600  # beyond, points are a smear that weighs megabytes


def throughput_table(study: Study) -> tuple[pd.DataFrame, str]:
    """Return one row a run with its workers, speed and staleness, and the factor that tells the series apart.

    That factor is the first one swept besides workers, n_step and the compared one, if it has few levels.
    """
    import pandas as pd

    skipped = {"workers", "n_step", study.spec.compare.factor}
    factors = [f for f in study.spec.sweep if f.name not in skipped and 1 < len(f.levels) <= _MAX_SERIES]
    series = factors[0].name if factors else ""
    rows = [
        {
            "run": record.run,
            "cell": record.cell,
            "workers": record.config.get("workers"),
            "series": label(record.levels[series]) if series else "",
            **{name: record.timings.get(name, record.metrics.get(name)) for name in _COLUMNS},
        }
        for record in study.records
    ]
    table = pd.DataFrame(rows, columns=["run", "cell", "workers", "series", *_COLUMNS])
    return table.astype(dict.fromkeys(_COLUMNS, float)), series


def shows_cells(table: pd.DataFrame) -> bool:
    """Whether the figure has a point for every cell, or the means over cells alone."""
    return bool(table["cell"].nunique() <= _MAX_POINTS)


def throughput_figure(table: pd.DataFrame, series: str) -> list[Picture]:
    """Draw steps per second and staleness against workers: the mean per series, and every cell's."""
    from matplotlib.figure import Figure

    table = table.dropna(subset=["workers"])
    names = [name for name in _MEASURES if table[name].notna().any()]
    if not names or table["workers"].nunique() < 2:
        return []
    order = list(dict.fromkeys(table["series"]))
    marks = looks({level: SERIES[i % len(SERIES)] for i, level in enumerate(order)})
    with drawing():
        figure = Figure(figsize=(4.4 * len(names) + 1, 3.0), layout="constrained")
        for axes, name in zip(figure.subplots(1, len(names), squeeze=False).flat, names, strict=True):
            _draw(axes, table.dropna(subset=[name]), name, marks)
        if series:
            figure.legend(
                [_line(look) for look in marks.values()],
                [show(level, 24) for level in order],
                title=show(series, 24),
                loc="outside right upper",
                handlelength=3.2,
            )
        return [picture(figure, "", _alt(table, names[0]))]


def _draw(axes: Axes, table: pd.DataFrame, name: str, marks: Mapping[str, Look]) -> None:
    import seaborn as sns

    order = list(marks)
    common: dict[str, Any] = {"x": "workers", "y": name, "hue": "series", "hue_order": order, "style": "series"}
    common |= {"style_order": order, "palette": [look.colour for look in marks.values()], "legend": False, "ax": axes}
    dashes = [look.dashes or "" for look in marks.values()]
    sns.lineplot(table, **common, dashes=dashes, estimator="mean", errorbar=None, linewidth=1.8)
    if shows_cells(table):
        cells = table.groupby(["cell", "series", "workers"], as_index=False)[name].mean()
        markers = [look.marker for look in marks.values()]
        sns.scatterplot(cells, **common, markers=markers, s=22, alpha=0.6, linewidth=0)
    workers = sorted(table["workers"].unique())
    if workers[-1] >= 4 * workers[0]:
        axes.set_xscale("log", base=2)
    axes.set_xticks(workers, [str(value) for value in workers])
    axes.minorticks_off()
    axes.set_ylim(bottom=0)
    if name == "steps_per_second":
        axes.yaxis.set_major_formatter(thousands())
    axes.set(xlabel="workers", ylabel=_MEASURES[name])


def _line(look: Look) -> Any:
    from matplotlib.lines import Line2D

    return Line2D([], [], color=look.colour, linewidth=1.8, linestyle=look.line, marker=look.marker, markersize=4.5)


def _alt(table: pd.DataFrame, name: str) -> str:
    means = table.groupby("workers")[name].mean()
    workers = (count(int(amount), "worker") for amount in means.index.tolist())
    shown = (f"{value:,.1f} with {amount}" for amount, value in zip(workers, means.tolist(), strict=True))
    return f"Mean {_MEASURES[name].removeprefix('mean ')}: {listing(shown)}."
