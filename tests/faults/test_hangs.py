"""Runs that hang: a watchdog ends their process, and says who hung where."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from a3c import TrainConfig
from a3c.streams import Purpose, reset_seed
from harness import Algorithm
from harness.compute.processes import KILL_SECONDS, ProcessExecutor
from harness.compute.stacks import describe_stacks
from harness.compute.task import Advanced, Failed, Finished, Task
from tests.harness.fake_algorithm import Config
from tests.harness.lab import FAKE, PATIENCE, Lab, alive, children_of, study_data, wait_for

A3C = Algorithm("a3c:TrainConfig", "a3c:train")
LIMIT = 1.0


@pytest.fixture(scope="module")
def process() -> Iterator[ProcessExecutor]:
    made = ProcessExecutor(1)
    yield made
    made.close()


@pytest.fixture
def executor(process: ProcessExecutor) -> ProcessExecutor:
    """An executor whose process has imported and loaded all it needs."""
    process.submit(a_run(2, 60.0))
    assert isinstance(outcome(process), Finished)
    return process


def outcome(executor: ProcessExecutor) -> Failed | Finished:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        for event in executor.events(0.2):
            if not isinstance(event, Advanced):
                assert isinstance(event, Failed | Finished)
                return event
    raise AssertionError("nothing came back")


def a_run(worker: int, limit: float = LIMIT, env_id: str = "tests.environments:Misbehaving-v0", **kwargs: Any) -> Task:
    """A run of four workers; with ``fault`` one of them has it in its seventh step, else all are well."""
    fault = {"fault": "step", "at": 10_000, **kwargs} if env_id.endswith("Misbehaving-v0") else {"at": 7}
    if "fault" in kwargs:
        fault |= {"at": 7, "only_reset_seed": reset_seed(3, Purpose.ENVIRONMENT, worker)}
    config = TrainConfig(
        env_id=env_id, env_kwargs=fault, workers=4, seed=3, total_steps=400, hidden_sizes=(4,), evaluations=0
    )
    return Task("one", A3C, config.model_dump(mode="json"), limit)


@pytest.mark.fault(5, "one worker of four hangs in `env.step`, letting others run")
def test_a_worker_that_hangs_is_named_and_its_run_fails_as_a_timeout(executor: ProcessExecutor) -> None:
    worker = 2
    executor.submit(a_run(worker, fault="hang"))
    failed = outcome(executor)
    assert isinstance(failed, Failed)
    told, _, where = failed.reason.partition(" s: ")
    assert told == f"OutOfTime: took longer than its time limit of {LIMIT:g}"
    assert where.startswith(f"a3c-worker-{worker} in "), "the others wait together, so it is named first"
    assert "(environments.py:" in failed.reason.partition(",")[0]
    assert f"a3c-worker-{worker}:" in failed.detail
    assert "collector.py" in failed.detail
    assert not failed.crashed, "it would hang again"
    executor.submit(a_run(worker, 60.0))
    assert isinstance(outcome(executor), Finished), "the next run has a process of its own"


@pytest.mark.fault(5, "`env.step` hangs in C and never lets go of the GIL")
def test_a_hang_that_lets_nobody_run_is_ended_too(executor: ProcessExecutor) -> None:
    executor.submit(a_run(0, env_id="tests.faults.hanging:Clinging-v0"))
    failed = outcome(executor)
    assert isinstance(failed, Failed)
    assert failed.reason == f"OutOfTime: took longer than its time limit of {LIMIT:g} s"
    assert "hanging.py" in failed.detail
    assert not failed.crashed


@pytest.mark.fault(5, "a child that is stopped and can do nothing for itself")
def test_a_process_that_cannot_end_itself_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.compute.processes.KILL_SECONDS", 0.5)
    executor = ProcessExecutor(1)
    try:
        stop_and_watch(executor)
    finally:
        executor.close()


def stop_and_watch(executor: ProcessExecutor) -> None:
    executor.submit(Task("one", FAKE, Config(mode="wait", until="/nowhere").model_dump(mode="json"), LIMIT))
    seen: list[Advanced] = []
    while not seen:
        seen += [event for event in executor.events(0.2) if isinstance(event, Advanced)]
    (child,) = {*children_of(os.getpid())} & {made.process.pid for made in executor._children if made is not None}
    os.kill(child, signal.SIGSTOP)
    began = time.monotonic()
    failed = outcome(executor)
    assert isinstance(failed, Failed)
    assert "OutOfTime" in failed.reason
    assert not failed.crashed
    assert time.monotonic() - began < LIMIT + KILL_SECONDS + 5
    wait_for(lambda: not alive(child), "the child to be gone")


@pytest.mark.fault(5, "a run of a study hangs: the others go on, its mirrors have it as failed")
def test_a_study_goes_on_when_a_run_hangs(lab: Lab) -> None:
    data = study_data(cells=1, mode="wait", until=str(lab.folder / "released"), only_seed=1)
    data["study"]["time_limit"] = LIMIT
    study = lab.run(data, executor="processes", jobs=2)
    assert {record.seed for record in study.records} == {0}
    assert {failure.seed for failure in study.failures} == {1}
    for failure in study.failures:
        assert failure.attempt == 1
        assert failure.reason.startswith(f"OutOfTime: took longer than its time limit of {LIMIT:g} s: ")
        assert "MainThread in misbehave (fake_algorithm.py:" in failure.reason
    assert len(lab.attempts("FAILED")) == 2
    (lab.folder / "released").touch()
    lab.assert_invariant(lab.run(data))


def test_stacks_name_the_one_apart_from_those_that_wait() -> None:
    gate, mine = threading.Event(), threading.Event()
    others = {thread.ident for thread in threading.enumerate()}  # the main one too: it says what is looked for

    def wait_with_the_others() -> None:
        gate.wait()

    def stray() -> None:
        mine.wait()

    threads = [threading.Thread(target=wait_with_the_others, name=f"waiter-{i}") for i in range(3)]
    threads.append(threading.Thread(target=stray, name="the-stray"))
    for thread in threads:
        thread.start()
    try:
        wait_for(lambda: describe_stacks(others)[1].count("self._cond.wait") >= len(threads), "the threads to wait")
        summary, stacks = describe_stacks(others)
        assert stacks.count("wait_with_the_others") >= 3
        assert "the-stray:" in stacks
        assert Path(__file__).name in stacks
        assert "MainThread" not in summary
    finally:
        gate.set()
        mine.set()
        for thread in threads:
            thread.join()
