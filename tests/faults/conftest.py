"""Where faults are injected: a lab of the test's own, and a proxy before the tracking server all share."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.servers import MlflowServer, Proxy
from tests.harness.lab import Lab, make_lab, study_data
from tests.sharing import made_once

pytest.register_assert_rewrite("tests.faults.delivery")


@pytest.fixture
def lab(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """Studies of the fake algorithm in a folder of the test's own; see :func:`tests.harness.lab.make_lab`."""
    return make_lab(request, tmp_path, monkeypatch)


@pytest.fixture(scope="session")
def two_runs(tmp_path_factory: pytest.TempPathFactory, blank_databases: Path) -> Path:
    """Where ``study_data(seeds=1, cells=1)`` was run with databases; copy it into a lab that has some."""

    def make(place: Path) -> None:
        shutil.copy(blank_databases / "mlflow.db", place)
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(place)
            Lab(place, blank_databases).run(study_data(seeds=1, cells=1))

    return made_once(tmp_path_factory, "two-runs", make)


@pytest.fixture
def proxy(mlflow_server: MlflowServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """What stands between the study and the server, and lets everything through so far; clients wait for 2 s."""
    import harness.mirrors.mlflow.client  # noqa: F401 - it sets what is not set, for good

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_JITTER", "0.05")
    proxy = Proxy(mlflow_server.port)
    yield proxy
    proxy.close()
