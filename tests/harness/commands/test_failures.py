"""Runs that raise, die, diverge or take too long: what is kept of them, and what becomes of the others."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest

from harness import Algorithm, Observer, StoreUnavailable, Study
from harness.compute.choice import EXECUTORS
from harness.mirrors.databases import sqlite_url
from harness.record.attempt import Failure, failed_attempts
from tests.harness.lab import DATABASES, FAKE, Lab, databases, study_data

# What a child reports is what the executor's own tests hold; the study does the same with it wherever it comes from.
EITHER_IN_MEMORY = pytest.mark.parametrize("executor", EXECUTORS)
REAL = {"inline": DATABASES}
EITHER = pytest.mark.parametrize("executor", [pytest.param(name, marks=REAL.get(name, ())) for name in EXECUTORS])


class Failures(Observer):
    """Writes down what fails."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, int, bool]] = []

    def failed(self, failure: Failure, will_retry: bool) -> None:
        self.heard.append((failure.run, failure.attempt, will_retry))


def assert_half_done(lab: Lab, study: Study, reason: str) -> None:
    """The runs of seed 1 failed, those of seed 0 finished, and the stores say so."""
    assert {record.seed for record in study.records} == {0}
    assert len(study.records) == len(study.failures) == len(study.planned) / 2
    for failure in study.failures:
        assert failure.seed == 1
        assert reason in failure.reason
        assert len(failure.reason.splitlines()) == 1
    assert lab.ended() == "FAILED"
    assert {run for run, _ in lab.attempts("FAILED")} == {failure.run for failure in study.failures}
    assert {run for run, _ in lab.attempts("FINISHED")} == {record.run for record in study.records}
    assert not lab.attempts("RUNNING")
    if lab.has_stores:
        assert all(reason in run.data.tags["reason"] for run in lab.children(status="FAILED"))
        assert {trial.user_attrs["run"] for trial in lab.trials(state="FAIL")} == {f.run for f in study.failures}
        assert not lab.trials(state="RUNNING")


@EITHER
def test_a_run_that_raises_fails_and_the_others_go_on(lab: Lab, executor: str) -> None:
    until = lab.folder / "mended"
    data = study_data(cells=1, mode="raise", only_seed=1, until=str(until))
    diary = Failures()
    study = lab.run(data, executor=executor, jobs=2, observer=diary)
    assert_half_done(lab, study, "RuntimeError: told to fail with seed 1")
    assert "fake_algorithm.py" in study.failures[0].detail
    assert [retry for _, _, retry in diary.heard] == [False] * 2, "an exception is the run's own: no second try"
    until.touch()
    study = lab.run(data, executor=executor, jobs=2)
    assert not study.failures
    assert {record.run: record.attempt for record in study.records if record.seed == 1} == dict.fromkeys(
        [record.run for record in study.records if record.seed == 1], 2
    )
    assert lab.ended() == "FINISHED"
    lab.assert_invariant(study)


@pytest.mark.fault(6, "SIGKILL of a child in every attempt, as by the kernel's out-of-memory killer")
def test_a_process_that_is_killed_is_tried_three_times(lab: Lab) -> None:
    marks = lab.marks()
    data = study_data(cells=1, mode="kill", only_seed=1, marks=str(marks))
    diary = Failures()
    study = lab.run(data, executor="processes", jobs=2, observer=diary)
    assert Counter(run for run, _, _ in diary.heard) == {"n-1__a__seed-1": 3, "n-1__b__seed-1": 3}
    assert [(failure.run, failure.attempt) for failure in failed_attempts(study.folder)] == sorted(
        (run, attempt) for run, attempt, _ in diary.heard
    )
    assert [failure.attempt for failure in study.failures] == [3, 3]
    assert sorted((attempt, retry) for run, attempt, retry in diary.heard if "__a__" in run) == [
        (1, True), (2, True), (3, False),
    ]  # fmt: skip
    assert {record.run for record in study.records} == {"n-1__a__seed-0", "n-1__b__seed-0"}
    assert all("killed by signal 9 (SIGKILL)" in failure.reason for failure in study.failures)
    assert Counter(path.name.rpartition("-")[0] for path in marks.iterdir()) == {
        "a-1-0": 1, "b-1-0": 1, "a-1-1": 3, "b-1-1": 3,
    }  # fmt: skip
    assert sorted(attempt for run, attempt in lab.attempts("FAILED") if "__a__" in run) == [1, 2, 3]
    assert not lab.attempts("RUNNING")
    assert lab.ended() == "FAILED"


