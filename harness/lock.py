"""One runner a study: a lock the operating system lets go of when its holder dies."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.errors import StudyLocked

LOCK_FILE = ".lock"


@contextmanager
def study_lock(folder: Path, claim: bool = True) -> Iterator[None]:
    """Hold a study's folder.

    Args:
        folder: the study's.
        claim: whether to say in it who holds it, for as long as that lasts; a reader that only looks need not.

    Raises:
        StudyLocked: if another process does, named by its pid and host.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK_FILE).open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise StudyLocked(f"{folder} is being run by {file.read().strip() or 'another process'}") from None
        if claim:
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
            file.flush()
        try:
            yield
        finally:
            if claim:
                file.truncate(0)


def last_holder(folder: Path) -> str:
    """Return who held a study's folder and ended without letting go of it; empty if nobody did."""
    path = folder / LOCK_FILE
    return path.read_text(encoding="utf-8").strip() if path.exists() else ""
