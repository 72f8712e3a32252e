"""A mirror whose store may be away for a while: it is tried again after growing pauses, and then sent what it missed.

Only MLflow's store is allowed that: its server may be on another machine, and a study of hours must not end because it
restarts. Nothing is kept for it twice: results and failed attempts are on disk, and a command that repairs the mirror
compares them with what the store holds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence, Set
from functools import partial
from pathlib import Path
from typing import Protocol

from harness.errors import DamagedRecord, HarnessError, Interrupted, StudyConflict, Undelivered
from harness.mirrors.databases import explain
from harness.mirrors.mirror import Sink
from harness.record.attempt import Failure
from harness.record.folder import RUNS_FOLDER
from harness.record.run import RunRecord, verify_record
from harness.record.search import ArmSearch
from harness.study.design import PlannedRun

FIRST_PAUSE, LONGEST_PAUSE = 5.0, 300.0  # seconds between two tries of a store that is away

Key = tuple[object, ...]  # of a report, which is made late once, however often it was missed


class Store(Sink, Protocol):
    """A store that can be asked whether it is there, and what it holds."""

    def reach(self) -> None:
        """Make a small request, without patience; raise if it is not answered."""

    def settle(self, on_disk: Set[str], failed: Set[tuple[str, int]]) -> Set[str]:
        """Read what the store holds, leave nothing running, and return the ids of the runs that stand as finished.

        Args:
            on_disk: ids of all finished runs.
            failed: run and number of all failed attempts.
        """

    def has_failed(self, failure: Failure) -> bool:
        """Return whether a failed attempt stands already, as of :meth:`settle` and since."""

    def refuses(self, error: Exception) -> bool:
        """Return whether an error means that the store is there and will never take what was reported."""


class PatientMirror:
    """A :class:`~harness.mirrors.mirror.Mirror` that goes on while its store is away.

    Until it is repaired the store must be there; afterwards what it misses is kept in mind, it is tried again after a
    pause that doubles each time, and is sent what it missed when it answers. What it refuses, and a record that is
    damaged, keeps nothing else back. Records reported late are read whole: much may have become of them.

    Args:
        store: the store.
        folder: the study's folder.
        warn: receives a sentence when the store goes, is back, or refuses something.
        poll: called between late reports, of which there may be many; what it raises ends them.
        clock: seconds that only rise.
    """

    def __init__(
        self,
        store: Store,
        folder: Path,
        warn: Callable[[str], None],
        poll: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._folder = folder
        self._warn = warn
        self._poll = poll
        self._clock = clock
        self._repaired = False
        self._why: str | None = None
        self._missed: dict[Key, Callable[[], None]] = {}
        self._refused: dict[Key, Exception] = {}
        self._pause, self._next = FIRST_PAUSE, 0.0

    @property
    def address(self) -> str:
        """See :class:`~harness.mirrors.mirror.Mirror`."""
        return self._store.address

    def repair(self, records: Sequence[RunRecord], failures: Sequence[Failure], on_disk: Set[str]) -> int:
        """See :class:`~harness.mirrors.mirror.Mirror`; runs of earlier plans are reported, too, if they can be read.

        Raises:
            Exception: whatever goes wrong with a store that has just been there.
        """
        failed = {(failure.run, failure.attempt) for failure in failures}
        complete = self._store.settle(on_disk, failed)
        asked_for = {record.run for record in records}
        missing = 0
        for failure in failures:
            if not self._store.has_failed(failure):
                self._poll()
                missing += self._report_late(_key_of(failure), partial(self._store.failed, failure))
        for run in sorted(on_disk - complete):
            self._poll()
            missing += self._report_late(("finished", run), partial(self._report_run, run), run in asked_for)
        self._repaired = True
        return missing

    def started(self, run: PlannedRun, attempt: int) -> None:
        """See :class:`~harness.mirrors.mirror.Mirror`; never reported late: the report of its end suffices."""
        self._report(partial(self._store.started, run, attempt))

    def finished(self, record: RunRecord) -> None:
        """See :class:`~harness.mirrors.mirror.Mirror`."""
        late = partial(self._report_run, record.run)  # a record is large, and many may be missed
        self._report(partial(self._store.finished, record), ("finished", record.run), late)

    def failed(self, failure: Failure) -> None:
        """See :class:`~harness.mirrors.mirror.Mirror`."""
        self._report(partial(self._store.failed, failure), _key_of(failure))

    def searched(self, arms: Sequence[ArmSearch]) -> None:
        """See :class:`~harness.mirrors.mirror.Mirror`; reported anew as a whole whenever a study goes on."""
        self._report(partial(self._store.searched, arms))

    def attach(self, paths: Sequence[Path]) -> None:
        """See :class:`~harness.mirrors.mirror.Mirror`; files that are gone when the store is back are left out."""
        if paths:
            self._report(partial(self._attach, paths), ("attached", *paths))

    def close(self, status: str) -> None:
        """See :class:`~harness.mirrors.mirror.Mirror`.

        Raises:
            Undelivered: if the store is still away, or refused something.
        """
        if status != "KILLED":
            self._next = 0.0  # the last chance; who interrupts does not wait for what may be a long delivery
        self._report(partial(self._store.close, status))
        if self._why is not None:
            raise Undelivered(f"{self.address} is away ({self._why}); {self._describe_missing()}")
        if self._refused:
            damaged = any(isinstance(error, HarnessError) for error in self._refused.values())
            raise Undelivered("; ".join(self._describe_refused()), damaged)

    def _describe_missing(self) -> str:
        attempts = self._missed_attempts()
        if attempts:
            return f"{attempts} attempt{'s are' if attempts > 1 else ' is'} on disk and not in MLflow yet"
        what = "the study's files are on disk" if self._missed else "how the study ended is known"
        return f"{what} and not in MLflow yet"

    def _missed_attempts(self) -> int:
        return sum(key[0] != "attached" for key in self._missed)

    def _describe_refused(self) -> Iterator[str]:
        damaged = [str(error) for error in self._refused.values() if isinstance(error, HarnessError)]
        refused = [explain(error) for error in self._refused.values() if not isinstance(error, HarnessError)]
        if refused:
            yield f"{self.address} refused {len(refused)} of what it was told, first: {refused[0]}"
        if damaged:
            what = "1 damaged record" if len(damaged) == 1 else f"{len(damaged)} damaged records, first"
            yield f"{self.address} cannot be told of {what}: {damaged[0]}"

    def _report(self, report: Callable[[], None], key: Key = (), late: Callable[[], None] | None = None) -> None:
        """Report to the store if it is there; else keep in mind what has a key."""
        if self._why is None or self._is_back():
            try:
                report()
            except Exception as error:
                if self._is_refusal(error):
                    if key:  # else the report of the end suffices, and that may be taken
                        self._refuse(key, error)
                    return
                if not self._repaired:
                    raise
                self._leave(error)
            else:
                return
        if key:
            self._missed[key] = late or report

    def _report_late(self, key: Key, report: Callable[[], None], matters: bool = True) -> bool:
        """Report what the store missed, unless it refuses that; return whether it took it."""
        try:
            report()
        except Exception as error:
            if not self._is_refusal(error):
                raise
            if matters or not isinstance(error, HarnessError):
                self._refuse(key, error)
            return False
        return True

    def _attach(self, paths: Sequence[Path]) -> None:
        self._store.attach([path for path in paths if path.exists()])

    def _report_run(self, run: str) -> None:
        """Report a finished run from its record, every byte of which is read.

        Raises:
            DamagedRecord: if it is not what was written, or cannot be read.
            StudyConflict: if another version wrote it.
        """
        folder = self._folder / RUNS_FOLDER / run
        try:
            record = verify_record(folder)
        except OSError as error:
            raise DamagedRecord(Path(error.filename or folder), error.strerror or str(error)) from error
        self._store.finished(record)

    def _is_refusal(self, error: Exception) -> bool:
        """Return whether what was reported is at fault, rather than the store."""
        return isinstance(error, DamagedRecord | StudyConflict) or self._store.refuses(error)

    def _refuse(self, key: Key, error: Exception) -> None:
        if key in self._refused:
            return
        self._refused[key] = error
        if isinstance(error, HarnessError):
            self._warn(f"{error}; {self.address} cannot be told of it")
        else:
            self._warn(f"{self.address} refused {key[0] if key[0] == 'attached' else key[1]}: {explain(error)}")

    def _leave(self, error: Exception) -> None:
        self._why = explain(error)
        self._pause = FIRST_PAUSE
        self._next = self._clock() + self._pause
        self._warn(f"{self.address} is away ({self._why}): the study goes on, results wait on disk")

    def _is_back(self) -> bool:
        """Return whether the store answers again, if it is time to ask; it is sent all it missed then."""
        if self._clock() < self._next:
            return False
        missed = self._missed_attempts()
        try:
            self._store.reach()
            for key, report in list(self._missed.items()):
                self._poll()
                self._report_late(key, report)
                del self._missed[key]
        except Interrupted:  # the dispatcher notices it, too, as soon as it has kept what it was about to report
            return False
        except Exception as error:
            self._why = explain(error)
            self._pause = min(2 * self._pause, LONGEST_PAUSE)
            self._next = self._clock() + self._pause
            return False
        self._why = None
        self._warn(f"{self.address} answers again: {missed} delivered")
        return True


def _key_of(failure: Failure) -> Key:
    return "failed", failure.run, failure.attempt
