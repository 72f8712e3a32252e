"""The parts of MLflow in use, with patience of our own: the only file that imports it.

Its own defaults wait for minutes, and lose what was carried out but answered badly; requests made here end in time and
are made again.
"""

from __future__ import annotations

import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # two lines a run, and a request to make them
# left to itself one request to a dead server takes four minutes, to a hanging one twenty
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "1")
os.environ.setdefault("MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER", "false")

from mlflow import MlflowClient
from mlflow.entities import Experiment, Metric, Param, Run, RunInfo, RunTag, ViewType
from mlflow.exceptions import MlflowException, RestException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from harness.mirrors.databases import explain, explained
from harness.redaction import redact

__all__ = [
    "Experiment", "Metric", "MlflowClient", "Param", "RestException", "Run", "RunInfo", "RunTag", "asked",
    "impatient", "is_refusal", "is_server", "search", "store_errors", "upload", "upload_text",
]  # fmt: skip

# what goes wrong with a database is raised, too, and explained in one line; this logger names every table it makes
logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)

ASK_AGAIN, ASK_AGAIN_SECONDS = 2, 5.0  # times, and for how long, a request is made anew whose answer was cut off
PAGE = 1000
MAX_REASON = 200  # characters of an answer that is not MLflow's


def search(client: MlflowClient, experiment_id: str, condition: str = "") -> Iterator[Run]:
    """Yield the runs of an experiment that meet a condition, in MLflow's own language."""
    token: str | None = None
    while True:
        page = asked(client.search_runs, [experiment_id], condition, ViewType.ACTIVE_ONLY, PAGE, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


class Unanswered(Exception):
    """A server did not answer, or not as MLflow's does."""


def asked(ask: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Make a request, and make it again where its answer was lost on the way: the library does so only for some.

    All that is asked may be asked twice: runs made twice are found and put aside when a command begins or ends.

    Raises:
        Unanswered: if the server did not answer, in a few words: the library's message holds the whole chain of errors,
            or the whole of some page.
    """
    last = time.monotonic() + ASK_AGAIN_SECONDS
    for left in reversed(range(ASK_AGAIN + 1)):
        try:
            return ask(*arguments, **options)
        except RestException:  # the server answered, and refused
            raise
        except Exception as error:
            if left and time.monotonic() <= last:
                continue
            if _is_of_http(error):
                raise Unanswered(_bottom(error)) from error
            raise
    raise AssertionError("the last try returns or raises")


def is_refusal(error: Exception) -> bool:
    """Return whether MLflow answers that it will never take what it was given (status 4xx), not that it cannot now."""
    if not isinstance(error, MlflowException) or type(error.__cause__).__module__.startswith("sqlalchemy"):
        return False  # MLflow calls a request bad where its database is broken, too
    return 400 <= error.get_http_status_code() < 500 and error.get_http_status_code() not in (408, 429)


def _is_of_http(error: Exception) -> bool:
    """Return whether an error is MLflow's about a request, or requests' own, which are OSErrors without a number."""
    return str(error).startswith("API request to") or (isinstance(error, OSError) and error.errno is None)


def _bottom(error: BaseException) -> str:
    """Return the first cause of an error, as a piece of a line."""
    while (below := error.__cause__ or error.__context__ or _wrapped(error)) is not None:
        error = below
    text = explain(error)
    return (text if text.isprintable() else ascii(text))[:MAX_REASON]


def _wrapped(error: BaseException) -> BaseException | None:
    """Return the error that another holds as its argument, as urllib3's do."""
    return next((argument for argument in error.args if isinstance(argument, BaseException)), None)


def upload(run: RunInfo, paths: Sequence[Path], uri: str) -> None:
    """Send files to a run's artifacts and check that a server has them: the library takes any page for success.

    Args:
        run: by whose address it is done; the client would read the whole run to find it.
        paths: the files.
        uri: tracking URI.

    Raises:
        Unanswered: if not all of it has come.
        OSError: if a folder on this machine takes no more, with its name.
    """
    artifacts = get_artifact_repository(run.artifact_uri, uri)
    folder = getattr(artifacts, "artifact_dir", None)
    if folder is not None and not is_server(uri):
        for torn in Path(folder).glob(".artifact.uploading.*"):
            torn.unlink(missing_ok=True)  # left by a process that died while it uploaded
    for path in paths:
        with _named(folder):
            asked(artifacts.log_artifact, str(path))
    if is_server(uri):
        come = {file.path: file.file_size or 0 for file in asked(artifacts.list_artifacts)}
        if lost := [path.name for path in paths if come.get(path.name) != path.stat().st_size]:
            raise Unanswered(f"it was sent {', '.join(lost)} and does not have it")


def upload_text(run: RunInfo, text: str, name: str, uri: str) -> None:
    """Send a text as :func:`upload` does a file of that name."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        with _named(folder):
            path.write_text(text, encoding="utf-8", errors="backslashreplace")
        upload(run, [path], uri)


@contextmanager
def _named(folder: str | None) -> Iterator[None]:
    """Name a folder in an error of the file system, which names no file where a write fails."""
    try:
        yield
    except OSError as error:
        if error.errno is None or folder is None:  # requests' own, or of no folder
            raise
        raise OSError(f"{error.filename or folder}: {error.strerror}") from error


@contextmanager
def impatient() -> Iterator[None]:
    """Give a server a few seconds to answer, whatever else is set: it is asked whether it is there."""
    changes = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "3", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def is_server(uri: str) -> bool:
    """Return whether a tracking URI is a server's, which may lose requests and answers."""
    return uri.startswith(("http://", "https://"))


def store_errors(uri: str) -> AbstractContextManager[None]:
    """Name the store in whatever goes wrong with it."""
    return explained(f"MLflow cannot use {redact(uri)}")
