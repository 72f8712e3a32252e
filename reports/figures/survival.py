"""Kaplan-Meier curves of the time to the threshold: the share of runs that have not yet reached it.

A run that never reaches the threshold is censored at its budget. One that diverged, or failed where failures count as
the worst, counts as the whole budget: to censor it where it stopped would be informative, for it stopped because it
went badly. So a mean of min(time, budget) rests on every run, never on the solved ones alone.
"""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.algorithm.traits import STEPS
from harness.record.run import RunRecord
from harness.record.study import Study
from reports.data.units import time_metric
from reports.figures.exhibit import Exhibit, Words
from reports.figures.facets import Frame, arm_handles, facet_pictures
from reports.figures.findings import Findings
from reports.figures.style import Picture, arm_styles
from reports.statistics.intervals import MIN_PAIRS, mean_interval
from reports.text import percent, show

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

CURVE_COLUMNS = ["cell", "arm", "at", "not_reached", "low", "high", "at_risk", "events"]
SUMMARY_COLUMNS = ["cell", "arm", "runs", "solved", "share_solved", "restricted_mean", "low", "high", "budget", "lost"]


@dataclass(frozen=True)
class Times:
    """The runs of one arm in one cell.

    Attributes:
        cell: the cell's id.
        arm: the compared level, as text.
        reached: when each run that reached the threshold did so, in budget units.
        censored: the budget of each run that did not.
        lost: how many of the latter diverged or failed.
    """

    cell: str
    arm: str
    reached: tuple[float, ...]
    censored: tuple[float, ...]
    lost: int

    @property
    def budget(self) -> float:
        """The longest any of them ran or could have run."""
        return max([*self.reached, *self.censored])


def survival_table(findings: Findings) -> pd.DataFrame:
    """Return the curves: one row per cell, arm and step of its curve, from ``at`` 0 to the budget.

    ``not_reached`` is the Kaplan-Meier estimate from ``at`` on, with its pointwise log-log interval where there is one
    (from :data:`~reports.statistics.intervals.MIN_PAIRS` runs on, and not where all or no runs have reached the
    threshold); ``at_risk`` counts the runs that had not reached it just before, ``events`` those that did so then.
    """
    import pandas as pd

    study = findings.study
    rows = [row for times in _times(study) for row in _curve(times, study.spec.compare.level)]
    return pd.DataFrame(rows, columns=CURVE_COLUMNS)


def survival_summary(findings: Findings) -> pd.DataFrame:
    """Return one row per cell and arm: runs, how many solved it, and the restricted mean time with its interval.

    The restricted mean is the mean of min(time to the threshold, budget) over all runs; ``lost`` of them diverged or
    failed and count as the budget.
    """
    import pandas as pd

    study = findings.study
    return pd.DataFrame([_summary(times, study.spec.compare.level) for times in _times(study)], columns=SUMMARY_COLUMNS)


def survival_figure(table: pd.DataFrame, findings: Findings) -> list[Picture]:
    """Draw the selected cells' curves; nothing where no run records whether it reached a threshold."""
    study, table = findings.study, findings.selected(table)
    if table.empty:
        return []
    by_cell = {str(cell): own for cell, own in table.groupby("cell", sort=False)}
    end = float(table["at"].max()) or 1.0
    frame = Frame(
        x_label=findings.budget,
        y_label="share of runs below the threshold",
        x=(0.0, 1.02 * end),  # room for the mark of the runs that never get there
        y=(-0.03, 1.03),
        missing="no run yet",
    )
    return facet_pictures(
        findings,
        by_cell,
        frame,
        lambda: arm_handles(study),
        lambda axes, cell: _draw(axes, study, by_cell[cell]),
        "Kaplan-Meier curves of",
        lambda cells: _ends(study, [by_cell[cell] for cell in cells]),
    )


def _times(study: Study) -> Iterator[Times]:
    """Yield the runs of every cell and arm by whether they reached the threshold, in the order of the design."""
    if (named := time_metric(study)) is None:
        return
    time, solved = named
    if not any(record.metrics.get(solved) in (0, 1) for record in study.records):
        return
    reached: dict[tuple[str, str], list[float]] = {}
    censored: dict[tuple[str, str], list[float]] = {}
    lost: Counter[tuple[str, str]] = Counter()
    budgets: dict[str, float] = {}
    for record in study.records:
        key, budget = (record.cell, record.arm), _budget(record)
        if budget is None:
            continue
        budgets[record.cell] = budget
        if record.outcome == "diverged":
            lost[key] += 1
        if record.outcome == "diverged" or record.metrics.get(solved) == 0:
            censored.setdefault(key, []).append(budget)
        elif record.metrics.get(solved) == 1:
            reached.setdefault(key, []).append(record.metrics[time])
    for failure in study.failures if study.spec.compare.failed == "worst" else ():
        if failure.cell in budgets:  # else none of its cell has finished
            key = (failure.cell, failure.arm)
            lost[key] += 1
            censored.setdefault(key, []).append(budgets[failure.cell])
    for cell in study.cells:
        for arm in study.arms:
            key = (cell.id, arm)
            if key in reached or key in censored:
                yield Times(*key, tuple(sorted(reached.get(key, ()))), tuple(censored.get(key, ())), lost[key])