@pytest.mark.fault(1, "SIGKILL of a child mid-run, once")
def test_a_process_that_dies_once_costs_one_attempt(lab: Lab) -> None:
    data = study_data(cells=1, mode="kill", only_seed=1, until=str(lab.folder / "died"), once=True)
    study = lab.run(data, executor="processes", jobs=1)
    assert not study.failures
    assert sorted(record.attempt for record in study.records) == [1] * 3 + [2]
    (failure,) = failed_attempts(study.folder)
    assert (failure.run, failure.attempt) in {(record.run, 1) for record in study.records if record.attempt == 2}
    assert lab.ended() == "FINISHED"
    lab.assert_invariant(study)


@pytest.mark.fault(6, "a child that exits in every attempt")
def test_a_process_that_exits_says_with_which_code(lab: Lab) -> None:
    data = study_data(cells=1, mode="exit", only_seed=1)
    assert_half_done(lab, lab.run(data, executor="processes", jobs=2), "exited with code 7")


@EITHER
def test_a_diverged_run_is_a_result(lab: Lab, executor: str) -> None:
    data = study_data(cells=1, mode="diverge", only_seed=1)
    data["compare"]["diverged_score"] = -0.5
    study = lab.run(data, executor=executor, jobs=2)
    assert not study.failures
    assert Counter(record.outcome for record in study.records) == {"complete": 2, "diverged": 2}
    assert len(lab.attempts("FINISHED")) == 4
    assert lab.ended() == "FINISHED"
    assert set(lab.table()["outcome"]) == {"complete", "diverged"}
    if lab.has_stores:
        diverged = {record.run for record in study.records if record.outcome == "diverged"}
        told = [run.data.tags for run in lab.children(status="FINISHED")]
        assert {tags["run"] for tags in told if tags["outcome"] == "diverged"} == diverged
        complete = lab.trials(state="COMPLETE")
        assert {trial.user_attrs["run"] for trial in complete if trial.value == -0.5} == diverged
        assert len(complete) == 4


@EITHER_IN_MEMORY
def test_a_run_over_its_time_limit_is_ended(lab: Lab, executor: str) -> None:
    until = lab.folder / "released"
    data = study_data(cells=1, mode="wait", only_seed=1, until=str(until))
    data["study"]["time_limit"] = 0.5  # on a busy machine a process may need longer only to start
    study = lab.run(data, executor=executor, jobs=2)
    assert {failure.run for failure in study.failures} >= {"n-1__a__seed-1", "n-1__b__seed-1"}
    for failure in study.failures:
        assert "OutOfTime: took longer than its time limit of 0.5 s" in failure.reason
        assert failure.attempt == 1
    assert {attempt for _, attempt in lab.attempts("FAILED")} == {1}
    until.touch()
    data["study"]["time_limit"] = 60
    study = lab.run(data, executor=executor, jobs=2)
    assert not study.failures
    lab.assert_invariant(study)


@EITHER_IN_MEMORY
def test_a_run_that_returns_no_result_fails_alone(lab: Lab, executor: str) -> None:
    algorithm = Algorithm(FAKE.config, "tests.harness.fake_algorithm:train_badly")
    study = lab.run(study_data(cells=1, mode="rubbish", only_seed=1), algorithm, executor=executor, jobs=2)
    assert_half_done(lab, study, "ValueError")
    assert all(failure.attempt == 1 for failure in study.failures), "trying again gives the same"


