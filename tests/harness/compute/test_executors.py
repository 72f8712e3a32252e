"""Where runs are computed: what goes in comes out, and nothing is left behind."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from harness import Algorithm
from harness.algorithm.output import RunOutput
from harness.compute.choice import EXECUTORS, ExecutorName, make_executor
from harness.compute.executor import Executor, InlineExecutor
from harness.compute.processes import ProcessExecutor
from harness.compute.task import Advanced, Event, Failed, Finished, Task
from tests.harness.fake_algorithm import Config, result, score
from tests.harness.forking import end_helpers, helpers
from tests.harness.lab import FAKE, PATIENCE, alive, children_of, wait_for

FORKING = "tests.harness.forking"


def task_of(run: str = "one", limit: float = 60.0, **settings: Any) -> Task:
    return Task(run, FAKE, Config(**settings).model_dump(mode="json"), limit)


def outcome(executor: Executor) -> Event:
    """The next event that ends a run."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        for event in executor.events(0.5):
            if not isinstance(event, Advanced):
                return event
    raise AssertionError("nothing came back")


@pytest.fixture(scope="module", params=EXECUTORS)
def executor(request: pytest.FixtureRequest) -> Iterator[Executor]:
    with closing(make_executor(request.param, 1, lambda: False)) as made:
        yield made


@pytest.fixture
def started() -> Callable[[], list[int]]:
    """The processes this one has started since the test began."""
    before = children_of(os.getpid())
    return lambda: [child for child in children_of(os.getpid()) if child not in before]


def test_a_task_over_its_time_limit_is_ended_and_the_next_is_computed(executor: Executor) -> None:
    executor.submit(task_of("one", limit=0.2, mode="wait", until="/never"))
    event = outcome(executor)
    assert isinstance(event, Failed)
    assert (event.run, event.crashed) == ("one", False)
    assert "OutOfTime: took longer than its time limit of 0.2 s" in event.reason
    executor.submit(task_of("two"))
    assert isinstance(outcome(executor), Finished)


@pytest.mark.parametrize("name", EXECUTORS)
def test_where_nothing_runs_nothing_is_waited_for_and_closing_forgets_what_does(name: ExecutorName) -> None:
    made = make_executor(name, 1, lambda: False)
    began = time.monotonic()
    assert made.events(PATIENCE) == []
    made.submit(task_of(mode="wait", until="/never"))
    made.close()
    assert time.monotonic() - began < PATIENCE / 2


def test_a_result_comes_back_as_it_was(executor: Executor) -> None:
    executor.submit(task_of(arm="b", seed=3))
    event = outcome(executor)
    assert isinstance(event, Finished)
    value = score(Config(arm="b", seed=3))
    assert event.run == "one"
    assert event.output.metrics == {"score": value, "steps": 100.0}
    assert event.output.files == RunOutput.of(result(Config(arm="b", seed=3))).files
    assert event.seconds >= 0
    assert abs(event.started - time.time()) < PATIENCE


def test_an_exception_comes_back_with_its_traceback(executor: Executor) -> None:
    executor.submit(task_of(mode="raise", seed=4))
    event = outcome(executor)
    assert isinstance(event, Failed)
    assert event.reason == "RuntimeError: told to fail with seed 4"
    assert "Traceback" in event.detail
    assert not event.crashed


@pytest.mark.fault(4, "SystemExit in a run, in this process and in a child")
def test_a_run_that_leaves_fails_as_its_own_and_nothing_else_ends(executor: Executor) -> None:
    executor.submit(Task("one", Algorithm(FAKE.config, f"{FORKING}:train_and_leave"), task_of().settings, 60.0))
    event = outcome(executor)
    assert isinstance(event, Failed)
    assert event.reason == "SystemExit: 0"
    assert "Traceback" in event.detail
    assert not event.crashed


def test_settings_that_are_refused_come_back_as_a_failure(executor: Executor) -> None:
    executor.submit(Task("one", FAKE, {"n": 0}, 60.0))
    event = outcome(executor)
    assert isinstance(event, Failed)
    assert not event.crashed


