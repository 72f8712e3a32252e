"""What the dispatcher tells the stores that mirror the records on disk."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from pathlib import Path
from typing import Protocol

from harness.errors import HarnessError, StoreUnavailable
from harness.mirrors.databases import explain
from harness.record.attempt import Failure
from harness.record.run import RunRecord
from harness.record.search import ArmSearch
from harness.study.design import PlannedRun


class Projection(Protocol):
    """An idempotent mirror of a study: whatever it missed, :meth:`repair` makes good from the records."""

    @property
    def address(self) -> str:
        """What it is and where, without passwords."""

    def repair(self, records: Sequence[RunRecord], on_disk: Set[str]) -> None:
        """Make every finished run stand here once, complete, and nothing stand as running.

        Args:
            records: the runs asked for that are finished, those of a search included.
            on_disk: ids of all finished runs, those of earlier plans included: they are left as they stand.
        """

    def started(self, run: PlannedRun, attempt: int) -> None:
        """Note that a run is being computed."""

    def finished(self, record: RunRecord) -> None:
        """Note a result that is on disk."""

    def failed(self, failure: Failure) -> None:
        """Note an attempt that came to nothing."""

    def searched(self, arms: Sequence[ArmSearch]) -> None:
        """Note how far the tuning of each arm has come."""

    def attach(self, paths: Sequence[Path]) -> None:
        """Keep files that belong to the study as a whole, where this store keeps files."""

    def close(self, status: str) -> None:
        """Note how the command ended (``FINISHED``, ``FAILED`` or ``KILLED``); runs still open were cut short."""


class Projections:
    """Several mirrors told as one; whatever goes wrong in a store is a :class:`StoreUnavailable` that names it."""

    def __init__(self, parts: Sequence[Projection]) -> None:
        self._parts = parts

    def repair(self, records: Sequence[RunRecord], on_disk: Set[str]) -> None:
        """See :class:`Projection`."""
        self._each(lambda part: part.repair(records, on_disk))

    def started(self, run: PlannedRun, attempt: int) -> None:
        """See :class:`Projection`."""
        self._each(lambda part: part.started(run, attempt))

    def finished(self, record: RunRecord) -> None:
        """See :class:`Projection`."""
        self._each(lambda part: part.finished(record))

    def failed(self, failure: Failure) -> None:
        """See :class:`Projection`."""
        self._each(lambda part: part.failed(failure))

    def searched(self, arms: Sequence[ArmSearch]) -> None:
        """See :class:`Projection`."""
        self._each(lambda part: part.searched(arms))

    def attach(self, paths: Sequence[Path]) -> None:
        """See :class:`Projection`."""
        self._each(lambda part: part.attach(paths))

    def close(self, status: str) -> None:
        """See :class:`Projection`."""
        self._each(lambda part: part.close(status))

    def _each(self, tell: Callable[[Projection], None]) -> None:
        """Tell every part, whatever goes wrong with those before it; then raise the first error."""
        errors = []
        for part in self._parts:
            try:
                self._told(part, tell)
            except StoreUnavailable as error:
                errors.append(error)
        if errors:
            raise errors[0]

    def _told(self, part: Projection, tell: Callable[[Projection], None]) -> None:
        try:
            tell(part)
        except HarnessError:
            raise
        except Exception as error:
            raise StoreUnavailable(f"{part.address}: {explain(error)}; results on disk are kept") from error
