"""The border with Gymnasium: what cannot be trained on is refused by field, value and what is allowed."""

import threading
from importlib.util import find_spec

import gymnasium as gym
import numpy as np
import pytest

from a3c import EnvironmentUnsuitable, train
from a3c.environments.making import first_not_finite, make, spaces_of
from a3c.environments.probing import problems_of_environments
from tests.a3c.oracles import small_config


def fault(what, *values, more=()):
    return pytest.param(*values, marks=[pytest.mark.fault(14, f"environment: {what}"), *more], id=what)


def odd(what):
    return {"env_id": "Unsuitable-v0", "env_kwargs": {"what": what}}


BOX2D = pytest.mark.skipif(find_spec("Box2D") is not None, reason="the extra is installed here")
UNSUITABLE = [
    fault("unregistered", {"env_id": "CartPoll-v1"}, "env_id", "registered"),
    fault("of no such version", {"env_id": "CartPole-v99"}, "env_id", "registered"),
    fault("of no such module", {"env_id": "no_such_module:Env-v0"}, "env_id", "registered"),
    fault("of a malformed id", {"env_id": "not an id!"}, "env_id", "registered"),
    fault("Box actions", odd("box"), "env_id", "Discrete action"),
    fault("Box actions (Pendulum-v1)", {"env_id": "Pendulum-v1"}, "env_id", "Discrete action"),
    fault("image observations", odd("image"), "env_id", "flat Box"),
    fault("Dict observations", odd("dict"), "env_id", "flat Box"),
    fault("Discrete observations (FrozenLake-v1)", {"env_id": "FrozenLake-v1"}, "env_id", "flat Box"),
    fault("Tuple observations (Blackjack-v1)", {"env_id": "Blackjack-v1"}, "env_id", "flat Box"),
    fault("no spaces", odd("spaces"), "env_id", "Discrete action"),
    fault("spaces that raise when asked for", odd("closed"), "env_id", "Discrete action"),
    fault("a reward threshold that is no number", {"env_id": "Threshold-v0"}, "env_id", "reward threshold"),
    fault("no module, but a colon", {"env_id": ":CartPole-v1"}, "env_id", "can be imported"),
    fault("a module that leaves the process", {"env_id": "tests.a3c.leaving:Any-v0"}, "env_id", "SystemExit"),
    fault("lacks an extra", odd("extra"), "env_id", "package that is not installed"),
    fault("lacks an extra (LunarLander-v3)", {"env_id": "LunarLander-v3"}, "env_id", "not installed", more=[BOX2D]),
    fault("leaves the process when made", odd("exit"), "env_kwargs", "arguments"),
    fault("wrong arguments", {"env_kwargs": {"gravity": 9.8}}, "env_kwargs", "arguments"),
    fault("a window to be opened", {"env_kwargs": {"render_mode": "human"}}, "env_kwargs", "window"),
    fault(
        "wrong arguments for evaluation",
        {"evaluation_env_kwargs": {"gravity": 9.8}},
        "evaluation_env_kwargs",
        "arguments",
    ),
]
BROKEN = [
    fault("raises in its first reset", "reset", {}, "survive"),
    fault("SystemExit in its first reset", "reset_exit", {}, "survive"),
    fault("raises in its first step", "step", {}, "survive"),
    fault("SystemExit in its first step", "exit", {}, "survive"),
    fault("4-tuple from its first step", "four", {}, "survive"),
    fault("observations longer than declared", "shape", {"shape": [7]}, "observations"),
    fault("observations shorter than declared", "shape", {"shape": [1]}, "observations"),
    fault("observations without a dimension", "shape", {"shape": []}, "observations"),
]


