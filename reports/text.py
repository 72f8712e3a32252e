"""Format names and numbers for people.

Names come from study files and may hold anything: control characters would break an SVG image, ten thousand letters
would break a table, a right-to-left mark would turn round the rest of a sentence. Nothing is escaped here; the template
does that.
"""

from __future__ import annotations

import math
import textwrap
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

from harness.study.design import Cell
from harness.study.names import label

_UNPRINTABLE = frozenset({"Cc", "Cs", "Cn", "Co", "Zl", "Zp"})
_TURNING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def show(value: object, limit: int = 60) -> str:
    """Format a name or a level in printable characters, at most ``limit`` of them."""
    written = value if isinstance(value, str) else label(value)
    text = "".join(
        "\N{REPLACEMENT CHARACTER}" if unicodedata.category(letter) in _UNPRINTABLE or letter in _TURNING else letter
        for letter in written.replace("\n", " ").replace("\t", " ")
    )
    return text if len(text) <= limit else text[: limit - 1] + "…"


def number(value: float | None, decimals: int = 3) -> str:
    """Format a figure with ``decimals`` below 10, fewer above; a dash for none."""
    if value is None or not math.isfinite(value):
        return "–"
    size = abs(value)
    digits = decimals if size < 10 else 1 if size < 1000 else 0
    return f"{value:,.{digits}f}".replace("-", "−").replace(",", "\N{NARROW NO-BREAK SPACE}")


def brief(value: float) -> str:
    """Format a figure short enough for a field of a heatmap: thousands as 1.2k."""
    return number(value / 1000, 1) + "k" if abs(value) >= 1000 else number(value)


def signed(value: float | None) -> str:
    """Format a difference with its sign."""
    text = number(value)
    return "+" + text if value is not None and value > 0 and text != "–" else text


def interval(low: float | None, high: float | None) -> str:
    """Format an interval, or a dash where there is none."""
    return "–" if low is None or high is None else f"[{number(low)}, {number(high)}]"


def percent(share: float | None) -> str:
    """Format a share; one that is small but not zero is never written as 0 %."""
    if share is None or not math.isfinite(share):
        return "–"
    text = f"{100 * share:.1f}".removesuffix(".0")
    return ("<0.1" if text == "0" and share > 0 else text) + "\N{NARROW NO-BREAK SPACE}%"


def count(amount: int, noun: str, many: str = "") -> str:
    """Format ``1 cell``, ``2 cells``; ``many`` is the noun's plural where an s does not make it."""
    return f"{amount:,} {noun if amount == 1 else many or noun + 's'}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def listing(parts: Iterable[str]) -> str:
    """Format ``a, b and c``."""
    *head, last = list(parts) or [""]
    return f"{', '.join(head)} and {last}" if head else last


def levels_name(levels: Mapping[str, Any], limit: int = 30) -> str:
    """Name a combination of levels: ``n_step 5, workers 4``."""
    return ", ".join(f"{show(name, limit)} {show(value, limit)}" for name, value in levels.items())


def arm_name(factor: str, arm: str) -> str:
    """Name an arm in a sentence: by itself where it is a word, with its factor where it is a number or the like."""
    return show(arm) if arm[:1].isalpha() and arm not in ("true", "false", "null") else f"{show(factor)} {show(arm)}"


def cell_name(cell: Cell) -> str:
    """Name a cell by its levels; a study that only sweeps the compared factor has just one."""
    return levels_name(cell.levels) or "the only cell"


def wrapped(text: str, width: int) -> str:
    """Break a text into lines of at most ``width`` characters."""
    return "\n".join(textwrap.wrap(text, width))
