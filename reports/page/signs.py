"""Format verdicts as signs (symbol, word, side) and their grounds in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from reports.comparison.cells import Comparison
from reports.comparison.control import Control
from reports.statistics.verdicts import Verdict
from reports.text import count, interval


@dataclass(frozen=True)
class Sign:
    """A verdict as the page shows it, by symbol and word; colour only repeats it.

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
class Tally:
    """The number of comparisons that came to one verdict."""

    symbol: str
    words: str
    side: int
    amount: int


def tally(comparisons: Sequence[Comparison]) -> list[Tally]:
    """Count the verdicts of all comparisons."""
    signs = [sign(c) for c in comparisons]
    found = Counter(one.kind for one in signs)
    by_kind = {one.kind: one for one in sorted(signs, key=lambda one: one.order)}
    return [Tally(one.symbol, kind.replace(":", ","), one.side, found[kind]) for kind, one in by_kind.items()]


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
    """Format the grounds of a verdict: reason, look, p-values, the gain from pairing; nothing if vacuous."""
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
    p_values = [
        f"{chance(p)} for {name} ({chance(adjusted)} after correction)"
        for name, p, adjusted in (
            ("no difference", judgement.p_different, judgement.adjusted_different),
            ("a difference of the margin or more", judgement.p_equivalent, judgement.adjusted_equivalent),
        )
        if p is not None
    ]
    if p_values:
        lines.append(f"p: {'; '.join(p_values)}.")
    if comparison.pairing is not None:
        lines.append(f"{comparison.pairing.words[:1].upper()}{comparison.pairing.words[1:]}.")
    return tuple(lines)


def chance(p: float | None) -> str:
    """Format a p-value; one below 0.0001 as such."""
    if p is None:
        return "–"
    return "below 0.0001" if p < 0.0001 else "1" if p >= 0.99995 else f"{p:.4f}"


def control_finding(control: Control) -> str:
    """Format the finding of a vacuous cell."""
    of = f"{control.identical} of {count(control.checked, 'pair')} bit-identical"
    return {
        "identical": f"{of}, as theory says",
        "differs": f"{of}: this is a bug",
        "chance": f"{of}; this schedule races, so runs differ by chance alone",
        "settings": "the arms trained with different settings besides: no two runs need agree",
        "unchecked": "no pair of finished runs to check yet",
    }[control.finding]
