"""Studies whose runs behave as theory says, or not: residuals and scores invented on purpose."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from harness.study.design import PlannedRun
from reports.theory import effective_value
from tests.reports.synthetic import FakeConfig, plan

ARMS = ["missing_as_zero", "max_terms"]
REWARD_VALUE = 40.0


def grid(seeds: int = 5, **changes: Any) -> dict[str, Any]:
    sweep = {"target": ARMS, "rollout_length": [5, 20, "episode"], "n_step": [1, 5, 15], "workers": [1, 4]}
    return plan(study={"name": "x", "seeds": seeds}, sweep=sweep, **changes)


def sees_as_far(config: FakeConfig) -> float:
    """A score that grows with the effective horizon, plus a little that belongs to the seed."""
    horizon = 100.0
    if config.target == "missing_as_zero" and isinstance(config.rollout_length, int):
        horizon = effective_value(config.rollout_length, config.n_step, config.gamma)
    own = np.random.default_rng([config.seed, config.workers, config.n_step, len(config.target)]).normal(0, 0.003)
    return float(horizon / 100 + 0.01 * config.seed + own)


def residuals_of(run: PlannedRun, *, bias: float = 0.0, distances: int | None = None) -> pd.DataFrame:
    """What a run leaves whose critic is unbiased but for ``bias``: γ^d·b is missing where d ≤ n."""
    config = run.config
    assert isinstance(config, FakeConfig)
    cut = isinstance(config.rollout_length, int)
    length = config.rollout_length if isinstance(config.rollout_length, int) else 64
    d = pd.Series(range(1, (distances or length) + 1))
    shift = (config.gamma**d * REWARD_VALUE).where((d <= config.n_step) & cut, 0.0)
    residual = bias - shift * (config.target == "missing_as_zero")
    return pd.DataFrame(
        {"distance": d, "count": 200, "residual": 9.0, "shift": 9.0, "count_late": 100 + config.seed,
         "residual_late": residual + 0.01 * config.seed, "shift_late": shift}
    )  # fmt: skip


def with_residuals(run: PlannedRun, output: dict[str, Any]) -> None:
    output["tables"]["residuals"] = residuals_of(run)
