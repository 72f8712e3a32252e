"""Read the record of search mode: for each arm of each cell its trials, their scores, and the best."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from harness.record.folder import SEARCH_FILE
from harness.record.json_file import read_as


@dataclass(frozen=True)
class Trial:
    """One proposal of the sampler, and its scores.

    Attributes:
        number: from 0, in the order proposed.
        settings: searched config field → value.
        scores: the compared metric of each of its finished tuning runs, lost runs at the worst value.
        lost: how many of them diverged or failed.
    """

    number: int
    settings: Mapping[str, Any]
    scores: tuple[float, ...]
    lost: int = 0

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
            where they are not known.
    """

    cell: str
    levels: Mapping[str, Any]
    arm: str
    trials: tuple[Trial, ...]
    best: int | None
    importances: Mapping[str, float]


@dataclass(frozen=True)
class Search:
    """The search of one study.

    Attributes:
        search: what it rests on: what may be tried, and what counts as better.
        arms: the tuning of each arm in each cell; empty where nothing was searched.
    """

    search: Mapping[str, Any]
    arms: tuple[ArmSearch, ...]


_SEARCH = TypeAdapter(Search)


def read_search(folder: Path) -> Search:
    """Read the search of a study, as far as it has come.

    Raises:
        DamagedRecord: if it cannot be read.
    """
    path = folder / SEARCH_FILE
    return read_as(path, _SEARCH) if path.exists() else Search({}, ())
