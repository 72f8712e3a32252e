"""Format the page's tables as rows of text, which the template lays out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.algorithm.traits import STEPS
from harness.record.study import Study
from reports.comparison.cells import Comparison
from reports.data.names import STALENESS
from reports.data.settings import cell_factors
from reports.page.signs import Sign, grounds, sign
from reports.statistics.intervals import MIN_PAIRS
from reports.text import cell_name, interval, number, percent, show, signed

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Bar:
    """An interval drawn in a table row, in percent of the row's width."""

    left: float
    width: float
    mean: float
    zero: float


@dataclass(frozen=True)
class Value:
    """A figure as a table shows it, and the number its column is sorted by."""

    text: str
    key: float | None = None

    @property
    def sort_by(self) -> str:
        """The number as the page's script reads it; empty without one."""
        return "" if self.key is None or not math.isfinite(self.key) else repr(self.key)


@dataclass(frozen=True)
class CellRow:
    """One comparison in the table of cells."""

    cell: str
    levels: tuple[str, ...]
    candidate: str
    primary: bool
    state: str
    sign: Sign
    difference: Value
    interval: Value  # sorted by its width
    baseline_mean: Value
    candidate_mean: Value
    pairs: Value
    share: Value
    note: str
    grounds: tuple[str, ...]
    bar: Bar | None


@dataclass(frozen=True)
class Filter:
    """A choice by which rows of the table of cells can be filtered.

    Attributes:
        label: what is chosen by.
        column: where it stands in the table, from 0.
        options: each value as the rows hold it, and as it is shown.
    """

    label: str
    column: int
    options: tuple[tuple[str, str], ...]


def cell_rows(study: Study, comparisons: Sequence[Comparison]) -> list[CellRow]:
    """Format every comparison as a row, with its interval drawn on an axis common to all rows."""
    factors = cell_factors(study)
    shown = [c for c in comparisons if c.estimate.mean is not None and c.control is None]
    ends = [0.0, *(end for c in shown for end in (c.estimate.mean, c.estimate.low, c.estimate.high) if end is not None)]
    low, high = min(ends), max(ends)
    return [
        CellRow(
            cell=c.cell.id,
            levels=tuple(show(c.cell.levels[name], 30) for name in factors),
            candidate=show(c.candidate, 30),
            primary=c.cell.primary,
            state=c.state,
            sign=sign(c),
            difference=difference_of(c),
            interval=interval_of(c),
            baseline_mean=Value(number(c.baseline_mean), c.baseline_mean),
            candidate_mean=Value(number(c.candidate_mean), c.candidate_mean),
            pairs=Value(f"{c.estimate.count} of {c.planned}", float(c.estimate.count)),
            share=Value(percent(c.share), c.share),
            note=_note(c),
            grounds=grounds(c),
            bar=_bar(c, low, high) if c.estimate.mean is not None and c.control is None else None,
        )
        for c in comparisons
    ]


def difference_of(comparison: Comparison) -> Value:
    """Return a comparison's mean difference; empty where arms did the same."""
    mean = comparison.estimate.mean
    return Value("") if comparison.control else Value(signed(mean), mean)


def interval_of(comparison: Comparison) -> Value:
    """Return a comparison's interval; empty where arms did the same."""
    low, high = comparison.estimate.low, comparison.estimate.high
    if comparison.control:
        return Value("")
    return Value(interval(low, high), None if low is None or high is None else high - low)


def cell_filters(study: Study, rows: Sequence[CellRow]) -> list[Filter]:
    """Return the filters of the rows: levels, candidate, verdict, group, each if it has more than one value."""
    factors, several = cell_factors(study), len(study.arms) > 2
    verdict = len(factors) + several
    return filters_of(
        ("verdict", verdict, [row.sign.kind for row in sorted(rows, key=lambda row: row.sign.order)]),
        ("group", verdict + 1, ["primary" if row.primary else "exploratory" for row in rows]),
        ("candidate", len(factors), [row.candidate for row in rows]),
        *((show(name, 30), place, [row.levels[place] for row in rows]) for place, name in enumerate(factors)),
    )


