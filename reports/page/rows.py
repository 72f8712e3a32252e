"""The page's tables as rows of text: what is shown, in which words. The template only lays them out."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.record.study import Study
from harness.study.names import label
from reports.comparison.cells import Comparison
from reports.comparison.control import Control
from reports.statistics.intervals import MIN_PAIRS
from reports.statistics.verdicts import Verdict
from reports.text import cell_name, count, interval, listing, number, percent, show, signed

if TYPE_CHECKING:
    import pandas as pd

_IDENTITY = ("commit", "dirty", "cpu")


@dataclass(frozen=True)
class Bar:
    """An interval drawn in a table row, in percent of the row's width."""

    left: float
    width: float
    mean: float
    zero: float


@dataclass(frozen=True)
class Sign:
    """A verdict as the page shows it: told by symbol and word, colour only repeats it.

    Attributes:
        order: where it stands when rows are sorted by verdict.
        kind: what a reader filters by.
        symbol: one character.
        words: the verdict in words.
        side: +1 for better, -1 for worse, else 0.
    """

    order: int
    kind: str
    symbol: str
    words: str
    side: int = 0


@dataclass(frozen=True)
class CellRow:
    """One comparison in the table of cells."""

    cell: str
    levels: tuple[str, ...]
    candidate: str
    primary: bool
    state: str
    sign: Sign
    means: tuple[str, str]
    difference: str
    interval: str
    values: tuple[float | None, ...]  # behind difference, interval (its width), both means, pairs, share: to sort by
    pairs: str
    share: str
    note: str
    grounds: tuple[str, ...]
    bar: Bar | None

    def sort_by(self, column: int) -> str:
        """Write the value behind a column for the page's script; nothing where there is none."""
        value = self.values[column]
        return "" if value is None or not math.isfinite(value) else repr(value)


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


@dataclass(frozen=True)
class Tally:
    """How many comparisons came to one verdict."""

    symbol: str
    words: str
    side: int
    amount: int


@dataclass(frozen=True)
class Counts:
    """How far the study is, in runs."""

    planned: int
    done: int
    diverged: int
    failed: int

    @property
    def waiting(self) -> int:
        """Runs that have neither finished nor failed."""
        return self.planned - self.done - self.failed


def counts(study: Study) -> Counts:
    """Count the study's runs."""
    diverged = sum(record.outcome == "diverged" for record in study.records)
    return Counts(len(study.planned), len(study.records), diverged, len(study.failures))


def cell_factors(study: Study) -> tuple[str, ...]:
    """Return the names of the factors that make cells, in the order of the sweep."""
    return tuple(factor.name for factor in study.spec.sweep if factor.name != study.spec.compare.factor)


def cell_rows(study: Study, comparisons: Sequence[Comparison]) -> list[CellRow]:
    """Write every comparison as a row, with its interval drawn on an axis common to all rows."""
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
            means=(number(c.baseline_mean), number(c.candidate_mean)),
            difference="" if c.control else signed(c.estimate.mean),
            interval="" if c.control else interval(c.estimate.low, c.estimate.high),
            values=_values(c),
            pairs=f"{c.estimate.count} of {c.planned}",
            share=percent(c.share),
            note=_note(c),
            grounds=grounds(c),
            bar=_bar(c, low, high) if c.estimate.mean is not None and c.control is None else None,
        )
        for c in comparisons
    ]


def cell_filters(study: Study, rows: Sequence[CellRow]) -> list[Filter]:
    """Return what the rows can be filtered by: levels, candidate, verdict, group, where there is a choice."""
    factors, several = cell_factors(study), len(study.arms) > 2
    verdict = len(factors) + several
    held: list[tuple[str, int, Iterable[str]]] = [
        ("verdict", verdict, (row.sign.kind for row in sorted(rows, key=lambda row: row.sign.order))),
        ("group", verdict + 1, ("primary" if row.primary else "exploratory" for row in rows)),
        ("candidate", len(factors), (row.candidate for row in rows)),
        *((show(name, 30), place, _levels(rows, place)) for place, name in enumerate(factors)),
    ]
    found = [Filter(label, column, tuple((v, v) for v in dict.fromkeys(values))) for label, column, values in held]
    return [one for one in found if len(one.options) > 1]


