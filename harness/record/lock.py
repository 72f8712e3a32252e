"""Lock a study to one runner; the operating system releases the lock when its holder dies."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from harness.errors import StoreUnavailable, StudyLocked
from harness.record.folder import LOCK_FILE

_held: set[IO[str]] = set()


@contextmanager
def study_lock(folder: Path) -> Iterator[None]:
    """Hold a study's folder, with the holder's pid and host in its lock file meanwhile.

    Raises:
        StudyLocked: if another process does, named by its pid and host.
        StoreUnavailable: if it cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / LOCK_FILE).open("a+", encoding="utf-8", errors="replace")
    except OSError as error:
        raise StoreUnavailable(f"{error.filename or folder}: {error.strerror or error}") from error
    with file:
        _take(file, fcntl.LOCK_EX, folder)
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        file.flush()
        _held.add(file)
        try:
            yield
        finally:
            _held.discard(file)
            if not file.closed:
                file.truncate(0)


@contextmanager
def nobody_runs(folder: Path) -> Iterator[None]:
    """Keep others from running a study while it is examined; nothing in its folder is touched.

    Raises:
        StudyLocked: if a process is running the study, named by its pid and host.
    """
    if not (folder / LOCK_FILE).exists():  # it came from elsewhere
        yield
        return
    with (folder / LOCK_FILE).open(encoding="utf-8", errors="replace") as file:
        _take(file, fcntl.LOCK_SH, folder)
        yield


def _take(file: IO[str], kind: int, folder: Path) -> None:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        raise StudyLocked(
            f"{folder} is being run by {file.read().strip() or 'another process, or looked at'}"
        ) from None


def last_holder(folder: Path) -> str:
    """Return the last holder of a study's folder that ended without releasing it; empty if none did."""
    path = folder / LOCK_FILE
    return path.read_text(encoding="utf-8", errors="replace").strip() if path.exists() else ""


def _leave_to_parent() -> None:
    """Close the lock files a fork has copied: a process that an environment starts may outlive the lock's holder."""
    while _held:
        _held.pop().close()


os.register_at_fork(after_in_child=_leave_to_parent)
