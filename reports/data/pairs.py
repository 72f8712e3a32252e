"""Tidy tables of a study: one row a run, one row a pair.

A run that diverged is never dropped: for the compared metric it counts as the worst value
(:mod:`harness.record.scores`). A run that failed counts the same, unless the study declared that its pair is left out
(``compare.failed``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from harness.algorithm.traits import NO_TRAITS
from harness.record.attempt import Failure
from harness.record.run import RunRecord
from harness.record.scores import Scores
from harness.record.study import Study, load_results

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
        failed: how many of the two failed (likewise).
    """

    cell: str
    candidate: str
    seed: int
    baseline_value: float
    candidate_value: float
    difference: float
    diverged: int
    failed: int

    @property
    def measured(self) -> bool:
        """Whether at least one of the two runs neither diverged nor failed."""
        return self.diverged + self.failed < 2


def by_key(study: Study) -> dict[RunKey, RunRecord]:
    """Return the finished runs by (cell, arm, seed)."""
    return {(record.cell, record.arm, record.seed): record for record in study.records}


def compared_values(study: Study) -> dict[RunKey, float]:
    """Return what every run counts as: its compared metric, the worst value if it diverged.

    Failed runs stand here at the worst value too, unless the study declared ``compare.failed = "missing"``.
    """
    scores, records = scores_of(study), by_key(study)
    scored = {key: scores.of(record) for key, record in records.items()}
    if study.spec.compare.failed == "worst":
        for failure in study.failures:
            key = (failure.cell, failure.arm, failure.seed)
            scored[key] = scores.lost(failure.cell, failure.arm, _settings(study, failure, records))
    return {key: value for key, value in scored.items() if value is not None}


def scores_of(study: Study, column: str | None = None) -> Scores:
    """Return the scores of the study's runs by the compared metric, or those by a column that has traits.

    Of what runs were seen to score those of the first look's seeds count alone: what later looks bring must change no
    verdict reached before.
    """
    first = {*study.spec.study.seeds[: study.spec.study.stages[0]]}
    compare = study.spec.compare
    if column is not None:
        higher = not study.metrics.get(column, NO_TRAITS).lower_is_better
        update = {"metric": column, "higher_is_better": higher, "diverged_score": None}
        compare = compare.model_copy(update=update)
    return Scores(compare, study.metrics, study.records, first)


def _settings(study: Study, failure: Failure, records: Mapping[RunKey, RunRecord]) -> Mapping[str, Any]:
    """Return what is known of the settings of a run that left no record: a sibling's in its cell, else the base's."""
    arms = (failure.arm, *study.arms)
    alike = (records.get((failure.cell, arm, seed)) for arm in arms for seed in study.spec.study.seeds)
    return next((record.config for record in alike if record is not None), study.spec.base)


def pairs(study: Study, values: Mapping[RunKey, float] | None = None) -> tuple[Pair, ...]:
    """Pair each candidate's runs with the baseline's by cell and seed, in planned order.

    Args:
        study: the study.
        values: its :func:`compared_values`, where they are known already.
    """
    values = compared_values(study) if values is None else values
    diverged = {key for key, record in by_key(study).items() if record.outcome == "diverged"}
    failed = {(failure.cell, failure.arm, failure.seed) for failure in study.failures}
    baseline, *candidates = study.arms
    found = []
    for cell in study.cells:
        for candidate in candidates:
            for seed in study.spec.study.seeds:
                both = ours, theirs = (cell.id, candidate, seed), (cell.id, baseline, seed)
                if ours not in values or theirs not in values:
                    continue
                found.append(
                    Pair(
                        cell=cell.id,
                        candidate=candidate,
                        seed=seed,
                        baseline_value=values[theirs],
                        candidate_value=values[ours],
                        difference=values[ours] - values[theirs],
                        diverged=sum(key in diverged for key in both),
                        failed=sum(key in failed for key in both),
                    )
                )
    return tuple(found)


def paired_differences(study: Study, values: Mapping[RunKey, float] | None = None) -> pd.DataFrame:
    """Return one row per pair: cell, candidate, seed, both values, their difference, how many diverged or failed."""
    import pandas as pd

    return pd.DataFrame([asdict(pair) for pair in pairs(study, values)], columns=list(Pair.__dataclass_fields__))


def runs_table(study: Study, values: Mapping[RunKey, float] | None = None) -> pd.DataFrame:
    """Return one row per finished run: ids, levels, outcome, metrics, timings, and ``compared_value``."""
    table = load_results(study)
    if table.empty:
        table = table.reindex(columns=["run", "cell", "arm", "seed", "outcome"])
    values = compared_values(study) if values is None else values
    table["compared_value"] = [values.get((r.cell, r.arm, r.seed), math.nan) for r in study.records]
    return table