def _levels(rows: Sequence[CellRow], place: int) -> Iterable[str]:
    return (row.levels[place] for row in rows)


def tally(comparisons: Sequence[Comparison]) -> list[Tally]:
    """Count the verdicts of all comparisons."""
    signs = [sign(c) for c in comparisons]
    found = Counter(one.kind for one in signs)
    by_kind = {one.kind: one for one in sorted(signs, key=lambda one: one.order)}
    return [Tally(one.symbol, kind.replace(":", ","), one.side, found[kind]) for kind, one in by_kind.items()]


def seeds_words(study: Study) -> str:
    """Write how many seeds there are, and how they are looked at."""
    looks = study.spec.study.looks
    total = len(study.spec.study.seeds)
    if len(looks) < 2:
        return count(total, "seed")
    return f"up to {count(total, 'seed')}, in looks at {listing(map(str, looks))}"


def sign(comparison: Comparison) -> Sign:
    """Return how a comparison's verdict is shown."""
    judgement = comparison.judgement
    if comparison.control:
        return Sign(5, "vacuous", "∅", "VACUOUS")
    if comparison.verdict is Verdict.DIFFERENT:
        note = ", negligible" if judgement.negligible else ""
        if comparison.better:
            return Sign(0, "different: better", "▲", f"DIFFERENT, better{note}", 1)
        return Sign(1, "different: worse", "▼", f"DIFFERENT, worse{note}", -1)
    if comparison.verdict is Verdict.EQUIVALENT:
        return Sign(2, "equivalent", "=", "EQUIVALENT")
    if comparison.verdict is Verdict.UNDECIDED:
        return Sign(3, "undecided", "?", "UNDECIDED")
    return Sign(4, "no verdict", "–", "no verdict")


def grounds(comparison: Comparison) -> tuple[str, ...]:
    """Write what a verdict rests on: its reason, its look, its p-values, the gain from pairing; nothing if vacuous."""
    judgement = comparison.judgement
    if comparison.control or not comparison.estimate.count:
        return ()
    lines = [f"{judgement.reason[:1].upper()}{judgement.reason[1:]}."] if judgement.reason else []
    if judgement.more_pairs is not None:
        lines.append(f"About {count(judgement.more_pairs, 'further pair')} would probably decide.")
    elif comparison.verdict is Verdict.UNDECIDED:
        lines.append("More than 1000 further pairs would be needed.")
    if judgement.look:
        lines.append(f"Look {judgement.look}, {count(comparison.estimate.count, 'pair')}.")
    if judgement.simultaneous.has_interval:
        wide = interval(judgement.simultaneous.low, judgement.simultaneous.high)
        group = "primary" if comparison.cell.primary else "exploratory"
        lines.append(f"Interval for all {group} comparisons together: {wide}.")
    told = [
        f"{chance(p)} for {name} ({chance(adjusted)} after correction)"
        for name, p, adjusted in (
            ("no difference", judgement.p_different, judgement.adjusted_different),
            ("a difference of the margin or more", judgement.p_equivalent, judgement.adjusted_equivalent),
        )
        if p is not None
    ]
    if told:
        lines.append(f"p: {'; '.join(told)}.")
    if comparison.pairing is not None:
        lines.append(f"{comparison.pairing.words[:1].upper()}{comparison.pairing.words[1:]}.")
    return tuple(lines)


def chance(p: float | None) -> str:
    """Write a p-value; one too small to tell apart from none as such."""
    if p is None:
        return "–"
    return "below 0.0001" if p < 0.0001 else "1" if p >= 0.99995 else f"{p:.4f}"


def control_finding(control: Control) -> str:
    """Write what a vacuous cell showed."""
    of = f"{control.identical} of {count(control.checked, 'pair')} bit-identical"
    return {
        "identical": f"{of}, as theory says",
        "differs": f"{of}: this is a bug",
        "chance": f"{of}; this schedule races, so runs differ by chance alone",
        "settings": "the arms trained with different settings besides: no two runs need agree",
        "unchecked": "no pair of finished runs to check yet",
    }[control.finding]


