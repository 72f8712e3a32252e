"""Write files whole or not at all: under another name first, synced, then renamed."""

from __future__ import annotations

import os
import shutil
import uuid
from pathlib import Path

from harness.machine import is_alive
from harness.record.folder import DAMAGED_FOLDER, DRAFT_PREFIX


def draft_of(path: Path) -> Path:
    """Return the path a file or folder is written at before it takes its name; short, however long that is."""
    return path.with_name(f"{DRAFT_PREFIX}{os.getpid()}-{uuid.uuid4().hex}")


def drafts(folder: Path) -> list[Path]:
    """Return the drafts that dead writers left in a folder and in those directly in it.

    Call it only where this process writes nothing there; others may (reports are written without a lock).
    """
    found = [path for pattern in (f"{DRAFT_PREFIX}*", f"*/{DRAFT_PREFIX}*") for path in folder.glob(pattern)]
    return [path for path in found if not _is_written(path)]


def _is_written(draft: Path) -> bool:
    pid = draft.name.removeprefix(DRAFT_PREFIX).partition("-")[0]
    return pid.isdecimal() and int(pid) != os.getpid() and is_alive(int(pid))


def write_whole(path: Path, content: bytes, draft: Path | None = None) -> None:
    """Write a file so that readers see the old one or the new one, never a part.

    Args:
        path: the file.
        content: all of it.
        draft: where it is written first; None: beside it.

    Raises:
        OSError: if the disk takes no more, with the file's name; the file that was there stays.
    """
    draft = draft or draft_of(path)
    try:
        write_synced(draft, content)
        draft.replace(path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        draft.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text as :func:`write_whole` does; a question mark stands for what UTF-8 cannot hold."""
    write_whole(path, text.encode("utf-8", "replace"))


def write_synced(path: Path, content: bytes) -> None:
    """Write a file and wait until it is on disk.

    Raises:
        OSError: with the file's name, which the error of a failed write lacks.
    """
    try:
        with path.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def sync_folder(folder: Path) -> None:
    """Wait until a folder's names are on disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def set_aside(path: Path, folder: Path) -> Path:
    """Move a damaged file or folder out of the way, kept as a backup; return its new path.

    Args:
        path: a file or folder in a study's folder.
        folder: the study's.
    """
    home = folder / DAMAGED_FOLDER
    home.mkdir(exist_ok=True)
    name = "-".join(path.relative_to(folder).parts[1:]) or path.name
    kept = home / f"{name[:200]}.{uuid.uuid4().hex[:8]}"  # a name has at most 255 bytes
    path.rename(kept)
    return kept


def remove_drafts(folder: Path) -> None:
    """Remove the drafts of interrupted writes from a study's folder; call it only while holding the study's lock."""
    for draft in drafts(folder):
        if draft.is_dir():
            shutil.rmtree(draft, ignore_errors=True)
        else:
            draft.unlink(missing_ok=True)
