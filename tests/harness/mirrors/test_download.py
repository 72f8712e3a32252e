"""What MLflow was given is enough to read a study back."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from harness import BadInput, StoreUnavailable, load_results
from harness.mirrors.databases import sqlite_url
from harness.mirrors.mlflow.download import download_study
from tests.harness.lab import DATABASES, Lab, study_data

pytestmark = DATABASES


@pytest.mark.parametrize("mode", ["ok", "diverge"])
def test_a_study_read_from_mlflow_equals_the_one_on_disk(
    lab: Lab, tmp_path_factory: pytest.TempPathFactory, mode: str
) -> None:
    study = lab.run(study_data(cells=1, mode=mode, only_seed=1))
    folder = tmp_path_factory.mktemp("download")
    found = download_study("tiny", lab.tracking_uri, folder)
    assert load_results(found).equals(load_results(study))
    assert (found.spec, found.arms, found.cells, found.aliases) == (study.spec, study.arms, study.cells, study.aliases)
    assert (found.planned, found.provenance) == (study.planned, study.provenance)
    assert found.folder == folder
    for ours, theirs in zip(study.records, found.records, strict=True):
        assert dataclasses.replace(theirs, folder=ours.folder) == ours
        assert theirs.curves().equals(ours.curves())
        if mode == "ok" or ours.seed == 0:
            assert theirs.table("episodes").equals(ours.table("episodes"))
            assert (theirs.arrays("parameters")["parameters"] == ours.arrays("parameters")["parameters"]).all()


def test_only_results_are_read_back(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> None:
    until = lab.folder / "mended"
    data = study_data(cells=1, mode="raise", only_seed=1, until=str(until))
    lab.run(data)
    partial = download_study("tiny", lab.tracking_uri, tmp_path_factory.mktemp("partial"))
    assert {record.seed for record in partial.records} == {0}
    assert len(partial.planned) == 4
    until.touch()
    study = lab.run(data)
    whole = download_study("tiny", lab.tracking_uri, tmp_path_factory.mktemp("whole"))
    assert load_results(whole).equals(load_results(study))


def test_failures_read_back_are_those_of_the_last_attempts(lab: Lab, tmp_path: Path) -> None:
    data = study_data(seeds=1, cells=1, mode="raise")
    for _ in range(2):
        study = lab.run(data)
    assert [failure.attempt for failure in study.failures] == [2, 2]
    found = download_study("tiny", lab.tracking_uri, tmp_path / "download")
    assert found.failures == tuple(dataclasses.replace(failure, detail="") for failure in study.failures)


def test_tries_a_search_lost_are_read_back(lab: Lab, tmp_path: Path) -> None:
    search = {"trials": 2, "seeds": 1, "batch": 1, "space": {"x": {"low": 0.0, "high": 1.0}}}
    study = lab.run({**study_data(seeds=1, cells=1, mode="raise"), "search": search})
    assert study.failed_trials
    found = download_study("tiny", lab.tracking_uri, tmp_path / "download")
    assert {(lost.run, lost.trial) for lost in found.failed_trials} == {
        (lost.run, lost.trial) for lost in study.failed_trials
    }


def test_a_study_that_was_not_recorded_is_named(lab: Lab, tmp_path: Path) -> None:
    lab.run(study_data(seeds=1, cells=1))
    with pytest.raises(BadInput, match="study = 'tinny'"):
        download_study("tinny", lab.tracking_uri, tmp_path)


def test_a_store_that_is_not_there_is_named_and_not_made(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"nowhere\.db"):
        download_study("tiny", sqlite_url(tmp_path / "nowhere.db"), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_artifacts_that_are_gone_are_named(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> None:
    lab.run(study_data(seeds=1, cells=1))
    (lab.folder / "mlartifacts").rename(lab.folder / "moved")
    with pytest.raises(StoreUnavailable, match="MLflow"):
        download_study("tiny", lab.tracking_uri, tmp_path_factory.mktemp("download"))
