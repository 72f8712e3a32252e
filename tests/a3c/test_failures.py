"""What goes wrong in a worker stops all of them, says where, and leaves what was trained until then."""

import os
import signal
import threading

import numpy as np
import pytest

from a3c import Diverged, WorkerFailed, train
from a3c.streams import Purpose, reset_seed
from tests.a3c.oracles import small_config

pytestmark = pytest.mark.usefixtures("engine_name")

WORKERS, SEED = 3, 11
ENDLESS = 5_000  # environment steps: never reached by a run that fails as it should
SCHEDULES = pytest.mark.parametrize("schedule", ["round_robin", "free"])


def misbehaving(fault, worker=1, at=7, schedule="round_robin", changes=None, **env_kwargs):
    """A run that only this fault can end; of all workers, only the given one meets it."""
    only = reset_seed(SEED, Purpose.ENVIRONMENT, worker)
    env_kwargs = {"fault": fault, "at": at, "only_reset_seed": only, "lengths": [4, 9], **env_kwargs}
    settings = {"workers": WORKERS, "seed": SEED, "schedule": schedule, "total_steps": ENDLESS}
    settings |= {"env_id": "Misbehaving-v0", "env_kwargs": env_kwargs, "anneal_learning_rate": False}
    return small_config(**settings | (changes or {}))


def failure_of(config, error=WorkerFailed):
    with pytest.raises(error) as caught:
        train(config)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("a3c-worker")]
    return caught.value


def assert_partial(result, outcome):
    """A result of finished updates only."""
    assert result.outcome == outcome
    assert np.isfinite(result.parameters).all()
    assert len(result.update_log) == result.metrics["updates"]
    assert 0 <= result.metrics["steps"] < ENDLESS


# Exceptions


@SCHEDULES
@pytest.mark.parametrize("worker", range(WORKERS))
@pytest.mark.parametrize(
    ("fault", "cause"), [("reset", RuntimeError), ("step", RuntimeError), ("exit", SystemExit), ("memory", MemoryError)]
)
def test_a_worker_that_raises_stops_everyone_and_is_named(fault, cause, worker, schedule):
    failed = failure_of(misbehaving(fault, worker, schedule=schedule))
    steps = 13 if fault == "reset" else 6  # the first reset after step 7 follows the second episode
    assert f"worker {worker} " in str(failed)
    assert f"environment step {steps}," in str(failed)
    assert f"seed {SEED}" in str(failed)
    assert cause.__name__ in str(failed)
    assert type(failed.__cause__) is cause
    assert_partial(failed.result, "failed")


@SCHEDULES
def test_a_worker_that_fails_in_its_very_first_reset_leaves_an_untrained_result(schedule):
    config = misbehaving("reset", 0, at=1, schedule=schedule, changes={"workers": 1})
    failed = failure_of(config)
    assert failed.result.update_log.empty
    assert failed.result.metrics == {"steps": 0, "updates": 0, "episodes": 0}
    assert failed.result.curves == {}


@SCHEDULES
def test_all_workers_failing_at_once_is_one_failure(schedule):
    config = misbehaving("step", at=1, schedule=schedule, only_reset_seed=None)
    failed = failure_of(config)
    assert isinstance(failed.__cause__, RuntimeError)
    if schedule == "round_robin":
        assert "worker 0 " in str(failed)


@pytest.mark.parametrize("fault", ["shape", "reset_shape"])
@pytest.mark.parametrize("shape", [[2], [4], [3, 1], [1, 3], [1], []])
def test_an_observation_of_another_shape_is_a_failure_not_something_to_broadcast(shape, fault):
    failed = str(failure_of(misbehaving(fault, shape=shape)))
    assert "worker 1 " in failed
    assert f"shape {tuple(shape)}, must be (3,)" in failed


def test_a_step_in_the_old_style_is_a_failure():
    assert isinstance(failure_of(misbehaving("four")).__cause__, ValueError)


@pytest.mark.parametrize(
    ("fault", "error", "env_kwargs"),
    [
        ("reset", WorkerFailed, {}),
        ("step", WorkerFailed, {}),
        ("exit", WorkerFailed, {}),
        ("reward", Diverged, {}),
        ("observation", Diverged, {"values": ["inf"]}),
    ],
)
def test_under_round_robin_a_failure_repeats_exactly(fault, error, env_kwargs, switch_interval):
    config = misbehaving(fault, 2, at=40, **env_kwargs)
    first = failure_of(config, error)
    with switch_interval(1e-6):
        second = failure_of(config, error)
    assert str(first) == str(second)
    assert first.result.parameters_hash == second.result.parameters_hash
    assert first.result.update_log.equals(second.result.update_log)
    assert first.result.episodes.equals(second.result.episodes)
    assert len(first.result.update_log) > WORKERS


