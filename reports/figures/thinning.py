"""Thinning of many long curves: as much as an eye can separate, within a page of a few megabytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from reports.text import count

if TYPE_CHECKING:
    import pandas as pd

MAX_POINTS = 100  # of one curve, in a facet a few hundred pixels wide
SEED_POINTS = 24_000  # of all thin lines of a family together: one to two megabytes
MIN_LINES = 3  # the lowest, one in the middle, the highest


@dataclass(frozen=True)
class Thinning:
    """The part of a family of curves that is drawn; means and intervals rest on every seed all the same.

    Attributes:
        measure: the column drawn.
        lines: how many seeds of an arm in a cell have a line of their own, at most.
        seeds: how many seeds there are of an arm in a cell, at most.
        points: how many points a curve has, at most.
    """

    measure: str
    lines: int
    seeds: int
    points: int

    @classmethod
    def of(cls, curves: pd.DataFrame, measure: str) -> Thinning:
        """Choose how much to draw of these curves: everything, unless that is too much."""
        of_arms = curves.groupby(["cell", "arm"])
        points = of_arms["at"].nunique()
        a_line_each = int(points.clip(upper=MAX_POINTS).sum())
        lines = max(MIN_LINES, SEED_POINTS // max(1, a_line_each))
        return cls(measure, lines, int(of_arms["seed"].nunique().max()), int(points.max()))

    @property
    def words(self) -> str:
        """The caption's words: what the thin lines are, and what was left out."""
        thin = "Thin: every seed."
        if self.seeds > self.lines:
            thin = (
                f"Thin: {self.lines} of up to {count(self.seeds, 'seed')} an arm, in even steps from the lowest curve "
                "to the highest."
            )
        if self.points > MAX_POINTS:
            thin += f" Curves are drawn at {MAX_POINTS} of up to {self.points} points."
        return thin

    def thin_points(self, curves: pd.DataFrame) -> pd.DataFrame:
        """Keep at most :data:`MAX_POINTS` points of one cell's curves, evenly, the first and the last among them."""
        import numpy as np

        at = np.sort(curves["at"].unique())
        if len(at) <= MAX_POINTS:
            return curves
        return curves[curves["at"].isin(at[np.linspace(0, len(at) - 1, MAX_POINTS).round().astype(int)])]

    def thin_seeds(self, curves: pd.DataFrame) -> pd.DataFrame:
        """Keep at most :attr:`lines` seeds of each arm of one cell, evenly by rank, lowest and highest among them."""
        import numpy as np
        import pandas as pd

        if self.seeds <= self.lines:
            return curves
        kept = []
        for arm, own in curves.groupby("arm"):
            ranked = own.groupby("seed")[self.measure].mean().sort_values(kind="stable").index.to_numpy()
            steps = np.linspace(0, len(ranked) - 1, min(self.lines, len(ranked))).round().astype(int)
            kept += [(arm, seed) for seed in ranked[steps]]
        return curves[pd.MultiIndex.from_frame(curves[["arm", "seed"]]).isin(kept)]
