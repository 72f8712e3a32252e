"""Ten thousand runs in one command: what its processes take up does not grow with them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.record.study import load_study
from tests.harness.lab import DATABASES, ROOT, Lab, study_data

pytestmark = [*DATABASES, pytest.mark.slow]

RUNS, EVERY = 10_000, 100
JOBS = 2
PARENT_KIB_A_RUN = 7.0  # it keeps every run's record, which tells cells and searches what is still to be done
CHILD_KIB_A_RUN = 0.05


def slope(runs: Iterable[float], values: Iterable[float]) -> float:
    """Growth a run, by least squares."""
    return float(np.polyfit([*runs], [*values], 1)[0])


def size(path: Path) -> float:
    """MB on disk, of a file or of everything in a folder."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_blocks * 512 for file in files) / 1e6


def show(samples: list[dict[str, Any]], lab: Lab) -> None:
    """Print what was measured."""
    print(f"\n{RUNS} runs, {JOBS} at a time, in {samples[-1]['seconds']:.0f} s")
    print(f"{'runs':>6} {'s':>6}  " + "  ".join(f"{name}: MiB, fds, threads, s" for name in samples[-1]["processes"]))
    for sample in samples[:: len(samples) // 10 or 1]:
        taken = "  ".join(
            f"{p['kib'] / 1024:13.1f} {p['descriptors']:4} {p['threads']:3} {p['seconds']:6.1f}"
            for p in sample["processes"].values()
        )
        print(f"{sample['runs']:>6} {sample['seconds']:6.0f}  {taken}")
    for path in (lab.out, lab.folder / "mlartifacts", lab.folder / "mlflow.db", lab.folder / "optuna.db"):
        print(f"{path.name:>12}: {size(path):7.1f} MB on disk, {size(path) * 1e6 / RUNS / 1e3:5.1f} kB a run")


def test_ten_thousand_runs_take_up_no_more_than_their_records(lab: Lab) -> None:
    data = study_data(seeds=RUNS // 20, cells=10)
    options = {"out": str(lab.out), "storage": lab.storage, "jobs": JOBS}
    path = lab.folder / "samples"
    process = subprocess.run(
        [
            sys.executable,
            "-m",
            "tests.faults.soak_program",
            json.dumps(data),
            json.dumps(options),
            str(path),
            str(EVERY),
        ],
        cwd=lab.folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr
    samples = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    show(samples, lab)
    assert len(load_study(lab.out / "tiny").records) == RUNS
    last = samples[len(samples) // 5 :]
    runs = [sample["runs"] for sample in last]
    names = ["parent", *(f"child {number}" for number in range(JOBS))]
    assert all(list(sample["processes"]) == names for sample in last)
    for name in names:
        taken = [sample["processes"][name] for sample in last]
        growth = slope(runs, (t["kib"] for t in taken))
        print(f"{name}: {growth:.3f} KiB a run")
        assert growth < (PARENT_KIB_A_RUN if name == "parent" else CHILD_KIB_A_RUN), name
        assert {(t["descriptors"], t["threads"]) for t in taken[:: len(taken) - 1]} == {
            (taken[0]["descriptors"], taken[0]["threads"])
        }