def _budget(record: RunRecord) -> float | None:
    budget = record.config.get("total_steps") or record.config.get("total_episodes") or record.metrics.get(STEPS)
    return float(budget) if budget else None


def _summary(times: Times, level: float) -> tuple[object, ...]:
    every, solved = [*times.reached, *times.censored], len(times.reached)
    mean = mean_interval(every, level)
    share = solved / len(every)
    restricted = (mean.mean, mean.low, mean.high)
    return (times.cell, times.arm, len(every), solved, share, *restricted, times.budget, times.lost)


def _curve(times: Times, level: float) -> list[tuple[object, ...]]:
    """Return the rows of one curve: its start, a row at each event, and the budget."""
    import numpy as np
    from scipy import stats

    every = np.array([*times.reached, *times.censored])
    curve = stats.ecdf(stats.CensoredData(list(times.reached), right=list(times.censored))).sf
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # where all or none have reached it there is no interval
        bounds: Any = curve.confidence_interval(level, method="log-log")
    who = (times.cell, times.arm)
    rows: list[tuple[object, ...]] = [(*who, 0.0, 1.0, math.nan, math.nan, len(every), 0)]
    shares, lows, highs = (np.asarray(c.evaluate(every)) for c in (curve, bounds.low, bounds.high))
    share, low, high = 1.0, math.nan, math.nan
    for at in sorted(set(times.reached)):
        i = int(np.flatnonzero(every == at)[0])
        share, low, high = float(shares[i]), float(lows[i]), float(highs[i])
        if len(every) < MIN_PAIRS or not 0 < share < 1:
            low = high = math.nan
        rows.append((*who, at, share, low, high, int((every >= at).sum()), times.reached.count(at)))
    if rows[-1][2] != times.budget:
        rows.append((*who, times.budget, share, low, high, int((every >= times.budget).sum()), 0))
    return rows


def _draw(axes: Axes, study: Study, table: pd.DataFrame) -> None:
    for arm, style in arm_styles(study.arms).items():
        own = table[table["arm"] == arm]
        if own.empty:
            continue
        x, share = own["at"].to_numpy(), own["not_reached"].to_numpy()
        axes.plot(x, share, drawstyle="steps-post", color=style.colour, linestyle=style.line, linewidth=1.9)
        axes.fill_between(x, own["low"], own["high"], step="post", color=style.colour, alpha=0.14, linewidth=0)
        if share[-1] > 0:  # censored: these never got there
            axes.plot(x[-1:], share[-1:], color=style.colour, marker=style.marker, markersize=5, clip_on=False)


def _ends(study: Study, tables: Sequence[pd.DataFrame]) -> str:
    """Describe per arm which share of runs had not reached the threshold by the budget."""
    parts = []
    for arm in study.arms:
        ends = [float(own["not_reached"].iloc[-1]) for t in tables if len(own := t[t["arm"] == arm])]
        if ends:
            reach = percent(ends[0]) if len(set(ends)) == 1 else f"{percent(min(ends))} to {percent(max(ends))}"
            parts.append(f"{show(arm)} {reach}")
    return f"Runs still below the threshold at the end of the budget: {'; '.join(parts)}"


def _words(_: pd.DataFrame, findings: Findings) -> Words:
    return Words(
        "Kaplan-Meier curves: the share of runs that have not reached the environment’s reward threshold yet; lower is "
        "sooner. Runs that never reach it are censored at the budget, diverged ones count as the whole budget. "
        f"Bands: pointwise, {percent(findings.study.spec.compare.level)}.",
        "Time to the threshold",
    )


SURVIVAL = Exhibit(
    "survival",
    "Kaplan-Meier curves of the time to the threshold",
    survival_table,
    survival_figure,
    _words,
    "across",
    optional=True,
    partial=True,
    beside=("survival_summary",),
)
SUMMARY = Exhibit(
    "survival_summary",
    "how many runs reached the threshold, and the restricted mean time",
    survival_summary,
    optional=True,
)
