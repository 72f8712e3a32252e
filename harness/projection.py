"""What the dispatcher tells the stores that mirror the records on disk."""

from __future__ import annotations

from collections.abc import Sequence, Set
from pathlib import Path
from typing import Protocol

from harness.design import PlannedRun
from harness.records import RunRecord
from harness.results import Failure


class Projection(Protocol):
    """An idempotent mirror of a study: whatever it missed, :meth:`repair` makes good from the records."""

    def repair(self, records: Sequence[RunRecord], on_disk: Set[str]) -> None:
        """Make every finished run stand here once, complete, and nothing stand as running.

        Args:
            records: the planned runs that are finished.
            on_disk: ids of all finished runs, those of earlier plans included: they are left as they stand.
        """

    def started(self, run: PlannedRun, attempt: int) -> None:
        """Note that a run is being computed."""

    def finished(self, record: RunRecord) -> None:
        """Note a result that is on disk."""

    def failed(self, failure: Failure, will_retry: bool) -> None:
        """Note an attempt that came to nothing."""

    def interrupted(self, run: str) -> None:
        """Note an attempt that was cut short."""

    def attach(self, paths: Sequence[Path]) -> None:
        """Keep files that belong to the study as a whole, where this store keeps files."""

    def close(self, status: str) -> None:
        """Note how the command ended: ``FINISHED``, ``FAILED`` or ``KILLED``."""
