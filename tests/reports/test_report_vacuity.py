from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from synthetic import plan, write_study

from harness.design import PlannedRun
from reports import compare_cells
from reports.summary import summarise

WHOLE = {"rollout_length": "episode"}


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
    assert summarise(study, compare_cells(study)).bug.startswith("A bug: in 1 cell ")


def test_one_bit_off_under_a_racing_schedule_is_chance(tmp_path: Path) -> None:
    study = write_study(tmp_path, plan(base={**WHOLE, "schedule": "hogwild"}), change=one_bit)
    assert control_of(study).finding == "chance"
    assert summarise(study, compare_cells(study)).bug == ""


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

    (comparison,) = compare_cells(write_study(tmp_path, plan(base=WHOLE), change=differ))
    assert comparison.state == "compared"


def test_a_share_nobody_measured_is_not_zero(tmp_path: Path) -> None:
    def forget(run: PlannedRun, output: dict[str, Any]) -> None:
        del output["metrics"]["differing_target_share"]

    (comparison,) = compare_cells(write_study(tmp_path, plan(base=WHOLE), change=forget))
    assert comparison.state == "compared"
    assert comparison.share is None


def test_vacuity_is_about_targets_alone(tmp_path: Path) -> None:
    data = plan(base=WHOLE, sweep={"gamma": [0.9, 0.99]}, compare={"factor": "gamma", "baseline": 0.9})
    (comparison,) = compare_cells(write_study(tmp_path, data))
    assert comparison.state == "compared"
