"""Each cell's comparison: candidate against baseline over paired seeds."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from harness.design import Cell, label
from harness.records import RunRecord
from harness.results import Study
from reports.frame import Pair, pairs
from reports.statistics import MIN_PAIRS, Estimate, mean_interval
from reports.vacuity import Control, check_control, compares_targets, is_vacuous

if TYPE_CHECKING:
    import pandas as pd

State = Literal["compared", "all equal", "few pairs", "no pairs", "vacuous"]


@dataclass(frozen=True)
class Comparison:
    """One candidate against the baseline in one cell.

    Attributes:
        cell: the cell.
        baseline: the arm compared with.
        candidate: the arm compared.
        estimate: mean paired difference (candidate minus baseline) of the compared metric, with its interval.
        baseline_mean: mean over the paired runs of the baseline; None without pairs.
        candidate_mean: mean over the paired runs of the candidate; None without pairs.
        planned: how many pairs the design holds.
        diverged: how many runs of the two arms diverged.
        failed: how many runs of the two arms failed.
        share: mean share of targets for which the tail rule matters; None if not recorded.
        shift: mean of |γ^d b| over all targets; None if not recorded.
        control: the check of a vacuous cell; None for a cell that can be compared.
    """

    cell: Cell
    baseline: str
    candidate: str
    estimate: Estimate
    baseline_mean: float | None
    candidate_mean: float | None
    planned: int
    diverged: int
    failed: int
    share: float | None
    shift: float | None
    control: Control | None

    @property
    def state(self) -> State:
        """What can be said of this cell."""
        if self.control is not None:
            return "vacuous"
        if self.estimate.has_interval:
            return "compared"
        if self.estimate.count >= MIN_PAIRS:
            return "all equal"
        return "few pairs" if self.estimate.count else "no pairs"


def compare_cells(study: Study) -> tuple[Comparison, ...]:
    """Compare every candidate with the baseline in every planned cell, in the order of the design."""
    found: dict[tuple[str, str], list[Pair]] = {}
    for pair in pairs(study):
        found.setdefault((pair.cell, pair.candidate), []).append(pair)
    records: dict[tuple[str, str], list[RunRecord]] = {}
    for record in study.records:
        records.setdefault((record.cell, record.arm), []).append(record)
    failures = Counter((failure.cell, failure.arm) for failure in study.failures)
    baseline, *candidates = study.arms
    return tuple(
        _compare(
            study,
            cell,
            candidate,
            found.get((cell.id, candidate), []),
            records.get((cell.id, baseline), []) + records.get((cell.id, candidate), []),
            failures[cell.id, baseline] + failures[cell.id, candidate],
        )
        for cell in study.cells
        for candidate in candidates
    )


def comparisons_table(study: Study, comparisons: Sequence[Comparison]) -> pd.DataFrame:
    """Return one row per comparison, with the columns of ``cells.csv``."""
    import pandas as pd

    rows = [_row(comparison) for comparison in comparisons]
    columns = list(_row(comparisons[0])) if comparisons else None
    factors = [f.name for f in study.spec.sweep if f.name != study.spec.compare.factor]
    table = pd.DataFrame(rows, columns=columns)
    for position, name in enumerate(factors):
        values = [_plain(comparison.cell.levels[name]) for comparison in comparisons]
        table.insert(1 + position, name, pd.Series(values, dtype=object), allow_duplicates=True)
    return table


def _compare(
    study: Study, cell: Cell, candidate: str, paired: Sequence[Pair], records: Sequence[RunRecord], failed: int
) -> Comparison:
    baseline = study.arms[0]
    control = None
    if compares_targets(study) and is_vacuous(records):
        runs = {(record.arm, record.seed): record for record in records}
        seeds = [s for s in study.spec.study.seeds if {(baseline, s), (candidate, s)} <= runs.keys()]
        control = check_control([(runs[baseline, s], runs[candidate, s]) for s in seeds])
    return Comparison(
        cell=cell,
        baseline=baseline,
        candidate=candidate,
        estimate=mean_interval(_differences(paired), study.spec.compare.level),
        baseline_mean=_mean([pair.baseline_value for pair in paired]),
        candidate_mean=_mean([pair.candidate_value for pair in paired]),
        planned=len(study.spec.study.seeds),
        diverged=sum(record.outcome == "diverged" for record in records),
        failed=failed,
        share=_mean([record.metrics.get("differing_target_share", math.nan) for record in records]),
        shift=_mean([record.metrics.get("mean_target_shift", math.nan) for record in records]),
        control=control,
    )


def _differences(paired: Sequence[Pair]) -> list[float]:
    """Return the pairs' differences; none if every run diverged, for then nothing was measured."""
    return [pair.difference for pair in paired] if any(pair.diverged < 2 for pair in paired) else []


def _row(comparison: Comparison) -> dict[str, Any]:
    estimate, control = comparison.estimate, comparison.control
    return {
        "cell": comparison.cell.id,
        "primary": comparison.cell.primary,
        "baseline": comparison.baseline,
        "candidate": comparison.candidate,
        "state": comparison.state,
        "pairs": estimate.count,
        "planned_pairs": comparison.planned,
        "baseline_mean": comparison.baseline_mean,
        "candidate_mean": comparison.candidate_mean,
        "difference": estimate.mean,
        "low": estimate.low,
        "high": estimate.high,
        "level": estimate.level,
        "differing_target_share": comparison.share,
        "mean_target_shift": comparison.shift,
        "diverged_runs": comparison.diverged,
        "failed_runs": comparison.failed,
        "control": control.finding if control else None,
        "control_pairs_checked": control.checked if control else None,
        "control_pairs_identical": control.identical if control else None,
    }


def _plain(level: object) -> object:
    return level if isinstance(level, str | int | float) else label(level)


def _mean(values: Sequence[float]) -> float | None:
    known = [value for value in values if math.isfinite(value)]
    return math.fsum(known) / len(known) if known else None
