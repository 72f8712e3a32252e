"""Records on disk are the truth: both databases are mirrors of them, and repaired by the next command."""

from __future__ import annotations

import shutil
from typing import Any

import optuna
import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric, RunTag

from harness import expand, parse_spec
from harness.mirrors.optuna.trials import OptunaMirror
from tests.harness.lab import DATABASES, FAKE, Lab, study_data

pytestmark = DATABASES


def test_a_deleted_mlflow_database_is_written_again(lab: Lab) -> None:
    before = lab.run(study_data(cells=1))
    attempts = {run.data.tags["run"]: dict(run.data.params) for run in lab.children()}
    shutil.copy(lab.blank / "mlflow.db", lab.folder)
    again = lab.run(study_data(cells=1))
    assert again.records == before.records
    assert {run.data.tags["run"]: dict(run.data.params) for run in lab.children()} == attempts
    for run in lab.children():
        record = next(record for record in again.records if record.run == run.data.tags["run"])
        assert run.data.tags["arm"] == record.arm
        assert run.data.tags["outcome"] == "complete"
        assert run.data.tags["mlflow.parentRunId"] == lab.parent().info.run_id
        assert abs(run.info.start_time - record.started * 1000) < 2
    lab.assert_invariant(again)


def test_a_missing_child_is_added_and_a_half_written_one_completed(lab: Lab) -> None:
    study = lab.run(study_data(cells=1))
    client = MlflowClient(tracking_uri=lab.tracking_uri)
    deleted, torn = lab.children()[:2]
    client.delete_run(deleted.info.run_id)
    client.update_run(torn.info.run_id, status="RUNNING")
    again = lab.run(study_data(cells=1))
    assert again.records == study.records
    assert client.get_run(torn.info.run_id).info.status == "FINISHED"
    lab.assert_invariant(again)


def test_a_second_finished_child_is_put_aside(lab: Lab) -> None:
    lab.run(study_data(seeds=1, cells=1))
    child = lab.children()[0]
    client = MlflowClient(tracking_uri=lab.tracking_uri)
    ghost = client.create_run(child.info.experiment_id, tags=child.data.tags)
    client.log_batch(ghost.info.run_id, metrics=[Metric("score", child.data.metrics["score"], 0, 100)])
    client.set_terminated(ghost.info.run_id, "FINISHED")
    lab.assert_invariant(lab.run(study_data(seeds=1, cells=1)))


def test_a_second_parent_is_put_aside(lab: Lab) -> None:
    lab.run(study_data(seeds=1, cells=1))
    parent = lab.parent()
    client = MlflowClient(tracking_uri=lab.tracking_uri)
    client.create_run(parent.info.experiment_id, tags=parent.data.tags)
    study = lab.run(study_data(seeds=1, cells=1))
    assert lab.parent().info.run_id == parent.info.run_id
    lab.assert_invariant(study)


def test_runs_of_somebody_else_in_the_experiment_are_left_alone(lab: Lab) -> None:
    lab.run(study_data(seeds=1, cells=1))
    client = MlflowClient(tracking_uri=lab.tracking_uri)
    other = client.create_run(lab.parent().info.experiment_id, run_name="mine")
    client.set_terminated(other.info.run_id, "FINISHED")
    lab.run(study_data(seeds=1, cells=1))
    assert client.get_run(other.info.run_id).info.status == "FINISHED"
    assert client.get_run(other.info.run_id).info.lifecycle_stage == "active"


def test_a_deleted_experiment_is_restored(lab: Lab) -> None:
    lab.run(study_data(seeds=1, cells=1))
    client = MlflowClient(tracking_uri=lab.tracking_uri)
    client.delete_experiment(lab.parent().info.experiment_id)
    lab.assert_invariant(lab.run(study_data(seeds=1, cells=1)))


def test_an_experiment_made_elsewhere_is_used(lab: Lab) -> None:
    client = MlflowClient(tracking_uri=lab.tracking_uri)
    made = client.create_experiment("tiny", tags={"team": "ours"})
    lab.assert_invariant(lab.run(study_data(seeds=1, cells=1)))
    assert lab.parent().info.experiment_id == made


def test_levels_that_are_equal_and_not_the_same_are_told_apart_in_optuna(lab: Lab) -> None:
    cases: list[tuple[list[Any], list[Any]]] = [([1, True], ["1", "true"]), ([1, 1.0], ["1", "1.0"]), ([0, True],) * 2]
    for number, (levels, expected) in enumerate(cases):
        data = study_data(f"tiny-{number}", seeds=1)
        data["sweep"] = {"anything": levels, "arm": ["a", "b"]}
        design = expand(parse_spec(data), FAKE)
        trials = OptunaMirror(lab.storage, design.spec, "owner")
        for run in design.runs:
            trials.started(run, 1)
        trials.close("KILLED")
        told = {repr(trial.params["anything"]) for trial in lab.trials(f"tiny-{number}")}
        assert told == {repr(level) for level in expected}, levels


class Killed(BaseException):
    """Stands for a SIGKILL between two writes."""


def test_deaths_while_a_result_is_told_lose_no_trial(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    data = study_data(seeds=1, cells=1)

    def die(*arguments: object, **options: object) -> None:
        raise Killed

    told, repaired = (optuna.storages.RDBStorage, "set_trial_state_values"), (optuna.Study, "add_trial")
    for home, write in (told, repaired):
        with monkeypatch.context() as patch:
            patch.setattr(home, write, die)
            with pytest.raises(Killed):
                lab.run(data)
    lab.assert_invariant(lab.run(data))


def test_a_draft_of_a_record_is_removed(lab: Lab) -> None:
    draft = lab.out / "tiny" / "runs" / ".draft-0"
    draft.mkdir(parents=True)
    (draft / "record.json").write_text("{", encoding="utf-8")
    lab.assert_invariant(lab.run(study_data(seeds=1, cells=1)))
    assert not draft.exists()


def test_a_run_whose_record_is_deleted_is_computed_again(lab: Lab) -> None:
    study = lab.run(study_data(cells=1))
    before = lab.table()
    shutil.rmtree(study.records[3].folder)
    again = lab.run(study_data(cells=1))
    assert lab.table().equals(before)
    lab.assert_invariant(again)


def test_tags_of_a_reader_are_kept(lab: Lab) -> None:
    lab.run(study_data(seeds=1, cells=1))
    client = MlflowClient(tracking_uri=lab.tracking_uri)
    client.log_batch(lab.children()[0].info.run_id, tags=[RunTag("note", "mine")])
    lab.run(study_data(seeds=1, cells=1))
    assert [run.data.tags.get("note") for run in lab.children()].count("mine") == 1
