"""Studies that several tests of reports look at, written once a session."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.record.study import Study, load_study
from tests.reports.synthetic import FakeConfig, plan, realistic, write_once, write_study


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all of a session's processes share."""
    base = tmp_path_factory.getbasetemp()
    return (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "studies"


@pytest.fixture(scope="session")
def main_study(shelf: Path) -> Study:
    """A study of the shape of the project's main one: ten seeds, 16 cells, six of them vacuous. Leave it as it is."""
    return load_study(write_once(shelf / "main", lambda folder: write_study(folder, realistic(10), points=4)))


def noisy(config: FakeConfig) -> float:
    """Far apart with n_step 1, noise alone with 5, the same run in both arms with 15."""
    arm = len(config.target) if config.n_step < 15 else 0
    spread = 0.4 if config.n_step == 5 else 0.05
    noise = np.random.default_rng([config.seed, config.n_step, config.workers, arm]).normal(0, spread)
    return float(0.5 + 0.5 * (config.target == "max_terms" and config.n_step == 1) + noise)


def staged(**changes: Any) -> dict[str, Any]:
    """A study with three looks, half of whose cells are exploratory."""
    return plan(
        **{
            "study": {"name": "example", "seeds": {"looks": [10, 20, 40]}},
            "base": {"rollout_length": 20},
            "sweep": {"target": ["missing_as_zero", "max_terms"], "n_step": [1, 5, 15], "workers": [1, 4]},
            "compare": {
                "factor": "target",
                "baseline": "missing_as_zero",
                "metric": "auc",
                "primary": [{"workers": 1}],
            },
            **changes,
        }
    )


@pytest.fixture(scope="session")
def staged_study(shelf: Path) -> Study:
    """:func:`staged` with all its runs. Leave it as it is."""
    write = lambda folder: write_study(folder, staged(), score=noisy, points=2)  # noqa: E731
    return load_study(write_once(shelf / "staged", write))
