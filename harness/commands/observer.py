"""An observer of a study: the dispatcher reports what happens, an observer shows it."""

from __future__ import annotations

from harness.record.attempt import Failure
from harness.record.run import RunRecord
from harness.study.design import Design, PlannedRun


class Observer:
    """An observer that shows nothing; subclasses override what they care for."""

    def planned(self, design: Design, total: int, done: int, slots: int) -> None:
        """Receive the plan, once, before anything runs.

        Args:
            design: the study planned whole.
            total: how many runs are asked for so far.
            done: how many of them are finished already.
            slots: how many go at a time.
        """

    def extended(self, total: int, runs: int, why: str) -> None:
        """Receive that more is asked for: ``runs`` of now ``total`` are to be computed next, and why."""

    def preparing(self, what: str) -> None:
        """Receive that something slow begins that is not a run."""

    def warned(self, what: str) -> None:
        """Receive, in a sentence, something wrong that does not stop the study."""

    def started(self, run: PlannedRun, attempt: int) -> None:
        """Receive that a run began."""

    def advanced(self, run: str, fraction: float) -> None:
        """Receive a run's progress; ``fraction`` of its budget in [0, 1]."""

    def finished(self, record: RunRecord) -> None:
        """Receive a run's record, which is on disk."""

    def failed(self, failure: Failure, will_retry: bool) -> None:
        """Receive a failed attempt."""
