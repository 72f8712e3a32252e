"""What is used of MLflow, and how: the only file that imports it.

Its own defaults wait for minutes, and lose what was carried out but answered badly; requests made here end in time and
are made again.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
from mlflow.exceptions import RestException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from harness.databases import explain, redact
from harness.errors import HarnessError, StoreUnavailable

__all__ = [
    "Experiment", "Metric", "MlflowClient", "Param", "RestException", "Run", "RunInfo", "RunTag", "asked",
    "get_artifact_repository", "impatient", "is_server", "search", "store_errors",
]  # fmt: skip

ASK_AGAIN, ASK_AGAIN_SECONDS = 2, 5.0  # times, and for how long, a request is made anew whose answer was cut off
PAGE = 1000


def search(client: MlflowClient, experiment_id: str, condition: str = "") -> Iterator[Run]:
    """Yield the runs of an experiment that meet a condition, in MLflow's own language."""
    token: str | None = None
    while True:
        page = asked(client.search_runs, [experiment_id], condition, ViewType.ACTIVE_ONLY, PAGE, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def asked(ask: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Make a request, and make it again where its answer was lost on the way: the library does so only for some.

    All that is asked may be asked twice: runs made twice are found and put aside.
    """
    began = time.monotonic()
    for _ in range(ASK_AGAIN):
        try:
            return ask(*arguments, **options)
        except RestException:  # the server answered, and said no
            raise
        except Exception:
            if time.monotonic() - began > ASK_AGAIN_SECONDS:
                raise
    return ask(*arguments, **options)


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
    """Whether a tracking URI is a server's, which may lose requests and answers."""
    return uri.startswith(("http://", "https://"))


@contextmanager
def store_errors(uri: str) -> Iterator[None]:
    """Name the store in whatever goes wrong with it."""
    try:
        yield
    except HarnessError:
        raise
    except Exception as error:
        raise StoreUnavailable(f"MLflow cannot use {redact(uri)}: {explain(error)}") from error
