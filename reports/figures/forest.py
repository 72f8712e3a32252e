"""The forest of paired differences: every comparison a row, its intervals against 0 and against the margin."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.record.study import Study
from reports.comparison.cells import Comparison
from reports.figures.differences import differences_of
from reports.figures.exhibit import Exhibit, Words
from reports.figures.findings import Findings
from reports.figures.style import (
    CANDIDATES,
    FAINT,
    INK,
    MUTED,
    PAPER,
    Picture,
    drawing,
    legend_line,
    new_figure,
    picture,
)
from reports.statistics.verdicts import Verdict
from reports.text import arm_name, cell_name, count, percent, show, signed

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROWS_A_PICTURE = 30  # what a printed page holds
_WIDTH = 9.0
_ROW_HEIGHT = 0.27
_LABEL = 46  # characters of a row's name
_PRIMARY, _EXPLORATORY = "primary", "exploratory"


@dataclass(frozen=True)
class _Mark:
    """The marker of a verdict: a shape, filled or hollow, so that no colour is needed to recognise it."""

    marker: str
    colour: str
    filled: bool


_MARKS: Mapping[Verdict, _Mark] = {
    Verdict.DIFFERENT: _Mark("D", CANDIDATES[0], True),
    Verdict.EQUIVALENT: _Mark("s", CANDIDATES[1], True),
    Verdict.UNDECIDED: _Mark("o", INK, False),
    Verdict.NONE: _Mark("^", MUTED, False),
}


@dataclass(frozen=True)
class _Row:
    """A line of the figure: a comparison, or the name of a group of them."""

    group: str
    comparison: Comparison | None = None


def forest_table(findings: Findings) -> pd.DataFrame:
    """Return one row per comparison: verdict, mean difference, both intervals, in the order of the design."""
    import pandas as pd

    columns = ["cell", "candidate", "group", "verdict", "pairs", "difference", "low", "high"]
    rows = [
        (
            c.cell.id,
            c.candidate,
            _group(c),
            c.judgement.verdict.value,
            c.judgement.estimate.count,
            c.judgement.estimate.mean,
            c.judgement.estimate.low,
            c.judgement.estimate.high,
            c.judgement.simultaneous.low,
            c.judgement.simultaneous.high,
        )
        for c in findings.comparisons
    ]
    return pd.DataFrame(rows, columns=[*columns, "simultaneous_low", "simultaneous_high"])


def forest(_: pd.DataFrame, findings: Findings) -> list[Picture]:
    """Draw the selected cells' comparisons, in pictures of at most :data:`ROWS_A_PICTURE` rows on one axis.

    A point with its own interval (thick) over the interval for all comparisons of its group together (thin), the margin
    as a band about 0, the verdict as a word and as the marker's shape. Nothing where no comparison has a difference.
    """
    study = findings.study
    places = {cell.id: place for place, cell in enumerate(findings.selection.cells)}
    shown = sorted(
        (c for c in findings.comparisons if c.cell.id in places), key=lambda c: (not c.cell.primary, places[c.cell.id])
    )
    if not any(c.judgement.estimate.mean is not None and not _vacuous(c) for c in shown):
        return []
    limits = _limits(shown, study.spec.compare.margin)
    sheets = [shown[start : start + ROWS_A_PICTURE] for start in range(0, len(shown), ROWS_A_PICTURE)]
    pictures = []
    for number_, sheet in enumerate(sheets, 1):
        title = f"{number_} of {len(sheets)}" if len(sheets) > 1 else ""
        with drawing():
            pictures.append(picture(_figure(study, _rows(sheet), limits), title, _alt(study, sheet)))
    return pictures


def _rows(sheet: Sequence[Comparison]) -> list[_Row]:
    """Put a group's name above its rows, where there are exploratory ones at all."""
    if all(c.cell.primary for c in sheet):
        return [_Row(_PRIMARY, c) for c in sheet]
    rows: list[_Row] = []
    for comparison in sheet:
        if not rows or rows[-1].group != _group(comparison):
            rows.append(_Row(_group(comparison)))
        rows.append(_Row(_group(comparison), comparison))
    return rows


