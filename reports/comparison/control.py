"""Check cells in which the arms did the same: nothing to compare, and a control for the machinery.

Where no target differs, both arms do the same arithmetic. Under the round-robin schedule their runs must then
agree in every bit; where they do not, something other than the compared factor got in: a bug. And where all runs
agree in every bit, the compared factor did nothing, whatever it is.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from harness.record.run import RunRecord
from harness.record.study import Study
from reports.data.names import DIFFERING_SHARE, REPEATING, SCHEDULE
from reports.data.reading import RunFiles

Finding = Literal["identical", "differs", "chance", "settings", "unchecked"]


@dataclass(frozen=True)
class Control:
    """The check of a vacuous cell.

    Attributes:
        checked: pairs of runs whose results could be compared bit by bit.
        identical: how many of them agreed in every bit.
        deterministic: whether all its runs used a schedule that leaves no room for chance.
        excused: pairs of which nobody can ask that they agree: other settings differ too, as where each arm was tuned,
            or they were computed with different engines.
    """

    checked: int
    identical: int
    deterministic: bool
    excused: int = 0

    @property
    def finding(self) -> Finding:
        """``identical``, ``differs`` (a bug), ``chance`` (a racing schedule), ``settings`` (excused), ``unchecked``."""
        if not self.checked:
            return "settings" if self.excused else "unchecked"
        if self.identical == self.checked:
            return "identical"
        return "differs" if self.deterministic else "chance"


def compares_targets(study: Study) -> bool:
    """Return whether the arms differ in the target alone; vacuity means nothing for other factors."""
    return study.spec.factor(study.spec.compare.factor).fields == {"target"}


def is_vacuous(records: Sequence[RunRecord]) -> bool:
    """Return whether every run that measured it found no target for which the tail rule matters."""
    shares = [record.metrics[DIFFERING_SHARE] for record in records if _has_share(record)]
    return bool(shares) and all(share == 0 for share in shares)


def check_control(pairs: Sequence[tuple[RunRecord, RunRecord]], fields: Collection[str], files: RunFiles) -> Control:
    """Compare the runs of a cell pair by pair: final parameters and evaluation returns, to the bit.

    Args:
        pairs: two runs of the same seed each.
        fields: the settings in which they may differ: those the compared factor sets.
        files: reads what the runs left.
    """
    alike = [(one, other) for one, other in pairs if _differ_at_most_in(fields, one, other)]
    answers = [answer for one, other in alike if (answer := identical(one, other, files)) is not None]
    schedules = {record.config.get(SCHEDULE) for pair in alike for record in pair}
    return Control(len(answers), sum(answers), bool(schedules) and schedules <= REPEATING, len(pairs) - len(alike))


def identical(one: RunRecord, other: RunRecord, files: RunFiles) -> bool | None:
    """Return whether two runs ended with the same bits; None if they left nothing to compare."""
    # Of evaluations the text of the file: numbers are written with every digit, so equal text is equal bits.
    digests = [(read(one), read(other)) for read in (files.parameters, files.evaluations)]
    answers = [ours == theirs for ours, theirs in digests if ours is not None and theirs is not None]
    return all(answers) if answers else None


def _differ_at_most_in(fields: Collection[str], one: RunRecord, other: RunRecord) -> bool:
    names = {*one.config, *other.config} - {*fields}
    return one.labels == other.labels and all(one.config.get(name) == other.config.get(name) for name in names)


def _has_share(record: RunRecord) -> bool:
    share = record.metrics.get(DIFFERING_SHARE)
    return share is not None and share == share
