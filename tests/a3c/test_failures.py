"""What goes wrong in a worker stops all of them, says where, and leaves what was trained until then."""

import os
import signal
import traceback

import pytest

from a3c import Diverged, WorkerFailed, train, training
from tests.a3c.failing import (
    EACH_SCHEDULE,
    EACH_WORKER_AND_SCHEDULE,
    ENDLESS,
    SEED,
    WORKERS,
    Witness,
    assert_no_thread_is_left,
    assert_partial,
    failure_of,
    misbehaving,
    sabotage,
)
from tests.a3c.oracles import small_config


def raises(fault, cause, where):
    what = f"{cause.__name__} in {where}: each worker, both schedules, several steps"
    return pytest.param(fault, cause, where, marks=pytest.mark.fault(4, what), id=fault)


# Exceptions


@EACH_WORKER_AND_SCHEDULE
@pytest.mark.parametrize(
    ("fault", "cause", "where"),
    [
        raises("step", RuntimeError, "env.step"),
        raises("exit", SystemExit, "env.step"),
        raises("memory", MemoryError, "env.step"),
        raises("interrupt", KeyboardInterrupt, "env.step"),
        raises("reset", RuntimeError, "env.reset"),
        raises("reset_exit", SystemExit, "env.reset"),
        raises("reset_memory", MemoryError, "env.reset"),
        raises("reset_interrupt", KeyboardInterrupt, "env.reset"),
    ],
)
def test_a_worker_that_raises_stops_everyone_and_is_named(fault, cause, where, worker, schedule):
    """Episodes have 4 and 9 steps by turns, so that resets are due at steps 0, 4, 13, 17, 26, 30, 39."""
    steps = {1: 0, 7: 13, 40: 39} if fault.startswith("reset") else {1: 0, 7: 6, 40: 39}
    for at, taken in steps.items():
        config = misbehaving(fault, worker, at, schedule, changes={"env_id": "Witness-v0"})
        Witness.forget(holds=schedule == "free")
        failed = failure_of(config)
        said = f"scripted failure in {where.removeprefix('env.')}"
        who = f"Witness-v0: worker {worker} at its environment step {taken}, seed {SEED}"
        assert str(failed) == f"{who}: {cause.__name__}: {said}"
        assert type(failed.__cause__) is cause
        assert "in _raise_for" in "".join(traceback.format_exception(failed.__cause__))
        assert_partial(failed.result, "failed")
        # free: the step they are in; round_robin: till the failing worker's turn, the rollout they are in and one more
        most = 1 if schedule == "free" else 2 * config.rollout_length
        assert all(count <= most for count in Witness.after.values()), Witness.after


@EACH_WORKER_AND_SCHEDULE
@pytest.mark.parametrize("local_critic_step", [False, True])
@pytest.mark.fault(4, "MemoryError while a worker learns: each worker, both schedules")
def test_a_worker_that_raises_while_it_learns_is_named(worker, schedule, local_critic_step, monkeypatch):
    def deed(*_):
        raise MemoryError("no room for a gradient")

    sabotage(monkeypatch, worker, 3, deed, "actor_gradient" if local_critic_step else "learn")
    changes = {"local_critic_step": local_critic_step}
    failed = failure_of(misbehaving("none", schedule=schedule, changes=changes))
    who = f"Misbehaving-v0: worker {worker} at its environment step 13, seed {SEED}"
    assert str(failed) == f"{who}: MemoryError: no room for a gradient"
    assert_partial(failed.result, "failed")


def test_a_result_that_cannot_be_made_hides_no_failure(monkeypatch):
    def make_result(*_):
        raise MemoryError("no room for a table")

    monkeypatch.setattr(training, "make_result", make_result)
    failed = failure_of(misbehaving("step"))
    assert str(failed).endswith("RuntimeError: scripted failure in step")
    assert failed.result is None
    assert failed.__notes__ == ["No result could be made of it: MemoryError: no room for a table"]


@EACH_SCHEDULE
def test_a_worker_that_fails_in_its_very_first_reset_leaves_an_untrained_result(schedule):
    config = misbehaving("reset", 0, at=1, schedule=schedule, changes={"workers": 1})
    failed = failure_of(config)
    assert failed.result.update_log.empty
    assert failed.result.metrics == {"steps": 0, "updates": 0, "episodes": 0}
    assert failed.result.curves == {}


@EACH_SCHEDULE
def test_all_workers_failing_at_once_is_one_failure(schedule):
    config = misbehaving("step", at=1, schedule=schedule, only_reset_seed=None)
    failed = failure_of(config)
    assert isinstance(failed.__cause__, RuntimeError)
    if schedule == "round_robin":
        assert "worker 0 " in str(failed)


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


# Other ends


@EACH_SCHEDULE
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


@EACH_SCHEDULE
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
    assert_no_thread_is_left()