def _figure(study: Study, rows: Sequence[_Row], limits: tuple[float, float]) -> Figure:
    figure = new_figure(_WIDTH, len(rows) * _ROW_HEIGHT + 1.3)
    axes = figure.subplots()
    margin = study.spec.compare.margin
    axes.axvspan(-margin, margin, facecolor=FAINT, alpha=0.5, linewidth=0)
    axes.axvline(0, color=INK, linewidth=0.9)
    for y, row in enumerate(rows):
        if row.comparison is None:
            axes.axhline(y + 0.42, color=MUTED, linewidth=0.8)
        else:
            _draw(axes, y, row.comparison)
    axes.set(xlim=limits, ylim=(len(rows) - 0.4, -0.6))
    axes.set_yticks(range(len(rows)), [_label(study, row) for row in rows])
    for label, row in zip(axes.get_yticklabels(), rows, strict=True):
        label.set_fontweight("normal" if row.comparison else "bold")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(False, axis="y")
    axes.set_xlabel(_x_label(study))
    _verdict_words(axes, rows)
    figure.legend(handles=_handles(rows, margin), loc="outside upper left", ncols=3, fontsize=9)
    return figure


def _draw(axes: Axes, y: int, comparison: Comparison) -> None:
    judgement = comparison.judgement
    estimate, wide = judgement.estimate, judgement.simultaneous
    if _vacuous(comparison) or estimate.mean is None:
        return
    mark = _MARKS.get(judgement.verdict, _MARKS[Verdict.NONE])
    if wide.low is not None and wide.high is not None:
        axes.plot([wide.low, wide.high], [y, y], color=mark.colour, linewidth=0.9)
    if estimate.low is not None and estimate.high is not None:
        axes.plot([estimate.low, estimate.high], [y, y], color=mark.colour, linewidth=3.2, solid_capstyle="butt")
    axes.plot([estimate.mean], [y], **_marker(mark))


def _marker(mark: _Mark) -> dict[str, Any]:
    return {
        "marker": mark.marker,
        "markersize": 6.5,
        "color": mark.colour,
        "markerfacecolor": mark.colour if mark.filled else PAPER,
        "linestyle": "",
    }


def _verdict_words(axes: Axes, rows: Sequence[_Row]) -> None:
    """Write each row's verdict to the right of the axes, as ticks of a second axis so that room is made for them."""
    right = axes.secondary_yaxis("right")
    right.set_yticks(range(len(rows)), [_words(row.comparison) if row.comparison else "" for row in rows])
    right.tick_params(length=0)
    right.spines["right"].set_visible(False)


def _words(comparison: Comparison) -> str:
    judgement = comparison.judgement
    if _vacuous(comparison):
        return "same targets"
    if judgement.verdict is Verdict.NONE:
        return "no pairs" if judgement.estimate.mean is None else "no verdict"
    if judgement.verdict is not Verdict.DIFFERENT:
        return judgement.verdict.value
    way = {True: ", better", False: ", worse", None: ""}[judgement.candidate_better]
    return judgement.verdict.value + way + (" (negligible)" if judgement.negligible else "")


def _label(study: Study, row: _Row) -> str:
    if row.comparison is None:
        return row.group.capitalize()
    name = cell_name(row.comparison.cell)
    if len(study.arms) > 2:
        arm = arm_name(study.spec.compare.factor, row.comparison.candidate)
        name = arm if len(study.cells) == 1 else f"{name} · {arm}"
    return show(name, _LABEL) if len(name) <= _LABEL else "…" + name[1 - _LABEL :]


