"""A mirror that may be away for a while: what it missed waits in ``out/<study>/spool/`` until it answers again.

Only MLflow's store is allowed that: its server may be on another machine, and a study of hours must not end because it
restarts. Results themselves are records on disk; an entry names them, or holds the failure that is nowhere else.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol

from pydantic import TypeAdapter

from harness.errors import DamagedRecord, HarnessError, Interrupted, StudyConflict, Undelivered, disk_errors
from harness.mirrors.databases import explain
from harness.mirrors.mirror import Projection
from harness.record.attempt import Failure
from harness.record.folder import RUNS_FOLDER, SPOOL_FOLDER
from harness.record.json_file import read_as, write_json
from harness.record.run import RunRecord, verify_record
from harness.record.search import ArmSearch
from harness.study.design import PlannedRun

FIRST_PAUSE, LONGEST_PAUSE = 5.0, 300.0  # seconds between two tries of a store that is away


@dataclass(frozen=True)
class Entry:
    """One thing a store was not told.

    Attributes:
        kind: a run finished or failed, files were attached to the study, or the command ended.
        run: id of the run; its record is on disk where it finished.
        failure: the attempt that failed.
        paths: the files attached.
        uri: where the store is, without passwords.
        why: what went wrong with it.
    """

    kind: Literal["finished", "failed", "attached", "closed"]
    run: str = ""
    failure: Failure | None = None
    paths: tuple[str, ...] = ()
    uri: str = ""
    why: str = ""

    @property
    def key(self) -> tuple[object, ...]:
        """What tells it from others."""
        return self.kind, self.run, self.paths, None if self.failure is None else self.failure.attempt


ENTRY = TypeAdapter(Entry)


class Spool:
    """What waits in one study's folder, in the order it came."""

    def __init__(self, folder: Path) -> None:
        self.study = folder
        self.folder = folder / SPOOL_FOLDER
        self._last = max((int(path.stem.partition("-")[0]) for path in self._paths()), default=0)

    def add(self, entry: Entry) -> None:
        """Keep an entry.

        Raises:
            StoreUnavailable: if the disk does not take it.
        """
        with disk_errors(self.folder):
            self.folder.mkdir(exist_ok=True)
            self._last += 1
            write_json(self.folder / f"{self._last:08d}-{entry.kind}.json", entry)

    def entries(self) -> list[tuple[Path, Entry]]:
        """Return the entries, oldest first, each with its file; torn ones are left to be set aside."""
        found = []
        for path in self._paths():
            try:
                found.append((path, read_as(path, ENTRY)))
            except DamagedRecord:
                continue
        return found

    def remove(self, path: Path) -> None:
        """Forget an entry, by its file; the folder goes with the last.

        Raises:
            StoreUnavailable: if the disk does not allow it.
        """
        with disk_errors(self.folder):
            path.unlink(missing_ok=True)
            if not any(self.folder.iterdir()):
                self.folder.rmdir()

    def waiting(self, uri: str | None = None) -> int:
        """Return how many attempts wait, for one store or for all."""
        kinds = self._kinds(uri)
        return kinds.count("finished") + kinds.count("failed")

    def what_waits(self, uri: str) -> str:
        """Return what waits for one store, and where, as a clause."""
        if attempts := self.waiting(uri):
            what = "1 attempt waits" if attempts == 1 else f"{attempts} attempts wait"
        else:
            what = "the study's files wait" if "attached" in self._kinds(uri) else "how the study ended waits"
        return f"{what} in {self.folder}"

    def _kinds(self, uri: str | None) -> list[str]:
        return [entry.kind for _, entry in self.entries() if uri in (None, entry.uri)]

    def _paths(self) -> list[Path]:
        return sorted(path for path in self.folder.glob("*-*.json") if path.name.partition("-")[0].isdecimal())


class Store(Projection, Protocol):
    """A projection that can be asked whether it is there."""

    @property
    def uri(self) -> str:
        """Where it is, without passwords."""

    def reach(self) -> None:
        """Ask it for something small, without patience; raise if it does not answer."""

    def settle(self, records: Sequence[RunRecord], on_disk: Set[str]) -> list[RunRecord]:
        """Repair as :meth:`~harness.mirrors.mirror.Projection.repair` does, but return the records still to be told."""

    def refuses(self, error: Exception) -> bool:
        """Whether an error says that the store is there and will never take what it was told, or cannot be told it."""


