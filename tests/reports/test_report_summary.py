from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from synthetic import FakeConfig, plan, realistic, write_study

from reports import compare_cells, write_report
from reports.summary import Summary, summarise


def summary_of(study: Any) -> Summary:
    return summarise(study, compare_cells(study))


def mixed(config: FakeConfig) -> float:
    """Better with one n_step, worse with another, noise alone with the third."""
    effect = {1: 0.4, 5: -0.3, 15: 0.0}[config.n_step] if config.target == "max_terms" else 0.0
    noise = np.random.default_rng([config.seed, config.n_step, config.workers, len(config.target)]).normal(0, 0.05)
    return float(0.5 + effect + noise)


@pytest.mark.parametrize("higher", [True, False])
def test_the_sentence_says_what_the_table_says(tmp_path: Path, higher: bool) -> None:
    data = plan(
        base={"rollout_length": 20},
        sweep={"target": ["missing_as_zero", "max_terms"], "n_step": [1, 5, 15], "workers": [1, 4]},
        compare={"factor": "target", "baseline": "missing_as_zero", "metric": "auc", "higher_is_better": higher},
    )
    study = write_study(tmp_path, data, score=mixed)
    write_report(study)
    cells = pd.read_csv(tmp_path / "tables" / "cells.csv")
    above, below = int((cells["low"] > 0).sum()), int((cells["high"] < 0).sum())
    assert above >= 2
    assert below >= 2
    found = re.match(
        r"max_terms came out ahead of missing_as_zero in (\w+) of (\d+) comparable cells and behind in (\w+)",
        summary_of(study).findings[0],
    )
    assert found is not None
    ahead, behind = (above, below) if higher else (below, above)
    assert found.groups() == (str(ahead), str(len(cells)), str(behind))

    largest = cells.loc[cells["difference"].abs().idxmax()]
    sentence = summary_of(study).findings[1].replace("−", "-")
    assert f"{largest['difference']:.3f} [{largest['low']:.3f}, {largest['high']:.3f}]" in sentence
    assert f"n_step {largest['n_step']}, workers {largest['workers']}" in sentence


def test_intervals_are_called_unadjusted_and_no_verdict(tmp_path: Path) -> None:
    summary = summary_of(write_study(tmp_path, realistic()))
    (caveat,) = summary.caveats
    assert caveat.startswith("No verdict")
    assert "unadjusted for there being 10; with no effect anywhere about 0.5 of them" in caveat
    assert "6 cells vacuous" in summary.findings[-1]
    assert "(all bit-identical, as theory says)" in summary.findings[-1]


def test_few_pairs_are_points_only(tmp_path: Path) -> None:
    summary = summary_of(write_study(tmp_path, plan(study={"name": "x", "seeds": 4})))
    assert summary.findings[0].startswith("1 cell with fewer than 5 pairs: points only, no interval.")
    assert summary.caveats == ()


def test_declared_primary_cells_are_counted_apart(tmp_path: Path) -> None:
    data = plan(
        sweep={"target": ["missing_as_zero", "max_terms"], "workers": [1, 2, 4]},
        compare={"factor": "target", "baseline": "missing_as_zero", "primary": [{"workers": 4}]},
    )
    findings = " ".join(summary_of(write_study(tmp_path, data)).findings)
    assert "of 1 primary cell " in findings
    assert "of 2 exploratory cells " in findings


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"skip": lambda run: True}, "No run has finished"),
        ({"skip": lambda run: run.arm == "max_terms"}, "without a pair of runs to compare"),
        ({"skip": lambda run: run.seed == 4}, "not complete: 8 of 10 planned runs finished"),
        ({"diverge": lambda run: run.arm == "max_terms" and run.seed == 1}, "1 run diverged; each counts as the worst"),
        ({"change": lambda run, output: output["metrics"].pop("auc")}, "10 finished runs without the compared metric"),
    ],
)
def test_what_is_missing_is_said(tmp_path: Path, options: dict[str, Any], words: str) -> None:
    summary = summary_of(write_study(tmp_path, plan(), **options))
    assert words in " ".join([*summary.findings, *summary.caveats])
