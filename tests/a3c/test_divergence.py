"""A number that is not finite ends the run as diverged, at its step; the global network never receives it."""

import math
from functools import cache

import numpy as np
import pytest

from a3c import Diverged, train
from a3c.streams import Purpose, reset_seed
from tests.a3c import oracles
from tests.a3c.failing import (
    EACH_SCHEDULE,
    EACH_WORKER_AND_SCHEDULE,
    ENDLESS,
    SEED,
    applied,  # noqa: F401 - a fixture
    assert_finite,
    assert_partial,
    failure_of,
    misbehaving,
    sabotage,
)
from tests.a3c.oracles import small_config

pytestmark = pytest.mark.usefixtures("engine_name")

FLOAT64 = {"dtype": "float64"}


def fault(what, *values):
    return pytest.param(*values, marks=pytest.mark.fault(15, what), id=what.replace(" ", "_"))


def assert_never_received(diverged, states):
    """The network is what the last update that was applied made of it, and always was finite."""
    assert_partial(diverged.result, "diverged")
    assert len(states) == diverged.result.metrics["updates"]
    assert all(np.isfinite(state).all() for state in states)
    if states:
        np.testing.assert_array_equal(diverged.result.parameters, states[-1])


@cache
def healthy_run(engine, steps, **env_kwargs):
    """The run of so many steps in which nothing is wrong, which many runs that diverge are held against."""
    return train(misbehaving("none", changes={"total_steps": steps, "engine": engine}, **env_kwargs))


@cache
def healthily_evaluated(engine):
    return train(evaluated("none", changes={"engine": engine}))


def assert_trained_as_if_healthy(diverged, schedule, **env_kwargs):
    """Up to where it diverged a run is, under round_robin, the healthy run of as many steps."""
    steps = int(diverged.result.metrics["steps"])
    if schedule == "round_robin" and steps:
        healthy = healthy_run(oracles.SMALL["engine"], steps, **env_kwargs)
        assert healthy.parameters_hash == diverged.result.parameters_hash
        assert healthy.update_log.equals(diverged.result.update_log)


# What the environment returns


@EACH_WORKER_AND_SCHEDULE
@pytest.mark.parametrize(
    ("where", "values", "told"),
    [
        fault("reward NaN", "reward", ["nan"], "nan"),
        fault("reward +inf", "reward", ["inf"], "inf"),
        fault("reward -inf", "reward", ["-inf"], "-inf"),
        fault("rewards +inf and -inf", "reward", ["inf", "-inf"], "inf"),
        fault("observation NaN", "observation", ["nan"], "nan"),
        fault("observation +inf", "observation", ["inf"], "inf"),
        fault("observation -inf", "observation", ["-inf"], "-inf"),
        fault("observations +inf and -inf", "observation", ["inf", "-inf"], "inf"),
        fault("observation 1e300, infinite in float32", "observation", ["1e300"], "inf"),
    ],
)
def test_what_is_not_finite_diverges_at_its_step(where, values, told, worker, schedule, applied):  # noqa: F811
    clothes = FLOAT64 if "1e300" in values else {}
    for at in (1, 40):
        applied.clear()
        diverged = failure_of(misbehaving(where, worker, at, schedule, values=values, **clothes), Diverged)
        assert str(diverged).startswith(f"Misbehaving-v0: worker {worker} at its environment step ")
        assert f", seed {SEED}: {where} is not finite at the worker's environment step {at}: " in str(diverged)
        assert told in str(diverged).rpartition(": ")[2]
        assert isinstance(diverged.__cause__, Diverged)
        assert_never_received(diverged, applied)
        assert_trained_as_if_healthy(diverged, schedule, **clothes)


@EACH_WORKER_AND_SCHEDULE
@pytest.mark.parametrize(
    "values",
    [
        fault("rewards of 1e308, whose sum is infinite", ["1e308", "1e308", "1e308"]),
        fault("a reward of 1e308", ["1e308"]),
        fault("rewards beyond float32", ["1e38", "3e38", "1e300"]),
        fault("a reward whose square is infinite in float32", ["1e25"]),
    ],
)
def test_a_reward_too_large_to_learn_from_diverges_in_its_rollout(values, worker, schedule, applied):  # noqa: F811
    diverged = failure_of(misbehaving("reward", worker, 7, schedule, values=values), Diverged)
    assert f"Misbehaving-v0: worker {worker} at its environment step 9, seed {SEED}: " in str(diverged)
    assert_never_received(diverged, applied)
    assert_trained_as_if_healthy(diverged, schedule)


