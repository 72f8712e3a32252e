"""Row 11: one study has one runner; a lock lasts as long as its holder lives, and no longer."""

from __future__ import annotations

import hashlib
import os
import signal
import socket
from pathlib import Path
from typing import Any

import pytest

from harness import StudyLocked
from harness.record.folder import LOCK_FILE
from harness.record.run import finished_runs
from tests.harness.lab import DATABASES, Lab, alive, children_of, study_data, wait_for
from tests.processes import Running

pytestmark = DATABASES


def waiting_study(lab: Lab) -> dict[str, Any]:
    """A study whose runs wait for a file."""
    return study_data(seeds=1, mode="wait", until=str(lab.folder / "go"), marks=str(lab.marks()))


def started(lab: Lab, data: dict[str, Any], jobs: int = 2) -> Running:
    """The first runner, which computes."""
    process = lab.start(data, jobs=jobs)
    wait_for(lambda: len([*lab.marks().iterdir()]) == jobs == len(lab.children(status="RUNNING")), f"{jobs} runs")
    return process


def contents(folder: Path) -> dict[Path, str]:
    """Everything on disk, the databases with it."""
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()}


def assert_refused_here(lab: Lab, data: dict[str, Any], first: Running) -> None:
    """This process is refused, without a third one to start; that one's exit code and words: in the test of six."""
    with pytest.raises(StudyLocked, match=f"is being run by process {first.pid} on {socket.gethostname()}") as caught:
        lab.run(data)
    assert caught.value.exit_code == 4


def assert_refused(lab: Lab, second: Running, first: Running) -> None:
    code, errors = lab.finish(second)
    assert code == 4, errors
    assert f"is being run by process {first.pid} on {socket.gethostname()}" in errors
    assert "Traceback" not in errors


@pytest.mark.fault(11, "a second process on a study that another computes; the first one stopped (SIGSTOP)")
def test_a_second_runner_is_refused_and_changes_nothing(lab: Lab) -> None:
    data = waiting_study(lab)
    first = started(lab, data, jobs=1)
    before = contents(lab.folder)
    assert_refused_here(lab, data, first)
    assert contents(lab.folder) == before
    first.send_signal(signal.SIGSTOP)
    assert_refused_here(lab, data, first)
    first.send_signal(signal.SIGCONT)
    (lab.folder / "go").touch()
    assert lab.finish(first)[0] == 0
    assert len([*lab.marks().iterdir()]) == 4
    lab.assert_invariant(lab.run(data))


@pytest.mark.slow
@pytest.mark.fault(11, "a lock left by a process that was killed")
def test_a_lock_left_by_a_dead_process_is_taken_over(lab: Lab) -> None:
    data = waiting_study(lab)
    first = started(lab, data)
    children = children_of(first.pid)
    lab.finish(first, signal.SIGKILL)
    lock = lab.out / "tiny" / LOCK_FILE
    assert lock.read_text(encoding="utf-8") == f"process {first.pid} on {socket.gethostname()}\n"
    (lab.folder / "go").touch()
    wait_for(lambda: not any(map(alive, children)), "the children to end")
    lab.assert_invariant(lab.run(data))
    assert lock.read_text(encoding="utf-8") == ""


@pytest.mark.fault(11, "a lock left by a dead process whose number another process has now, or with nonsense in it")
@pytest.mark.parametrize(
    "text",
    [
        f"process {os.getppid()} on {socket.gethostname()}\n",
        *(pytest.param(text, marks=pytest.mark.slow) for text in ("process 1 on elsewhere", "¶" * 99)),
    ],
    ids=["alive", "elsewhere", "nonsense"],
)
def test_what_a_lock_says_keeps_nobody_out(lab: Lab, text: str) -> None:
    lock = lab.out / "tiny" / LOCK_FILE
    lock.parent.mkdir(parents=True)
    lock.write_bytes(text.encode("latin-1"))
    lab.assert_invariant(lab.run(study_data(seeds=1, cells=1)))
    assert lock.read_text(encoding="utf-8") == ""


@pytest.mark.slow
@pytest.mark.fault(11, "six processes on one study at the same moment")
def test_of_many_at_once_one_runs(lab: Lab) -> None:
    data = waiting_study(lab)
    processes = [lab.start(data) for _ in range(6)]
    wait_for(lambda: sum(process.poll() is None for process in processes) == 1, "five to be refused")
    (runner,) = [process for process in processes if process.poll() is None]
    wait_for(lambda: [*lab.marks().iterdir()], "a run")
    for process in processes:
        if process is not runner:
            assert_refused(lab, process, runner)
    (lab.folder / "go").touch()
    assert lab.finish(runner)[0] == 0
    assert len(finished_runs(lab.out / "tiny" / "runs")) == 4
    assert len([*lab.marks().iterdir()]) == 4
    lab.assert_invariant(lab.run(data))
