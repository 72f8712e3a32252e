"""Who watches a study: the dispatcher says what happens, an observer shows it."""

from __future__ import annotations

from harness.record.attempt import Failure
from harness.record.run import RunRecord
from harness.study.design import Design, PlannedRun


class Observer:
    """Hears of everything and says nothing; subclasses show what they care for."""

    def planned(self, design: Design, total: int, done: int, slots: int) -> None:
        """Called once before anything runs.

        Args:
            design: the study planned whole.
            total: how many runs are asked for so far.
            done: how many of them are finished already.
            slots: how many go at a time.
        """

    def extended(self, total: int, runs: int, why: str) -> None:
        """More is asked for: ``runs`` of now ``total`` are to be computed next, and why."""

    def preparing(self, what: str) -> None:
        """Called when something slow begins that is not a run."""

    def warned(self, what: str) -> None:
        """Something went wrong that does not stop the study, in a sentence."""

    def started(self, run: PlannedRun, attempt: int) -> None:
        """A run began."""

    def advanced(self, run: str, fraction: float) -> None:
        """A run got on; ``fraction`` of its budget in [0, 1]."""

    def finished(self, record: RunRecord) -> None:
        """A run's record is on disk."""

    def failed(self, failure: Failure, will_retry: bool) -> None:
        """An attempt came to nothing."""
