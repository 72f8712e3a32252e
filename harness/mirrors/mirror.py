"""The contract between the dispatcher and the stores that mirror the records on disk."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from pathlib import Path
from typing import Protocol

from harness.errors import StoreUnavailable
from harness.mirrors.databases import explained
from harness.record.attempt import Failure
from harness.record.run import RunRecord
from harness.record.search import ArmSearch
from harness.study.design import PlannedRun


class Sink(Protocol):
    """A receiver of what becomes of a study's runs; every call may be repeated."""

    @property
    def address(self) -> str:
        """Its name and place, without passwords."""

    def started(self, run: PlannedRun, attempt: int) -> None:
        """Note that a run is being computed."""

    def finished(self, record: RunRecord) -> None:
        """Note a result that is on disk."""

    def failed(self, failure: Failure) -> None:
        """Note a failed attempt."""

    def searched(self, arms: Sequence[ArmSearch]) -> None:
        """Note the trials of each arm's tuning so far."""

    def attach(self, paths: Sequence[Path]) -> None:
        """Keep files that belong to the study as a whole, where this store keeps files."""

    def close(self, status: str) -> None:
        """Note how the command ended (``FINISHED``, ``FAILED`` or ``KILLED``); runs still open were cut short."""


class Mirror(Sink, Protocol):
    """A mirror of a study: :meth:`repair` makes good what it missed."""

    def repair(self, records: Sequence[RunRecord], failures: Sequence[Failure], on_disk: Set[str]) -> int:
        """Make every finished run and every failed attempt stand once, and leave nothing running.

        Args:
            records: the runs asked for that are finished, those of a search included.
            failures: every failed attempt on disk.
            on_disk: ids of all finished runs, those of earlier plans included.

        Returns:
            How many attempts were missing.
        """


class Mirrors:
    """Several mirrors used as one; whatever goes wrong in a store is a :class:`StoreUnavailable` that names it."""

    def __init__(self, parts: Sequence[Mirror]) -> None:
        self._parts = parts

    def repair(self, records: Sequence[RunRecord], failures: Sequence[Failure], on_disk: Set[str]) -> int:
        """Repair every part; return the most that was missing in one."""
        missing = [0]
        self._each(lambda part: missing.append(part.repair(records, failures, on_disk)))
        return max(missing)

    def started(self, run: PlannedRun, attempt: int) -> None:
        """See :class:`Mirror`."""
        self._each(lambda part: part.started(run, attempt))

    def finished(self, record: RunRecord) -> None:
        """See :class:`Mirror`."""
        self._each(lambda part: part.finished(record))

    def failed(self, failure: Failure) -> None:
        """See :class:`Mirror`."""
        self._each(lambda part: part.failed(failure))

    def searched(self, arms: Sequence[ArmSearch]) -> None:
        """See :class:`Mirror`."""
        self._each(lambda part: part.searched(arms))

    def attach(self, paths: Sequence[Path]) -> None:
        """See :class:`Mirror`."""
        self._each(lambda part: part.attach(paths))

    def close(self, status: str) -> None:
        """See :class:`Mirror`."""
        self._each(lambda part: part.close(status))

    def _each(self, report: Callable[[Mirror], object]) -> None:
        """Report to every part, whatever goes wrong with those before it; then raise the first error."""
        errors = []
        for part in self._parts:
            try:
                with explained(part.address, "; results on disk are kept"):
                    report(part)
            except StoreUnavailable as error:
                errors.append(error)
        if errors:
            raise errors[0]
