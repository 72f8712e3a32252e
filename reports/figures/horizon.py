"""The effective horizon theory gives missing_as_zero, beside the difference that was measured.

Theory (:func:`reports.theory.effective_value`) gives the steps that an agent sees ahead whose actor and critic both
learn from targets that lack their tail. It predicts a direction, max_terms the better, and an order, the shorter the
horizon the more so; it does not predict a score.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from harness.record.study import Study
from reports.comparison.cells import Comparison
from reports.figures.exhibit import Exhibit, Words
from reports.figures.findings import Findings
from reports.figures.style import (
    CANDIDATES,
    INK,
    SERIES,
    Picture,
    better_or_worse,
    drawing,
    new_figure,
    picture,
    styles,
)
from reports.text import cell_name, count, listing, number, show, signed
from reports.theory import affected_share, effective_value, full_value, matched_gamma

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

COLUMNS = [
    "cell", "candidate", "rollout_length", "n_step", "gamma", "n_step_head", "workers", "horizon", "full_horizon",
    "matched_gamma", "largest_affected_share", "difference", "low", "high", "improvement",
]  # fmt: skip
_RULES = {"missing_as_zero", "max_terms"}
_MIN_HORIZONS = 3  # distinct ones, for an order to be an order
_NAMED = 3  # cells named in a sentence


def horizon_table(findings: Findings) -> pd.DataFrame:
    """Return one row per comparison that theory speaks of, predicted horizon beside measured difference.

    It speaks of arms that differ in the tail rule alone, missing_as_zero and max_terms, with rollouts cut at a fixed
    length and the textbook's n. ``horizon`` and ``full_horizon`` are the steps seen under missing_as_zero and
    max_terms; ``difference``, ``low``, ``high`` are max_terms minus missing_as_zero, whichever is the baseline;
    ``improvement`` is the difference with the sign that makes more better.
    """
    import pandas as pd

    configs: dict[tuple[str, str], Mapping[str, Any]] = {}
    for record in findings.study.records:
        configs.setdefault((record.cell, record.arm), record.config)
    rows = []
    for comparison in findings.comparisons:
        one, other = (configs.get((comparison.cell.id, arm)) for arm in (comparison.baseline, comparison.candidate))
        if one and other and _speaks_of(one, other) and comparison.estimate.mean is not None and not comparison.control:
            rows.append(_row(findings.study, comparison, other))
    return pd.DataFrame(rows, columns=COLUMNS)


def horizon_figure(table: pd.DataFrame, findings: Findings) -> list[Picture]:
    """Draw the predicted horizons as a map over the study's levels, and the measured differences against them."""
    if table.empty:
        return []
    grid = _levels(table)
    with drawing():
        wide = 0.62 * len(grid.columns) + 1.4
        figure = new_figure(wide + 5.4, max(3.2, 0.5 * len(grid) + 1.2))
        left, right = figure.subplots(1, 2, width_ratios=[wide, 5.4])
        _draw_map(left, grid)
        _draw_scatter(right, findings.study, table)
        return [picture(figure, "", _alt(table))]


def horizon_finding(table: pd.DataFrame, study: Study) -> str:
    """Describe how direction and order of the measured differences agree with theory; empty for none."""
    if table.empty:
        return ""
    return " ".join(part for part in (_direction(study, table), _order(table), _caveat(table)) if part)


