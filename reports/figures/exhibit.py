"""The parts of every figure of the page: a table, a picture of it, and words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from reports.figures.findings import Findings
from reports.figures.style import Picture

if TYPE_CHECKING:
    import pandas as pd


# Of the page, in its order: forest and tables · learning curves · over all cells · theory beside data · search mode ·
# throughput, where it was measured · training's own curves. A new one needs its heading in page/templates/report.html.
Section = Literal["differences", "curves", "across", "theory", "tuning", "speed", "training"]
SECTIONS: tuple[Section, ...] = get_args(Section)


@dataclass(frozen=True)
class Words:
    """The text beside a figure.

    Attributes:
        caption: how to read it.
        title: its heading; empty where the section's own will do.
        finding: what it shows, in sentences; may be empty.
    """

    caption: str
    title: str = ""
    finding: str = ""


@dataclass(frozen=True)
class Exhibit:
    """A table of the report and, where it has one, the figure drawn from it.

    Attributes:
        name: of the table; its file is ``NAME.csv``.
        holds: what the table holds, for the list of downloads.
        table: builds the table.
        figure: draws the table; no picture where there is nothing to draw.
        words: writes title, caption and finding.
        section: the page's section that shows the figure.
        optional: whether a table without rows is left out.
        partial: whether a study too large to be drawn whole is drawn in part.
        beside: names of further tables that hold numbers of the figure.
    """

    name: str
    holds: str
    table: Callable[[Findings], pd.DataFrame]
    figure: Callable[[pd.DataFrame, Findings], Sequence[Picture]] | None = None
    words: Callable[[pd.DataFrame, Findings], Words] | None = None
    section: Section | None = None
    optional: bool = False
    partial: bool = False
    beside: tuple[str, ...] = ()


@dataclass(frozen=True)
class Shown:
    """An exhibit of one study, ready for the page.

    Attributes:
        exhibit: where it comes from.
        table: its table.
        pictures: its figure; may be empty.
        words: the text beside it; None where nothing is drawn.
    """

    exhibit: Exhibit
    table: pd.DataFrame
    pictures: Sequence[Picture]
    words: Words | None

    @property
    def tables(self) -> tuple[str, ...]:
        """The names of the tables that hold the figure's numbers."""
        return (self.exhibit.name, *self.exhibit.beside)


def show_exhibit(exhibit: Exhibit, findings: Findings) -> Shown:
    """Build an exhibit's table, once, and draw and describe it."""
    table = exhibit.table(findings)
    pictures = exhibit.figure(table, findings) if exhibit.figure else ()
    words = exhibit.words(table, findings) if exhibit.words and pictures else None
    return Shown(exhibit, table, pictures, words)