def test_a_task_after_a_failure_is_computed(executor: Executor) -> None:
    executor.submit(task_of(mode="raise"))
    assert isinstance(outcome(executor), Failed)
    executor.submit(task_of())
    assert isinstance(outcome(executor), Finished)


def test_nothing_to_do_is_no_event(executor: Executor) -> None:
    assert executor.events(10) == []


def test_inline_hands_on_progress() -> None:
    seen: list[float] = []
    executor = InlineExecutor(watch=lambda progress: seen.append(progress.fraction))
    executor.submit(task_of(mode="slow", seconds=0.02))
    outcome(executor)
    assert len(seen) > 1
    assert seen[-1] == 1.0


def test_children_are_reused_single_threaded_and_on_a_core(started: Callable[[], list[int]]) -> None:
    executor = ProcessExecutor(1)
    try:
        executor.submit(task_of())
        outcome(executor)
        (child,) = started()
        executor.submit(task_of())
        outcome(executor)
        assert started() == [child]
        environment = Path(f"/proc/{child}/environ").read_bytes().split(b"\0")
        assert b"OMP_NUM_THREADS=1" in environment
        assert len(os.sched_getaffinity(child)) == 1
    finally:
        executor.close()
    assert not alive(child)


@pytest.mark.fault(1, "SIGKILL of a child that idles")
def test_a_child_that_dies_while_idle_costs_a_retry_and_is_replaced(started: Callable[[], list[int]]) -> None:
    executor = ProcessExecutor(1)
    try:
        executor.submit(task_of())
        outcome(executor)
        (child,) = started()
        os.kill(child, signal.SIGKILL)
        wait_for(lambda: not alive(child), "the child to die")
        executor.submit(task_of("two"))
        event = outcome(executor)
        assert isinstance(event, Failed)
        assert event.crashed
        executor.submit(task_of("two"))
        assert isinstance(outcome(executor), Finished)
    finally:
        executor.close()


def test_the_output_of_a_child_that_died_is_kept() -> None:
    executor = ProcessExecutor(1)
    try:
        executor.submit(task_of(mode="exit"))
        event = outcome(executor)
    finally:
        executor.close()
    assert isinstance(event, Failed)
    assert event.crashed
    assert event.reason == "the process exited with code 7"
    assert "told to exit" in event.detail


def test_closing_ends_what_is_under_way_and_leaks_nothing(tmp_path: Path, started: Callable[[], list[int]]) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResourceWarning)
        gc.collect()
        before = sorted(path.name for path in Path("/proc/self/fd").iterdir())
        executor = ProcessExecutor(2)
        for run in ("one", "two"):
            executor.submit(task_of(run, mode="wait", until=str(tmp_path / "never"), marks=str(tmp_path)))
        wait_for(lambda: len([*tmp_path.iterdir()]) == 2, "two runs to begin")
        children = started()
        assert len(children) == 2
        executor.close()
        assert not any(map(alive, children))
        assert sorted(path.name for path in Path("/proc/self/fd").iterdir()) == before
        del executor
        gc.collect()
    assert [str(warning.message) for warning in caught if warning.category is ResourceWarning] == []


def test_more_tasks_than_slots_are_refused(tmp_path: Path) -> None:
    executor = ProcessExecutor(1)
    try:
        executor.submit(task_of(mode="wait", until=str(tmp_path / "never")))
        with pytest.raises(RuntimeError, match="every slot"):
            executor.submit(task_of())
    finally:
        executor.close()


def test_children_that_are_prepared_compute_the_first_tasks(started: Callable[[], list[int]]) -> None:
    executor = ProcessExecutor(2)
    try:
        executor.prepare(FAKE)
        prepared = started()
        assert len(prepared) == 2
        executor.submit(task_of())
        assert isinstance(outcome(executor), Finished)
        assert started() == prepared
    finally:
        executor.close()


