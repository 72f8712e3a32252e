from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.study.design import PlannedRun
from reports import compare_cells
from reports.figures.findings import find
from reports.page.summary import summarise
from tests.reports.synthetic import FakeConfig, plan, write_study

WHOLE = {"rollout_length": "episode"}


def by_arm(config: FakeConfig) -> float:
    """Other runs in each arm."""
    return float(np.random.default_rng([config.seed, len(config.target), round(config.gamma * 100)]).normal(0.5, 0.1))


def control_of(study: Any) -> Any:
    (comparison,) = compare_cells(study)
    assert comparison.state == "vacuous"
    return comparison.control


def test_same_bits_are_what_theory_says(tmp_path: Path) -> None:
    control = control_of(write_study(tmp_path, plan(base=WHOLE)))
    assert (control.checked, control.identical, control.finding) == (5, 5, "identical")


def one_bit(run: PlannedRun, output: dict[str, Any]) -> None:
    if run.seed == 3 and run.arm == "max_terms":
        parameters = output["arrays"]["parameters"]["parameters"]
        parameters.view(np.uint32)[7] ^= 1


def one_evaluation(run: PlannedRun, output: dict[str, Any]) -> None:
    if run.seed == 3 and run.arm == "max_terms":
        returns = output["tables"]["evaluations"]["return"].to_numpy(copy=True)
        returns[-1] = np.nextafter(returns[-1], 1e9)
        output["tables"]["evaluations"]["return"] = returns


@pytest.mark.parametrize("change", [one_bit, one_evaluation])
def test_one_bit_off_under_round_robin_is_a_bug(tmp_path: Path, change: Any) -> None:
    study = write_study(tmp_path, plan(base=WHOLE), change=change)
    control = control_of(study)
    assert (control.checked, control.identical, control.finding) == (5, 4, "differs")
    assert summarise(find(study)).bug.startswith("A bug: in 1 cell ")


def test_one_bit_off_under_a_racing_schedule_is_chance(tmp_path: Path) -> None:
    study = write_study(tmp_path, plan(base={**WHOLE, "schedule": "hogwild"}), change=one_bit)
    assert control_of(study).finding == "chance"
    assert summarise(find(study)).bug == ""


def test_nan_parameters_that_agree_in_every_bit_are_identical(tmp_path: Path) -> None:
    def spoil(run: PlannedRun, output: dict[str, Any]) -> None:
        output["arrays"]["parameters"]["parameters"][0] = np.nan

    assert control_of(write_study(tmp_path, plan(base=WHOLE), change=spoil)).finding == "identical"


def test_runs_that_left_nothing_to_tell_by_are_not_called_identical(tmp_path: Path) -> None:
    def strip(run: PlannedRun, output: dict[str, Any]) -> None:
        output["tables"], output["arrays"] = {}, {}

    assert control_of(write_study(tmp_path, plan(base=WHOLE), change=strip)).finding == "unchecked"


def test_one_differing_target_makes_a_cell_comparable(tmp_path: Path) -> None:
    def differ(run: PlannedRun, output: dict[str, Any]) -> None:
        if run.seed == 4 and run.arm == "max_terms":
            output["metrics"]["differing_target_share"] = 1e-9

    (comparison,) = compare_cells(write_study(tmp_path, plan(base=WHOLE), change=differ, score=by_arm))
    assert comparison.state == "compared"


def test_a_share_nobody_measured_is_not_zero(tmp_path: Path) -> None:
    def forget(run: PlannedRun, output: dict[str, Any]) -> None:
        del output["metrics"]["differing_target_share"]

    (comparison,) = compare_cells(write_study(tmp_path, plan(base=WHOLE), change=forget, score=by_arm))
    assert comparison.state == "compared"
    assert comparison.share is None


def test_vacuity_is_about_targets_alone(tmp_path: Path) -> None:
    data = plan(base=WHOLE, sweep={"gamma": [0.9, 0.99]}, compare={"factor": "gamma", "baseline": 0.9})
    (comparison,) = compare_cells(write_study(tmp_path, data, score=by_arm))
    assert comparison.state == "compared"


def test_runs_that_agree_in_every_bit_are_vacuous_whatever_is_compared(tmp_path: Path) -> None:
    data = plan(base=WHOLE, sweep={"gamma": [0.9, 0.99]}, compare={"factor": "gamma", "baseline": 0.9})
    control = control_of(write_study(tmp_path / "same", data))
    assert (control.checked, control.identical, control.finding) == (5, 5, "identical")
    few = plan(**{**data, "study": {"name": "x", "seeds": 4}})
    (comparison,) = compare_cells(write_study(tmp_path / "few", few))
    assert comparison.state == "few pairs"


def test_nobody_asks_for_the_same_bits_of_arms_with_other_settings(tmp_path: Path) -> None:
    arms = {"zero": {"target": "missing_as_zero", "learning_rate": 0.1}, "max": {"target": "max_terms"}}
    tuned = plan(base=WHOLE, sweep={"arm": arms}, compare={"factor": "arm", "baseline": "zero"})
    (comparison,) = compare_cells(write_study(tmp_path / "named", tuned, score=by_arm))
    assert comparison.state == "compared"  # the study itself sets the step size apart
    study = write_study(tmp_path / "tuned", plan(base=WHOLE), score=by_arm)
    records = tuple(replace(r, config={**r.config, "learning_rate": len(r.arm)}) for r in study.records)
    control = control_of(replace(study, records=records))
    assert (control.checked, control.excused, control.finding) == (0, 5, "settings")
    assert summarise(find(replace(study, records=records))).bug == ""
