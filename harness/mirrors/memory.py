"""A mirror in memory, for studies that need no store, and for tests."""

from __future__ import annotations

from collections.abc import Sequence, Set
from pathlib import Path

from harness.record.attempt import Failure
from harness.record.run import RunRecord
from harness.record.search import ArmSearch
from harness.study.design import PlannedRun


class MemoryMirror:
    """A :class:`~harness.mirrors.mirror.Mirror` that keeps the state of every attempt, and nothing else.

    Args:
        name: of the store it stands in for.

    Attributes:
        attempts: status (``RUNNING``, ``FINISHED``, ``FAILED`` or ``KILLED``) by run and attempt.
        files: names of the files attached.
        searches: how far the tuning of each arm has come.
        status: how the last command ended; None before.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self.attempts: dict[tuple[str, int], str] = {}
        self.files: set[str] = set()
        self.searches: Sequence[ArmSearch] = ()
        self.status: str | None = None

    @property
    def address(self) -> str:
        """See :class:`~harness.mirrors.mirror.Mirror`."""
        return f"{self._name} in memory"

    def repair(self, records: Sequence[RunRecord], failures: Sequence[Failure], on_disk: Set[str]) -> int:
        """See :class:`~harness.mirrors.mirror.Mirror`; nothing counts as missing, as nothing is kept."""
        self.attempts = {at: end for at, end in self.attempts.items() if end != "FINISHED" or at[0] in on_disk}
        self.cut_short()
        for failure in failures:
            self.failed(failure)
        for record in records:
            self.finished(record)
        return 0

    def started(self, run: PlannedRun, attempt: int) -> None:
        """See :class:`~harness.mirrors.mirror.Mirror`."""
        self.attempts.setdefault((run.id, attempt), "RUNNING")

    def finished(self, record: RunRecord) -> None:
        """See :class:`~harness.mirrors.mirror.Mirror`."""
        self.attempts[record.run, record.attempt] = "FINISHED"

    def failed(self, failure: Failure) -> None:
        """See :class:`~harness.mirrors.mirror.Mirror`."""
        self.attempts[failure.run, failure.attempt] = "FAILED"

    def interrupted(self, run: str, seed: int, started: float) -> None:
        """See :class:`~harness.mirrors.opening.SingleRuns`."""
        self.attempts.setdefault((run, 1), "RUNNING")

    def searched(self, arms: Sequence[ArmSearch]) -> None:
        """See :class:`~harness.mirrors.mirror.Mirror`."""
        self.searches = arms

    def attach(self, paths: Sequence[Path]) -> None:
        """See :class:`~harness.mirrors.mirror.Mirror`."""
        self.files |= {path.name for path in paths}

    def close(self, status: str) -> None:
        """See :class:`~harness.mirrors.mirror.Mirror`."""
        self.cut_short()
        self.status = status

    def cut_short(self) -> None:
        """See :class:`~harness.mirrors.opening.SingleRuns`."""
        self.attempts |= {attempt: "KILLED" for attempt, status in self.attempts.items() if status == "RUNNING"}
