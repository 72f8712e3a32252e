"""SQLite databases that exist whole or not at all, and what goes wrong with databases explained in one line."""

from __future__ import annotations

import errno
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from harness.errors import BadInput, HarnessError, Problem, StoreUnavailable
from harness.machine import is_alive
from harness.redaction import redact

LOCK_SECONDS = 60.0  # how long a database that another program has locked is waited for
_TRY_SECONDS = 0.2
_SQLITE = "sqlite:///"
_WITH_DRIVER = "sqlite+pysqlite:///"  # the same with its default driver named


def sqlite_url(path: Path) -> str:
    """Return the SQLAlchemy URL of a SQLite file, absolute so that it means the same everywhere.

    Raises:
        BadInput: if no URL can name it.
    """
    if "?" in str(path.absolute()):
        raise BadInput([Problem("folder", str(path.absolute().parent), "must not hold a '?', which ends a URL's path")])
    return f"{_SQLITE}{path.absolute()}"


def sqlite_path(url: str) -> Path | None:
    """Return the file behind a ``sqlite:///`` URL, or None for any other store."""
    prefix = _WITH_DRIVER if url.startswith(_WITH_DRIVER) else _SQLITE
    name = url.removeprefix(prefix).partition("?")[0]
    return Path(name) if url.startswith(prefix) and name else None


def is_missing(url: str) -> bool:
    """Return whether a URL names a SQLite file that is missing or empty; the libraries would create it by reading."""
    path = sqlite_path(url)
    return path is not None and (not path.exists() or (path.is_file() and path.stat().st_size == 0))


def ensure_database(
    url: str, create: Callable[[str], None], waiting: Callable[[Path], None] = lambda path: None
) -> None:
    """Create a SQLite database, or wait until the one there can be written to; other stores are the libraries' own.

    MLflow and Optuna write their schema in several transactions: killed in between they leave a database that
    never works again. So it is created under another name and appears by one link.

    Args:
        url: where it is to be.
        create: makes the database at the URL it is given, and closes it.
        waiting: called now and then with its path while another program holds a lock on it; what it raises ends the
            wait.

    Raises:
        OSError: if its folder cannot be written to.
        sqlite3.Error: if it stays locked, cannot be written to, or is no database.
    """
    path = sqlite_path(url)
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    for place in (path.parent, path):  # SQLite keeps its journal in the folder
        if place.exists() and not os.access(place, os.W_OK):
            raise OSError(errno.EACCES, "cannot be written to", str(place))
    _remove_abandoned(path)
    if path.exists():
        _wait_until_usable(path, waiting)
    else:
        _create(path, create)


def _create(path: Path, create: Callable[[str], None]) -> None:
    draft = path.with_name(f"{path.name}.creating-{os.getpid()}")
    draft.unlink(missing_ok=True)  # an earlier process of the same number left it
    try:
        draft.touch()  # fails at once if it cannot be made; the libraries try for minutes
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


def _wait_until_usable(path: Path, waiting: Callable[[Path], None]) -> None:
    """Take a writer's lock and let it go; nothing in the database is touched."""
    deadline = time.monotonic() + LOCK_SECONDS
    with closing(sqlite3.connect(path, timeout=_TRY_SECONDS, isolation_level=None)) as connection:
        while True:
            try:
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("ROLLBACK")
                return
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise
            waiting(path)


def _remove_abandoned(path: Path) -> None:
    """Remove the half-made databases of processes that no longer run."""
    for draft in path.parent.glob(f"{path.name}.creating-*"):
        pid = draft.name.split("creating-")[1].split("-")[0]
        if pid.isdecimal() and not is_alive(int(pid)):
            draft.unlink(missing_ok=True)


def explain(error: BaseException) -> str:
    """Return the first line of an error's message, without passwords; of a database's the database's own."""
    cause: BaseException | None = error
    while cause is not None:
        if type(cause).__module__.startswith(("sqlalchemy", "sqlite3")):
            error = cause
        cause = cause.__cause__
    return redact(next(iter(str(error).strip().splitlines()), type(error).__name__))


@contextmanager
def explained(what: str, after: str = "") -> Iterator[None]:
    """Raise whatever goes wrong in one line: ``what``, the reason, and ``after``; the harness's own errors as they are.

    Raises:
        StoreUnavailable: if anything goes wrong.
    """
    try:
        yield
    except HarnessError:
        raise
    except Exception as error:
        raise StoreUnavailable(f"{what}: {explain(error)}{after}") from error
