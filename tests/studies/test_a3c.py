"""What a study asks A3C's configs, see :mod:`harness.algorithm.protocol`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness import load_study
from harness.record.folder import PLAN_FILE
from reports import write_report
from studies import A3C
from studies.algorithms.a3c import METRIC_TRAITS, StudyConfig
from tests.reports.synthetic import plan, write_study


@pytest.mark.parametrize("engine", ["compiled", "autograd"])
def test_the_engine_is_a_label(engine: str) -> None:
    assert StudyConfig.model_validate({"engine": engine}).labels() == {"engine": engine}


def test_an_environment_that_is_not_there_is_a_problem() -> None:
    ((field, value, allowed),) = StudyConfig(env_id="Nowhere-v0").problems()
    assert (field, value) == ("env_id", "Nowhere-v0")
    assert "must be registered" in allowed
    assert StudyConfig().problems() == []


def test_configs_with_the_same_environments_share_a_key() -> None:
    key = StudyConfig().problems_key()
    assert StudyConfig(seed=3, workers=1, gamma=0.5).problems_key() == key
    for changes in (
        {"env_id": "CartPole-v0"},
        {"env_kwargs": {"sutton_barto_reward": True}},
        {"evaluation_env_kwargs": {}},
    ):
        assert StudyConfig.model_validate(changes).problems_key() != key


def test_a_study_of_an_older_version_is_reported_as_it_was(tmp_path: Path) -> None:
    """Its plan holds no traits of metrics: they were those of A3C, and still are."""
    study = write_study(tmp_path / "old", plan(), points=2, diverge=lambda run: run.seed == 1)
    before = write_report(study).read_text(encoding="utf-8")
    kept = json.loads((study.folder / PLAN_FILE).read_text(encoding="utf-8"))
    assert kept.pop("metrics")
    (study.folder / PLAN_FILE).write_text(json.dumps(kept), encoding="utf-8")
    assert load_study(study.folder).metrics == METRIC_TRAITS
    write_report(load_study(study.folder))
    assert (study.folder / "report.html").read_text(encoding="utf-8") == before
    assert "by <code>auc</code> (scaled return: 0 random policy, 1 solved)" in before


def test_a_preset_is_one_of_its_own_type() -> None:
    config = A3C.build({"preset": "mnih2016", "seed": 3})
    assert type(config) is StudyConfig
    assert config.model_dump()["workers"] == 16
