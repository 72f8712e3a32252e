"""Throughput and staleness against the number of workers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from harness.record.study import Study
from harness.study.names import label
from reports.data.names import STALENESS
from reports.figures.exhibit import Exhibit, Words
from reports.figures.findings import Findings
from reports.figures.style import SERIES, Picture, Style, drawing, legend_line, new_figure, picture, styles, thousands
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


def series_factor(study: Study) -> str:
    """Return the factor whose levels are series of their own; empty without one.

    It is the first one swept besides workers, n_step and the compared one that has few levels.
    """
    skipped = {"workers", "n_step", study.spec.compare.factor}
    factors = [f for f in study.spec.sweep if f.name not in skipped and 1 < len(f.levels) <= _MAX_SERIES]
    return factors[0].name if factors else ""


def throughput_table(findings: Findings) -> pd.DataFrame:
    """Return one row a run with its workers, its level of :func:`series_factor`, its speed and staleness."""
    import pandas as pd

    series = series_factor(findings.study)
    rows = [
        {
            "run": record.run,
            "cell": record.cell,
            "workers": record.config.get("workers"),
            "series": label(record.levels[series]) if series else "",
            **{name: record.timings.get(name, record.metrics.get(name)) for name in _COLUMNS},
        }
        for record in findings.study.records
    ]
    table = pd.DataFrame(rows, columns=["run", "cell", "workers", "series", *_COLUMNS])
    return table.astype(dict.fromkeys(_COLUMNS, float))


def shows_cells(table: pd.DataFrame) -> bool:
    """Return whether the figure has a point for every cell, or the means over cells alone."""
    return bool(table["cell"].nunique() <= _MAX_POINTS)


def throughput_figure(table: pd.DataFrame, findings: Findings) -> list[Picture]:
    """Draw steps per second and staleness against workers: the mean per series, and every cell's."""
    series, table = series_factor(findings.study), table.dropna(subset=["workers"])
    names = [name for name in _MEASURES if table[name].notna().any()]
    if not names or table["workers"].nunique() < 2:
        return []
    order = list(dict.fromkeys(table["series"]))
    marks = styles({level: SERIES[i % len(SERIES)] for i, level in enumerate(order)})
    with drawing():
        figure = new_figure(4.4 * len(names) + 1, 3.0)
        for axes, name in zip(figure.subplots(1, len(names), squeeze=False).flat, names, strict=True):
            _draw(axes, table.dropna(subset=[name]), name, marks)
        if series:
            figure.legend(
                [_handle(style) for style in marks.values()],
                [show(level, 24) for level in order],
                title=show(series, 24),
                loc="outside right upper",
                handlelength=3.2,
            )
        return [picture(figure, "", _alt(table, names[0]))]


def _draw(axes: Axes, table: pd.DataFrame, name: str, marks: Mapping[str, Style]) -> None:
    import seaborn as sns

    order = list(marks)
    common: dict[str, Any] = {"x": "workers", "y": name, "hue": "series", "hue_order": order, "style": "series"}
    common |= {"style_order": order, "palette": [style.colour for style in marks.values()], "legend": False, "ax": axes}
    dashes = [style.dashes or "" for style in marks.values()]
    sns.lineplot(table, **common, dashes=dashes, estimator="mean", errorbar=None, linewidth=1.8)
    if shows_cells(table):
        cells = table.groupby(["cell", "series", "workers"], as_index=False)[name].mean()
        markers = [style.marker for style in marks.values()]
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


def _handle(style: Style) -> Any:
    return legend_line(color=style.colour, linewidth=1.8, linestyle=style.line, marker=style.marker, markersize=4.5)


def _alt(table: pd.DataFrame, name: str) -> str:
    means = table.groupby("workers")[name].mean()
    workers = (count(int(amount), "worker") for amount in means.index.tolist())
    shown = (f"{value:,.1f} with {amount}" for amount, value in zip(workers, means.tolist(), strict=True))
    return f"Mean {_MEASURES[name].removeprefix('mean ')}: {listing(shown)}."


def _words(table: pd.DataFrame, _: Findings) -> Words:
    points = "Points: cells, mean over their runs." if shows_cells(table) else "Too many cells for a point each."
    return Words(
        f"{points} Lines: mean over cells. Staleness: updates applied by others between a worker’s pull and its push."
    )


THROUGHPUT = Exhibit(
    "throughput",
    "speed and staleness, run by run or cell by cell",
    throughput_table,
    throughput_figure,
    _words,
    "speed",
)
