"""The importance of each searched setting, in search mode."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from reports.figures.exhibit import Exhibit, Words
from reports.figures.findings import Findings
from reports.figures.style import MUTED, PAPER, Picture, Style, arm_styles, drawing, new_figure, picture
from reports.text import count, number, show

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


def importance_table(findings: Findings) -> pd.DataFrame:
    """Return one row per cell, arm and searched field: the share of the variation in scores that it explains."""
    import pandas as pd

    rows = [
        (search.cell, search.arm, name, share)
        for search in findings.study.searches
        for name, share in search.importances.items()
    ]
    return pd.DataFrame(rows, columns=["cell", "arm", "field", "importance"])


def importance_figure(table: pd.DataFrame, findings: Findings) -> list[Picture]:
    """Draw the importances as bars, one an arm and field: the mean over tuned cells, every cell a dot."""
    if table.empty:
        return []
    means = table.groupby(["field", "arm"])["importance"].mean()
    fields = [str(name) for name in means.groupby("field").max().sort_values(ascending=False).index]
    styles = {arm: style for arm, style in arm_styles(findings.study.arms).items() if arm in set(table["arm"])}
    with drawing():
        figure = _bars(table, means, fields, styles)
        figure.supxlabel("share of the variation in scores explained", fontsize=10)
        return [picture(figure, "", _alt(means, fields, list(styles), _searched(table)))]


def _bars(table: pd.DataFrame, means: pd.Series[float], fields: Sequence[str], styles: Mapping[str, Style]) -> Figure:
    figure = new_figure(7.0, 0.22 * len(fields) * len(styles) + 0.18 * len(fields) + 1.3)
    axes = figure.subplots()
    height = 0.8 / len(styles)
    for place, (arm, style) in enumerate(styles.items()):
        for row, name in enumerate(fields):
            y = row + (place + 0.5) * height - 0.4
            mean = float(means.get((name, arm), 0.0))
            legend = show(arm, 40) if row == 0 else None
            bar: dict[str, Any] = {"facecolor": style.colour, "edgecolor": PAPER, "hatch": style.hatch, "linewidth": 0}
            axes.barh(y, mean, 0.9 * height, label=legend, **bar)
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


def _alt(means: pd.Series[float], fields: Sequence[str], arms: Sequence[str], cells: int) -> str:
    parts = []
    for arm in arms:
        shares = [f"{show(name)} {number(float(means[name, arm]), 2)}" for name in fields if (name, arm) in means.index]
        parts.append(f"{show(arm)}: {', '.join(shares)}")
    over = f", mean over {count(cells, 'cell')}" if cells > 1 else ""
    return f"Importance of each searched setting{over}. {'; '.join(parts)}."


def _words(_: pd.DataFrame, __: Findings) -> Words:
    return Words(
        "The share of the variation in scores that each searched setting explains (Optuna’s default evaluator).",
        "Which settings mattered",
    )


IMPORTANCES = Exhibit(
    "importances",
    "importance of each searched setting",
    importance_table,
    importance_figure,
    _words,
    "tuning",
    optional=True,
)
