from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.study.design import PlannedRun
from reports import paired_differences, runs_table
from tests.reports.synthetic import plan, write_study


def scores(config: Any) -> float:
    return float(0.5 + 0.1 * config.seed + (0.25 if config.target == "max_terms" else 0.0))


def is_(arm: str, seed: int) -> Any:
    return lambda run: run.arm == arm and run.seed == seed


def test_pairs_are_candidate_minus_baseline_of_the_same_seed(tmp_path: Path) -> None:
    study = write_study(tmp_path, plan(), score=scores, skip=is_("max_terms", 3))
    table = paired_differences(study)
    assert list(table["seed"]) == [0, 1, 2, 4]
    assert list(table["difference"]) == pytest.approx([0.25] * 4)
    assert list(table["baseline_value"]) == pytest.approx([0.5, 0.6, 0.7, 0.9])


def test_a_diverged_run_counts_as_the_worst_value_whatever_it_recorded(tmp_path: Path) -> None:
    def too_good(run: PlannedRun, output: dict[str, Any]) -> None:
        if output["outcome"] == "diverged":
            output["metrics"]["auc"] = 9.0

    study = write_study(tmp_path, plan(), score=scores, diverge=is_("max_terms", 2), change=too_good)
    table = paired_differences(study).set_index("seed")
    assert table["candidate_value"][2] == 0.0
    assert table["difference"][2] == pytest.approx(-0.7)
    assert list(table["diverged"]) == [0, 0, 1, 0, 0]


def test_a_diverged_run_needed_the_whole_budget(tmp_path: Path) -> None:
    compare = {
        "factor": "target",
        "baseline": "missing_as_zero",
        "metric": "steps_to_threshold",
        "higher_is_better": False,
    }
    study = write_study(tmp_path, plan(compare=compare), score=scores, diverge=is_("max_terms", 2))
    assert paired_differences(study).set_index("seed")["candidate_value"][2] == 50_000


@pytest.mark.parametrize(("higher", "worst"), [(True, 0.4), (False, 8.0)])
def test_where_the_worst_is_unknown_it_is_the_worst_seen(tmp_path: Path, higher: bool, worst: float) -> None:
    def measure(run: PlannedRun, output: dict[str, Any]) -> None:
        output["metrics"]["other"] = {0: 0.4, 1: 8.0}.get(run.seed, 1.0)

    compare = {"factor": "target", "baseline": "missing_as_zero", "metric": "other", "higher_is_better": higher}
    study = write_study(tmp_path, plan(compare=compare), diverge=is_("max_terms", 2), change=measure)
    assert paired_differences(study).set_index("seed")["candidate_value"][2] == worst


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_value_that_is_not_finite_makes_no_pair(tmp_path: Path, value: float) -> None:
    def spoil(run: PlannedRun, output: dict[str, Any]) -> None:
        if run.seed == 0:
            output["metrics"]["auc"] = value

    assert list(paired_differences(write_study(tmp_path, plan(), change=spoil))["seed"]) == [1, 2, 3, 4]


def test_runs_are_one_row_each_with_levels_and_timings(tmp_path: Path) -> None:
    study = write_study(tmp_path, plan(), score=scores)
    table = runs_table(study)
    assert len(table) == 10
    assert {"run", "cell", "arm", "seed", "target", "outcome", "auc", "time/steps_per_second"} <= set(table.columns)
    assert list(table["compared_value"]) == list(table["auc"])


def test_a_study_without_runs_has_empty_tables_with_columns(tmp_path: Path) -> None:
    study = write_study(tmp_path, plan(), skip=lambda run: True)
    assert list(runs_table(study).columns[:4]) == ["run", "cell", "arm", "seed"]
    assert paired_differences(study).empty
    assert "difference" in paired_differences(study)
