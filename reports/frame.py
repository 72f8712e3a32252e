"""From a study's records to tidy tables: one row a run, one row a pair.

A run that diverged is never dropped: for the compared metric it counts as the worst value (:mod:`harness.scores`).
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from harness.records import RunRecord
from harness.results import Study, load_results
from harness.scores import score

if TYPE_CHECKING:
    import pandas as pd

RunKey = tuple[str, str, int]


@dataclass(frozen=True)
class Pair:
    """Two runs of one cell and seed that differ in the compared factor alone.

    Attributes:
        cell: the cell's id.
        candidate: the arm held against the baseline.
        seed: the seed both share.
        baseline_value: the compared metric of the baseline's run.
        candidate_value: the compared metric of the candidate's run.
        difference: candidate minus baseline.
        diverged: how many of the two diverged (their values are the declared worst).
    """

    cell: str
    candidate: str
    seed: int
    baseline_value: float
    candidate_value: float
    difference: float
    diverged: int


def by_key(study: Study) -> dict[RunKey, RunRecord]:
    """Return the finished runs by (cell, arm, seed)."""
    return {(record.cell, record.arm, record.seed): record for record in study.records}


def compared_values(study: Study) -> dict[RunKey, float]:
    """Return the compared metric of every run that has one, diverged runs at the worst value."""
    compare = study.spec.compare
    complete = [record for record in study.records if record.outcome == "complete"]
    seen = [value for record in complete if (value := score(record, compare, ())) is not None]
    seen = [min(seen), max(seen)] if seen else []  # the worst is one of these
    scored = {key: score(record, compare, seen) for key, record in by_key(study).items()}
    return {key: value for key, value in scored.items() if value is not None}


def pairs(study: Study) -> tuple[Pair, ...]:
    """Pair each candidate's runs with the baseline's by cell and seed, in planned order."""
    values = compared_values(study)
    records = by_key(study)
    baseline, *candidates = study.arms
    found = []
    for cell in study.cells:
        for candidate in candidates:
            for seed in study.spec.study.seeds:
                ours, theirs = (cell.id, candidate, seed), (cell.id, baseline, seed)
                if ours not in values or theirs not in values:
                    continue
                diverged = sum(records[key].outcome == "diverged" for key in (ours, theirs))
                difference = values[ours] - values[theirs]
                found.append(Pair(cell.id, candidate, seed, values[theirs], values[ours], difference, diverged))
    return tuple(found)


def paired_differences(study: Study) -> pd.DataFrame:
    """Return one row per pair: cell, candidate, seed, both values, their difference, how many diverged."""
    import pandas as pd

    return pd.DataFrame([asdict(pair) for pair in pairs(study)], columns=list(Pair.__dataclass_fields__))


def runs_table(study: Study) -> pd.DataFrame:
    """Return one row per finished run: ids, levels, outcome, metrics, timings, and ``compared_value``."""
    table = load_results(study)
    if table.empty:
        table = table.reindex(columns=["run", "cell", "arm", "seed", "outcome"])
    values = compared_values(study)
    table["compared_value"] = [values.get((r.cell, r.arm, r.seed), math.nan) for r in study.records]
    return table