@pytest.mark.usefixtures("drop_incomplete")
@pytest.mark.fault(15, "rewards of 1e308 that enter no loss")
def test_a_reward_too_large_diverges_though_no_target_counts_it():
    """Windows longer than any rollout: none is complete, none enters a loss."""
    changes = {"target": "drop_incomplete", "n_step": 50, "n_step_head": "both"}
    diverged = failure_of(misbehaving("reward", values=["1e308", "1e308"], changes=changes), Diverged)
    assert f"worker 1 at its environment step 9, seed {SEED}: a loss is not finite" in str(diverged)
    assert_partial(diverged.result, "diverged")


@pytest.mark.parametrize("rollout_length", [1, 5, "episode"])
@pytest.mark.parametrize("where", ["reward", "observation"])
def test_the_step_that_diverged_is_told_wherever_the_rollout_was_cut(where, rollout_length):
    diverged = failure_of(misbehaving(where, at=7, changes={"rollout_length": rollout_length}), Diverged)
    assert f"{where} is not finite at the worker's environment step 7:" in str(diverged)
    assert "nan" in str(diverged)


# What one worker makes of it


def loss(**values):
    return lambda engine, learned: learned._replace(**values)


def gradient(*values, at=0):
    def deed(engine, learned):
        engine.gradient[at : at + len(values) or None] = values
        return learned

    return deed


@EACH_WORKER_AND_SCHEDULE
@pytest.mark.parametrize(
    ("deed", "told"),
    [
        fault("one worker's critic loss NaN", loss(critic_loss=math.nan), "critic nan"),
        fault("one worker's actor loss +inf", loss(actor_loss=math.inf), "actor inf"),
        fault("one worker's losses -inf and +inf", loss(actor_loss=-math.inf, critic_loss=math.inf), "actor -inf"),
        fault("one worker's gradient NaN", gradient(np.nan), "a gradient"),
        fault("one worker's gradient +inf", gradient(np.inf, at=-1), "a gradient"),
        fault("one worker's gradient -inf and +inf", gradient(-np.inf, np.inf, at=5), "a gradient"),
        fault("one worker's gradient 3e38, infinite when squared", gradient(3e38), "a gradient"),
    ],
)
def test_what_one_worker_learns_that_is_not_finite_diverges_at_its_rollout(
    deed,
    told,
    worker,
    schedule,
    monkeypatch,
    applied,  # noqa: F811
):
    with monkeypatch.context() as patch:
        sabotage(patch, worker, 3, deed)
        diverged = failure_of(misbehaving("none", schedule=schedule), Diverged)
    assert f"Misbehaving-v0: worker {worker} at its environment step 13, seed {SEED}: " in str(diverged)
    assert told in str(diverged)
    assert_never_received(diverged, applied)
    assert_trained_as_if_healthy(diverged, schedule)


@pytest.mark.fault(15, "losses of 1e308, whose mean over a stretch of the curve is infinite")
def test_a_point_of_a_curve_that_is_not_finite_is_left_out(monkeypatch):
    sabotage(monkeypatch, 1, None, loss(critic_loss=1.7e308))
    result = train(misbehaving("none", changes={"total_steps": 2000}))  # stretches of 40 steps, some 9 updates each
    assert result.outcome == "complete"
    assert result.curves.keys() == {"training_return", "actor_loss", "entropy", "staleness"}
    assert_finite(result)


@EACH_SCHEDULE
@pytest.mark.fault(15, "a learning rate under which the network blows up")
def test_a_learning_rate_that_blows_up_ends_diverged_with_finite_parameters(schedule):
    changes = {"optimizer": "sgd", "learning_rate": 10.0, "critic_learning_rate": 10.0, "schedule": schedule}
    config = small_config(total_steps=ENDLESS, anneal_learning_rate=False, **changes)
    assert_partial(failure_of(config, Diverged).result, "diverged")


# What evaluation makes of it


def evaluated(fault, at=3, changes=None, **env_kwargs):
    """A run whose training is healthy, and whose evaluation is not."""
    env_kwargs = {"fault": fault, "at": at, **env_kwargs}
    settings = {"env_id": "Misbehaving-v0", "env_kwargs": {"fault": "none"}, "seed": SEED, "evaluations": 4}
    return small_config(**settings, evaluation_env_kwargs=env_kwargs, **changes or {})


