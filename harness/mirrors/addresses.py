"""URIs of stores: which can be any store's, told before anything is begun."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

from harness.errors import BadInput, Problem
from harness.mirrors.databases import sqlite_path
from harness.redaction import redact

_DIALECTS = ("sqlite", "postgresql", "mysql", "mssql", "oracle")
_MAX_LENGTH = 4096


def checked_tracking_uri(uri: str | None) -> str | None:
    """Return an MLflow tracking URI that was given, if one was.

    Raises:
        BadInput: if it can be none.
    """
    return _checked(uri, tracking_uri_problem)


def checked_storage_url(url: str | None) -> str | None:
    """Return an Optuna storage URL that was given, if one was.

    Raises:
        BadInput: if it can be none.
    """
    return _checked(url, storage_url_problem)


def _checked(uri: str | None, ask: Callable[[str], Problem | None]) -> str | None:
    if uri is not None and (problem := ask(uri)) is not None:
        raise BadInput([problem])
    return uri


def tracking_uri_problem(uri: str) -> Problem | None:
    """Say what is wrong with an MLflow tracking URI, as far as it can be seen without trying it."""
    return _problem("tracking URI", uri, ("http", "https", *_DIALECTS))


def storage_url_problem(url: str) -> Problem | None:
    """Say what is wrong with an Optuna storage URL, as far as it can be seen without trying it."""
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
