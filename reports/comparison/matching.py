"""Match the comparisons of two studies cell by cell, and compare their verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from harness.record.run import RunRecord
from harness.record.study import Study
from harness.study.design import Cell
from harness.study.names import label
from harness.study.spec import SHARED, TUNING_FACTOR
from reports.comparison.cells import Comparison
from reports.statistics.verdicts import Verdict

Agreement = Literal["agree", "differ", "contradict", "open"]


@dataclass(frozen=True)
class Match:
    """One comparison as it came out in each of two studies.

    Attributes:
        levels: of both cells: the union of what either study sweeps, fixed settings included.
        candidate: the arm held against the baseline.
        one: in the first study; None where it is not in there.
        other: in the second study; None likewise.
    """

    levels: Mapping[str, str]
    candidate: str
    one: Comparison | None
    other: Comparison | None

    @property
    def agreement(self) -> Agreement | None:
        """The agreement of the two verdicts.

        ``contradict``: better in one, worse in the other. ``differ``: two other verdicts that are not the same.
        ``open``: one of them has none, or is undecided. None where only one study has the comparison.
        """
        if self.one is None or self.other is None:
            return None
        verdicts = {self.one.verdict, self.other.verdict}
        if verdicts & {Verdict.UNDECIDED, Verdict.NONE}:
            return "open"
        if (self.one.better and self.other.worse) or (self.one.worse and self.other.better):
            return "contradict"
        if len(verdicts) == 1:
            return "agree"
        small = [c.verdict is Verdict.EQUIVALENT or c.judgement.negligible for c in (self.one, self.other)]
        return "agree" if all(small) else "differ"


def match_cells(
    a: Study, b: Study, of_a: Sequence[Comparison], of_b: Sequence[Comparison]
) -> tuple[tuple[str, ...], list[Match]]:
    """Match comparisons of the same levels and the same candidate.

    A factor that only one study sweeps is matched with the other's fixed setting of that name.

    Returns:
        The names of the levels, and the matches: those of the first study in its order, then what only the second has.
    """
    names = tuple(dict.fromkeys([*_swept(a), *_swept(b)]))
    ours = {_key(a, names, comparison): comparison for comparison in of_a}
    theirs = {_key(b, names, comparison): comparison for comparison in of_b}
    keys = dict.fromkeys([*ours, *theirs])
    return names, [
        Match(dict(zip(names, key[:-1], strict=True)), key[-1], ours.get(key), theirs.get(key)) for key in keys
    ]


def same_runs(a: Study, b: Study) -> tuple[int, int]:
    """Count the runs of both studies with the same arm, settings and seed, and how many of them gave the same metric.

    Where runs are the same runs, that two studies agree is no replication.
    """
    ours = {_identity(record): record.metrics.get(a.spec.compare.metric) for record in a.records}
    theirs = {_identity(record): record.metrics.get(a.spec.compare.metric) for record in b.records}
    shared = ours.keys() & theirs.keys()
    return len(shared), sum(ours[key] is not None and ours[key] == theirs[key] for key in shared)


def _swept(study: Study) -> list[str]:
    return [factor.name for factor in study.spec.sweep if factor.name != study.spec.compare.factor]


def _key(study: Study, names: Sequence[str], comparison: Comparison) -> tuple[str, ...]:
    return (*(_level(study, comparison.cell, name) for name in names), comparison.candidate)


def _level(study: Study, cell: Cell, name: str) -> str:
    """Return the cell's level of a factor, or the setting that all its runs have where it is not swept."""
    if name in cell.levels:
        return label(cell.levels[name])
    if name == TUNING_FACTOR:
        return SHARED  # a study that searches nothing has every arm at shared settings
    fixed = next((r.config[name] for r in study.records if name in r.config), study.spec.base.get(name))
    return "not set" if fixed is None else label(fixed)


def _identity(record: RunRecord) -> tuple[str, int, str]:
    return record.arm, record.seed, label(dict(sorted(record.config.items())))