def throughput_rows(table: pd.DataFrame, series: str) -> list[tuple[str, ...]]:
    """Write speed and staleness for each number of workers and level of ``series``: median and range over runs."""
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
                *(number(group[f"staleness_{name}"].mean(), 1) for name in ("mean", "median")),
                number(group["staleness_max"].max(), 0),
            )
        )
    return sorted(rows, key=lambda row: float(row[0]))


def factor_rows(study: Study) -> list[tuple[str, str, bool]]:
    """Write every swept factor with its levels, a composite's with the fields they set, and whether it is compared."""

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


def settings(study: Study) -> list[tuple[str, str]]:
    """Write every setting the runs trained with; one that was swept with all its values."""
    if not study.records:
        return [(show(name), show(value, 200)) for name, value in study.spec.base.items()]
    names = dict.fromkeys(name for record in study.records for name in record.config if name != "seed")
    rows = []
    for name in names:
        values = (record.config[name] for record in study.records if name in record.config)
        written = dict.fromkeys("not set" if value is None else label(value) for value in _distinct(values))
        rows.append((show(name), show(" | ".join(written), 200)))
    return rows


def provenance(study: Study) -> list[tuple[str, str]]:
    """Write where the numbers come from; identities that differ between runs with how many runs had each."""
    rows = [(show(name), show(value, 300)) for name, value in _flat(study.provenance)]
    for name in _IDENTITY:
        seen = Counter(label(r.provenance[name]) for r in study.records if name in r.provenance)
        if len(seen) > 1:
            told = "; ".join(f"{show(value, 80)} ({count(runs, 'run')})" for value, runs in seen.items())
            rows.append((f"{name} of the runs", told))
    for name in dict.fromkeys(name for record in study.records for name in record.labels):
        seen = Counter(record.labels[name] for record in study.records if name in record.labels)
        told = "; ".join(f"{show(value, 80)} ({count(runs, 'run')})" for value, runs in seen.items())
        rows.append((show(f"{name} taken"), told))
    return rows


def setting(study: Study, name: str) -> str:
    """Return one setting's value or values as text; empty if it is not known."""
    values = (r.config[name] for r in study.records if r.config.get(name) is not None)
    seen = dict.fromkeys(label(value) for value in _distinct(values))
    if not seen and study.spec.base.get(name) is not None:
        seen = {label(study.spec.base[name]): None}
    return ", ".join(show(value, 40) for value in list(seen)[:4]) + (", …" if len(seen) > 4 else "")


def _values(comparison: Comparison) -> tuple[float | None, ...]:
    estimate = comparison.estimate
    width = estimate.high - estimate.low if estimate.low is not None and estimate.high is not None else None
    difference, width = (None, None) if comparison.control else (estimate.mean, width)
    means = comparison.baseline_mean, comparison.candidate_mean
    return difference, width, *means, float(estimate.count), comparison.share


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


def _distinct(values: Iterable[Any]) -> Iterable[Any]:
    """Drop values that are written the same: cheaper than to write each for people."""
    return {repr(value): value for value in values}.values()


def _flat(data: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, object]]:
    for name, value in data.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", "unknown" if value is None else value


def failure_rows(study: Study) -> list[tuple[str, ...]]:
    """Write every run that failed, and why."""
    return [(show(f.run, 120), str(f.attempt), show(f.reason, 300)) for f in study.failures]


def diverged_rows(study: Study) -> list[tuple[str, ...]]:
    """Write every run that diverged, and how far it came."""
    return [
        (show(record.run, 120), number(record.metrics.get("steps")))
        for record in study.records
        if record.outcome == "diverged"
    ]


def alias_rows(study: Study) -> list[tuple[str, ...]]:
    """Write every combination left out of the design, and the cell that stands for it."""
    names = {cell.id: cell_name(cell) for cell in study.cells}
    factors = cell_factors(study)
    return [(*(show(alias.levels[name], 30) for name in factors), names[alias.cell]) for alias in study.aliases]
