from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.study.design import PlannedRun
from reports.data.curves import EVALUATION_COLUMNS, evaluation_curves
from reports.data.wallclock import POINTS, time_curves
from reports.figures.learning import OVER_TIME
from tests.reports.drawn import pictures_of, texts
from tests.reports.synthetic import plan, write_study

PAIR = plan(study={"name": "x", "seeds": 2})


def paced(seconds: dict[tuple[str, int], float]) -> Any:
    def change(run: PlannedRun, output: dict[str, Any]) -> None:
        output["timings"]["train_seconds"] = seconds[run.arm, run.seed]

    return change


PACES = {("missing_as_zero", 0): 10.0, ("missing_as_zero", 1): 12.0, ("max_terms", 0): 20.0, ("max_terms", 1): 25.0}


def test_each_run_is_drawn_at_its_own_pace_on_one_grid_a_cell(tmp_path: Path) -> None:
    study = write_study(tmp_path, PAIR, change=paced(PACES), points=5)
    evaluations = evaluation_curves(study)
    curves = time_curves(study, evaluations)
    assert list(curves.columns) == EVALUATION_COLUMNS
    grid = np.linspace(0, 20, POINTS + 1)[1:]  # until the faster run of the slower arm ends
    for (arm, seed), seconds in PACES.items():
        own = curves[(curves["arm"] == arm) & (curves["seed"] == seed)]
        given = evaluations[(evaluations["arm"] == arm) & (evaluations["seed"] == seed)]
        at = given["at"] / 50_000 * seconds
        assert set(own["at"]) <= set(grid)
        for name in ("return", "scaled"):
            assert list(own[name]) == pytest.approx(list(np.interp(own["at"], at, given[name])))
    assert not curves["filled"].any()


def test_a_mean_is_always_over_all_seeds(tmp_path: Path) -> None:
    study = write_study(tmp_path, PAIR, change=paced(PACES), points=5)
    curves = time_curves(study, evaluation_curves(study))
    assert (curves.groupby(["cell", "arm", "at"])["seed"].nunique() == 2).all()
    ends = curves.groupby("arm")["at"].agg(["min", "max"])
    assert ends.loc["missing_as_zero", "max"] == pytest.approx(10)
    assert ends.loc["max_terms", "max"] == pytest.approx(20)
    assert ends.loc["missing_as_zero", "min"] >= 12 / 5  # the slower run's first evaluation


def test_a_diverged_run_goes_on_at_the_worst_value(tmp_path: Path) -> None:
    study = write_study(
        tmp_path, PAIR, change=paced(PACES), points=4, diverge=lambda run: run.arm == "max_terms" and run.seed == 1
    )
    own = time_curves(study, evaluation_curves(study)).query("arm == 'max_terms' and seed == 1")
    assert own["at"].max() == pytest.approx(20)
    assert list(own["filled"]) == [at > 12.5 for at in own["at"]]
    assert (own.loc[own["at"] >= 18.75, "scaled"] == 0).all()


def test_a_budget_in_episodes_goes_by_the_steps_taken(tmp_path: Path) -> None:
    def change(run: PlannedRun, output: dict[str, Any]) -> None:
        output["metrics"]["steps"] = 1000.0
        output["timings"]["train_seconds"] = 10.0
        output["tables"]["evaluations"]["step"] = [100, 1000]

    data = plan(study={"name": "x", "seeds": 1}, base={"total_episodes": 100, "total_steps": None})
    curves = time_curves(*_with_evaluations(tmp_path, data, change=change, points=2))
    assert curves["at"].min() == pytest.approx(1.0)
    assert curves["at"].max() == pytest.approx(10.0)


def _with_evaluations(folder: Path, data: Any, **more: Any) -> Any:
    study = write_study(folder, data, **more)
    return study, evaluation_curves(study)


def test_runs_without_timings_are_left_out(tmp_path: Path) -> None:
    def change(run: PlannedRun, output: dict[str, Any]) -> None:
        if run.seed == 0:
            del output["timings"]["train_seconds"]

    curves = time_curves(*_with_evaluations(tmp_path / "some", PAIR, change=change))
    assert set(curves["seed"]) == {1}
    none = time_curves(*_with_evaluations(tmp_path / "none", PAIR, skip=lambda run: True))
    assert none.empty
    assert list(none.columns) == EVALUATION_COLUMNS


def test_they_are_drawn_as_learning_curves_are(tmp_path: Path) -> None:
    sweep = {**PAIR["sweep"], "rollout_length": [5, "episode"], "n_step": [1, 5], "workers": [1, 4]}
    pictures = pictures_of(OVER_TIME, write_study(tmp_path, {**PAIR, "sweep": sweep}, points=4))
    assert len(pictures) == 2
    assert not any(re.fullmatch(r"\d+m", word) for word in texts(pictures[0]))  # half a second is not 500m
    assert pictures[0].alt.startswith("Learning curves of 4 cells (rollout_length 5). Mean at the end: missing_as")
