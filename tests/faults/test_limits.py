"""More than a store takes at once: split, cut where it is shown, whole where it is kept."""

from __future__ import annotations

import json
import math

import pytest
from mlflow import MlflowClient

from harness import Study, load_results
from harness.mirrors.mlflow.download import download_study
from harness.mirrors.mlflow.payload import CURVE_POINTS
from tests.faults.large_algorithm import FAILING, LARGE, LONG, METRICS, POINTS, REASON, SETTINGS, curve, metrics
from tests.harness.lab import DATABASES, Lab, study_data

pytestmark = DATABASES


def large_study() -> dict[str, object]:
    return study_data(seeds=1, cells=1, text="t" * LONG, anything={"k" * 300: list(range(3000))})


def artifact(lab: Lab, run_id: str, name: str) -> str:
    found = lab.folder / "mlartifacts"
    (path,) = [path for path in found.rglob(name) if run_id in path.parts]
    return path.read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.fault(19, "1500 metrics, 5000 points a curve, 160 params, a param of 10 kB, a label of 12 kB in one run")
def test_a_run_larger_than_a_request_arrives_whole(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> None:
    study = lab.run(large_study(), LARGE)
    lab.assert_invariant(study)
    client = MlflowClient(lab.tracking_uri)
    for run in lab.children(status="FINISHED"):
        record = next(record for record in study.records if record.run == run.data.tags["run"])
        config = LARGE.build(dict(record.config))
        assert {name: run.data.metrics[name] for name in metrics(config)} == metrics(config) == record.metrics
        assert len(record.metrics) == METRICS + 2
        assert {*run.data.params} == {*record.config}
        assert len(run.data.params) > SETTINGS
        assert run.data.params["text"] == run.data.params["anything"] == "see config.json"
        kept = json.loads(artifact(lab, run.info.run_id, "config.json"))
        assert kept["text"] == "t" * LONG
        assert kept["anything"] == {"k" * 300: list(range(3000))}
        assert len(run.data.tags["label/engine"]) >= 5000
        assert json.loads(artifact(lab, run.info.run_id, "record.json"))["labels"]["engine"] == "label " * 2000
        for name in ("one", "other"):
            history = client.get_metric_history(run.info.run_id, f"curve/{name}")
            points = [(metric.step, metric.value) for metric in history]
            assert len({step for step, _ in points}) == len(points) == CURVE_POINTS
            assert {*points} <= {*curve(config)}
            assert {points[0], points[-1]} == {curve(config)[0], curve(config)[-1]}
        assert artifact(lab, run.info.run_id, "curves.csv").count("\n") == 1 + 2 * POINTS
    found = download_study("tiny", lab.tracking_uri, tmp_path_factory.mktemp("download"))
    assert load_results(found).equals(load_results(study))
    assert [record.labels for record in found.records] == [record.labels for record in study.records]


@pytest.mark.fault(19, "a reason of 16 kB for a failure")
def test_a_failure_told_at_length_is_kept_whole(lab: Lab) -> None:
    study = lab.run(study_data(seeds=1, cells=1), FAILING)
    assert len(study.failures) == 2
    for run in lab.children(status="FAILED"):
        assert run.data.tags["reason"].startswith("RuntimeError: because")
        assert f"{REASON}the end" in artifact(lab, run.info.run_id, "traceback.txt")
    for failure in study.failures:
        assert f"{REASON}the end" in failure.detail
    assert {trial.state.name for trial in lab.trials()} == {"FAIL"}


def named_at_length() -> dict[str, object]:
    long = {letter: {"arm": letter, "text": letter * LONG} for letter in "ab"}
    data = study_data(name="n" * 200, seeds=1, cells=1)
    data["study"]["question"] = "why? " * 20_000
    data["sweep"] = {"f" * 3000: {name * 3000: settings for name, settings in long.items()}}
    data["compare"] = {"factor": "f" * 3000, "baseline": "a" * 3000, "metric": "score"}
    return data


@pytest.mark.fault(19, "a question of 100 kB, a factor and levels whose names are 3 kB long")
def test_names_longer_than_a_column_are_kept_whole(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> None:
    study = lab.run(named_at_length())
    lab.assert_invariant(study)
    found = download_study("n" * 200, lab.tracking_uri, tmp_path_factory.mktemp("download"))
    assert same(found, study)
    assert found.spec.study.question == "why? " * 20_000


def same(one: Study, other: Study) -> bool:
    """Whether two studies hold the same results under the same names."""
    return load_results(one).equals(load_results(other)) and one.spec == other.spec and one.cells == other.cells


@pytest.mark.fault(19, "a hundred runs more than one page of MLflow's answers, in the search for what is there already")
@pytest.mark.slow
def test_a_study_of_more_runs_than_a_page_is_resumed_without_doubles(lab: Lab) -> None:
    data = study_data(seeds=275, cells=2)
    study = lab.run(data)
    assert len(study.records) == 1100
    again = lab.run(data)
    assert len(again.records) == 1100
    client = MlflowClient(lab.tracking_uri)
    experiment = client.get_experiment_by_name("tiny")
    assert experiment is not None
    names, token = [], None
    while True:
        page = client.search_runs([experiment.experiment_id], max_results=500, page_token=token)
        names += [run.data.tags["run"] for run in page if "run" in run.data.tags]
        if not (token := page.token):
            break
    assert sorted(names) == sorted(study.planned)
    assert all(math.isfinite(record.metrics["score"]) for record in again.records)


def test_the_large_algorithm_is_larger_than_mlflows_limits() -> None:
    config = LARGE.build({})
    assert len(metrics(config)) > 1000
    assert len(config.model_dump()) > 100
    assert len(curve(config)) > 1000