def test_an_algorithm_that_cannot_be_imported_fails_its_task_and_not_the_preparation(executor: Executor) -> None:
    missing = Algorithm("tests.harness.fake_algorithm:Config", "tests.harness.fake_algorithm:nothing")
    executor.prepare(missing)
    executor.submit(Task("one", missing, Config().model_dump(mode="json"), 60.0))
    event = outcome(executor)
    assert isinstance(event, Failed)
    assert "nothing" in event.reason
    assert not event.crashed


@pytest.mark.fault(1, "SIGKILL of a child while a process it has started holds its end of the socket")
def test_a_child_that_leaves_a_helper_behind_is_missed_at_once_and_the_helper_ends(tmp_path: Path) -> None:
    forking = Algorithm(FAKE.config, f"{FORKING}:train_with_helper")
    settings = Config(mode="kill", marks=str(tmp_path)).model_dump(mode="json")
    executor = ProcessExecutor(1)
    try:
        executor.submit(Task("one", forking, settings, 60.0))
        wait_for(lambda: helpers(tmp_path), "the helper")
        began = time.monotonic()
        event = outcome(executor)
        assert time.monotonic() - began < 5.0
        assert isinstance(event, Failed)
        assert event.reason == "the process was killed by signal 9 (SIGKILL)"
        assert event.crashed
        (helper,) = helpers(tmp_path)
        wait_for(lambda: not alive(helper), "the helper to end", 5.0)
    finally:
        executor.close()
        end_helpers(tmp_path)


def test_closing_ends_what_a_child_has_started(tmp_path: Path) -> None:
    forking = Algorithm(FAKE.config, f"{FORKING}:train_with_helper")
    executor = ProcessExecutor(1)
    try:
        executor.submit(Task("one", forking, Config(marks=str(tmp_path)).model_dump(mode="json"), 60.0))
        assert isinstance(outcome(executor), Finished)
        (helper,) = helpers(tmp_path)
        assert alive(helper)
        executor.close()
        wait_for(lambda: not alive(helper), "the helper to end", 5.0)
    finally:
        executor.close()
        end_helpers(tmp_path)


def test_a_run_may_wait_for_all_of_its_children() -> None:
    executor = ProcessExecutor(1)
    try:
        waiting = Algorithm(FAKE.config, f"{FORKING}:train_and_wait_for_children")
        executor.submit(Task("one", waiting, Config().model_dump(mode="json"), 10.0))
        assert isinstance(outcome(executor), Finished)
    finally:
        executor.close()


def test_children_look_for_modules_where_their_parent_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "queue.py").write_text("raise ImportError('not the one of the standard library')", encoding="utf-8")
    (tmp_path / "only_here.py").write_text(
        "import queue\nfrom tests.harness.fake_algorithm import train\n", encoding="utf-8"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*filter(None, sys.path), ""])
    executor = ProcessExecutor(1)
    try:
        settings = Config().model_dump(mode="json")
        executor.submit(Task("one", Algorithm(FAKE.config, "only_here:train"), settings, 60.0))
        event = outcome(executor)
        assert isinstance(event, Finished), event
    finally:
        executor.close()


@pytest.mark.fault(5, "a child that is stopped when a task is sent that is longer than its socket's buffer")
def test_a_child_that_does_not_read_its_task_is_replaced(
    monkeypatch: pytest.MonkeyPatch, started: Callable[[], list[int]]
) -> None:
    monkeypatch.setattr("harness.compute.processes.START_SECONDS", 1.0)
    executor = ProcessExecutor(1)
    try:
        executor.prepare(FAKE)
        (child,) = started()
        os.kill(child, signal.SIGSTOP)
        watchdog = threading.Timer(10.0, os.kill, (child, signal.SIGKILL))
        watchdog.start()
        began = time.monotonic()
        executor.submit(task_of(text="x" * 1_000_000))
        assert time.monotonic() - began < 8.0
        watchdog.cancel()
        event = outcome(executor)
        assert isinstance(event, Failed)
        assert event.crashed
        monkeypatch.undo()
        executor.submit(task_of(text="x" * 1_000_000))
        assert isinstance(outcome(executor), Finished)
    finally:
        executor.close()
