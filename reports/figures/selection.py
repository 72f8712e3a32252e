"""Select the cells that the page shows of a large study; its tables always hold all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from harness.record.study import Study
from harness.study.design import Cell
from reports.comparison.cells import Comparison
from reports.text import count

CELLS_SHOWN = 60  # up to here a study is shown whole
CELLS_CHOSEN = 24  # of a larger one
ROWS_KEPT = 1000  # in any table of the page; a row weighs up to a kilobyte


class OfCell(Protocol):
    """Anything that belongs to one cell."""

    @property
    def cell(self) -> str:
        """The cell's id."""


Row = TypeVar("Row", bound=OfCell)


@dataclass(frozen=True)
class Selection:
    """The cells that the page shows in full.

    Attributes:
        cells: in the order to be shown: the design's where all are shown, else the clearest differences first.
        total: how many there are.
        ranked: whether there were differences to choose by; else the first of the design were taken.
    """

    cells: tuple[Cell, ...]
    total: int
    ranked: bool

    @property
    def whole(self) -> bool:
        """Whether every cell is shown."""
        return len(self.cells) == self.total

    def of(self, rows: Sequence[Row]) -> list[Row]:
        """Return the rows of these cells, in their order."""
        places = {cell.id: place for place, cell in enumerate(self.cells)}
        return sorted((row for row in rows if row.cell in places), key=lambda row: places[row.cell])

    @property
    def words(self) -> str:
        """The caption's words: which cells these are; empty if they are all."""
        if self.whole:
            return ""
        of = f"{len(self.cells)} of {count(self.total, 'cell')}"
        if not self.ranked:
            return f"The first {of} in the order of the design."
        return (
            f"{of}: first those whose interval excludes 0, then other intervals, then points, each time the largest "
            "difference first. Being picked so, these differences are likelier too large than too small."
        )


def select_cells(study: Study, comparisons: Sequence[Comparison]) -> Selection:
    """Choose the cells to show: all of a study of tens of cells, else those with the clearest differences."""
    if len(study.cells) <= CELLS_SHOWN:
        return Selection(study.cells, len(study.cells), ranked=False)
    ranks: dict[str, tuple[bool, bool, float]] = {}
    for comparison in comparisons:
        estimate = comparison.estimate
        if comparison.control is None and estimate.mean is not None:
            rank = (bool(estimate.side), estimate.has_interval, abs(estimate.mean))
            ranks[comparison.cell.id] = max(rank, ranks.get(comparison.cell.id, rank))
    ordered = sorted(study.cells, key=lambda cell: ranks.get(cell.id, (False, False, -1.0)), reverse=True)
    return Selection(tuple(ordered[:CELLS_CHOSEN]), len(study.cells), ranked=bool(ranks))