@pytest.mark.parametrize(("changes", "field", "allowed"), UNSUITABLE)
def test_training_refuses_an_unsuitable_environment_before_anything_is_computed(changes, field, allowed):
    config = small_config(evaluations=1, **changes)
    pushes, threads = [], threading.active_count()
    with pytest.raises(EnvironmentUnsuitable, match=allowed) as caught:
        train(config, pushes.append)
    assert (caught.value.field, caught.value.value) == (field, getattr(config, field))
    assert allowed in caught.value.allowed
    assert field in str(caught.value)
    assert repr(getattr(config, field)) in str(caught.value)
    assert not pushes
    assert threading.active_count() == threads


@pytest.mark.fault(14, "environment: ragged observations")
def test_ragged_observations_are_a_problem():
    ((field, _, allowed),) = problems_of_environments(small_config(**odd("ragged")))
    assert field == "env_id"
    assert "must survive a reset and a step (ValueError" in allowed


@pytest.mark.fault(14, "environment: hangs in its first step")
def test_an_environment_that_hangs_is_a_problem_and_not_the_end(monkeypatch):
    monkeypatch.setattr("a3c.environments.probing.PROBE_SECONDS", 0.2)
    config = small_config(env_id="tests.environments:Misbehaving-v0", env_kwargs={"fault": "hang"})
    assert problems_of_environments(config) == [
        ("env_id", config.env_id, "must be made, reset and stepped within 0.2 s")
    ]


@pytest.mark.parametrize(("changes", "field", "allowed"), UNSUITABLE)
def test_a_config_tells_the_problems_of_its_environments(changes, field, allowed):
    config = small_config(**changes)
    ((found, value, says),) = problems_of_environments(config)
    assert (found, value) == (field, getattr(config, field))
    assert allowed in says


@pytest.mark.parametrize(("fault", "details", "allowed"), BROKEN)
def test_an_environment_that_breaks_at_once_is_a_problem(fault, details, allowed):
    config = small_config(env_id="Misbehaving-v0", env_kwargs={"fault": fault, **details})
    ((field, value, says),) = problems_of_environments(config)
    assert (field, value) == ("env_id", "Misbehaving-v0")
    assert allowed in says


@pytest.mark.parametrize("changes", [{"size": 5}, {"actions": 4}, {"start": 2}])
def test_an_evaluation_environment_with_other_spaces_is_a_problem(changes):
    config = small_config(evaluation_env_kwargs=changes)
    ((field, value, _),) = problems_of_environments(config)
    assert (field, value) == ("evaluation_env_kwargs", changes)


def test_a_suitable_environment_has_no_problems():
    assert (
        problems_of_environments(small_config(env_kwargs={"start": 3, "dtype": "uint8"}, evaluation_env_kwargs=None))
        == []
    )
    assert problems_of_environments(small_config(env_id="CartPole-v0")) == []
    assert (
        problems_of_environments(
            small_config(env_id="CartPole-v1", evaluation_env_kwargs={"sutton_barto_reward": True})
        )
        == []
    )


def test_the_spaces_are_read_from_the_environment():
    small_config()
    scripted = make("Scripted-v0", {"size": 5, "actions": 4, "start": -2})
    spaces = spaces_of(scripted, "Scripted-v0")
    assert (spaces.observation_size, spaces.actions, spaces.first_action) == (5, 4, -2)
    assert spaces.reward_threshold is None
    assert spaces_of(gym.make("CartPole-v1"), "CartPole-v1").reward_threshold == 475


@pytest.mark.parametrize(
    ("values", "row"),
    [
        ([], None),
        ([1.0, 2.0], None),
        ([1e308, 1e308, 1e308], None),
        ([0.0, np.nan, np.inf], 1),
        ([np.inf, -np.inf], 0),
        ([[0.0, 1.0], [2.0, -np.inf], [np.nan, 0.0]], 1),
    ],
)
def test_the_first_row_that_is_not_finite_is_found(values, row):
    assert first_not_finite(np.array(values)) == row


def test_rows_of_float32_are_searched_too():
    values = np.full((4, 3), 3e38, dtype=np.float32)
    assert first_not_finite(values) is None
    values[2, 1] = np.nan
    assert first_not_finite(values) == 2
