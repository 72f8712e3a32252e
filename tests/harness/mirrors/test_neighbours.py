"""Studies of one name in several folders share stores and leave each other alone."""

from pathlib import Path

import optuna
import pytest

from harness import parse_spec, run_study
from harness.errors import BadInput, StudyConflict
from tests.harness.lab import DATABASES, FAKE, Lab, study_data

pytestmark = DATABASES


def test_the_same_study_in_another_folder_leaves_the_first_ones_runs_finished(lab: Lab, tmp_path: Path) -> None:
    study = lab.run(study_data(cells=1))
    spec = parse_spec(study_data(cells=1))
    run_study(spec, FAKE, out=tmp_path / "elsewhere", tracking_uri=lab.tracking_uri, executor="inline")
    statuses = [run.info.status for run in lab.children()]
    assert statuses.count("FINISHED") == 2 * len(study.planned)
    again = lab.run(study_data(cells=1))
    assert len(again.records) == len(study.planned)
    assert [run.info.status for run in lab.children()].count("FINISHED") == 2 * len(study.planned)


def test_an_optuna_study_of_somebody_else_is_left_alone(lab: Lab) -> None:
    theirs = optuna.create_study(study_name="tiny", storage=lab.storage)
    theirs.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=3)
    with pytest.raises(StudyConflict, match="another study named 'tiny'"):
        lab.run(study_data(cells=1))
    assert len(optuna.load_study(study_name="tiny", storage=lab.storage).trials) == 3


def test_a_study_may_not_be_named_as_the_place_of_single_runs(lab: Lab) -> None:
    with pytest.raises(BadInput, match=r"study\.name = 'train'"):
        lab.run(study_data(name="train"))
