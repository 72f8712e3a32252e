"""Addresses of stores: checked before anything is begun, and remembered with the study, without passwords."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import TypeAdapter

from harness.errors import BadInput, DamagedRecord, Problem
from harness.mirrors.databases import sqlite_path, sqlite_url
from harness.record.folder import OPTUNA_FILE, STORES_FILE
from harness.record.json_file import read_as, write_json
from harness.redaction import redact

MEMORY = "memory:"  # the address of a store that is not kept: see harness/mirrors/memory.py
_DIALECTS = ("sqlite", "postgresql", "mysql", "mssql", "oracle")
_MAX_LENGTH = 4096


def checked_tracking_uri(uri: str | None) -> str | None:
    """Return an MLflow tracking URI that was given, if one was; ``memory:`` is taken, too.

    Raises:
        BadInput: if it can be none.
    """
    return _checked(uri, tracking_uri_problem)


def checked_storage_url(url: str | None) -> str | None:
    """Return an Optuna storage URL that was given, if one was; ``memory:`` is taken, too.

    Raises:
        BadInput: if it can be none.
    """
    return _checked(url, storage_url_problem)


def _checked(uri: str | None, ask: Callable[[str], Problem | None]) -> str | None:
    if uri not in (None, MEMORY) and (problem := ask(uri)) is not None:
        raise BadInput([problem])
    return uri


def tracking_uri_problem(uri: str) -> Problem | None:
    """Return what is wrong with an MLflow tracking URI, as far as can be seen without a request; None if nothing is."""
    return _problem("tracking URI", uri, ("http", "https", *_DIALECTS))


def storage_url_problem(url: str) -> Problem | None:
    """Return what is wrong with an Optuna storage URL, as far as can be seen without a request; None if nothing is."""
    return _problem("storage URL", url, _DIALECTS)


def _problem(field: str, uri: str, schemes: tuple[str, ...]) -> Problem | None:
    try:
        parts = urlsplit(uri)
        host = parts.hostname
        scheme = parts.scheme.split("+")[0]  # a database's driver follows
    except ValueError:  # brackets that no address has
        scheme, host, parts = "", None, urlsplit("")
    if " " in uri and scheme != "sqlite":  # not shown: it could be in a password, which could not be told from text
        return Problem(field, "...", "must hold no space: write %20")
    if len(uri) > _MAX_LENGTH or not uri.isprintable() or scheme not in schemes:
        allowed = f"must be a URI that begins with one of {', '.join(schemes)}, of at most {_MAX_LENGTH} characters"
    elif scheme == "sqlite" and (sqlite_path(uri) is None or parts.path == "/:memory:"):
        allowed = "must name a file: sqlite:///PATH, or sqlite:////PATH where PATH begins at the root"
    elif scheme in ("http", "https") and not host:
        allowed = f"must name a host: {scheme}://HOST:PORT"
    else:
        return None
    return Problem(field, redact(uri), allowed)


@dataclass(frozen=True)
class Stores:
    """The addresses of a study's stores, without passwords; ``storage`` is None for the study's own folder."""

    storage: str | None
    tracking_uri: str


_STORES = TypeAdapter(Stores)


def default_tracking_uri() -> str:
    """Return the store a plain ``mlflow ui`` in the working directory shows."""
    return sqlite_url(Path("mlflow.db"))


def default_storage(folder: Path) -> str:
    """Return the Optuna storage in a study's folder."""
    return sqlite_url(folder / OPTUNA_FILE)


def remember(folder: Path, storage: str | None, tracking_uri: str, warn: Callable[[str], None]) -> None:
    """Write down the addresses of a study's stores, without passwords, for commands that are given none."""
    before = remembered(folder)
    now = Stores(None if storage is None else redact(storage), tracking_uri)
    if before is not None and before.tracking_uri != now.tracking_uri:
        warn(f"the study was tracked at {before.tracking_uri} before: what is there stays as it is")
    if before != now:
        write_json(folder / STORES_FILE, now)


def remembered(folder: Path) -> Stores | None:
    """Return the stores a study was last run with; None if they are not known.

    Raises:
        DamagedRecord: if what was noted cannot be read.
    """
    path = folder / STORES_FILE
    return read_as(path, _STORES) if path.exists() else None


def stores_of(folder: Path, storage: str | None, tracking_uri: str | None) -> tuple[str | None, str | None]:
    """Return both addresses as given, or else as the study was last run with.

    Raises:
        BadInput: if the one to be used holds a password, which is not kept, or what was noted cannot be read.
    """
    try:
        last = remembered(folder) or Stores(None, "")
    except DamagedRecord as error:  # results must not go to stores nobody chose
        if storage is None or tracking_uri is None:
            allowed = "is damaged: both --storage and --tracking-uri must be given, as the study was run with"
            raise BadInput([Problem("stores", str(error.path), allowed)]) from error
        return storage, tracking_uri
    problems = []
    for field, given, kept in (("storage", storage, last.storage), ("tracking URI", tracking_uri, last.tracking_uri)):
        if given is None and kept and "***" in kept:
            problems.append(Problem(field, kept, "must be given: its password is not kept"))
    if problems:
        raise BadInput(problems)
    path = sqlite_path(last.tracking_uri)
    moved = path is not None and not path.exists()  # with the folder it stood in
    return storage or last.storage, tracking_uri or (None if moved else last.tracking_uri or None)
