from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from harness.study.design import PlannedRun
from reports.data.curves import budget_unit, evaluation_curves, measure, training_curves
from tests.reports.synthetic import plan, write_study

BY_EPISODE = {"total_episodes": 500, "total_steps": None}


def test_evaluations_stand_at_their_planned_points(tmp_path: Path) -> None:
    study = write_study(tmp_path, plan(), points=4)
    curves = evaluation_curves(study)
    assert len(curves) == 2 * 5 * 4
    assert sorted(set(curves["at"])) == [12_500, 25_000, 37_500, 50_000]
    assert measure(curves) == "scaled"
    assert budget_unit(study) == "environment steps"


def test_a_diverged_run_goes_on_at_the_worst_value_and_is_marked(tmp_path: Path) -> None:
    study = write_study(tmp_path, plan(), points=4, diverge=lambda run: run.arm == "max_terms" and run.seed == 1)
    curves = evaluation_curves(study)
    filled = curves[curves["filled"]]
    assert list(filled["at"]) == [37_500, 50_000]
    assert set(filled["scaled"]) == {0.0}
    assert set(filled["seed"]) == {1}
    assert len(curves) == 2 * 5 * 4


def test_without_a_scale_curves_are_in_units_of_return(tmp_path: Path) -> None:
    def unscaled(run: PlannedRun, output: dict[str, Any]) -> None:
        del output["tables"]["evaluations"]["scaled"]

    curves = evaluation_curves(write_study(tmp_path, plan(), change=unscaled))
    assert measure(curves) == "return"
    assert curves["scaled"].isna().all()


@pytest.mark.parametrize("tables", [{}, {"evaluations": pd.DataFrame(), "episodes": pd.DataFrame()}])
def test_runs_without_tables_have_no_curves(tmp_path: Path, tables: dict[str, Any]) -> None:
    study = write_study(tmp_path, plan(), change=lambda run, output: output.update(tables=tables))
    assert evaluation_curves(study).empty
    assert training_curves(study).empty


def test_training_returns_are_means_over_stretches_of_the_budget(tmp_path: Path) -> None:
    def episodes(run: PlannedRun, output: dict[str, Any]) -> None:
        output["tables"]["episodes"] = pd.DataFrame({"step": [1, 1000, 1001, 50_000], "return": [1.0, 3.0, 7.0, 9.0]})

    curves = training_curves(write_study(tmp_path, plan(study={"name": "x", "seeds": 1}), change=episodes))
    one = curves[curves["arm"] == "max_terms"]
    assert list(one["at"]) == [1000, 2000, 50_000]
    assert list(one["return"]) == [2.0, 7.0, 9.0]
    assert list(one["episodes"]) == [2, 1, 1]


def test_with_a_budget_in_episodes_curves_are_by_episode(tmp_path: Path) -> None:
    study = write_study(tmp_path, plan(base=BY_EPISODE))
    assert budget_unit(study) == "episodes"
    curves = training_curves(study)
    assert curves["at"].max() == 500
    assert set(curves["episodes"]) == {10}


def test_a_study_without_runs_takes_its_unit_from_the_plan(tmp_path: Path) -> None:
    study = write_study(tmp_path, plan(base=BY_EPISODE), skip=lambda run: True)
    assert budget_unit(study) == "episodes"
    assert evaluation_curves(study).empty