@pytest.mark.parametrize(
    ("where", "values", "told"),
    [
        fault("reward NaN in evaluation", "reward", ["nan"], "step 3 of its episodes, seed 11: reward is not finite"),
        fault("reward +inf in evaluation", "reward", ["inf"], "step 3 of its episodes, seed 11: reward is not finite"),
        fault("reward -inf in evaluation", "reward", ["-inf"], "step 3 of its episodes, seed 11: reward is not finite"),
        fault(
            "observation NaN in evaluation",
            "observation",
            ["nan"],
            "step 3 of its episodes, seed 11: observation is not finite",
        ),
        fault(
            "rewards of 1e308 in evaluation, whose sum is infinite",
            "reward",
            ["1e308", "1e308"],
            "step 10 of its episodes, seed 11: return is not finite: inf",
        ),
        fault(
            "returns of 1e308 in evaluation, whose mean is infinite",
            "reward",
            ["1e308"],
            "seed 11: auc is not finite: inf",
        ),
        fault(
            "returns of -1e308 in evaluation, whose mean is infinite",
            "reward",
            ["-1e308"],
            "seed 11: auc is not finite: -inf",
        ),
    ],
)
def test_an_evaluation_that_is_not_finite_is_a_divergence_and_infinity_never_best(where, values, told):
    diverged = failure_of(evaluated(where, values=values), Diverged)
    assert str(diverged).startswith("Misbehaving-v0: evaluation")
    assert told in str(diverged)
    result, healthy = diverged.result, healthily_evaluated(oracles.SMALL["engine"])
    assert_partial(result, "diverged")
    assert result.metrics == {name: value for name, value in healthy.metrics.items() if name in result.metrics}
    assert result.metrics["steps"] == 200
    assert result.metrics.keys().isdisjoint({"auc", "best", "final", "final_return", "collapsed", "random_return"})
    assert result.parameters_hash == healthy.parameters_hash
    assert result.evaluations.empty
    assert "evaluation_return" not in result.curves


@pytest.mark.fault(15, "returns of 1e200 in evaluation, whose variance is infinite")
def test_a_spread_of_returns_that_is_not_finite_is_a_divergence():
    """Of the first snapshot's two episodes one returns that much, the other 55."""
    first = reset_seed(SEED, Purpose.EVALUATION_ENVIRONMENT)
    diverged = failure_of(evaluated("reward", values=["1e200"], only_reset_seed=first), Diverged)
    assert str(diverged) == "Misbehaving-v0: evaluation, seed 11: std is not finite: inf"
    assert_partial(diverged.result, "diverged")


@pytest.mark.fault(15, "reward +inf in the random policy's evaluation alone")
def test_the_random_policys_return_is_never_infinite_either():
    """The random policy's environments are reset with 0 … 199."""
    diverged = failure_of(evaluated("reward", values=["inf"], only_reset_seed=7), Diverged)
    told = "Misbehaving-v0: the random policy at step 3 of its episodes, seed 0: reward is not finite: inf"
    assert str(diverged) == told
    assert_finite(diverged.result)


def test_a_diverged_run_keeps_the_evaluations_it_had_earned():
    changes = {"total_steps": 300, "evaluations": 10, "evaluation_env_kwargs": {"fault": "none", "at": ENDLESS}}
    diverged = failure_of(misbehaving("reward", at=45, changes=changes), Diverged)
    earned = int(diverged.result.metrics["steps"]) // 30
    assert 0 < earned < 10
    assert diverged.result.evaluations["grid"].tolist() == [30 * (i + 1) for i in range(earned)]
    assert "auc" not in diverged.result.metrics


@pytest.mark.parametrize(("fault", "values"), [("reward", ["inf"]), ("step", ["nan"])])
def test_a_run_that_diverged_is_told_as_that_whatever_its_evaluation_does(fault, values):
    kwargs = {"fault": fault, "at": 3, "values": values}
    changes = {"total_steps": 300, "evaluations": 10, "evaluation_env_kwargs": kwargs}
    diverged = failure_of(misbehaving("reward", at=45, changes=changes), Diverged)
    assert "reward is not finite at the worker's environment step 45: nan" in str(diverged)
    assert_partial(diverged.result, "diverged")
    assert diverged.result.evaluations.empty
