"""Search mode: each arm's settings tuned apart, with the same budget, before the verdict's seeds are run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Trial:
    """One proposal of the sampler, and what it scored.

    Attributes:
        number: from 0, in the order proposed.
        settings: searched config field → value.
        scores: the compared metric of each of its finished tuning runs, lost runs at the worst value.
    """

    number: int
    settings: Mapping[str, Any]
    scores: tuple[float, ...]

    @property
    def value(self) -> float | None:
        """Mean score; None before any run has finished."""
        return math.fsum(self.scores) / len(self.scores) if self.scores else None


@dataclass(frozen=True)
class ArmSearch:
    """The tuning of one arm in one cell.

    Attributes:
        cell: id of the cell that is trained with the settings found.
        levels: its factor levels.
        arm: the compared level, as text.
        trials: in the order proposed.
        best: number of the trial whose settings the verdict's runs take; None before the search is complete.
        importances: searched field → share of the variation in scores it explains (Optuna's default evaluator); empty
            where that cannot be said.
    """

    cell: str
    levels: Mapping[str, Any]
    arm: str
    trials: tuple[Trial, ...]
    best: int | None
    importances: Mapping[str, float]
