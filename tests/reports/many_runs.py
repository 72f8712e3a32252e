"""Studies of thousands of runs on disk, invented in minutes, to see what a report over them costs.

By hand, from a checkout (``PYTHONPATH=.`` unless the project is installed)::

    PYTHONPATH=. python tests/reports/many_runs.py --shape wide --runs 10000 --out out/wide
    a3c-bench report out/wide

``wide`` is many cells with few seeds (500 cells × 2 arms × 10 seeds at 10,000 runs), ``deep`` few cells with many
seeds (25 × 2 × 200). Files are what :func:`harness.record.run.write_record` writes, of the sizes a real run of 40,000
CartPole steps leaves, but nothing is synced to the disk and an update log is made once for all runs alike in it.
"""

from __future__ import annotations

import argparse
import functools
import io
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from harness.algorithm.output import CURVES_FILE, PlainResult, RunOutput
from harness.record.folder import CONFIG_FILE, RECORD_FILE, RUNS_FOLDER
from harness.record.json_file import SCHEMA
from harness.record.plan import write_plan
from harness.record.run import RunRecord
from harness.study.checks import parse_spec
from harness.study.design import Design, PlannedRun, expand
from studies import A3C

STEPS = 40_000
EVALUATIONS = 20
PARAMETERS = 1667
RANDOM, THRESHOLD, BEST = 22.59, 475.0, 500.0
PROVENANCE = {
    "commit": "0123456789abcdef0123456789abcdef01234567",
    "dirty": False,
    "versions": {"python": "3.11.7", "gymnasium": "1.4.0", "numpy": "2.4.6", "pandas": "3.1.1", "torch": "2.13.0"},
    "cpu": "An Imaginary CPU @ 3 GHz",
    "cores": 2,
    "command": "many_runs.py",
}
REGIMES = {
    "t5": {"rollout_length": 5, "bootstrap_truncated": True},
    "t20": {"rollout_length": 20, "bootstrap_truncated": True},
    "t50": {"rollout_length": 50, "bootstrap_truncated": True},
    "episode": {"rollout_length": "episode", "bootstrap_truncated": False},
}
SWEEPS: dict[str, dict[str, Any]] = {
    "wide": {  # 600 combinations; with rollouts of 5 steps every n_step from 5 on is the same: 500 cells
        "workers": [1, 2, 4, 8, 16],
        "n_step": [1, 5, 8, 10, 15, 20],
        "regime": REGIMES,
        "learning_rate": [1e-4, 3e-4, 1e-3, 3e-3, 1e-2],
    },
    "deep": {  # 30 combinations, 25 cells
        "workers": [1, 2, 4, 8, 16],
        "n_step": [1, 5, 20],
        "regime": {name: REGIMES[name] for name in ("t5", "episode")},
    },
}
CELLS = {"wide": 500, "deep": 25}


def shaped(shape: str, seeds: int) -> dict[str, Any]:
    """A study of one of the shapes, as plain data."""
    return {
        "study": {"name": f"many runs, {shape}", "question": "What does a report over many runs cost?", "seeds": seeds},
        "base": {"env_id": "CartPole-v1", "total_steps": STEPS},
        "sweep": {**SWEEPS[shape], "target": ["missing_as_zero", "max_terms"]},
        "compare": {"factor": "target", "baseline": "missing_as_zero", "metric": "auc"},
    }


def write_many(folder: Path, data: Mapping[str, Any]) -> Design:
    """Plan a study, invent every run of it and write everything; a folder must not hold a study already."""
    design = expand(parse_spec(data), A3C)
    (folder / RUNS_FOLDER).mkdir(parents=True)
    write_plan(folder, design, PROVENANCE)
    for run in design.runs:
        output = invent(run)
        write_quickly(folder / RUNS_FOLDER / run.id, recorded(run, output), output)
    return design


