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
def study_lock(folder: Path) -> Iterator[None]:
    """Hold a study's folder.

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
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        file.flush()
        yield
