from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from harness.study.design import PlannedRun
from reports.data.curves import TRAINING_POINTS, training_curves
from reports.data.reading import RunFiles
from tests.reports.synthetic import plan, write_study

TEXTS = {
    "plain": "step,return\n1,0.1\n2,0.30000000000000004\n",
    "other order": "return,worker,step\n5,0,1\n7,1,2\n",
    "whole numbers": "step,return\n3,4\n",
    "no last newline": "step,return\n1,2.5\n2,3.5",
    "windows": "step,return\r\n1,2.5\r\n2,3.5\r\n",
    "holes": "step,return\n1,\n2,3.5\n",
    "blank lines": "step,return\n1,2.5\n\n2,3.5\n",
    "quotes": 'step,return,note\n1,2.5,"two\nlines"\n2,3.5,none\n',
    "quoted names": '"step","return"\n1,2.5\n',
    "no rows": "step,return\n",
    "nothing": "",
    "one column short": "step\n1\n",
}


@pytest.mark.parametrize("batch", [1, 3, 100])
def test_tables_read_together_are_those_read_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    monkeypatch.setattr("reports.data.reading._BATCH", batch)
    study = write_study(tmp_path, plan(study={"name": "x", "seeds": len(TEXTS)}))
    for number, record in enumerate(study.records):
        text = list(TEXTS.values())[number % len(TEXTS)]
        (record.folder / "episodes.csv").write_bytes(text.encode())
    (study.records[0].folder / "episodes.csv").unlink()

    expected = []
    for number, record in enumerate(study.records):
        if number and list(TEXTS)[number % len(TEXTS)] not in ("no rows", "nothing", "one column short"):
            expected.append(record.table("episodes")[["step", "return"]].assign(record=number))
    together = pd.concat(RunFiles(study.records).tables("episodes", ("step", "return")))
    pd.testing.assert_frame_equal(
        together.sort_values("record", kind="stable", ignore_index=True),
        pd.concat(expected, ignore_index=True)[["record", "step", "return"]],
    )


def test_training_curves_are_those_of_each_run_by_itself(tmp_path: Path) -> None:
    budgets: dict[str, Any] = {
        "steps": {"total_steps": 50_000},
        "few steps": {"total_steps": 30},
        "episodes": {"total_steps": None, "total_episodes": 120},
    }

    def renumber(run: PlannedRun, output: dict[str, Any]) -> None:
        output["tables"]["episodes"] = output["tables"]["episodes"].head(50 * run.seed)

    data = plan(study={"name": "x", "seeds": 4}, sweep={"target": ["missing_as_zero", "max_terms"], "budget": budgets})
    study = write_study(tmp_path, data, change=renumber)
    parts = []
    for record in study.records:
        table = record.table("episodes")
        if table.empty:
            continue
        by_episode = record.config["total_episodes"] is not None
        position = pd.Series(range(1, len(table) + 1)) if by_episode else table["step"]
        budget = record.config["total_episodes"] or record.config["total_steps"]
        width = max(1, math.ceil(budget / TRAINING_POINTS))
        ends = ((position + width - 1) // width * width).rename("at")
        means = table["return"].groupby(ends).agg(["mean", "size"]).reset_index()
        means.columns = pd.Index(["at", "return", "episodes"])
        parts.append(means.assign(cell=record.cell, arm=record.arm, seed=record.seed))
    expected = pd.concat(parts, ignore_index=True)
    pd.testing.assert_frame_equal(training_curves(study), expected[list(training_curves(study).columns)])
