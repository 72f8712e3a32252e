"""The config: every field refuses what it must, presets are whole, equal effective settings train alike."""

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from a3c import TrainConfig, train
from a3c.config import DEFAULT_STEPS, PRESETS
from tests.a3c.oracles import small_config

NAN, INF = float("nan"), float("inf")
NOT_INTEGERS = [None, True, 1.5, "1", [1]]
NOT_NUMBERS = [True, "0.5", NAN, INF, [0.5]]
NOT_FLAGS = [0, 1, "true", None]

REFUSED = {
    "env_id": ["", "x" * 301, None, 1],
    "env_kwargs": [None, [1], "fast", {1: 2}],
    "seed": [-1, 2**63, *NOT_INTEGERS],
    "workers": [0, -1, 257, 10**9, *NOT_INTEGERS],
    "schedule": ["alphabetical", "", None, 1],
    "engine": ["steam", "", None, 1],
    "n_step": [0, -1, 10**6 + 1, *NOT_INTEGERS],
    "target": ["max_term", "", None, 1, ["max_terms"]],
    "n_step_convention": ["papers", "", None],
    "n_step_head": ["neither", "", None],
    "rollout_length": [0, -1, 10**6 + 1, "episodes", *NOT_INTEGERS],
    "bootstrap_truncated": NOT_FLAGS,
    "total_steps": [0, -1, 10**12 + 1, *NOT_INTEGERS[1:]],
    "total_episodes": [0, -1, 10**9 + 1, *NOT_INTEGERS[1:]],
    "gamma": [-0.01, 1.5, None, *NOT_NUMBERS],
    "entropy_coef": [-0.1, 101.0, None, *NOT_NUMBERS],
    "log_epsilon": [-1e-9, 0.2, None, *NOT_NUMBERS],
    "learning_rate": [0.0, -1e-3, 11.0, None, *NOT_NUMBERS],
    "critic_learning_rate": [0.0, -1e-3, 11.0, *NOT_NUMBERS],
    "anneal_learning_rate": NOT_FLAGS,
    "optimizer": ["adamw", "", None],
    "adam_beta1": [-0.1, 1.0, None, *NOT_NUMBERS],
    "adam_beta2": [-0.1, 1.0, None, *NOT_NUMBERS],
    "rmsprop_decay": [-0.1, 1.0, None, *NOT_NUMBERS],
    "optimizer_epsilon": [0.0, -1.0, 1.5, None, *NOT_NUMBERS],
    "max_grad_norm": [0.0, -1.0, *NOT_NUMBERS],
    "local_critic_step": NOT_FLAGS,
    "hidden_sizes": [[], [0], [4097], [8] * 9, [8, 1.5], [True], 128, "128", None],
    "activation": ["gelu", "", None],
    "evaluations": [-1, 10_001, *NOT_INTEGERS],
    "evaluation_episodes": [0, 10_001, *NOT_INTEGERS],
    "evaluation_policy": ["lazy", "", None],
    "evaluation_env_kwargs": [[1], "fast"],
    "evaluation_scale": [[0.0], [0.0, 1.0, 2.0], [1.0, 1.0], [2.0, 1.0], [0.0, INF], [NAN, 1.0], 1.0, "0 to 1"],
}


def test_every_field_has_values_it_is_known_to_refuse():
    assert set(REFUSED) == set(TrainConfig.model_fields)


@pytest.mark.parametrize(
    ("field", "value"),
    [pytest.param(field, value, id=f"{field}={value!r:.20}") for field in REFUSED for value in REFUSED[field]],
)
def test_a_value_out_of_range_or_of_the_wrong_type_is_refused_by_name(field, value):
    with pytest.raises(ValidationError, match=field):
        TrainConfig.model_validate({field: value})


