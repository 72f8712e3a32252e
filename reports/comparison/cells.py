"""Compare candidate and baseline over paired seeds in each cell, and judge all cells together."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from harness.record.run import RunRecord
from harness.record.study import Study
from harness.study.design import Cell
from harness.study.names import label, slug
from reports.comparison.control import Control, check_control, compares_targets, is_vacuous
from reports.comparison.evidence import Gathered, declared_rules, gather
from reports.comparison.pairing import Pairing, describe_pairing
from reports.data.names import DIFFERING_SHARE, TARGET_SHIFT
from reports.data.pairs import Pair
from reports.data.reading import RunFiles
from reports.data.settings import cell_factors
from reports.statistics.intervals import MIN_PAIRS, Estimate, mean_interval
from reports.statistics.verdicts import Evidence, Judgement, Verdict, judge

if TYPE_CHECKING:
    import pandas as pd

State = Literal["compared", "unbounded", "few pairs", "no pairs", "vacuous"]


@dataclass(frozen=True)
class Comparison:
    """One candidate against the baseline in one cell.

    Attributes:
        cell: the cell.
        baseline: the arm compared with.
        candidate: the arm compared.
        judgement: the verdict and its grounds.
        estimate: mean paired difference (candidate minus baseline) of the compared metric with its interval: the
            verdict's, from its look; before the first look of all pairs so far.
        baseline_mean: mean over the same pairs of the baseline; None without pairs.
        candidate_mean: mean over the same pairs of the candidate; None without pairs.
        planned: how many pairs were asked for so far.
        reached: how many looks are complete.
        diverged: how many runs of the two arms diverged.
        failed: how many runs of the two arms failed.
        share: mean share of targets for which the tail rule matters; None if not recorded.
        shift: mean of |γ^d b| over all targets; None if not recorded.
        control: the check of a vacuous cell; None for a cell that can be compared.
        pairing: what pairing by seed gained; None below :data:`~reports.statistics.intervals.MIN_PAIRS` pairs.
    """

    cell: Cell
    baseline: str
    candidate: str
    judgement: Judgement
    estimate: Estimate
    baseline_mean: float | None
    candidate_mean: float | None
    planned: int
    reached: int
    diverged: int
    failed: int
    share: float | None
    shift: float | None
    control: Control | None
    pairing: Pairing | None

    @property
    def state(self) -> State:
        """The degree to which this cell can be compared, verdict aside."""
        if self.control is not None:
            return "vacuous"
        if self.estimate.has_interval:
            return "compared"
        if self.estimate.count >= MIN_PAIRS:
            return "unbounded"
        return "few pairs" if self.estimate.count else "no pairs"

    @property
    def verdict(self) -> Verdict:
        """The verdict."""
        return self.judgement.verdict

    @property
    def lost(self) -> bool:
        """Whether every planned run of both arms diverged or failed, so that nothing was measured."""
        return self.state == "no pairs" and 0 < 2 * self.planned <= self.diverged + self.failed

    @property
    def better(self) -> bool:
        """Whether the verdict is that the candidate is better."""
        return self.verdict is Verdict.DIFFERENT and self.judgement.candidate_better is True

    @property
    def worse(self) -> bool:
        """Whether the verdict is that the candidate is worse."""
        return self.verdict is Verdict.DIFFERENT and self.judgement.candidate_better is False


def compare_cells(study: Study, files: RunFiles | None = None) -> tuple[Comparison, ...]:
    """Compare every candidate with the baseline in every planned cell, in the order of the design.

    Args:
        study: the study, finished or not.
        files: reads what its runs left, where others read it too.
    """
    files = files or RunFiles(study.records)
    gathered = gather(study)
    records: dict[tuple[str, str], list[RunRecord]] = {}
    for record in study.records:
        records.setdefault((record.cell, record.arm), []).append(record)
    cells = {cell.id: cell for cell in study.cells}
    baseline, level = study.arms[0], study.spec.compare.level
    own = {
        (cell, candidate): _Own(
            cells[cell],
            baseline,
            candidate,
            found,
            [*records.get((cell, baseline), ()), *records.get((cell, candidate), ())],
            level,
        )
        for (cell, candidate), found in gathered.items()
    }
    controls = {key: _control(study, one, files) for key, one in own.items()}
    evidence = [
        Evidence(
            looks=tuple(tuple(pair.difference for pair in look) for look in one.found.looks) if _judged(one) else (),
            primary=one.cell.primary,
            vacuous=controls[key] is not None,
            lost=tuple(all(pair.diverged + pair.failed == 1 for pair in look) for look in one.found.looks),
        )
        for key, one in own.items()
    ]
    judgements = judge(evidence, declared_rules(study))
    failures = Counter((failure.cell, failure.arm) for failure in study.failures)
    planned = Counter(run.rpartition("__seed-")[0] for run in study.planned)
    return tuple(
        _compare(one, judgement, controls[key], failures, planned)
        for (key, one), judgement in zip(own.items(), judgements, strict=True)
    )


def seeds_wanted(study: Study) -> dict[str, int]:
    """Return how many of its seeds each cell needs by now, by cell id.

    Every cell needs the first look; a primary cell all looks that its verdicts rest on, and the next one while a
    comparison in it is open. Exploratory and vacuous cells, and those in which no run came to anything, stop at the
    first.
    """
    stages = study.spec.study.stages
    wanted = dict.fromkeys((cell.id for cell in study.cells), stages[0])
    for comparison in compare_cells(study):
        lost = comparison.reached and not comparison.estimate.count
        if comparison.control or not comparison.cell.primary or lost:
            continue
        open_still = not comparison.judgement.final
        needed = comparison.reached + 1 if open_still else comparison.judgement.look
        last = min(max(needed, 1), len(stages)) - 1
        wanted[comparison.cell.id] = max(wanted[comparison.cell.id], stages[last])
    return wanted


_COLUMNS = {  # of cells.csv: where a comparison holds them
    "cell": "cell.id",
    "primary": "cell.primary",
    **{name: name for name in ("baseline", "candidate")},
    "verdict": "judgement.verdict.value",
    **{name: f"judgement.{name}" for name in ("candidate_better", "negligible")},
    "state": "state",
    "pairs": "estimate.count",
    "planned_pairs": "planned",
    **{name: name for name in ("baseline_mean", "candidate_mean")},
    "difference": "estimate.mean",
    **{name: f"estimate.{name}" for name in ("low", "high", "level")},
    **{f"simultaneous_{name}": f"judgement.simultaneous.{name}" for name in ("low", "high")},
    "look": "judgement.look",
    "looks_complete": "reached",
    "final": "judgement.final",
    "p_different": "judgement.p_different",
    "p_different_adjusted": "judgement.adjusted_different",
    "p_equivalent": "judgement.p_equivalent",
    "p_equivalent_adjusted": "judgement.adjusted_equivalent",
    **{name: f"judgement.{name}" for name in ("more_pairs", "reason")},
    "correlation": "pairing.correlation.value",
    **{f"correlation_{name}": f"pairing.correlation.{name}" for name in ("low", "high")},
    "variance_ratio": "pairing.variance_ratio",
    **{f"welch_{name}": f"pairing.welch.{name}" for name in ("low", "high")},
    DIFFERING_SHARE: "share",
    TARGET_SHIFT: "shift",
    "diverged_runs": "diverged",
    "failed_runs": "failed",
    "control": "control.finding",
    **{f"control_pairs_{name}": f"control.{name}" for name in ("checked", "identical")},
}


def comparisons_table(study: Study, comparisons: Sequence[Comparison]) -> pd.DataFrame:
    """Return one row per comparison, with the columns of ``cells.csv``."""
    import pandas as pd

    rows = [[_value(comparison, path) for path in _COLUMNS.values()] for comparison in comparisons]
    table = pd.DataFrame(rows, columns=list(_COLUMNS))
    for position, name in enumerate(cell_factors(study)):
        values = [_plain(comparison.cell.levels[name]) for comparison in comparisons]
        table.insert(1 + position, name, pd.Series(values, dtype=object), allow_duplicates=True)
    return table


@dataclass(frozen=True)
class _Own:
    """The material of one comparison: its cell, its pairs, the records of its two arms."""

    cell: Cell
    baseline: str
    candidate: str
    found: Gathered
    records: Sequence[RunRecord]
    level: float

    @property
    def runs(self) -> list[tuple[RunRecord, RunRecord]]:
        """The finished runs of both arms, pair by pair."""
        of = {(record.arm, record.seed): record for record in self.records}
        seeds = dict.fromkeys(record.seed for record in self.records)
        both = [(of.get((self.baseline, seed)), of.get((self.candidate, seed))) for seed in seeds]
        return [(one, other) for one, other in both if one is not None and other is not None]


def _judged(own: _Own) -> bool:
    return bool(own.found.looks) and own.found.measured


def _control(study: Study, own: _Own, files: RunFiles) -> Control | None:
    """Check a cell in which the arms did the same; None where they did not."""
    fields = study.spec.factor(study.spec.compare.factor).fields
    if compares_targets(study) and is_vacuous(own.records):
        return check_control(own.runs, fields, files)
    differences = [pair.difference for pair in own.found.pairs]
    if len(differences) < MIN_PAIRS or any(differences) or not own.found.measured:
        return None
    control = check_control(own.runs, fields, files)
    same = control.finding == "identical" and control.deterministic and control.checked >= len(differences)
    return control if same else None


def _compare(
    own: _Own, judgement: Judgement, control: Control | None, failures: Counter[tuple[str, str]], planned: Counter[str]
) -> Comparison:
    cell, found = own.cell, own.found
    judged = judgement.look > 0 and control is None
    used = found.looks[judgement.look - 1] if judged else found.pairs
    used = used if any(pair.measured for pair in used) else ()
    plain = mean_interval([pair.difference for pair in used], own.level)
    return Comparison(
        cell=cell,
        baseline=own.baseline,
        candidate=own.candidate,
        judgement=judgement,
        estimate=judgement.estimate if judged else plain,
        baseline_mean=_mean([pair.baseline_value for pair in used]),
        candidate_mean=_mean([pair.candidate_value for pair in used]),
        planned=planned[f"{cell.id}__{slug(own.baseline)}"],
        reached=len(found.looks),
        diverged=sum(record.outcome == "diverged" for record in own.records),
        failed=failures[cell.id, own.baseline] + failures[cell.id, own.candidate],
        share=_mean([record.metrics.get(DIFFERING_SHARE, math.nan) for record in own.records]),
        shift=_mean([record.metrics.get(TARGET_SHIFT, math.nan) for record in own.records]),
        control=control,
        pairing=_pairing(used, judgement.nominal if judged else 1 - own.level) if control is None else None,
    )


def _pairing(used: Sequence[Pair], error: float) -> Pairing | None:
    if len(used) < MIN_PAIRS:
        return None
    return describe_pairing([pair.baseline_value for pair in used], [pair.candidate_value for pair in used], 1 - error)


def _value(comparison: Comparison, path: str) -> Any:
    """Return an attribute by its path; None where a part of the path is None."""
    value: Any = comparison
    for name in path.split("."):
        value = None if value is None else getattr(value, name)
    return value


def _plain(level: object) -> object:
    return level if isinstance(level, str | int | float) else label(level)


def _mean(values: Sequence[float]) -> float | None:
    known = [value for value in values if math.isfinite(value)]
    return math.fsum(known) / len(known) if known else None
