"""A mirror that may be away for a while: what it missed waits in ``out/<study>/spool/`` until it answers again.

Only the tracking server is allowed that: it may be on another machine, and a study of hours must not end because it
restarts. Results themselves are records on disk; an entry names them, or holds the failure that is nowhere else.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal, Protocol

from harness.databases import explain
from harness.design import PlannedRun
from harness.errors import Undelivered
from harness.projection import Projection
from harness.records import RunRecord, read_json, read_record, set_aside, write_json
from harness.results import RUNS_FOLDER, Failure
from harness.search import ArmSearch

SPOOL_FOLDER = "spool"
FIRST_PAUSE, LONGEST_PAUSE = 5.0, 300.0  # seconds between two tries of a store that is away


@dataclass(frozen=True)
class Entry:
    """One thing a store was not told.

    Attributes:
        kind: a run finished or failed, files were attached to the study, or the command ended.
        run: id of the run; its record is on disk where it finished.
        failure: the attempt that failed.
        paths: the files attached.
        status: how the command ended.
        uri: where the store is, without passwords.
        why: what went wrong with it.
    """

    kind: Literal["finished", "failed", "attached", "closed"]
    run: str = ""
    failure: Failure | None = None
    paths: tuple[str, ...] = ()
    status: str = ""
    uri: str = ""
    why: str = ""


class Spool:
    """The entries of one study, in the order they came."""

    def __init__(self, folder: Path) -> None:
        self.study = folder
        self._folder = folder / SPOOL_FOLDER
        self._last = max((int(path.stem.partition("-")[0]) for path in self._paths()), default=0)

    def add(self, entry: Entry) -> None:
        """Keep an entry."""
        self._folder.mkdir(exist_ok=True)
        self._last += 1
        write_json(self._folder / f"{self._last:08d}-{entry.kind}.json", asdict(entry))

    def entries(self) -> Iterator[Entry]:
        """Yield the entries, oldest first; one whose turn is over, since the next was asked for, is removed."""
        for path in self._paths():
            try:
                data = read_json(path)
                failure = Failure(**data["failure"]) if data["failure"] is not None else None
                entry = Entry(**{**data, "failure": failure, "paths": tuple(data["paths"])})
            except (ValueError, TypeError, KeyError):
                set_aside(path, self.study)
                continue
            yield entry
            path.unlink(missing_ok=True)
        if self._folder.is_dir() and not self._paths():
            self._folder.rmdir()

    def peek(self) -> list[Entry]:
        """Return the entries that can be read, and leave them where they are."""
        found = []
        for path in self._paths():
            try:
                data = read_json(path)
                found.append(Entry(**{**data, "failure": None}))
            except (ValueError, TypeError):
                continue
        return found

    def waiting(self) -> int:
        """Return how many attempts wait."""
        return sum(path.stem.endswith(("-finished", "-failed")) for path in self._paths())

    def _paths(self) -> list[Path]:
        return sorted(self._folder.glob("[0-9]*-*.json"))


class Store(Projection, Protocol):
    """A projection that can be asked whether it is there."""

    @property
    def uri(self) -> str:
        """Where it is, without passwords."""

    def reach(self) -> None:
        """Ask it for something small, without patience; raise if it does not answer."""


class Spooled:
    """A projection that goes on while its store is away.

    Opening a store and repairing it must succeed; afterwards whatever it cannot be told is spooled, it is tried again
    after a pause that doubles each time, and what waits is delivered when it answers.

    Args:
        store: the store.
        spool: where entries are kept.
        warn: is told, in a sentence, when the store goes and when it is back.
        clock: seconds that only rise.
    """

    def __init__(
        self, store: Store, spool: Spool, warn: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._store = store
        self._spool = spool
        self._warn = warn
        self._clock = clock
        self._why: str | None = None
        self._pause, self._next = FIRST_PAUSE, 0.0

    @property
    def address(self) -> str:
        """See :class:`~harness.projection.Projection`."""
        return self._store.address

    def repair(self, records: Sequence[RunRecord], on_disk: Set[str]) -> None:
        """See :class:`~harness.projection.Projection`; what waited from earlier commands is delivered, too."""
        self._store.repair(records, on_disk)
        for entry in self._spool.entries():
            if entry.kind in ("failed", "attached"):  # finished runs are repaired, and the command's end is yet to come
                self._deliver(entry)

    def started(self, run: PlannedRun, attempt: int) -> None:
        """See :class:`~harness.projection.Projection`; it need not be told later: its end says all."""
        self._tell(lambda: self._store.started(run, attempt))

    def finished(self, record: RunRecord) -> None:
        """See :class:`~harness.projection.Projection`."""
        self._tell(lambda: self._store.finished(record), Entry("finished", run=record.run))

    def failed(self, failure: Failure) -> None:
        """See :class:`~harness.projection.Projection`."""
        self._tell(lambda: self._store.failed(failure), Entry("failed", run=failure.run, failure=failure))

    def searched(self, arms: Sequence[ArmSearch]) -> None:
        """See :class:`~harness.projection.Projection`; told anew as a whole whenever a study goes on."""
        self._tell(lambda: self._store.searched(arms))

    def attach(self, paths: Sequence[Path]) -> None:
        """See :class:`~harness.projection.Projection`."""
        if paths:
            texts = tuple(str(path.absolute()) for path in paths)
            self._tell(lambda: self._store.attach(paths), Entry("attached", paths=texts))

    def close(self, status: str) -> None:
        """See :class:`~harness.projection.Projection`.

        Raises:
            Undelivered: if the store is still away.
        """
        self._next = 0.0  # the last chance
        self._tell(lambda: self._store.close(status), Entry("closed", status=status))
        if self._why is not None:
            waiting = self._spool.waiting()
            what = "1 attempt waits" if waiting == 1 else f"{waiting} attempts wait"
            raise Undelivered(
                f"{self._store.address} is away ({self._why}); {what} in {self._spool.study / SPOOL_FOLDER}, "
                f"results on disk are complete. To deliver: a3c-bench sync {self._spool.study}"
            )

    def _tell(self, tell: Callable[[], None], entry: Entry | None = None) -> None:
        """Tell the store if it is there, else keep an entry."""
        if self._why is None or self._is_back():
            try:
                tell()
            except Exception as error:
                self._leave(error)
            else:
                return
        if entry is not None:
            self._spool.add(replace(entry, uri=self._store.uri, why=self._why or ""))

    def _leave(self, error: Exception) -> None:
        self._why = explain(error)
        self._pause = FIRST_PAUSE
        self._next = self._clock() + self._pause
        self._warn(f"{self._store.address} is away ({self._why}): the study goes on, results wait on disk")

    def _is_back(self) -> bool:
        """Whether the store answers again, if it is time to ask; all that waited is delivered then."""
        if self._clock() < self._next:
            return False
        waiting = self._spool.waiting()
        try:
            self._store.reach()
            for entry in self._spool.entries():
                self._deliver(entry)
        except Exception as error:
            self._why = explain(error)
            self._pause = min(2 * self._pause, LONGEST_PAUSE)
            self._next = self._clock() + self._pause
            return False
        self._why = None
        self._warn(f"{self._store.address} answers again: {waiting} delivered")
        return True

    def _deliver(self, entry: Entry) -> None:
        if entry.kind == "finished":
            self._store.finished(read_record(self._spool.study / RUNS_FOLDER / entry.run))
        elif entry.failure is not None:
            self._store.failed(entry.failure)
        elif entry.kind == "attached":
            self._store.attach([path for path in map(Path, entry.paths) if path.exists()])
