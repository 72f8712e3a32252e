"""Empty databases, made once: MLflow takes seconds to create its schema, a copy takes a moment."""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path

import pytest

COLLECTED = pytest.StashKey[list[pytest.Item]]()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep all tests, the slow ones too, which are left out next."""
    config.stash[COLLECTED] = list(items)


@pytest.fixture(scope="session")
def blank_databases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an empty ``mlflow.db`` and an empty ``optuna.db``; copy them, leave them as they are."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # all workers share it
    folder = folder / "blank"
    folder.mkdir(exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "mlflow.db").exists():
            _create(folder)
    return folder


def _create(folder: Path) -> None:
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    import optuna
    from mlflow import MlflowClient

    storage = optuna.storages.RDBStorage(f"sqlite:///{folder / 'optuna.db'}")
    storage.remove_session()
    storage.engine.dispose()
    MlflowClient(tracking_uri=f"sqlite:///{folder / 'draft.db'}").search_experiments(max_results=1)
    (folder / "draft.db").rename(folder / "mlflow.db")


@pytest.fixture
def workplace(tmp_path: Path, blank_databases: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory of the test's own, with an empty ``mlflow.db`` in it."""
    shutil.copy(blank_databases / "mlflow.db", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path