def _speaks_of(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    differing = {name for name in one.keys() | other.keys() if one.get(name) != other.get(name)} - {"seed"}
    return (
        differing == {"target"}
        and {one["target"], other["target"]} == _RULES
        and type(one.get("rollout_length")) is int
        and one.get("n_step_convention", "textbook") == "textbook"
        and not (one.get("env_kwargs") or {}).get("sutton_barto_reward")  # no reward a step: no steps to see
    )


def _row(study: Study, comparison: Comparison, config: Mapping[str, Any]) -> list[Any]:
    estimate = comparison.estimate
    ends = [estimate.mean, estimate.low, estimate.high]
    if config["target"] == "missing_as_zero":
        ends = [None if end is None else -end for end in (estimate.mean, estimate.high, estimate.low)]
    difference, low, high = (math.nan if end is None else end for end in ends)
    length, gamma = config["rollout_length"], config["gamma"]
    n = min(config["n_step"], length)
    return [
        comparison.cell.id,
        comparison.candidate,
        length,
        n,
        gamma,
        config.get("n_step_head", "actor"),
        config.get("workers"),
        effective_value(length, n, gamma),
        full_value(gamma),
        matched_gamma(length, n, gamma),
        affected_share(length, n),
        difference,
        low,
        high,
        difference if study.spec.compare.higher_is_better else -difference,
    ]


def _levels(table: pd.DataFrame) -> pd.DataFrame:
    """Return the predicted horizon of every combination of the study's n and rollout length: rows × columns as text."""
    import pandas as pd

    gammas = sorted(table["gamma"].unique())
    lengths = sorted(set(zip(table["rollout_length"].tolist(), table["gamma"].tolist(), strict=True)))
    steps = sorted({int(n) for n in table["n_step"]})
    return pd.DataFrame(
        [[effective_value(length, n, gamma) for n in steps] for length, gamma in lengths],
        index=[f"{length}" + (f", γ {gamma:g}" if len(gammas) > 1 else "") for length, gamma in lengths],
        columns=[str(n) for n in steps],
    )


def _draw_map(axes: Axes, grid: pd.DataFrame) -> None:
    import seaborn as sns

    most = float(grid.to_numpy().max())
    sns.heatmap(grid, ax=axes, cmap=better_or_worse(), vmin=-most, vmax=most, cbar=False)
    for y, (_, row) in enumerate(grid.iterrows()):
        for x, value in enumerate(row):
            axes.text(x + 0.5, y + 0.5, number(float(value), 1), color=INK, fontsize=10, ha="center", va="center")
    axes.grid(False)
    axes.tick_params(length=0, labelrotation=0)
    axes.set(xlabel="n_step", ylabel="rollout_length")
    axes.set_title("predicted horizon (steps)", loc="left")


def _draw_scatter(axes: Axes, study: Study, table: pd.DataFrame) -> None:
    workers = [str(value) for value in sorted(table["workers"].dropna().unique())] or [""]
    marks = styles(_cycle(workers))
    axes.axhline(0, color=INK, linewidth=0.9)
    span = float(table["horizon"].max() - table["horizon"].min()) or float(table["horizon"].max())
    for place, (name, style) in enumerate(marks.items()):
        own = table[table["workers"].astype(str) == name] if name else table
        # Cells that differ in workers alone have the same horizon: side by side both can be seen.
        x = own["horizon"] + 0.04 * span * ((place + 0.5) / len(marks) - 0.5)
        axes.vlines(x, own["low"], own["high"], style.colour, linewidth=1.3)
        axes.plot(x, own["difference"], linestyle="", marker=style.marker, markersize=6, color=style.colour, label=name)
    axes.set(xlabel="predicted horizon of missing_as_zero (steps)", ylabel="paired difference")
    axes.set_title(f"measured: max_terms minus missing_as_zero, {show(study.spec.compare.metric, 30)}", loc="left")
    if len(marks) > 1:
        axes.legend(title="workers", loc="best")


def _cycle(names: Sequence[str]) -> dict[str, str]:
    colours = (CANDIDATES[0], *SERIES[:-1])
    return {name: colours[i % len(colours)] for i, name in enumerate(names)}


def _direction(study: Study, table: pd.DataFrame) -> str:
    better = int((table["improvement"] > 0).sum())
    clear = table[(table["low"] > 0) | (table["high"] < 0)]
    against = list(dict.fromkeys(clear.loc[clear["improvement"] < 0, "cell"].tolist()))
    with_it = int((clear["improvement"] > 0).sum())
    names = {cell.id: cell_name(cell) for cell in study.cells}
    agrees = "as theory says" if better == len(table) else "theory says in all"
    found = f"max_terms did better in {better} of {count(len(table), 'comparison')} of cut rollouts, {agrees}"
    found += f"; {with_it} of their intervals exclude 0 that way"
    if not against:
        return f"{found}, none the other way."
    named = [names[cell] for cell in against[:_NAMED]] + (["…"] if len(against) > _NAMED else [])
    return f"{found}, {len(clear) - with_it} the other way, against theory: {listing(named)}."


def _order(table: pd.DataFrame) -> str:
    from scipy import stats

    if table["horizon"].round(9).nunique() < _MIN_HORIZONS or table["improvement"].nunique() < _MIN_HORIZONS:
        return ""
    rank = float(stats.spearmanr(table["horizon"], table["improvement"]).statistic)
    if rank <= -0.5:
        verdict = "the order agrees: the shorter the horizon, the larger the gain"
    elif rank < 0:
        verdict = "the order agrees only weakly"
    else:
        verdict = "the order does not agree: theory expects larger gains where the horizon is shorter"
    return (
        f"Spearman's rank correlation of horizon and gain is {signed(rank)} over {len(table)} comparisons; {verdict}."
    )


def _caveat(table: pd.DataFrame) -> str:
    if set(table["n_step_head"]) == {"both"}:
        return ""
    return (
        'The horizon is derived for n_step_head = "both". Where the n-step targets train the actor alone, the critic '
        "stays unbiased and the share of affected steps depends on n, so there the map is only a rough guide."
    )


def _alt(table: pd.DataFrame) -> str:
    ordered = table.sort_values("horizon")
    first, last = ordered.iloc[0], ordered.iloc[-1]
    means = table.groupby(table["horizon"].round(9))["difference"].mean()
    if len(means) == 1:
        reach = f"{number(float(first['horizon']), 1)} steps; mean difference {signed(float(means.iloc[0]))}"
    else:
        reach = (
            f"{number(float(first['horizon']), 1)} to {number(float(last['horizon']), 1)} steps; mean difference "
            f"{signed(float(means.iloc[0]))} at the shortest, {signed(float(means.iloc[-1]))} at the longest"
        )
    return f"Predicted horizon of missing_as_zero over {count(len(table), 'comparison')}: {reach}."


def _words(table: pd.DataFrame, findings: Findings) -> Words:
    return Words(
        "Left: how many steps ahead theory lets an agent see where missing terms count as zero in actor and critic. "
        "Right: what was measured in each cell, against that prediction, with its interval.",
        "Predicted horizon beside measured effect",
        horizon_finding(table, findings.study),
    )


HORIZON = Exhibit(
    "horizon",
    "predicted horizon beside the measured difference",
    horizon_table,
    horizon_figure,
    _words,
    "theory",
    optional=True,
)
