"""Study folders as the harness writes them, with runs invented in a moment instead of trained."""

from __future__ import annotations

import fcntl
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict

from harness.algorithm.output import PlainResult, RunOutput
from harness.algorithm.protocol import Algorithm
from harness.algorithm.traits import MetricTraits
from harness.record.attempt import Failure, write_failure
from harness.record.folder import RUNS_FOLDER
from harness.record.plan import write_plan
from harness.record.run import RunRecord, write_record
from harness.record.study import Study, load_study
from harness.study.checks import parse_spec
from harness.study.design import Design, PlannedRun, expand
from studies.algorithms.a3c import METRIC_TRAITS

ALGORITHM = Algorithm(config=f"{__name__}:FakeConfig", train=f"{__name__}:FakeConfig")
PROVENANCE = {
    "commit": "0123456789abcdef0123456789abcdef01234567",
    "dirty": False,
    "versions": {"python": "3.11.2", "numpy": "2.4.0"},
    "cpu": "An Imaginary CPU @ 3 GHz",
    "command": "a3c-bench run example",
}


class FakeConfig(BaseModel):
    """The settings a run is invented from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    env_id: str = "CartPole-v1"
    workers: int = 4
    n_step: int = 5
    rollout_length: int | str = 5
    target: str = "max_terms"
    gamma: float = 0.99
    schedule: str = "round_robin"
    total_steps: int | None = 50_000
    total_episodes: int | None = None
    learning_rate: float = 0.001
    seed: int = 0

    @staticmethod
    def default_metric() -> str:
        return "auc"

    def metric_traits(self) -> dict[str, MetricTraits]:
        return METRIC_TRAITS

    def effective(self) -> dict[str, Any]:
        settings = self.model_dump()
        if isinstance(self.rollout_length, int):
            settings["n_step"] = min(self.n_step, self.rollout_length)
        return settings


def plan(**changes: Any) -> dict[str, Any]:
    """A small study as plain data; pass whole tables to replace them."""
    return {
        "study": {"name": "example", "question": "Does the tail rule matter?", "seeds": 5},
        "base": {},
        "sweep": {"target": ["missing_as_zero", "max_terms"]},
        "compare": {"factor": "target", "baseline": "missing_as_zero", "metric": "auc"},
        **changes,
    }


def realistic(seeds: int = 5) -> dict[str, Any]:
    """The shape of the project's main study."""
    return plan(
        study={
            "name": "missing_vs_max",
            "question": "Does treating a target's missing terms as zero, instead of using all terms there are, change "
            "how an asynchronous actor-critic learns?",
            "seeds": seeds,
        },
        sweep={
            "target": ["missing_as_zero", "max_terms"],
            "rollout_length": [5, 20, "episode"],
            "n_step": [1, 5, 15],
            "workers": [1, 4],
        },
    )


Score = Callable[[FakeConfig], float]
Change = Callable[[PlannedRun, dict[str, Any]], None]


def write_study(
    folder: Path,
    data: Mapping[str, Any],
    *,
    score: Score | None = None,
    skip: Callable[[PlannedRun], bool] = lambda run: False,
    fail: Callable[[PlannedRun], bool] = lambda run: False,
    diverge: Callable[[PlannedRun], bool] = lambda run: False,
    change: Change = lambda run, output: None,
    points: int = 8,
) -> Study:
    """Plan a study, invent its runs, write everything without waiting for the disk, read it back.

    Args:
        folder: the study's folder, made if needed.
        data: the study file as plain data.
        score: the level a run's curve reaches; a plausible one by default.
        skip: runs that are not there yet.
        fail: runs that failed.
        diverge: runs that diverged half-way and hold no auc.
        change: may edit the fields of a run's output before it is written.
        points: evaluations per run.
    """
    design = expand(parse_spec(data), ALGORITHM)
    folder.mkdir(parents=True, exist_ok=True)
    with mock.patch("os.fsync"):
        write_plan(folder, design, PROVENANCE)
        for run in design.runs:
            if skip(run):
                continue
            if fail(run):
                _write_failure(folder, run)
                continue
            output = invent(run, score or plausible_score, diverged=diverge(run), points=points)
            change(run, output)
            record = _record(design, run, output, folder)
            write_record(folder / RUNS_FOLDER, record, RunOutput.of(PlainResult(**output)))
    return load_study(folder)


