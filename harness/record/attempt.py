"""Write and read attempts at runs: ``attempts/RUN/N.json`` holds when one started, and how it failed if it did.

Studies begun by earlier versions hold ``attempts/RUN.json``, how many there were, and ``failures/RUN.json``, the last
that failed. Both are still read: numbering goes on, and that failure counts.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Set
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

from pydantic import Discriminator, Tag, TypeAdapter

from harness.errors import DamagedRecord
from harness.record.files import draft_of
from harness.record.folder import ATTEMPTS_FOLDER, FAILURES_FOLDER
from harness.record.json_file import read_as, write_json


@dataclass(frozen=True)
class Failure:
    """An attempt at a run that raised, timed out or died.

    Attributes:
        run: its id.
        cell: the id of its cell.
        arm: the compared level, as text.
        seed: its seed.
        attempt: its number, from 1.
        reason: one line.
        detail: the traceback, where there is one.
        trial: in search mode the proposal it tried.
        started: when, in seconds since the epoch; None where that is not known.
        ended: when it failed, likewise.
    """

    run: str
    cell: str
    arm: str
    seed: int
    attempt: int
    reason: str
    detail: str = ""
    trial: int | None = None
    started: float | None = field(default=None, compare=False)
    ended: float | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Started:
    """An attempt that did not fail, so far.

    Attributes:
        started: when, in seconds since the epoch; None where that was lost.
        ended: when it finished. Written only where an attempt before it failed, which then is the last no more.
    """

    started: float | None
    ended: float | None = None


AttemptKey = tuple[str, int]  # a run's id and the number of the attempt
Attempt = Failure | Started
_ATTEMPT: TypeAdapter[Attempt] = TypeAdapter(
    Annotated[
        Annotated[Failure, Tag("failed")] | Annotated[Started, Tag("started")],
        Discriminator(lambda data: "failed" if isinstance(data, dict) and "reason" in data else "started"),
    ]
)
_COUNT = TypeAdapter(int)


def start_attempt(folder: Path, run: str) -> int:
    """Write down that one more attempt at a run starts; return its number, from 1."""
    home = _home(folder, run)
    attempt = 1 + max([_earlier_count(folder, run), *_numbers(home)])
    home.mkdir(parents=True, exist_ok=True)
    _write(home, attempt, Started(time.time()))
    return attempt


def fail_attempt(folder: Path, failure: Failure) -> None:
    """Write down how an attempt failed, and when."""
    started = _started(folder, failure.run, failure.attempt)
    write_failure(folder, replace(failure, started=started, ended=time.time()))


def finish_attempt(folder: Path, run: str, attempt: int) -> None:
    """Write down that an attempt finished, where one before it may have failed; its record is on disk."""
    if attempt > 1:
        _write(_home(folder, run), attempt, Started(_started(folder, run, attempt), time.time()))


def write_failure(folder: Path, failure: Failure) -> None:
    """Write an attempt that failed as it is given."""
    home = _home(folder, failure.run)
    home.mkdir(parents=True, exist_ok=True)
    _write(home, failure.attempt, failure)


def reset_attempt(path: Path) -> None:
    """Write an attempt's file anew where it was damaged, so that its number is not given again."""
    _write(path.parent, int(path.stem), Started(None))


def failed_attempts(folder: Path) -> list[Failure]:
    """Return every failed attempt of every run, by run and number; files that are damaged are left out.

    Runs that finished later are among them.
    """
    failures = {}
    for path in attempt_files(folder):
        with suppress(DamagedRecord, FileNotFoundError):
            if isinstance(attempt := read_attempt(path), Failure):
                failures[attempt.run, attempt.attempt] = attempt
    return [failures[which] for which in sorted(failures)]


def last_failures(folder: Path, but: Set[str]) -> tuple[dict[str, Failure], tuple[str, ...]]:
    """Return the last failed attempt of each run that has not finished since, and what is wrong with damaged files.

    Args:
        folder: the study's.
        but: runs left out: those whose records are on disk.
    """
    failures: dict[str, Failure] = {}
    damaged: list[str] = []
    for run in sorted(_attempted(folder) - but):
        if (failure := _last_failure(folder, run, damaged)) is not None:
            failures[run] = failure
    return failures, tuple(damaged)


def attempt_files(folder: Path, but: Iterable[str] = ()) -> Iterator[Path]:
    """Yield the files of attempts, those of some runs left out; of each run the failure of an earlier version first."""
    for run in sorted(_attempted(folder).difference(but)):
        yield from filter(Path.exists, [folder / FAILURES_FOLDER / f"{run}.json"])
        yield from (_file(folder, run, number) for number in sorted(_numbers(_home(folder, run))))


def read_attempt(path: Path) -> Attempt:
    """Read an attempt's file, or the failure an earlier version kept.

    Raises:
        DamagedRecord: if it cannot be read.
    """
    return read_as(path, _ATTEMPT)


def _last_failure(folder: Path, run: str, damaged: list[str]) -> Failure | None:
    numbers = sorted(_numbers(_home(folder, run)), reverse=True)
    for path in (*(_file(folder, run, number) for number in numbers), folder / FAILURES_FOLDER / f"{run}.json"):
        try:
            attempt = read_attempt(path)
        except DamagedRecord as error:
            damaged.append(str(error))
        except FileNotFoundError:  # set aside meanwhile, or never there
            continue
        else:
            if isinstance(attempt, Failure):
                return attempt
            if attempt.ended is not None:
                return None
    return None


def _started(folder: Path, run: str, attempt: int) -> float | None:
    with suppress(DamagedRecord, FileNotFoundError):
        return read_attempt(_file(folder, run, attempt)).started
    return None


def _write(home: Path, attempt: int, content: Attempt) -> None:
    write_json(home / f"{attempt}.json", content, draft_of(home))  # where `remove_drafts` finds it


def _home(folder: Path, run: str) -> Path:
    return folder / ATTEMPTS_FOLDER / run


def _file(folder: Path, run: str, attempt: int) -> Path:
    return _home(folder, run) / f"{attempt}.json"


def _numbers(home: Path) -> list[int]:
    names = [entry.name.partition(".") for entry in os.scandir(home)] if home.is_dir() else []
    return [int(stem) for stem, _, end in names if end == "json" and stem.isdecimal()]


def _attempted(folder: Path) -> set[str]:
    """Return the ids of the runs that were attempted."""
    home = folder / ATTEMPTS_FOLDER
    found = {entry.name for entry in os.scandir(home) if entry.is_dir()} if home.is_dir() else set()
    return {run for run in found if not run.startswith(".")} | {
        path.stem for path in (folder / FAILURES_FOLDER).glob("*.json")
    }


def _earlier_count(folder: Path, run: str) -> int:
    """Return how many attempts an earlier version counted, as far as that can be read."""
    counted = 0
    with suppress(DamagedRecord, FileNotFoundError):
        counted = read_as(folder / ATTEMPTS_FOLDER / f"{run}.json", _COUNT)
    with suppress(DamagedRecord, FileNotFoundError):
        if isinstance(failed := read_attempt(folder / FAILURES_FOLDER / f"{run}.json"), Failure):
            counted = max(counted, failed.attempt)
    return counted
