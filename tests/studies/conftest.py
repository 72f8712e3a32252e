"""A study of the fake algorithm, made once, for what is done with its stores afterwards."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from harness import Study
from tests.harness.lab import Lab, study_data
from tests.sharing import copy_place, made_once, read_migrations_once, set_imports_aside


@pytest.fixture(autouse=True)
def imports_set_aside() -> None:
    read_migrations_once()
    set_imports_aside()


@pytest.fixture
def lab(workplace: Path, blank_databases: Path) -> Lab:
    return Lab(workplace, blank_databases)


@pytest.fixture
def finished(lab: Lab, four_runs: Path) -> Study:
    """A study of four runs that is finished, in the lab."""
    copy_place(four_runs, lab.folder)
    return lab.study()


@pytest.fixture(scope="session")
def four_runs(tmp_path_factory: pytest.TempPathFactory, blank_databases: Path) -> Path:
    """Where ``study_data(seeds=1)`` was run; copy it."""

    def make(place: Path) -> None:
        shutil.copy(blank_databases / "mlflow.db", place)
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(place)
            Lab(place, blank_databases).run(study_data(seeds=1))

    return made_once(tmp_path_factory, "four-runs", make)