def _x_label(study: Study) -> str:
    compare = study.spec.compare
    name = arm_name(compare.factor, study.arms[1]) if len(study.arms) == 2 else "candidate"
    better = "" if compare.higher_is_better else "; less is better"
    return f"{show(name, 40)} minus {show(study.arms[0], 40)}: paired difference in {show(compare.metric, 30)}{better}"


def _limits(shown: Sequence[Comparison], margin: float) -> tuple[float, float]:
    """Return limits that hold every interval, 0 and the margin; a thin interval far wider than all else is cut off."""
    known = [c.judgement for c in shown if not _vacuous(c) and c.judgement.estimate.mean is not None]
    inner = [
        end
        for judgement in known
        for end in (judgement.estimate.mean, judgement.estimate.low, judgement.estimate.high)
        if end is not None
    ]
    outer = [end for judgement in known for end in (judgement.simultaneous.low, judgement.simultaneous.high) if end]
    low, high = min([*inner, -margin]), max([*inner, margin])
    room = high - low
    low, high = (max(min([*outer, low]), low - room), min(max([*outer, high]), high + room))
    air = 0.04 * (high - low)
    return low - air, high + air


def _handles(rows: Sequence[_Row], margin: float) -> list[Any]:
    from matplotlib.patches import Patch

    judged = [row.comparison for row in rows if row.comparison and not _vacuous(row.comparison)]
    seen = {c.judgement.verdict for c in judged if c.judgement.estimate.mean is not None}
    handles: list[Any] = [
        legend_line(label="no verdict" if verdict is Verdict.NONE else verdict.value, **_marker(mark))
        for verdict, mark in _MARKS.items()
        if verdict in seen
    ]
    levels = {c.judgement.estimate.level for c in judged if c.judgement.estimate.has_interval}
    if levels:
        handles.append(
            legend_line(color=MUTED, linewidth=3.2, label=f"{percent(max(levels))} interval of the row alone")
        )
    if any(c.judgement.simultaneous.has_interval for c in judged):
        handles.append(legend_line(color=MUTED, linewidth=0.9, label="of all rows of its group together"))
    handles.append(Patch(facecolor=FAINT, alpha=0.5, label=f"margin ±{margin:g}"))
    return handles


def _alt(study: Study, sheet: Sequence[Comparison]) -> str:
    """Describe how many rows came to which verdict, and how far the differences reach."""
    verdicts = Counter(_words(c) for c in sheet)
    tally = ", ".join(f"{amount} {words}" for words, amount in verdicts.items())
    known = [(c.judgement.estimate.mean, c) for c in sheet if c.judgement.estimate.mean is not None and not _vacuous(c)]
    known = [(mean, c) for mean, c in known if math.isfinite(mean)]
    if not known:
        return f"Forest of paired differences, {count(len(sheet), 'row')}: {tally}."
    ends = [min(known, key=lambda pair: pair[0]), max(known, key=lambda pair: pair[0])]
    where = [f"{signed(mean)} ({_label(study, _Row('', c))})" for mean, c in ends]
    reach = f"from {where[0]} to {where[1]}" if len(known) > 1 else where[0]
    return f"Forest of paired differences, {count(len(sheet), 'row')}: {tally}. Mean differences {reach}."


def _group(comparison: Comparison) -> str:
    return _PRIMARY if comparison.cell.primary else _EXPLORATORY


def _vacuous(comparison: Comparison) -> bool:
    return comparison.judgement.verdict is Verdict.VACUOUS


def _words_beside(_: pd.DataFrame, findings: Findings) -> Words:
    compare = findings.study.spec.compare
    return Words(
        f"Mean paired difference of {show(compare.metric)}, {differences_of(findings)}. Band: ±{compare.margin:g}, the "
        f"margin. Thick: the {percent(compare.level)} interval of the row alone; thin: of all rows of its group "
        "together, primary or exploratory."
    )


FOREST = Exhibit(
    "forest",
    "the forest: verdict, difference and both intervals of every comparison",
    forest_table,
    forest,
    _words_beside,
    "differences",
    partial=True,
)