def invent(run: PlannedRun) -> PlainResult:
    """Make up a run: learning that saturates, slower where targets lose their tail; some runs diverge."""
    config = run.config.model_dump()
    share = _share(config)
    random = np.random.default_rng(_entropy(run, share))
    half_way = 0.4 + random.normal(0, 0.06) + 0.25 * share * (config["target"] == "missing_as_zero")
    pace = 10 * random.lognormal(0, 0.2)
    diverged = share > 0 and random.random() < (0.05 if config["learning_rate"] >= 0.01 else 0.001)
    kept = EVALUATIONS // 2 if diverged else EVALUATIONS
    grid = np.arange(1, EVALUATIONS + 1)[:kept] * (STEPS // EVALUATIONS)
    level = 1 / (1 + np.exp(-pace * (grid / STEPS - half_way)))
    returns = np.clip(RANDOM + level * (BEST - RANDOM) + random.normal(0, 30, kept), 9, BEST).round(2)
    scaled = (returns - RANDOM) / (THRESHOLD - RANDOM)
    episodes = _episodes(random, half_way, config["workers"], STEPS // (2 if diverged else 1))
    seconds = float(random.uniform(4, 7))
    metrics = {
        "steps": float(episodes["step"][-1]),
        "updates": float(len(_updates(config["workers"], str(config["rollout_length"]))["step"])),
        "episodes": float(len(episodes["step"])),
        "training_return_last_100": float(episodes["return"][-100:].mean()),
        **{f"staleness_{name}": config["workers"] - 1.0 for name in ("mean", "median", "max")},
        "differing_target_share": share,
        "mean_target_shift": share * 40,
        "random_return": RANDOM,
        "reward_threshold": THRESHOLD,
    }
    return PlainResult(
        outcome="diverged" if diverged else "complete",
        metrics=metrics if diverged else {**metrics, **_measures(scaled, returns, grid)},
        timings={"train_seconds": seconds, "evaluation_seconds": 0.05, "steps_per_second": STEPS / seconds},
        curves=_curves(random, grid, returns, episodes),
        tables={
            "episodes": episodes,
            "evaluations": {
                "grid": grid,
                "step": grid,
                "return": returns,
                "std": random.uniform(5, 40, kept),
                "length": returns,
                "scaled": scaled,
            },
        },
        arrays={
            "parameters": {"parameters": random.normal(0, 0.1, PARAMETERS).astype(np.float32)},
            "updates": _updates(config["workers"], str(config["rollout_length"])),
        },
    )


def recorded(run: PlannedRun, result: PlainResult) -> RunRecord:
    """The record of an invented run."""
    return RunRecord.of(
        RunOutput(result.outcome, result.metrics, result.timings, {"engine": "compiled"}),
        run=run.id,
        cell=run.cell.id,
        arm=run.arm,
        seed=run.seed,
        levels=run.levels,
        attempt=1,
        started=1_700_000_000.0,
        seconds=result.timings["train_seconds"] + 0.1,
        config=run.config.model_dump(mode="json"),
        provenance=PROVENANCE,
    )


def write_quickly(folder: Path, record: RunRecord, result: PlainResult) -> None:
    """Write the files that ``write_record`` would, for tables of plain numbers, without drafts and syncs."""
    folder.mkdir()
    for name, table in result.tables.items():
        (folder / f"{name}.csv").write_text(_csv(table))
    for name, arrays in result.arrays.items():
        (folder / f"{name}.npz").write_bytes(_npz(arrays))
    rows = [f"{name},{step},{value!r}" for name, curve in result.curves.items() for step, value in curve]
    (folder / CURVES_FILE).write_text("\n".join(["metric,step,value", *rows, ""]))
    body = {key: value for key, value in asdict(record).items() if key not in ("config", "folder")}
    for name, content in ((CONFIG_FILE, record.config), (RECORD_FILE, {"schema": SCHEMA, **body})):
        (folder / name).write_text(json.dumps(content, indent=1, ensure_ascii=False))


def _entropy(run: PlannedRun, share: float) -> list[int]:
    """Seeds of a run's random numbers: arms whose targets never differ share them, and so every bit."""
    who = f"{run.cell.id} {run.arm if share else ''}"
    return [run.seed, *who.encode()]


def _share(config: Mapping[str, Any]) -> float:
    length = config["rollout_length"]
    return 0.0 if length == "episode" else round(min(config["n_step"], length) / length * 0.9, 6)


def _episodes(random: np.random.Generator, half_way: float, workers: int, steps: int) -> dict[str, Any]:
    """Training episodes until the steps are spent, longer and longer; some hundreds of rows."""
    wanted = 20 + 400 / (1 + np.exp(-np.arange(4000) / 100 + 10 * half_way))
    lengths = np.clip(wanted * random.uniform(0.2, 1.2, 4000), 9, BEST).astype(int)
    ends = lengths.cumsum()
    count = int(np.searchsorted(ends, steps)) + 1
    return {
        "step": ends[:count],
        "return": lengths[:count].astype(float),
        "length": lengths[:count],
        "worker": random.integers(0, workers, count),
    }


def _measures(scaled: Any, returns: Any, grid: Any) -> dict[str, float]:
    solved = np.flatnonzero(scaled >= 1)
    return {
        "auc": float(scaled.mean()),
        "final": float(scaled[-2:].mean()),
        "best": float(scaled.max()),
        "final_return": float(returns[-2:].mean()),
        "collapsed": float(scaled[-2:].mean() < scaled.max() / 2),
        "solved": float(solved.size > 0),
        "steps_to_threshold": float(grid[solved[0]] if solved.size else STEPS),
    }


def _curves(random: np.random.Generator, grid: Any, returns: Any, episodes: Mapping[str, Any]) -> dict[str, Any]:
    thin = slice(None, None, max(1, len(episodes["step"]) // 100))
    bins = np.linspace(STEPS // 50, STEPS, 50).astype(int)
    curves = {
        "evaluation_return": (grid, returns),
        "training_return": (episodes["step"][thin], episodes["return"][thin]),
    }
    curves |= {name: (bins, random.normal(size=50)) for name in ("actor_loss", "critic_loss", "entropy", "staleness")}
    return {name: list(zip(x.tolist(), y.tolist(), strict=True)) for name, (x, y) in curves.items()}


@functools.cache
def _updates(workers: int, rollout_length: str) -> dict[str, Any]:
    """The update log of a round-robin run, one array object per kind of run."""
    length = 60 if rollout_length == "episode" else int(rollout_length)
    count = STEPS // length
    numbers = np.arange(count)
    return {
        "worker": (numbers % workers).astype(np.uint16),
        "pulled": np.maximum(numbers - workers + 1, 0).astype(np.uint32),
        "step": ((numbers + 1) * length).astype(np.uint64),
    }


_packed: dict[int, bytes] = {}


def _npz(arrays: Mapping[str, Any]) -> bytes:
    """Pack arrays; those of :func:`_updates`, which live as long as the program, once."""
    if id(arrays) in _packed:
        return _packed[id(arrays)]
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    if "pulled" in arrays:
        _packed[id(arrays)] = buffer.getvalue()
    return buffer.getvalue()


def _csv(table: Mapping[str, Sequence[float]]) -> str:
    columns = [list(map(repr, np.asarray(column).tolist())) for column in table.values()]
    return "\n".join([",".join(table), *map(",".join, zip(*columns, strict=True)), ""])


def main() -> None:
    """Write one study, as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=CELLS, default="wide")
    parser.add_argument("--runs", type=int, default=10_000, help="rounded up to whole seeds (default: 10000)")
    parser.add_argument("--out", type=Path, required=True, help="the study's folder; must not hold one")
    chosen = parser.parse_args()
    started = time.perf_counter()
    design = write_many(chosen.out, shaped(chosen.shape, seeds=-(-chosen.runs // (2 * CELLS[chosen.shape]))))
    print(f"{len(design.runs)} runs in {len(design.cells)} cells: {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
