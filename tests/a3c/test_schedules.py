"""Who pushes next: turns, and that results follow from the config alone under round_robin."""

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import gymnasium as gym
import numpy as np
import pytest

from a3c import train
from a3c.schedules import SCHEDULES, Stopped, make_schedule
from tests.a3c.oracles import small_config
from tests.environments import Scripted

EACH_SCHEDULE = pytest.mark.parametrize("schedule", SCHEDULES)
PATIENCE = 60  # seconds until a waiting thread counts as stuck


# Turns


def test_round_robin_hands_out_turns_in_worker_order(switch_interval):
    schedule, order = make_schedule("round_robin", 5), []

    def work(number):
        for _ in range(200):
            with schedule.turn(number):
                order.append(number)

    with switch_interval(1e-6), ThreadPoolExecutor(5) as pool:
        list(pool.map(work, range(5)))
    assert order == list(range(5)) * 200


def test_one_worker_takes_every_turn():
    for name in ("round_robin", "free"):
        schedule, turns = make_schedule(name, 1), 0
        for _ in range(5):
            with schedule.turn(0):
                turns += 1
        assert turns == 5


def test_stop_wakes_everyone_who_waits():
    schedule, outcomes = make_schedule("round_robin", 8), []

    def wait(number):
        try:
            with schedule.turn(number):
                outcomes.append("turn")
        except Stopped:
            outcomes.append("stopped")

    waiting = [threading.Thread(target=wait, args=(number,), daemon=True) for number in range(1, 8)]
    for thread in waiting:
        thread.start()
    schedule.stop()
    for thread in waiting:
        thread.join(PATIENCE)
        assert not thread.is_alive()
    assert outcomes == ["stopped"] * 7


@EACH_SCHEDULE
def test_after_a_stop_nobody_gets_a_turn(schedule):
    turns = make_schedule(schedule, 3)
    turns.stop()
    turns.stop()
    assert turns.stopped
    for number in range(3):
        with pytest.raises(Stopped), turns.turn(number):
            pytest.fail("a turn was handed out")


@EACH_SCHEDULE
def test_an_exception_in_a_turn_ends_training(schedule):
    turns = make_schedule(schedule, 2)
    with pytest.raises(ZeroDivisionError), turns.turn(0):
        raise ZeroDivisionError
    assert turns.stopped
    with pytest.raises(Stopped), turns.turn(1):
        pytest.fail("a turn was handed out")


# Whole runs


@contextmanager
def busy_machine():
    """Threads of this process and another process that compete with the workers."""
    over = threading.Event()

    def spin():
        while not over.is_set():
            sum(range(50))

    threads = [threading.Thread(target=spin, daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()
        over.set()
        for thread in threads:
            thread.join()


def fingerprint(result):
    """Everything of a result that must repeat."""
    return (
        result.parameters_hash,
        result.episodes.to_csv(),
        result.evaluations.to_csv(),
        result.update_log.to_csv(),
        result.metrics,
        result.curves,
    )


@pytest.mark.parametrize("workers", [1, 4, 16])
def test_round_robin_repeats_bit_for_bit_whatever_the_machine_is_doing(workers, switch_interval):
    config = small_config(workers=workers, env_id="CartPole-v1", total_steps=600, evaluations=3)
    quiet = fingerprint(train(config))
    assert fingerprint(train(config)) == quiet
    with switch_interval(1e-6):
        assert fingerprint(train(config)) == quiet
    with busy_machine(), switch_interval(1e-4):
        assert fingerprint(train(config)) == quiet


@pytest.mark.parametrize("workers", [1, 4, 16])
def test_round_robin_is_the_ideal_parallel_machine(workers):
    log = train(small_config(workers=workers, total_steps=400)).update_log
    u = np.arange(len(log))
    assert log["worker"].tolist() == (u % workers).tolist()
    assert log["staleness"].tolist() == np.minimum(u, workers - 1).tolist()
    assert log["pulled"].tolist() == (u - np.minimum(u, workers - 1)).tolist()


def test_free_logs_who_pushed_and_on_which_version():
    sleeping = {"seconds": 0.001, "lengths": [7]}
    config = small_config(schedule="free", workers=4, env_id="Sleeping-v0", env_kwargs=sleeping, total_steps=800)
    result = train(config)
    log = result.update_log
    assert set(log["worker"]) == {0, 1, 2, 3}
    for _, own in log.groupby("worker"):
        assert own["pulled"].tolist() == [0, *(own.index[:-1] + 1)]
    assert log["staleness"].tolist() == (log.index - log["pulled"]).tolist()
    assert log["step"].is_monotonic_increasing
    assert log["staleness"].max() >= 1
    assert result.metrics["staleness_max"] == log["staleness"].max()
    assert result.metrics["staleness_mean"] == pytest.approx(log["staleness"].mean())
    assert result.metrics["staleness_median"] == log["staleness"].median()


def test_with_one_worker_the_schedules_are_the_same():
    results = [train(small_config(schedule=name, workers=1, evaluations=2)) for name in ("round_robin", "free")]
    assert fingerprint(results[0]) == fingerprint(results[1])


@EACH_SCHEDULE
def test_workers_step_their_environments_at_the_same_time(schedule):
    """No environment finishes any step of three rollouts before all four are in theirs."""
    meeting, together = threading.Barrier(4), 3 * 20

    class Meeting(Scripted):
        def step(self, action):
            if self.life < together:
                meeting.wait(PATIENCE)
            return super().step(action)

    gym.register("Meeting-v0", entry_point=Meeting)
    try:
        settings = {"env_id": "Meeting-v0", "env_kwargs": {"lengths": [10**6]}, "schedule": schedule, "workers": 4}
        result = train(small_config(rollout_length=20, total_steps=4 * together, **settings))
    finally:
        del gym.registry["Meeting-v0"]
    assert result.outcome == "complete"
    assert not meeting.broken
