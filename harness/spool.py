"""A mirror that may be away for a while: what it missed waits in ``out/<study>/spool/`` until it answers again.

Only MLflow's store is allowed that: its server may be on another machine, and a study of hours must not end because it
restarts. Results themselves are records on disk; an entry names them, or holds the failure that is nowhere else.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence, Set
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol

from harness.databases import explain
from harness.design import PlannedRun
from harness.errors import DamagedRecord, Interrupted, Undelivered
from harness.projection import Projection
from harness.records import RunRecord, read_as, read_record, write_json
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
        uri: where the store is, without passwords.
        why: what went wrong with it.
    """

    kind: Literal["finished", "failed", "attached", "closed"]
    run: str = ""
    failure: Failure | None = None
    paths: tuple[str, ...] = ()
    uri: str = ""
    why: str = ""

    @classmethod
    def of(cls, data: Any) -> Entry:
        """Make an entry of what was written of it.

        Raises:
            TypeError, KeyError: if that is none.
        """
        failure = None if data["failure"] is None else Failure(**data["failure"])
        return cls(**{**data, "failure": failure, "paths": tuple(data["paths"])})


class Spool:
    """What waits in one study's folder, in the order it came."""

    def __init__(self, folder: Path) -> None:
        self.study = folder
        self.folder = folder / SPOOL_FOLDER
        self._last = max((int(path.stem.partition("-")[0]) for path in self._paths()), default=0)

    def add(self, entry: Entry) -> None:
        """Keep an entry."""
        self.folder.mkdir(exist_ok=True)
        self._last += 1
        write_json(self.folder / f"{self._last:08d}-{entry.kind}.json", asdict(entry))

    def entries(self) -> list[tuple[Path, Entry]]:
        """Return the entries, oldest first, and the file each stands in; those that are torn are left to be mended."""
        found = []
        for path in self._paths():
            try:
                found.append((path, read_as(path, Entry.of)))
            except DamagedRecord:
                continue
        return found

    def remove(self, path: Path) -> None:
        """Forget an entry, by its file; the folder goes with the last."""
        path.unlink(missing_ok=True)
        if not any(self.folder.iterdir()):
            self.folder.rmdir()

    def waiting(self, uri: str | None = None) -> int:
        """Return how many attempts wait, for one store or for all."""
        kinds = [entry.kind for _, entry in self.entries() if uri in (None, entry.uri)]
        return kinds.count("finished") + kinds.count("failed")

    def _paths(self) -> list[Path]:
        return sorted(self.folder.glob("[0-9]*-*.json"))


class Store(Projection, Protocol):
    """A projection that can be asked whether it is there."""

    @property
    def uri(self) -> str:
        """Where it is, without passwords."""

    def reach(self) -> None:
        """Ask it for something small, without patience; raise if it does not answer."""

    def settle(self, records: Sequence[RunRecord], on_disk: Set[str]) -> list[RunRecord]:
        """Do what :meth:`~harness.projection.Projection.repair` does, but for telling; return what is to be told."""

    def refuses(self, error: Exception) -> bool:
        """Whether an error says that the store is there and will never take what it was told."""


class Spooled:
    """A projection that goes on while its store is away.

    Opening a store must succeed; afterwards whatever it cannot be told is spooled, it is tried again after a pause that
    doubles each time, and what waits is delivered when it answers. What it refuses stays in the spool and keeps nothing
    back.

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
        self._why: str | None = None
        self._refused: dict[Path | str, str] = {}  # what stands in the spool refused, and why
        self._pause, self._next = FIRST_PAUSE, 0.0

    @property
    def address(self) -> str:
        """See :class:`~harness.projection.Projection`."""
        return self._store.address

    def repair(self, records: Sequence[RunRecord], on_disk: Set[str]) -> None:
        """See :class:`~harness.projection.Projection`; what waited from earlier commands is delivered, too.

        Raises:
            Exception: whatever goes wrong with a store that has just been there.
        """
        for record in self._store.settle(records, on_disk):
            self._look()
            try:
                self._store.finished(record)
            except Exception as error:
                if not self._store.refuses(error):
                    raise
                self._refuse(f"{record.run}", error)
        for path, entry in self._mine():
            self._look()
            if entry.kind in ("failed", "attached"):  # finished runs are settled, and the command's end is yet to come
                self._deliver(path, entry)
            else:
                self._spool.remove(path)

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
            Undelivered: if the store is still away, or refused something.
        """
        if status != "KILLED":
            self._next = 0.0  # the last chance; who interrupts does not wait for what may be a long delivery
        self._tell(lambda: self._store.close(status), Entry("closed"))
        waiting = self._spool.waiting(self._store.uri)
        what = "1 attempt waits" if waiting == 1 else f"{waiting} attempts wait"
        if self._why is not None:
            raise Undelivered(f"{self.address} is away ({self._why}); {what} in {self._spool.folder}")
        if self._refused:
            why = next(iter(self._refused.values()))
            raise Undelivered(f"{self.address} refused {len(self._refused)} of what it was told, first: {why}")

    def _mine(self) -> list[tuple[Path, Entry]]:
        return [(path, entry) for path, entry in self._spool.entries() if self._adopt or entry.uri == self._store.uri]

    def _tell(self, tell: Callable[[], None], entry: Entry | None = None) -> None:
        """Tell the store if it is there, else keep an entry."""
        if self._why is None or self._is_back():
            try:
                tell()
            except Exception as error:
                if self._store.refuses(error):
                    self._refuse(entry.run or entry.kind if entry is not None else "", error)
                else:
                    self._leave(error)
            else:
                return
        if entry is not None:
            self._spool.add(replace(entry, uri=self._store.uri, why=self._why or ""))

    def _refuse(self, what: Path | str, error: Exception) -> None:
        if what not in self._refused:
            self._refused[what] = explain(error)
            name = what.stem if isinstance(what, Path) else what
            self._warn(f"{self.address} refused {name or 'something'}: {explain(error)}")

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
        if path in self._refused:
            return
        try:
            if entry.kind == "finished":
                self._store.finished(read_record(self._spool.study / RUNS_FOLDER / entry.run))
            elif entry.failure is not None:
                self._store.failed(entry.failure)
            elif entry.kind == "attached":
                self._store.attach([file for file in map(Path, entry.paths) if file.exists()])
        except Exception as error:
            if not (isinstance(error, DamagedRecord) or self._store.refuses(error)):
                raise
            self._refuse(path, error)
        else:
            self._spool.remove(path)
