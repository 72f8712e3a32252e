"""The targets' residual against the distance to the cut, with what theory predicts drawn over it.

A target's residual is G_t - v_t. Where the critic is unbiased its mean is 0 for targets that lack nothing, and
-γ^d·b at d ≤ n under missing_as_zero, d the distance to the cut and b the value there.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from harness.record.study import Study
from reports.figures.exhibit import Exhibit, Words
from reports.figures.facets import Frame, arm_handles, facet_pictures
from reports.figures.findings import Findings
from reports.figures.style import MUTED, Picture, arm_styles, legend_line
from reports.text import number, show, signed

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

COLUMNS = ["cell", "arm", "distance", "residual", "spread", "predicted", "shift", "count", "runs"]
_COMPLETE = frozenset({"max_terms", "drop"})  # rules whose used targets lack nothing


def residual_table(findings: Findings) -> pd.DataFrame:
    """Return one row per cell, arm and distance, over the second half of training.

    ``residual`` is the mean over runs weighted by ``count``, the targets at that distance; ``spread`` the standard
    deviation between runs (NaN for one); ``shift`` the mean of γ^d·b where d ≤ n, else 0; ``predicted`` the
    prediction for the arm's tail rule: -shift for missing_as_zero, 0 for max_terms and drop, (γ^(n-d) - 1)·shift for
    wrong_gamma, NaN for any other. Runs that left no residuals are passed over.
    """
    import pandas as pd

    study = findings.study
    late = {"count_late": "count", "residual_late": "residual", "shift_late": "shift"}
    parts = [part.rename(columns=late) for part in findings.files.tables("residuals", ("distance", *late))]
    if not parts:
        return pd.DataFrame(columns=COLUMNS)
    rows = pd.concat(parts)
    rows = rows[rows["count"] > 0].dropna()
    places = {(cell.id, arm): i for i, (cell, arm) in enumerate(itertools.product(study.cells, study.arms))}
    of_run = [places[record.cell, record.arm] for record in study.records]
    table = _over_runs(rows.assign(place=[of_run[run] for run in rows["record"]]))
    who, configs = list(places), {places[r.cell, r.arm]: r.config for r in study.records}
    table["cell"] = [who[place][0] for place in table["place"]]
    table["arm"] = [who[place][1] for place in table["place"]]
    table["predicted"] = [
        _predicted(configs[place], distance, shift)
        for place, distance, shift in zip(
            *(table[name].tolist() for name in ("place", "distance", "shift")), strict=True
        )
    ]
    return table[COLUMNS]


def residual_figure(table: pd.DataFrame, findings: Findings) -> list[Picture]:
    """Draw the selected cells: a marker for the mean over runs, a bar for ±1 deviation between them, theory as a line.

    Distances are drawn as far as any target differs and somewhat beyond. Nothing where no run left residuals.
    """
    study, table = findings.study, findings.selected(table)
    if table.empty:
        return []
    reach = _reach(table)
    table = table[table["distance"] <= reach]
    by_cell = {str(cell): own for cell, own in table.groupby("cell", sort=False)}
    vacuous = [cell for cell, own in by_cell.items() if not (own["shift"] != 0).any()]
    low, high = _limits(table)
    return facet_pictures(
        findings,
        by_cell,
        Frame("distance to the cut d (steps)", "target minus value", (0.3, reach + 0.7), (low, high), "", vacuous),
        lambda: [
            *arm_handles(study, markers=True),
            legend_line(color=MUTED, linewidth=1.3, label="lines: theory, markers: measured"),
        ],
        lambda axes, cell: _draw(axes, study, by_cell[cell]),
        "Target minus value by distance to the cut,",
        lambda cells: _at_the_cut(study, [by_cell[cell] for cell in cells]),
    )


def residual_finding(table: pd.DataFrame, study: Study) -> str:
    """Describe in a sentence an arm how far measurement and prediction lie apart; empty where nothing was measured."""
    table = table.dropna(subset=["predicted"])
    table = table[table["shift"] != 0]
    sentences = []
    for arm in study.arms:
        own = table[table["arm"] == arm]
        if own.empty:
            continue
        gap, size = _typical(own["residual"] - own["predicted"], own), _typical(own["shift"], own)
        measured, predicted = (_mean(own[name], own) for name in ("residual", "predicted"))
        sentences.append(
            f"{show(arm)}: targets within n steps of a cut lie {signed(measured)} from the value in the mean, theory "
            f"says {signed(predicted)}; cell by cell and step by step the two are typically {number(gap)} apart (root "
            f"mean square), where the term at the cut itself is typically {number(size)}."
        )
    if sentences:
        sentences += [
            "Theory takes the critic to be unbiased at every distance; where it is not, both arms are moved.",
            *(_arms_apart(table, study.arms[0], candidate) for candidate in study.arms[1:]),
        ]
    return " ".join(sentence for sentence in sentences if sentence)


def _arms_apart(table: pd.DataFrame, baseline: str, candidate: str) -> str:
    """Compare two arms, which takes out the error of the critic in both; empty without common steps."""
    one, other = (table[table["arm"] == arm] for arm in (candidate, baseline))
    both = one.merge(other, on=["cell", "distance"], suffixes=("_one", ""))
    if both.empty:
        return ""
    both["count"] = both[["count", "count_one"]].min(axis=1)
    measured, predicted = (both[f"{name}_one"] - both[name] for name in ("residual", "predicted"))
    return (
        f"{show(candidate)} minus {show(baseline)}: measured {signed(_mean(measured, both))}, theory "
        f"{signed(_mean(predicted, both))}, typically {number(_typical(measured - predicted, both))} apart."
    )


def _over_runs(rows: pd.DataFrame) -> pd.DataFrame:
    """Return means, spread and counts of each place (cell and arm) and distance, in order."""
    weighed = rows.assign(
        residual_sum=rows["residual"] * rows["count"],
        shift_sum=rows["shift"] * rows["count"],
    )
    of = weighed.groupby(["place", "distance"])
    table = of[["count", "residual_sum", "shift_sum"]].sum()
    table["residual"] = table["residual_sum"] / table["count"]
    table["shift"] = table["shift_sum"] / table["count"]
    table["spread"] = of["residual"].std(ddof=1)
    table["runs"] = of.size()
    return table.reset_index()


def _mean(values: pd.Series[float], rows: pd.DataFrame) -> float:
    return float((values * rows["count"]).sum() / rows["count"].sum())


def _typical(values: pd.Series[float], rows: pd.DataFrame) -> float:
    return math.sqrt(_mean(values**2, rows))


def _predicted(config: Mapping[str, Any], distance: int, shift: float) -> float:
    rule = config.get("target")
    if rule in _COMPLETE:
        return 0.0
    if rule == "missing_as_zero":
        return -shift
    if rule == "wrong_gamma" and config.get("n_step_convention", "textbook") == "textbook":
        return shift * (config["gamma"] ** (config["n_step"] - distance) - 1) if shift else 0.0
    return math.nan


def _reach(table: pd.DataFrame) -> int:
    """Return the largest distance to draw: a quarter beyond the last at which targets can differ."""
    longest = int(table["distance"].max())
    affected = table.loc[table["shift"] != 0, "distance"]
    return min(longest, int(1.25 * affected.max()) + 1) if len(affected) else longest


def _limits(table: pd.DataFrame) -> tuple[float, float]:
    spread = table["spread"].fillna(0.0)
    ends = [table["residual"] - spread, table["residual"] + spread, table["predicted"].dropna()]
    values = [0.0, *(float(value) for part in ends for value in part)]
    low, high = min(values), max(values)
    air = 0.06 * (high - low) or 1.0
    return low - air, high + air


def _draw(axes: Axes, study: Study, table: pd.DataFrame) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.axhline(0, color=MUTED, linewidth=0.8)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    styles = arm_styles(study.arms)
    for place, (arm, style) in enumerate(styles.items()):
        own = table[table["arm"] == arm]
        if own.empty:
            continue
        # Side by side, so that an arm does not hide behind another.
        x = own["distance"] + 0.36 * ((place + 0.5) / len(styles) - 0.5)
        theory = {"color": style.colour, "linestyle": style.line, "linewidth": 1.3, "drawstyle": "steps-mid"}
        axes.plot(own["distance"], own["predicted"], **theory)
        axes.vlines(x, own["residual"] - own["spread"], own["residual"] + own["spread"], style.colour, linewidth=1.0)
        axes.plot(x, own["residual"], linestyle="", marker=style.marker, markersize=3.6, color=style.colour)


def _at_the_cut(study: Study, tables: Sequence[pd.DataFrame]) -> str:
    """Describe per arm what was measured and predicted one step before the cut, over the cells where targets differ."""
    parts = []
    for arm in study.arms:
        at_cut = [t[(t["arm"] == arm) & (t["distance"] == 1) & (t["shift"] != 0)] for t in tables]
        pairs = [(float(own["residual"].iloc[0]), float(own["predicted"].iloc[0])) for own in at_cut if len(own)]
        if pairs:
            measured, predicted = (_range([pair[i] for pair in pairs]) for i in (0, 1))
            parts.append(f"{show(arm)} {measured}, theory {predicted}")
    return f"At distance 1: {'; '.join(parts) or 'no target differs between the rules'}"


def _range(values: Sequence[float]) -> str:
    low, high = signed(min(values)), signed(max(values))
    return low if low == high else f"{low} to {high}"


def _words(table: pd.DataFrame, findings: Findings) -> Words:
    return Words(
        "Markers: target minus value over the second half of training, mean over runs ±1 standard deviation between "
        "them. Lines: what theory says of a critic without bias: −γ^d·b up to n steps before the cut where missing "
        "terms count as zero, 0 where none is missing.",
        "How far targets lie from the value, by distance to the cut",
        residual_finding(table, findings.study),
    )


RESIDUALS = Exhibit(
    "residuals",
    "residual of the targets by distance to the cut, and what theory says",
    residual_table,
    residual_figure,
    _words,
    "theory",
    optional=True,
    partial=True,
)