ACCEPTED = {
    "seed": [0, 2**63 - 1],
    "workers": [1, 256],
    "engine": ["auto", "compiled", "autograd"],
    "n_step": [1, 10**6],
    "target": ["max_terms", "missing_as_zero", "drop", "wrong_gamma", "a3c.targets.n_step:drop"],
    "rollout_length": [1, 10**6, "episode"],
    "total_steps": [1, 10**12],
    "total_episodes": [1, 10**9],
    "gamma": [0.0, 1.0, 1],
    "entropy_coef": [0.0, 100.0],
    "log_epsilon": [0.0, 0.1],
    "learning_rate": [1e-12, 10.0],
    "critic_learning_rate": [None, 10.0],
    "adam_beta1": [0.0, 0.999],
    "max_grad_norm": [None, 1e-9, 1e9],
    "hidden_sizes": [[1], [4096], [8] * 8, (8, 4)],
    "evaluations": [0, 10_000],
    "evaluation_scale": [None, [0.0, 1.0], (-200.0, -100.0)],
}


@pytest.mark.parametrize(("field", "value"), [(field, value) for field in ACCEPTED for value in ACCEPTED[field]])
def test_the_ends_of_every_range_are_accepted(field, value):
    config = TrainConfig.model_validate({field: value})
    assert getattr(config, field) == (tuple(value) if isinstance(value, list) else value)


def test_an_unknown_field_is_refused_by_name():
    with pytest.raises(ValidationError, match="n_steps"):
        TrainConfig.model_validate({"n_steps": 5})


def test_a_misspelt_tail_rule_is_refused_with_the_nearest_one():
    allowed = r"drop, max_terms, missing_as_zero, wrong_gamma, or the module:name .*, did you mean 'max_terms'"
    with pytest.raises(ValidationError, match=allowed):
        TrainConfig(target="max_term")


def test_a_registered_tail_rule_is_a_legal_target(drop_incomplete):
    assert TrainConfig(target=drop_incomplete).target == drop_incomplete


def test_a_config_cannot_be_changed():
    config = TrainConfig()
    with pytest.raises(ValidationError):
        config.gamma = 0.5


# The budget


def test_there_is_exactly_one_budget():
    assert (TrainConfig().budget, TrainConfig().budget_unit) == (DEFAULT_STEPS, "steps")
    episodes = TrainConfig(total_episodes=7)
    assert (episodes.budget, episodes.budget_unit, episodes.total_steps) == (7, "episodes", None)
    steps = TrainConfig(total_steps=9)
    assert (steps.budget, steps.budget_unit, steps.total_episodes) == (9, "steps", None)
    with pytest.raises(ValidationError, match=r"total_steps.*total_episodes"):
        TrainConfig(total_steps=9, total_episodes=7)


# Presets


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_survives_the_way_through_json(name):
    config = TrainConfig.preset(name, hidden_sizes=[8, 4], evaluation_scale=[0.0, 500.0])
    assert TrainConfig.model_validate(json.loads(json.dumps(config.model_dump(mode="json")))) == config


def test_the_presets_are_what_their_sources_say():
    seed = TrainConfig.preset("seed")
    assert (seed.env_id, seed.workers, seed.n_step, seed.n_step_convention) == ("CartPole-v0", 4, 15, "seed")
    assert (seed.rollout_length, seed.bootstrap_truncated, seed.total_episodes) == ("episode", False, 500)
    assert (seed.hidden_sizes, seed.gamma, seed.entropy_coef, seed.log_epsilon) == ((128,), 0.999, 0.1, 1e-5)
    assert (seed.optimizer, seed.learning_rate, seed.critic_learning_rate) == ("adam", 0.01, None)
    assert (seed.adam_beta1, seed.adam_beta2, seed.local_critic_step) == (0.99, 0.999, True)
    mnih = TrainConfig.preset("mnih2016")
    assert (mnih.rollout_length, mnih.n_step, mnih.workers, mnih.gamma, mnih.entropy_coef) == (5, 5, 16, 0.99, 0.01)
    assert (mnih.optimizer, mnih.rmsprop_decay, mnih.optimizer_epsilon) == ("rmsprop", 0.99, 0.1)
    assert (mnih.learning_rate, mnih.anneal_learning_rate, mnih.max_grad_norm) == (7e-4, True, 40)
    assert TrainConfig.preset("default") == TrainConfig()
    assert TrainConfig().target == "max_terms"