class Spooled:
    """A projection that goes on while its store is away.

    Until it is repaired it must be there; afterwards whatever it cannot be told is spooled, it is tried again after a
    pause that doubles each time, and what waits is delivered when it answers. What it refuses, and a record that is
    damaged, stays in the spool and keeps nothing back. Records told late are read whole: much may have become of them.

    Args:
        store: the store.
        spool: where entries are kept; those of other stores are left alone.
        warn: is told, in a sentence, when the store goes and when it is back.
        look: called between deliveries, of which there may be many; what it raises ends them.
        adopt: whether the store takes the place of those that entries waited for until now.
        clock: seconds that only rise.
    """

    def __init__(
        self,
        store: Store,
        spool: Spool,
        warn: Callable[[str], None],
        look: Callable[[], None] = lambda: None,
        adopt: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._spool = spool
        self._warn = warn
        self._look = look
        self._adopt = adopt
        self._clock = clock
        self._repaired = False
        self._why: str | None = None
        self._refused: dict[tuple[object, ...], Exception] = {}  # by the keys of entries: what will not be told
        self._pause, self._next = FIRST_PAUSE, 0.0

    @property
    def address(self) -> str:
        """See :class:`~harness.mirrors.mirror.Projection`."""
        return self._store.address

    def repair(self, records: Sequence[RunRecord], on_disk: Set[str]) -> None:
        """See :class:`~harness.mirrors.mirror.Projection`; what waited from earlier commands is delivered, too.

        Raises:
            Exception: whatever goes wrong with a store that has just been there.
        """
        mine, planned = self._mine(), {record.run for record in records}
        waiting = [entry for _, entry in mine if entry.kind == "finished" and entry.run in on_disk - planned]
        for record in self._store.settle([*records, *self._read(waiting)], on_disk):
            self._look()
            self._tell_late(Entry("finished", run=record.run))
        for path, entry in mine:
            self._look()
            if entry.kind in ("failed", "attached"):  # finished runs are settled, and the command's end is yet to come
                self._deliver(path, entry)
            elif entry.key not in self._refused:
                self._spool.remove(path)
        self._repaired = True

    def started(self, run: PlannedRun, attempt: int) -> None:
        """See :class:`~harness.mirrors.mirror.Projection`; it need not be told later: its end says all."""
        self._tell(lambda: self._store.started(run, attempt))

    def finished(self, record: RunRecord) -> None:
        """See :class:`~harness.mirrors.mirror.Projection`."""
        self._tell(lambda: self._store.finished(record), Entry("finished", run=record.run))

    def failed(self, failure: Failure) -> None:
        """See :class:`~harness.mirrors.mirror.Projection`."""
        self._tell(lambda: self._store.failed(failure), Entry("failed", run=failure.run, failure=failure))

    def searched(self, arms: Sequence[ArmSearch]) -> None:
        """See :class:`~harness.mirrors.mirror.Projection`; told anew as a whole whenever a study goes on."""
        self._tell(lambda: self._store.searched(arms))

    def attach(self, paths: Sequence[Path]) -> None:
        """See :class:`~harness.mirrors.mirror.Projection`."""
        if paths:
            texts = tuple(str(path.absolute()) for path in paths)
            self._tell(lambda: self._store.attach(paths), Entry("attached", paths=texts))

    def close(self, status: str) -> None:
        """See :class:`~harness.mirrors.mirror.Projection`.

        Raises:
            Undelivered: if the store is still away, or refused something.
        """
        if status != "KILLED":
            self._next = 0.0  # the last chance; who interrupts does not wait for what may be a long delivery
        self._tell(lambda: self._store.close(status), Entry("closed"))
        if self._why is not None:
            waiting = self._spool.what_waits(self._store.uri)
            raise Undelivered(f"{self.address} is away ({self._why}); {waiting}")
        if self._refused:
            damaged = any(isinstance(error, HarnessError) for error in self._refused.values())
            raise Undelivered("; ".join(self._what_is_refused()), damaged)

    def _what_is_refused(self) -> Iterator[str]:
        damaged = [str(error) for error in self._refused.values() if isinstance(error, HarnessError)]
        refused = [explain(error) for error in self._refused.values() if not isinstance(error, HarnessError)]
        if refused:
            yield f"{self.address} refused {len(refused)} of what it was told, first: {refused[0]}"
        if damaged:
            what = "1 damaged record" if len(damaged) == 1 else f"{len(damaged)} damaged records, first"
            yield f"{self.address} cannot be told of {what}: {damaged[0]}"

    def _mine(self) -> list[tuple[Path, Entry]]:
        return [(path, entry) for path, entry in self._spool.entries() if self._adopt or entry.uri == self._store.uri]

    def _tell(self, tell: Callable[[], None], entry: Entry | None = None) -> None:
        """Tell the store if it is there, else keep an entry."""
        if self._why is None or self._is_back():
            try:
                tell()
            except Exception as error:
                if not self._refuses(error):
                    if not self._repaired:
                        raise
                    self._leave(error)
                elif entry is not None:  # else its end says all, and that may be taken
                    self._refuse(entry, error)
            else:
                return
        if entry is not None:
            self._spool.add(replace(entry, uri=self._store.uri, why=self._why or ""))

    def _refuses(self, error: Exception) -> bool:
        """Whether what the store was told is at fault, rather than the store."""
        return isinstance(error, DamagedRecord | StudyConflict) or self._store.refuses(error)

    def _refuse(self, entry: Entry, error: Exception) -> None:
        if entry.key in self._refused:
            return
        self._refused[entry.key] = error
        if isinstance(error, HarnessError):
            self._warn(f"{error}; {self.address} cannot be told of it")
        else:
            self._warn(f"{self.address} refused {entry.run or entry.kind}: {explain(error)}")

    def _leave(self, error: Exception) -> None:
        self._why = explain(error)
        self._pause = FIRST_PAUSE
        self._next = self._clock() + self._pause
        self._warn(f"{self.address} is away ({self._why}): the study goes on, results wait on disk")

    def _is_back(self) -> bool:
        """Whether the store answers again, if it is time to ask; all that waited is delivered then."""
        if self._clock() < self._next:
            return False
        waiting = self._spool.waiting(self._store.uri)
        try:
            self._store.reach()
            for path, entry in self._mine():
                self._look()
                self._deliver(path, entry)
        except Interrupted:  # the dispatcher hears of it, too, as soon as it has kept what it was about to tell
            return False
        except HarnessError:  # of the spool's own disk
            raise
        except Exception as error:
            self._why = explain(error)
            self._pause = min(2 * self._pause, LONGEST_PAUSE)
            self._next = self._clock() + self._pause
            return False
        self._why = None
        self._warn(f"{self.address} answers again: {waiting} delivered")
        return True

    def _deliver(self, path: Path, entry: Entry) -> None:
        """Tell the store what an entry says, and forget it; what is refused stays."""
        if self._tell_late(entry):
            self._spool.remove(path)

    def _tell_late(self, entry: Entry) -> bool:
        """Tell the store what an entry says, unless it refused that; return whether it took it."""
        if entry.key in self._refused:
            return False
        try:
            if entry.kind == "finished":
                self._store.finished(self._record(entry))
            elif entry.failure is not None:
                self._store.failed(entry.failure)
            elif entry.kind == "attached":
                self._store.attach([file for file in map(Path, entry.paths) if file.exists()])
        except Exception as error:
            if not self._refuses(error):
                raise
            self._refuse(entry, error)
            return False
        return True

    def _record(self, entry: Entry) -> RunRecord:
        """Read the record of a finished run, every byte of it.

        Raises:
            DamagedRecord: if it is not what was written, or cannot be read.
            StudyConflict: if another version wrote it.
        """
        folder = self._spool.study / RUNS_FOLDER / entry.run
        try:
            return verify_record(folder)
        except OSError as error:
            raise DamagedRecord(Path(error.filename or folder), error.strerror or str(error)) from error

    def _read(self, entries: Sequence[Entry]) -> Iterator[RunRecord]:
        """Yield the records of finished runs that can be read."""
        for entry in entries:
            try:
                yield self._record(entry)
            except (DamagedRecord, StudyConflict) as error:
                self._refuse(entry, error)