def filters_of(*columns: tuple[str, int, Iterable[str]]) -> list[Filter]:
    """Return a filter for each column (name, place, values) with more than one value."""
    found = [Filter(name, place, tuple((v, v) for v in dict.fromkeys(values))) for name, place, values in columns]
    return [one for one in found if len(one.options) > 1]


def throughput_rows(table: pd.DataFrame, series: str) -> list[tuple[str, ...]]:
    """Format speed and staleness for each number of workers and level of ``series``: median and range over runs."""
    rows = []
    for (workers, level), group in table.dropna(subset=["workers"]).groupby(["workers", "series"], sort=False):
        speed = group["steps_per_second"].dropna()
        rows.append(
            (
                str(workers),
                *([show(level, 30)] if series else []),
                str(len(group)),
                number(speed.median()) if len(speed) else "–",
                f"{number(speed.min())} to {number(speed.max())}" if len(speed) else "–",
                number(group["train_seconds"].mean(), 1),
                *(number(group[STALENESS[name]].mean(), 1) for name in ("mean", "median")),
                number(group[STALENESS["max"]].max(), 0),
            )
        )
    return sorted(rows, key=lambda row: float(row[0]))


def factor_rows(study: Study) -> list[tuple[str, str, bool]]:
    """Format every swept factor with its levels, a composite's with the fields they set, and whether it is compared."""

    def level(name: str, value: object, fields: Mapping[str, Any]) -> str:
        if fields == {name: value}:
            return show(value, 30)
        return f"{show(value, 30)} ({', '.join(f'{show(k)} {show(v, 30)}' for k, v in fields.items())})"

    return [
        (
            show(f.name),
            ", ".join(level(f.name, value, fields) for value, fields in f.levels),
            f.name == study.spec.compare.factor,
        )
        for f in study.spec.sweep
    ]


def _note(comparison: Comparison) -> str:
    notes = []
    if comparison.control:
        same = "same targets" if comparison.share == 0 else "same runs, bit for bit"
        notes.append(f"{same}: a bug, see the control" if comparison.control.finding == "differs" else same)
    elif 0 < comparison.estimate.count < MIN_PAIRS:
        notes.append(f"fewer than {MIN_PAIRS} pairs: no interval")
    elif comparison.state == "unbounded":
        notes.append("too few of the differences vary: no interval")
    if not comparison.judgement.look and comparison.estimate.count and not comparison.control:
        notes.append("pairs so far: no look is complete")
    if not comparison.cell.primary:
        notes.append("exploratory")
    if comparison.diverged:
        notes.append(f"{comparison.diverged} diverged")
    if comparison.failed:
        notes.append(f"{comparison.failed} failed")
    return "; ".join(notes)


def _bar(comparison: Comparison, low: float, high: float) -> Bar:
    estimate = comparison.estimate

    def at(value: float) -> float:
        return round(100 * (value - low) / (high - low), 2) if high > low else 50.0

    mean = estimate.mean or 0.0
    left = at(mean if estimate.low is None else estimate.low)
    right = at(mean if estimate.high is None else estimate.high)
    return Bar(left, round(right - left, 2), at(mean), at(0.0))


def failure_rows(study: Study) -> list[tuple[str, ...]]:
    """Format every run that failed, and why."""
    return [(show(f.run, 120), str(f.attempt), show(f.reason, 300)) for f in study.failures]


def diverged_rows(study: Study) -> list[tuple[str, ...]]:
    """Format every run that diverged, and how far it came."""
    return [
        (show(record.run, 120), number(record.metrics.get(STEPS)))
        for record in study.records
        if record.outcome == "diverged"
    ]


def alias_rows(study: Study) -> list[tuple[str, ...]]:
    """Format every combination left out of the design, and the cell that stands for it."""
    names = {cell.id: cell_name(cell) for cell in study.cells}
    factors = cell_factors(study)
    return [(*(show(alias.levels[name], 30) for name in factors), names[alias.cell]) for alias in study.aliases]
