"""What takes seconds to make, made once: empty databases, as MLflow creates its schema, and a study."""

from __future__ import annotations

import gc
import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before NumPy is imported: two threads wait for each other

from tests.faults.servers import MlflowServer
from tests.sharing import made_once, read_migrations_once
from tests.studies.command import ANSWER, THREE_SEEDS, call

COLLECTED = pytest.StashKey[list[pytest.Item]]()
MEMORY_DISK = Path("/dev/shm")  # noqa: S108 - for folders whose names nobody else knows
MEMORY_FREE = 4 * 2**30
MANY_MODULES = 150
_set_aside = 0  # modules, when the garbage collector was last kept off them


def pytest_configure(config: pytest.Config) -> None:
    """Keep the tests' folders in memory, where there is room: they commit and sync some ten thousand times."""
    writable = os.access(MEMORY_DISK, os.W_OK | os.X_OK)
    if writable and shutil.disk_usage(MEMORY_DISK).free >= MEMORY_FREE:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY_DISK))
    read_migrations_once()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep all tests, the slow ones too, which are left out next."""
    config.stash[COLLECTED] = list(items)


def pytest_runtest_setup() -> None:
    """Keep the garbage collector off what has been imported: libraries by the 100,000 objects, as tests need them."""
    global _set_aside
    if len(sys.modules) > _set_aside + MANY_MODULES:
        gc.collect()
        gc.freeze()
        _set_aside = len(sys.modules)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish() -> None:
    """Let others see again what is there: Hypothesis looks who holds random numbers."""
    gc.unfreeze()


@pytest.fixture(scope="session", autouse=True)
def studies_leave_the_collector_alone() -> Iterator[None]:
    """Spare each study the time to do the same: it counts first what is frozen."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("harness.commands.dispatcher._imports_set_aside", nullcontext)
        yield


@pytest.fixture(scope="session")
def blank_databases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an empty ``mlflow.db`` and an empty ``optuna.db``; copy them, leave them as they are."""
    return made_once(tmp_path_factory, "blank", _create)


def _create(folder: Path) -> None:
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    import optuna
    from mlflow import MlflowClient

    storage = optuna.storages.RDBStorage(f"sqlite:///{folder / 'optuna.db'}")
    storage.remove_session()
    storage.engine.dispose()
    MlflowClient(tracking_uri=f"sqlite:///{folder / 'mlflow.db'}").search_experiments(max_results=1)


@pytest.fixture(scope="session")
def tiny_place(tmp_path_factory: pytest.TempPathFactory, blank_databases: Path) -> Path:
    """Where ``a3c-bench run tiny.toml`` was called, with its answer; copy it before a command is called there."""

    def make(place: Path) -> None:
        shutil.copy(blank_databases / "mlflow.db", place)
        (place / "out" / "tiny").mkdir(parents=True)
        shutil.copy(blank_databases / "optuna.db", place / "out" / "tiny")
        (place / "tiny.toml").write_text(THREE_SEEDS, encoding="utf-8")
        answer = call("run", "tiny.toml", "--jobs", "1", cwd=place)
        (place / ANSWER).write_text(json.dumps(answer), encoding="utf-8")

    return made_once(tmp_path_factory, "tiny", make)


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory, blank_databases: Path) -> Iterator[MlflowServer]:
    """A tracking server of this process's own; each test has an experiment of its own in it."""
    folder = tmp_path_factory.mktemp("server")
    shutil.copy(blank_databases / "mlflow.db", folder)
    server = MlflowServer(folder)
    yield server
    server.close()


@pytest.fixture
def workplace(tmp_path: Path, blank_databases: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory of the test's own, with an empty ``mlflow.db`` in it."""
    shutil.copy(blank_databases / "mlflow.db", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path