def write_once(folder: Path, write: Callable[[Path], object]) -> Path:
    """Have something written into a folder once, by whichever of several processes comes first; return the folder."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f".{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            draft = folder.with_name(f"{folder.name}.{os.getpid()}")
            write(draft)
            draft.rename(folder)
    return folder


def differing_share(config: FakeConfig) -> float:
    if not isinstance(config.rollout_length, int):
        return 0.0
    return round(min(config.n_step, config.rollout_length) / config.rollout_length * 0.6, 4)


def plausible_score(config: FakeConfig) -> float:
    """All that share a seed and have the same targets score the same; else missing_as_zero suffers."""
    noise = np.random.default_rng([config.seed, config.workers, config.n_step]).normal(0, 0.06)
    loss = 0.0 if config.target == "max_terms" else differing_share(config)
    own = 0.0
    if differing_share(config):
        own = np.random.default_rng([config.seed, len(config.target), config.n_step, config.workers]).normal(0, 0.05)
    return float(0.75 + 0.02 * config.workers - loss + noise + own)


def invent(run: PlannedRun, score: Score, *, diverged: bool, points: int) -> dict[str, Any]:
    """Make up what one run returned, the fields of a :class:`PlainResult`."""
    config = run.config
    assert isinstance(config, FakeConfig)
    level = score(config)
    random = np.random.default_rng([config.seed, round(abs(level) * 1e9)])
    by_episode = config.total_episodes is not None
    budget = config.total_episodes if config.total_episodes is not None else config.total_steps
    assert budget is not None
    kept = points // 2 if diverged else points
    grid = np.linspace(0, budget, points + 1)[1:].round().astype(int)[:kept]
    progress = 1 - np.exp(-4 * grid / budget)
    scaled = level * 1.2 * progress + random.normal(0, 0.03, kept)
    returns = 22 + scaled * (475 - 22)
    metrics = {
        "steps": float(budget),
        "staleness_mean": config.workers - 1.0,
        "staleness_median": config.workers - 1.0,
        "staleness_max": config.workers - 1.0,
        "differing_target_share": differing_share(config),
        "mean_target_shift": differing_share(config) * 8,
        "random_return": 22.0,
        "reward_threshold": 475.0,
    }
    if not diverged:
        metrics |= {"auc": level, "final": float(scaled[-1]), "steps_to_threshold": budget * (1.5 - level)}
    count = (config.total_episodes or 100) // (2 if diverged else 1)
    step = np.linspace(20, budget if not by_episode else 80 * count, count).round().astype(int)
    episodes = 22 + (1 - np.exp(-4 * np.arange(count) / count)) * level * 450 * random.uniform(0.6, 1.4, count)
    parameters = np.random.default_rng([config.seed, round(abs(level) * 1e9)]).normal(size=32).astype(np.float32)
    return {
        "outcome": "diverged" if diverged else "complete",
        "metrics": metrics,
        "timings": {
            "steps_per_second": 40_000 + 3_000 * math.log2(config.workers) + random.normal(0, 800),
            "train_seconds": 1.25,
            "evaluation_seconds": 0.5,
        },
        "curves": {"evaluation_return": [(int(s), float(v)) for s, v in zip(grid, returns, strict=True)]},
        "tables": {
            "episodes": pd.DataFrame({"step": step, "return": episodes, "length": episodes, "worker": 0}),
            "evaluations": pd.DataFrame(
                {"grid": grid, "step": grid, "return": returns, "std": 1.0, "length": returns, "scaled": scaled}
            ),
        },
        "arrays": {"parameters": {"parameters": parameters}},
    }


def _record(design: Design, run: PlannedRun, output: Mapping[str, Any], folder: Path) -> RunRecord:
    return RunRecord(
        run=run.id,
        cell=run.cell.id,
        arm=run.arm,
        seed=run.seed,
        levels={**run.cell.levels, design.spec.compare.factor: run.arm},
        attempt=1,
        outcome=output["outcome"],
        metrics=output["metrics"],
        timings=output["timings"],
        started=1_700_000_000.0,
        seconds=1.75,
        config=run.config.model_dump(mode="json"),
        provenance=PROVENANCE,
        folder=folder,
    )


def _write_failure(folder: Path, run: PlannedRun) -> None:
    write_failure(folder, Failure(run.id, run.cell.id, run.arm, run.seed, 3, "killed by signal 9"))
