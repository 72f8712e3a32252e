"""Gather the data that the tables and figures of one page are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from harness.record.study import Study
from reports.comparison.cells import Comparison, compare_cells
from reports.data.curves import budget_unit, evaluation_curves
from reports.data.pairs import RunKey, compared_values
from reports.data.reading import RunFiles
from reports.figures.layout import Layout, arrange
from reports.figures.selection import Selection, select_cells

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Findings:
    """A study and what was found in it.

    Attributes:
        study: the study, finished or not.
        files: reader of its runs' files.
        evaluations: the evaluation curves of every run (:func:`~reports.data.curves.evaluation_curves`).
        comparisons: every comparison, in the order of the design.
        layout: where each cell stands on a grid.
        selection: the cells that are shown in full.
    """

    study: Study
    files: RunFiles
    evaluations: pd.DataFrame
    comparisons: Sequence[Comparison]
    layout: Layout
    selection: Selection

    @cached_property
    def values(self) -> Mapping[RunKey, float]:
        """The compared metric of every run."""
        return compared_values(self.study)

    @cached_property
    def budget(self) -> str:
        """The unit of the runs' budget."""
        return budget_unit(self.study)

    @cached_property
    def vacuous(self) -> frozenset[str]:
        """The ids of the cells in which arms did the same."""
        return frozenset(c.cell.id for c in self.comparisons if c.control)

    def selected(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return a table's rows of the cells that are shown in full."""
        return table[table["cell"].isin([cell.id for cell in self.selection.cells])]


def find(study: Study, comparisons: Sequence[Comparison] | None = None, verify: bool = False) -> Findings:
    """Gather the findings of a study.

    Args:
        study: the study, finished or not.
        comparisons: its comparisons; None: made here.
        verify: see :class:`~reports.data.reading.RunFiles`.
    """
    files = RunFiles(study.records, verify)
    evaluations = evaluation_curves(study, files)  # first, so that comparing evaluations reads no file again
    if comparisons is None:
        comparisons = compare_cells(study, files)
    return Findings(study, files, evaluations, comparisons, arrange(study), select_cells(study, comparisons))
