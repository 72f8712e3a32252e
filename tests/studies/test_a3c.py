"""What a study asks A3C's configs, see :mod:`harness.algorithm.protocol`."""

from __future__ import annotations

import pytest

from studies import A3C
from studies.algorithms.a3c import StudyConfig


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


def test_a_preset_is_one_of_its_own_type() -> None:
    config = A3C.build({"preset": "mnih2016", "seed": 3})
    assert type(config) is StudyConfig
    assert config.model_dump()["workers"] == 16
