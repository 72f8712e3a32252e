"""SQLite databases that are there whole or not at all, and URIs that may be shown."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

_SQLITE = "sqlite:///"


def sqlite_url(path: Path) -> str:
    """Return the SQLAlchemy URL of a SQLite file, absolute so that it means the same everywhere."""
    return f"{_SQLITE}{path.absolute()}"


def sqlite_path(url: str) -> Path | None:
    """Return the file behind a ``sqlite:///`` URL, or None for any other store."""
    return Path(url.removeprefix(_SQLITE)) if url.startswith(_SQLITE) and url != _SQLITE else None


def ensure_database(url: str, create: Callable[[str], None]) -> None:
    """Create a SQLite database unless it is there; other stores are left to their libraries.

    MLflow and Optuna write their schema in several transactions: killed in between they leave a database that
    never works again. So it is created under another name and appears by one link.

    Args:
        url: where it is to be.
        create: makes the database at the URL it is given, and closes it.
    """
    path = sqlite_path(url)
    if path is None:
        return
    _remove_abandoned(path)
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.creating-{os.getpid()}")
    draft.unlink(missing_ok=True)  # an earlier process of the same number left it
    try:
        create(sqlite_url(draft))
        try:
            os.link(draft, path)
        except FileExistsError:  # another process was first: theirs is as good
            pass
        except OSError:  # a file system without links
            if not path.exists():
                draft.rename(path)
    finally:
        draft.unlink(missing_ok=True)


def _remove_abandoned(path: Path) -> None:
    """Remove the half-made databases of processes that no longer run."""
    for draft in path.parent.glob(f"{path.name}.creating-*"):
        pid = draft.name.split("creating-")[1].split("-")[0]
        if pid.isdecimal() and not is_alive(int(pid)):
            draft.unlink(missing_ok=True)


def is_alive(pid: int) -> bool:
    """Whether a process of this machine runs."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # it is somebody else's
        pass
    return True


def explain(error: BaseException) -> str:
    """Return the first line of what went wrong, without passwords."""
    return redact(next(iter(str(error).strip().splitlines()), type(error).__name__))


def redact(text: str) -> str:
    """Hide user names and passwords of every URI in a text."""
    return re.sub(r"://[^/\s]+@", "://***@", text)