@databases
@pytest.mark.fault(4, "an error whose message is not UTF-8")
def test_an_error_whose_message_is_not_utf_8_fails_its_run_alone(lab: Lab) -> None:
    algorithm = Algorithm(FAKE.config, "tests.harness.fake_algorithm:train_from_odd_file")
    study = lab.run(study_data(cells=1, mode="raise", only_seed=1), algorithm)
    assert_half_done(lab, study, r"cannot read /data/\udcff")


@pytest.mark.parametrize(("text", "reason"), [("outcome", "the outcome is 'Complete'"), ("name", "surrogates")])
def test_a_result_that_cannot_be_kept_fails_its_run_alone(lab: Lab, text: str, reason: str) -> None:
    algorithm = Algorithm(FAKE.config, "tests.harness.fake_algorithm:train_to_odd_end")
    study = lab.run(study_data(cells=1, mode="rubbish", only_seed=1, text=text), algorithm)
    assert_half_done(lab, study, reason)


def optunas_view(lab: Lab) -> list[tuple[str, str, float | None]]:
    """State and value of every run's trial."""
    return sorted((trial.user_attrs["run"], trial.state.name, trial.value) for trial in lab.trials())


@databases
@pytest.mark.fault(15, "a run that diverged, as Optuna has it at once and told anew after its database was lost")
def test_what_optuna_holds_of_a_diverged_run_depends_on_no_other(lab: Lab) -> None:
    data = study_data(seeds=2, cells=1, mode="diverge", only_seed=0)
    lab.run(data)
    view = optunas_view(lab)
    assert [state for run, state, _ in view if run.endswith("seed-0")] == ["FAIL"] * 2, "nothing says what is worst"
    assert [state for _, state, _ in view].count("COMPLETE") == 2
    shutil.copy(lab.blank / "optuna.db", lab.folder)
    lab.run(data)
    assert optunas_view(lab) == view
    data["compare"]["diverged_score"] = -0.5
    lab.assert_invariant(lab.run(data))


@databases
def test_a_figure_that_is_no_number_is_a_failed_trial_told_once(lab: Lab) -> None:
    algorithm = Algorithm(FAKE.config, "tests.harness.fake_algorithm:train_unmeasured")
    for _ in range(2):
        study = lab.run(study_data(seeds=1, cells=1), algorithm)
        assert len(study.records) == len(lab.children(status="FINISHED")) == 2
        assert [trial.state.name for trial in lab.trials()] == ["FAIL"] * 2


@databases
def test_a_broken_optuna_store_is_named_and_leaves_nothing_running(lab: Lab) -> None:
    broken = lab.folder / "broken.db"
    broken.write_bytes(b"this is no database, whatever its name says")
    with pytest.raises(StoreUnavailable, match=r"Optuna.*broken\.db") as caught:
        lab.run(study_data(cells=1), storage=sqlite_url(broken))
    assert caught.value.exit_code == 3
    assert broken.read_bytes() == b"this is no database, whatever its name says"
    assert not [run for run in lab.mlflow_runs() if run.info.status == "RUNNING"]


@databases
def test_a_broken_mlflow_store_is_named(lab: Lab) -> None:
    broken = lab.folder / "broken.db"
    broken.write_bytes(b"this is no database, whatever its name says")
    with pytest.raises(StoreUnavailable, match=r"MLflow.*broken\.db"):
        lab.run(study_data(cells=1), tracking_uri=sqlite_url(broken))
    assert broken.read_bytes() == b"this is no database, whatever its name says"


@databases
@pytest.mark.parametrize("store", ["storage", "tracking_uri"])
def test_a_store_where_nothing_can_be_written_is_named(lab: Lab, store: str) -> None:
    file = lab.folder / "file"
    file.write_text("in the way", encoding="utf-8")
    with pytest.raises(StoreUnavailable, match=r"file/x\.db"):
        lab.run(study_data(cells=1), **{store: sqlite_url(Path(file) / "x.db")})
    assert not [run for run in lab.mlflow_runs() if run.info.status == "RUNNING"]