def test_a_change_of_budget_replaces_a_presets():
    assert TrainConfig.preset("seed", total_steps=100).total_episodes is None
    assert TrainConfig.preset("seed", total_episodes=3).total_episodes == 3
    assert TrainConfig.preset("default", total_episodes=3).total_steps is None


def test_an_unknown_preset_or_a_wrong_change_is_refused():
    with pytest.raises(ValueError, match="preset='sede': must be one of default, seed, mnih2016"):
        TrainConfig.preset("sede")
    with pytest.raises(ValidationError, match="workers"):
        TrainConfig.preset("seed", workers=0)


# Aliases


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 40))
def test_windows_longer_than_the_rollout_are_aliases_and_shorter_ones_are_not(n, other, length):
    one, two = (TrainConfig(n_step=k, rollout_length=length).effective() for k in (n, other))
    assert (one == two) == (min(n, length) == min(other, length))


@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(1, 40),
    st.sampled_from(["wrong_gamma", "a3c.targets.n_step:max_terms"]),
)
def test_rules_that_may_read_n_itself_have_no_aliases_in_it(n, other, length, target):
    one, two = (TrainConfig(n_step=k, rollout_length=length, target=target).effective() for k in (n, other))
    assert (one == two) == (n == other)


def test_only_the_seed_is_left_out_of_the_effective_settings():
    config = TrainConfig()
    assert config.effective() == TrainConfig(seed=5).effective()
    assert config.effective() != TrainConfig(gamma=0.5).effective()
    episodes = {"rollout_length": "episode"}
    assert TrainConfig(n_step=20, **episodes).effective() != TrainConfig(n_step=21, **episodes).effective()


ALIASES = [
    ({"n_step": 5}, {"n_step": 6}),
    ({"n_step": 5}, {"n_step": 10**6}),
    ({"n_step": 5, "target": "drop"}, {"n_step": 9, "target": "drop"}),
    ({"n_step": 5, "target": "missing_as_zero"}, {"n_step": 9, "target": "missing_as_zero"}),
    ({"critic_learning_rate": None, "learning_rate": 0.01}, {"critic_learning_rate": 0.01, "learning_rate": 0.01}),
    ({"optimizer": "adam", "rmsprop_decay": 0.5}, {"optimizer": "adam", "rmsprop_decay": 0.9}),
    ({"optimizer": "rmsprop", "adam_beta1": 0.5}, {"optimizer": "rmsprop", "adam_beta1": 0.9, "adam_beta2": 0.1}),
    ({"optimizer": "sgd", "optimizer_epsilon": 0.5}, {"optimizer": "sgd", "rmsprop_decay": 0.1}),
    ({"evaluation_env_kwargs": None}, {"evaluation_env_kwargs": {"lengths": [4, 7, 12]}}),
]


@pytest.mark.parametrize(("one", "other"), ALIASES)
def test_configs_with_equal_effective_settings_train_to_the_same_bits(one, other):
    shared = {"env_kwargs": {"lengths": [4, 7, 12]}, "evaluations": 2}
    configs = [small_config(**shared | changes) for changes in (one, other)]
    assert configs[0].effective() == configs[1].effective()
    results = [train(config) for config in configs]
    assert results[0].parameters_hash == results[1].parameters_hash
    assert results[0].metrics == results[1].metrics


# Where nothing heavy may be loaded


def test_importing_and_checking_a_config_loads_nothing_heavy():
    code = (
        "import sys\nfrom a3c import TrainConfig\nTrainConfig.preset('seed').effective()\n"
        "print(sorted({'torch', 'numba', 'gymnasium', 'pandas', 'scipy'} & set(sys.modules)))"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "[]"
