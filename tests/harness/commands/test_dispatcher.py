"""A study from its first command to its last: what is on disk, in Optuna and in MLflow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from harness import BadInput, Design, Observer, RunRecord, StoreUnavailable, StudyChanged, load_results
from harness.compute.choice import EXECUTORS
from harness.study.design import PlannedRun
from tests.harness import fake_algorithm
from tests.harness.fake_algorithm import STEPS, Config, score
from tests.harness.lab import DATABASES, Lab, databases, study_data


class Diary(Observer):
    """Writes down what it hears."""

    def __init__(self) -> None:
        self.plans: list[tuple[int, int]] = []
        self.began: list[tuple[str, int]] = []
        self.ended: list[str] = []
        self.fractions: list[float] = []

    def planned(self, design: Design, total: int, done: int, slots: int) -> None:
        self.plans.append((len(design.runs), done))

    def started(self, run: PlannedRun, attempt: int) -> None:
        self.began.append((run.id, attempt))

    def advanced(self, run: str, fraction: float) -> None:
        self.fractions.append(fraction)

    def finished(self, record: RunRecord) -> None:
        self.ended.append(record.run)


@pytest.mark.parametrize(
    "executor", [pytest.param(name, marks=() if name == "inline" else DATABASES) for name in EXECUTORS]
)
def test_every_run_finishes_and_stands_in_both_stores(lab: Lab, executor: str) -> None:
    study = lab.run(study_data(), executor=executor, jobs=2)
    assert len(study.planned) == 8
    assert not study.failures
    lab.assert_invariant(study)
    for record in study.records:
        value = score(Config(arm=record.arm, n=record.levels["n"], seed=record.seed))
        assert record.metrics == {"score": value, "steps": STEPS}
        assert (record.outcome, record.attempt) == ("complete", 1)
        assert record.seconds >= 0


@databases
def test_mlflow_tells_what_a_run_was_and_what_came_out(lab: Lab) -> None:
    study = lab.run(study_data(text="", x=0.25, seeds=1))
    client = MlflowClient(tracking_uri=lab.tracking_uri)
    parent = lab.parent()
    assert parent.info.status == "FINISHED"
    assert {run.data.tags["mlflow.parentRunId"] for run in lab.children()} == {parent.info.run_id}
    record = study.records[1]
    (child,) = [run for run in lab.children() if run.data.tags["run"] == record.run]
    assert child.info.run_name == record.run
    tags = child.data.tags
    assert {name: tags[name] for name in ("study", "cell", "arm", "seed", "attempt", "outcome")} == {
        "study": "tiny", "cell": "n-1", "arm": "b", "seed": "0", "attempt": "1", "outcome": "complete",
    }  # fmt: skip
    assert tags["git_commit"] == str(record.provenance["commit"])
    assert tags["git_dirty"] == str(record.provenance["dirty"]).lower()
    params = child.data.params
    assert (params["n"], params["arm"], params["x"], params["text"], params["seed"]) == ("1", "b", "0.25", "", "0")
    assert {*params} == {*Config.model_fields}
    (final,) = client.get_metric_history(child.info.run_id, "score")
    assert (final.value, final.step) == (record.metrics["score"], STEPS)
    curve = client.get_metric_history(child.info.run_id, "curve/learning")
    assert [(point.step, point.value) for point in curve] == [
        (50, record.metrics["score"] / 2), (100, record.metrics["score"]),
    ]  # fmt: skip
    assert "time/wall" in child.data.metrics
    files = {artifact.path for artifact in client.list_artifacts(child.info.run_id)}
    assert files == {path.name for path in record.folder.iterdir()}
    assert {artifact.path for artifact in client.list_artifacts(parent.info.run_id)} == {"study.json"}


@databases
def test_optuna_tells_levels_seed_and_value(lab: Lab) -> None:
    study = lab.run(study_data(seeds=[7]))
    trials = {trial.user_attrs["run"]: trial for trial in lab.trials()}
    assert len(lab.trials()) == 4
    for record in study.records:
        trial = trials[record.run]
        assert trial.params == {**record.levels, "seed": 7}
        assert trial.value == record.metrics["score"]
        assert trial.user_attrs["attempt"] == 1


@databases
@pytest.mark.parametrize(("higher", "direction"), [(True, "MAXIMIZE"), (False, "MINIMIZE")])
def test_optuna_knows_which_way_is_better(lab: Lab, higher: bool, direction: str) -> None:
    import optuna

    data = study_data(seeds=1, cells=1)
    data["compare"]["higher_is_better"] = higher
    lab.run(data)
    storage = optuna.storages.RDBStorage(lab.storage)
    assert optuna.load_study(study_name="tiny", storage=storage).direction.name == direction
    storage.remove_session()
    storage.engine.dispose()


@databases
def test_the_same_command_again_has_nothing_to_do(lab: Lab) -> None:
    marks = lab.marks()
    first = lab.run(study_data(marks=str(marks)))
    computed = sorted(marks.iterdir())
    files = {path: path.stat().st_mtime_ns for path in (lab.out / "tiny" / "runs").rglob("*")}
    parent, runs, trials = lab.parent().info.run_id, len(lab.mlflow_runs()), len(lab.trials())
    diary = Diary()
    again = lab.run(study_data(marks=str(marks)), observer=diary)
    assert diary.plans == [(8, 8)]
    assert diary.began == []
    assert again.records == first.records
    assert sorted(marks.iterdir()) == computed
    assert {path: path.stat().st_mtime_ns for path in (lab.out / "tiny" / "runs").rglob("*")} == files
    assert (lab.parent().info.run_id, len(lab.mlflow_runs()), len(lab.trials())) == (parent, runs, trials)
    lab.assert_invariant(again)


@databases
def test_more_seeds_and_levels_later_compute_only_what_is_new(lab: Lab) -> None:
    marks = lab.marks()
    first = lab.run(study_data(marks=str(marks), seeds=1))
    before = {*marks.iterdir()}
    data = study_data(marks=str(marks), seeds=2)
    data["sweep"]["n"] = [1, 2, 3]
    study = lab.run(data)
    assert len(study.records) == 3 * 2 * 2
    assert {record.run for record in first.records} <= {record.run for record in study.records}
    assert len({*marks.iterdir()} - before) == 12 - 4
    assert all(record in study.records for record in first.records)
    lab.assert_invariant(study)


@databases
def test_fewer_seeds_later_lose_nothing(lab: Lab) -> None:
    marks = lab.marks()
    lab.run(study_data(marks=str(marks), seeds=2))
    fewer = lab.run(study_data(marks=str(marks), seeds=1))
    assert len(fewer.records) == 4
    assert len(lab.children(status="FINISHED")) == 8, "results on disk stay results in MLflow"
    study = lab.run(study_data(marks=str(marks), seeds=2))
    assert len([*marks.iterdir()]) == 8
    lab.assert_invariant(study)


def test_seeds_are_computed_in_order(lab: Lab) -> None:
    diary = Diary()
    study = lab.run(study_data(seeds=[3, 1]), observer=diary)
    assert [run for run, _ in diary.began] == list(study.planned) == diary.ended
    assert diary.plans == [(8, 0)]


def test_progress_is_told(lab: Lab) -> None:
    diary = Diary()
    lab.run(
        study_data(seeds=1, cells=1, mode="slow", seconds=0.6, only_seed=0),
        executor="processes",
        jobs=2,
        observer=diary,
    )
    assert diary.fractions
    assert all(0 <= fraction <= 1 for fraction in diary.fractions)


@databases
def test_changed_settings_are_refused_naming_the_fields(lab: Lab) -> None:
    lab.run(study_data(seeds=1, cells=1, x=0.25, text="before"))
    runs = len(lab.mlflow_runs())
    with pytest.raises(StudyChanged, match=r"text was 'before', is 'after', x was 0\.25, is 0\.5") as caught:
        lab.run(study_data(seeds=1, cells=1, x=0.5, text="after"))
    assert caught.value.exit_code == 4
    assert len(lab.mlflow_runs()) == runs
    lab.assert_invariant(lab.run(study_data(seeds=1, cells=1, x=0.25, text="before")))


@databases
def test_a_study_is_not_continued_with_other_labels(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    def labelled(engine: str) -> None:
        monkeypatch.setattr(fake_algorithm.Config, "labels", lambda config: {"engine": engine}, raising=False)
        monkeypatch.setattr(fake_algorithm.Result, "labels", {"engine": engine}, raising=False)

    labelled("fast")
    (record, *_) = lab.run(study_data(seeds=1, cells=1)).records
    assert record.labels == {"engine": "fast"}
    assert {run.data.tags.get("label/engine") for run in lab.mlflow_runs()} == {"fast", None}  # the parent has none
    labelled("slow")
    with pytest.raises(StudyChanged, match="engine taken was 'fast', is 'slow'"):
        lab.run(study_data(seeds=1, cells=1))


def test_how_arms_are_judged_may_change(lab: Lab) -> None:
    lab.run(study_data(seeds=1, cells=1))
    data = study_data(seeds=1, cells=1)
    data["compare"].update(margin=0.5, level=0.8)
    data["study"]["question"] = "Another?"
    study = lab.run(data)
    assert study.spec.compare.margin == 0.5
    lab.assert_invariant(study)


@databases
def test_the_report_is_written_at_the_end_and_kept_in_mlflow(lab: Lab) -> None:
    seen = []

    def report(study: Any) -> list[Path]:
        seen.append(len(study.records))
        page = lab.folder / "report.html"
        page.write_text(f"report {len(seen)}", encoding="utf-8")
        return [page]

    for count in (1, 2):
        lab.run(study_data(seeds=1, cells=1), report=report)
        client = MlflowClient(tracking_uri=lab.tracking_uri)
        page = client.download_artifacts(lab.parent().info.run_id, "report.html")
        assert Path(page).read_text(encoding="utf-8") == f"report {count}"
    assert seen == [2, 2]


def test_a_report_that_fails_loses_no_result(lab: Lab) -> None:
    def report(study: Any) -> list[Path]:
        raise OSError(28, "No space left on device")

    with pytest.raises(StoreUnavailable, match="No space"):
        lab.run(study_data(seeds=1, cells=1), report=report)
    assert not lab.attempts("RUNNING")
    assert lab.ended() == "KILLED"
    lab.assert_invariant(lab.run(study_data(seeds=1, cells=1)))


@pytest.mark.parametrize("jobs", [0, -1, 10**9])
def test_jobs_are_checked(lab: Lab, jobs: int) -> None:
    with pytest.raises(BadInput, match=r"jobs = .*from 1 to 1024"):
        lab.run(study_data(), jobs=jobs)


@databases
def test_bad_input_writes_nothing(lab: Lab) -> None:
    with pytest.raises(BadInput):
        lab.run(study_data(x=5.0))
    assert not lab.out.exists()
    assert lab.mlflow_runs() == []


def test_the_plan_on_disk_is_plain_json(lab: Lab) -> None:
    study = lab.run(study_data(seeds=1))
    plan = json.loads((lab.out / "tiny" / "study.json").read_text(encoding="utf-8"))
    assert plan["planned"] == list(study.planned)
    assert plan["arms"] == ["a", "b"]


def test_results_are_one_row_a_run(lab: Lab) -> None:
    study = lab.run(study_data())
    table = load_results(study)
    assert list(table.columns) == ["run", "cell", "arm", "seed", "n", "outcome", "score", "steps", "time/wall"]
    assert list(table["run"]) == list(study.planned)
    assert load_results("tiny", lab.out).equals(table)
    assert load_results(lab.out / "tiny").equals(table)
    with pytest.raises(BadInput, match="run the study first"):
        load_results("nothing", lab.out)


def test_an_executor_that_there_is_not_is_refused(lab: Lab) -> None:
    with pytest.raises(BadInput, match=r"^executor = 'inlien': must be one of processes, inline$"):
        lab.run(study_data(), executor="inlien")
    assert not lab.out.exists()