@pytest.mark.parametrize(("fault", "error"), [("step", WorkerFailed), ("reward", Diverged)])
def test_what_was_trained_before_a_failure_is_what_a_healthy_run_trains(fault, error):
    config = misbehaving(fault, 1, at=40)
    partial = failure_of(config, error).result
    healthy = misbehaving(fault, 1, at=ENDLESS, changes={"total_steps": int(partial.metrics["steps"])})
    result = train(healthy)
    assert result.outcome == "complete"
    assert result.parameters_hash == partial.parameters_hash
    assert result.update_log.equals(partial.update_log)


# Numbers that are not finite


@SCHEDULES
@pytest.mark.parametrize(
    ("fault", "values"),
    [
        ("reward", ["nan"]),
        ("reward", ["inf"]),
        ("reward", ["-inf"]),
        ("reward", ["inf", "-inf"]),
        ("reward", ["1e308", "1e308", "1e308"]),
        ("reward", ["1e38", "3e38", "1e308"]),
        ("reward", ["1e25"]),
        ("observation", ["nan"]),
        ("observation", ["inf"]),
        ("observation", ["inf", "-inf"]),
        ("observation", ["-inf", "nan"]),
    ],
)
def test_a_number_that_is_not_finite_diverges_and_never_reaches_the_network(fault, values, schedule):
    diverged = failure_of(misbehaving(fault, schedule=schedule, values=values), Diverged)
    assert "worker 1 " in str(diverged)
    assert f"seed {SEED}" in str(diverged)
    assert isinstance(diverged.__cause__, Diverged)
    assert_partial(diverged.result, "diverged")


def test_an_observation_too_large_for_float32_diverges():
    config = misbehaving("observation", values=["1e300"], dtype="float64")
    assert "worker 1 " in str(failure_of(config, Diverged))


@pytest.mark.parametrize("rollout_length", [1, 5, "episode"])
@pytest.mark.parametrize("fault", ["reward", "observation"])
def test_the_step_that_diverged_is_told_wherever_the_rollout_was_cut(fault, rollout_length):
    diverged = failure_of(misbehaving(fault, at=7, changes={"rollout_length": rollout_length}), Diverged)
    assert f"{fault} is not finite at the worker's environment step 7:" in str(diverged)
    assert "nan" in str(diverged)


def test_a_diverged_run_keeps_the_evaluations_it_had_earned():
    changes = {"total_steps": 300, "evaluations": 10, "evaluation_env_kwargs": {"fault": "none", "at": ENDLESS}}
    diverged = failure_of(misbehaving("reward", at=45, changes=changes), Diverged)
    earned = int(diverged.result.metrics["steps"]) // 30
    assert 0 < earned < 10
    assert diverged.result.evaluations["grid"].tolist() == [30 * (i + 1) for i in range(earned)]
    assert "auc" not in diverged.result.metrics


@SCHEDULES
def test_a_learning_rate_that_blows_up_ends_diverged_with_finite_parameters(schedule):
    changes = {"optimizer": "sgd", "learning_rate": 10.0, "critic_learning_rate": 10.0, "schedule": schedule}
    config = small_config(total_steps=ENDLESS, anneal_learning_rate=False, **changes)
    assert_partial(failure_of(config, Diverged).result, "diverged")


# Other ends


def test_an_environment_that_fails_to_close_only_warns():
    config = misbehaving("close", changes={"total_steps": 100})
    with pytest.warns(UserWarning, match="failed to close: RuntimeError: scripted failure in close"):
        result = train(config)
    assert result.outcome == "complete"


def test_a_failing_close_hides_no_failure():
    class Interrupted(Exception):
        pass

    def emit(progress):
        raise Interrupted

    with pytest.warns(UserWarning, match="failed to close"), pytest.raises(WorkerFailed) as caught:
        train(misbehaving("close"), emit)
    assert isinstance(caught.value.__cause__, Interrupted)


@SCHEDULES
@pytest.mark.parametrize("error", [KeyError, KeyboardInterrupt])
def test_what_the_progress_callback_raises_ends_training(error, schedule):
    seen = []

    def emit(progress):
        seen.append(progress)
        if len(seen) == 5:
            raise error

    with pytest.raises(WorkerFailed) as caught:
        train(misbehaving("step", at=ENDLESS, schedule=schedule), emit)
    assert isinstance(caught.value.__cause__, error)
    assert len(caught.value.result.update_log) >= 5
    if schedule == "round_robin":
        assert len(seen) == len(caught.value.result.update_log) == 5


@SCHEDULES
@pytest.mark.parametrize("workers", [1, WORKERS])
def test_an_interrupt_of_the_main_thread_returns_when_every_worker_is_done(workers, schedule):
    """Steps of 50 ms: whoever does not wait for the workers leaves them in the middle of one."""
    pushes = []

    def emit(progress):
        pushes.append(progress)
        if len(pushes) == 3:
            os.kill(os.getpid(), signal.SIGINT)

    sleeping = {"env_id": "Sleeping-v0", "env_kwargs": {"seconds": 0.05}, "rollout_length": 1, "total_steps": 10**9}
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            train(small_config(workers=workers, schedule=schedule, **sleeping), emit)
    finally:
        signal.signal(signal.SIGINT, before)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("a3c-worker")]
