from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from reports import compare_cells, paired_differences
from reports.comparison.cells import comparisons_table
from tests.reports.synthetic import plan, write_study


def test_every_cell_is_the_paired_t_test_of_its_seeds(tmp_path: Path) -> None:
    study = write_study(tmp_path, plan(sweep={"target": ["missing_as_zero", "max_terms"], "n_step": [1, 3, 5]}))
    pairs = paired_differences(study)
    comparisons = compare_cells(study)
    assert len(comparisons) == 3
    for comparison in comparisons:
        own = pairs[pairs["cell"] == comparison.cell.id]
        expected = stats.ttest_rel(own["candidate_value"], own["baseline_value"]).confidence_interval(0.95)
        assert (comparison.estimate.low, comparison.estimate.high) == pytest.approx((expected.low, expected.high))
        assert comparison.estimate.mean == pytest.approx(
            (comparison.candidate_mean or np.nan) - (comparison.baseline_mean or np.nan)
        )


def test_each_candidate_is_held_against_the_baseline(tmp_path: Path) -> None:
    data = plan(sweep={"target": ["max_terms", "drop", "missing_as_zero"], "workers": [1, 2]})
    comparisons = compare_cells(write_study(tmp_path, data))
    assert [(c.cell.levels["workers"], c.candidate) for c in comparisons] == [
        (1, "max_terms"),
        (1, "drop"),
        (2, "max_terms"),
        (2, "drop"),
    ]
    assert {c.baseline for c in comparisons} == {"missing_as_zero"}


def test_the_declared_level_is_used(tmp_path: Path) -> None:
    compare = {"factor": "target", "baseline": "missing_as_zero", "level": 0.5}
    (comparison,) = compare_cells(write_study(tmp_path, plan(compare=compare)))
    estimate = comparison.estimate
    assert estimate.level == 0.5
    wide = stats.ttest_1samp(paired_differences(write_study(tmp_path, plan(compare=compare)))["difference"], 0)
    assert estimate.low == pytest.approx(wide.confidence_interval(0.5).low)


def test_a_cell_where_every_run_diverged_measured_nothing(tmp_path: Path) -> None:
    (comparison,) = compare_cells(write_study(tmp_path, plan(), diverge=lambda run: True))
    assert (comparison.state, comparison.estimate.mean, comparison.diverged) == ("no pairs", None, 10)


def test_an_arm_of_which_every_run_diverged_is_compared_at_the_worst_value(tmp_path: Path) -> None:
    (comparison,) = compare_cells(write_study(tmp_path, plan(), diverge=lambda run: run.arm == "max_terms"))
    assert comparison.state == "compared"
    assert comparison.candidate_mean == 0.0
    assert comparison.estimate.side == -1


def test_the_table_holds_levels_as_they_are_and_what_each_cell_lacks(tmp_path: Path) -> None:
    study = write_study(
        tmp_path,
        plan(sweep={"target": ["missing_as_zero", "max_terms"], "rollout_length": [20, "episode"]}),
        skip=lambda run: run.seed == 4,
        fail=lambda run: run.seed == 3 and run.arm == "max_terms",
    )
    table = comparisons_table(study, compare_cells(study))
    assert list(table["rollout_length"]) == [20, "episode"]
    assert list(table["state"]) == ["few pairs", "vacuous"]
    assert list(table["pairs"]) == [4, 4]
    assert list(table["failed_runs"]) == [1, 1]
    assert table["low"].isna().all()
