"""Rows 1 and 6: children that are killed or crash cost an attempt; what was computed is used, the others go on."""

from __future__ import annotations

import ctypes
import fcntl
import itertools
import os
import resource
import signal
import stat
import struct
import subprocess
import sys
import termios
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest

from harness import Algorithm, Observer, RunRecord, Study
from harness.record.attempt import Failure
from tests.harness import fake_algorithm
from tests.harness.fake_algorithm import Config, Progress, Result
from tests.harness.forking import end_helpers, helpers
from tests.harness.lab import FAKE, ROOT, Lab, alive, children_of, study_data, wait_for

HERE = __name__
HALF_SENT = 50_000  # bytes; the message is longer than any socket's buffer
LONG = 4_000_000


class Diary(Observer):
    """Writes down what fails; acts when the first run has finished."""

    def __init__(self, then: Callable[[], None] = lambda: None) -> None:
        self.failures: list[tuple[Failure, bool]] = []
        self.attempts: dict[str, int] = {}
        self._then: Callable[[], None] | None = then

    def finished(self, record: RunRecord) -> None:
        self.attempts[record.run] = record.attempt
        if self._then is not None:
            self._then, then = None, self._then
            then()

    def failed(self, failure: Failure, will_retry: bool) -> None:
        self.failures.append((failure, will_retry))


def computed(lab: Lab) -> Counter[str]:
    """How often each (arm, n, seed) was begun."""
    return Counter(path.name.rpartition("-")[0] for path in lab.marks().glob("[ab]-*"))


def assert_all_done(lab: Lab, study: Study) -> None:
    assert not study.failures
    lab.assert_invariant(study)
    assert not our_children()


def stores(lab: Lab) -> dict[str, str]:
    """The addresses of a study that a process of its own computes."""
    return {"storage": lab.storage, "tracking_uri": lab.tracking_uri}


def our_children() -> list[int]:
    """The processes that compute for this one; a tracking server of its own is none."""
    commands = {pid: Path(f"/proc/{pid}/cmdline") for pid in children_of(os.getpid())}
    return [
        pid
        for pid, command in commands.items()
        if command.exists() and b"harness.compute.child" in command.read_bytes()
    ]


def own_sockets() -> list[int]:
    """This child's descriptors to its parent."""
    found = []
    for path in Path("/proc/self/fd").iterdir():
        number = int(path.name)
        try:
            if stat.S_ISSOCK(os.fstat(number).st_mode):
                found.append(number)
        except OSError:
            continue  # it was the listing's own
    return found


def unread(descriptor: int) -> int:
    """Bytes this process has sent over a socket that the other side has not read."""
    return int(struct.unpack("i", fcntl.ioctl(descriptor, termios.TIOCOUTQ, b"\0" * 4))[0])


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def gate_of(config: Config) -> Path:
    return Path(config.marks) / "gate"


def wait_at_gate(config: Config) -> bool:
    """Whether this computation is the one that is to die: the first of arm b, once its parent is held."""
    mine = Path(config.marks) / "doomed"
    if config.arm != "b" or config.seed != 0 or mine.exists():
        return False
    mine.write_text(str(os.getpid()), encoding="ascii")
    wait_for(gate_of(config).exists, "the parent to be held")
    return True


def train_and_die_once_told(config: Config, emit: Callable[[Progress], None] | None = None) -> Result:
    """Die when the result has been sent: before the process reads on."""
    result = fake_algorithm.train(config, None)
    if wait_at_gate(config):

        def watch(frame: FrameType, event: str, argument: Any) -> None:
            if event == "c_call" and argument is os.read:
                die()

        sys.setprofile(watch)
    return result


def train_and_die_while_telling(config: Config, emit: Callable[[Progress], None] | None = None) -> Result:
    """Die when part of the result has been sent: it is longer than fits while nobody reads."""
    result = fake_algorithm.train(config, None)
    if wait_at_gate(config):

        def watch() -> None:
            while not any(unread(descriptor) > HALF_SENT for descriptor in own_sockets()):
                time.sleep(0.001)
            die()

        threading.Thread(target=watch, daemon=True).start()
        noise = np.random.default_rng(0).integers(0, 256, LONG, dtype=np.uint8)  # nothing compresses it
        return replace(result, arrays={"parameters": {"parameters": noise}})
    return result


def train_into_nothing(config: Config, emit: Callable[[Progress], None] | None = None) -> Result:
    """Read memory that is not there."""
    if config.misbehaves():
        ctypes.string_at(0)
    return fake_algorithm.train(config.model_copy(update={"mode": "ok"}), emit)


def train_beyond_memory(config: Config, emit: Callable[[Progress], None] | None = None) -> Result:
    """Ask for more memory than the process may have."""
    if config.misbehaves():
        before = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (2 << 30, before[1]))
        try:
            bytearray(3 << 30)
        finally:
            resource.setrlimit(resource.RLIMIT_AS, before)
    return fake_algorithm.train(config.model_copy(update={"mode": "ok"}), emit)


def train_without_letting_go(config: Config, emit: Callable[[Progress], None] | None = None) -> Result:
    """Compute in C code that never lets go of Python's global lock, as a broken extension would."""
    result = fake_algorithm.train(config, None)
    sum(itertools.repeat(0))
    return result


def algorithm(train: Callable[..., Result]) -> Algorithm:
    return Algorithm(FAKE.config, f"{HERE}:{train.__name__}")


def hold_until_the_doomed_is_dead(lab: Lab) -> Callable[[], None]:
    """Keep the parent from reading until the child that is to die has died."""

    def hold() -> None:
        wait_for((lab.marks() / "doomed").exists, "the child to compute")
        (lab.marks() / "gate").touch()
        pid = int((lab.marks() / "doomed").read_text(encoding="ascii"))
        wait_for(lambda: not alive(pid), "the child to die")

    return hold


@contextmanager
def starting_with(code: str, folder: Path) -> Iterator[None]:
    """Let every Python process started meanwhile execute some code before anything else."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(code, encoding="utf-8")
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))


@pytest.mark.fault(1, "SIGKILL of every child at its start, before it reads a task")
def test_children_killed_at_their_start_cost_an_attempt(lab: Lab) -> None:
    code = f"""
import os, signal, sys
if "harness.compute.child" in sys.orig_argv:
    for number in (1, 2):
        try:
            os.close(os.open({str(lab.folder)!r} + f"/died-{{number}}", os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            continue
        os.kill(os.getpid(), signal.SIGKILL)
"""
    diary = Diary()
    with starting_with(code, lab.folder / "path"):
        data = study_data(cells=1, marks=str(lab.marks()))
        study = lab.run(data, executor="processes", jobs=2, observer=diary)
    assert len([*lab.folder.glob("died-*")]) == 2
    deaths = [(failure.attempt, retried) for failure, retried in diary.failures]
    # the second to start may be the first one's successor
    assert deaths in ([(1, True), (1, True)], [(1, True), (2, True)])
    assert all("killed by signal 9 (SIGKILL)" in failure.reason for failure, _ in diary.failures)
    assert set(computed(lab).values()) == {1}
    assert_all_done(lab, study)


@pytest.mark.slow
@pytest.mark.fault(1, "SIGKILL of all children at once, mid-run")
def test_children_killed_mid_run_cost_an_attempt_each(lab: Lab) -> None:
    until = lab.folder / "released"
    data = study_data(cells=1, mode="wait", until=str(until), marks=str(lab.marks()))
    process = lab.start(data)
    wait_for(lambda: len(computed(lab)) == 2, "two runs to begin")
    killed = children_of(process.pid)
    assert len(killed) == 2
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: computed(lab).total() == 4, "both to begin again")
    until.touch()
    code, errors = lab.finish(process)
    assert code == 0, errors
    assert {run: count for run, count in computed(lab).items() if count != 1} == {"a-1-0": 2, "b-1-0": 2}
    study = lab.run(data)
    assert sorted(record.attempt for record in study.records) == [1, 1, 2, 2]
    assert len(lab.attempts("FAILED")) == 2
    assert_all_done(lab, study)


@pytest.mark.fault(1, "SIGKILL of a child after its result is sent, before it is read")
def test_a_result_that_was_sent_is_used_though_its_sender_is_dead(lab: Lab) -> None:
    diary = Diary(hold_until_the_doomed_is_dead(lab))
    data = study_data(cells=1, marks=str(lab.marks()))
    study = lab.run(data, algorithm(train_and_die_once_told), executor="processes", jobs=2, observer=diary)
    assert (lab.marks() / "gate").exists()
    assert computed(lab)["b-1-0"] == 1
    assert diary.attempts["n-1__b__seed-0"] == 1
    assert "n-1__b__seed-0" not in {failure.run for failure, _ in diary.failures}
    assert set(computed(lab).values()) == {1}
    assert_all_done(lab, study)


@pytest.mark.fault(1, "SIGKILL of a child while its result is half sent")
def test_a_result_that_was_half_sent_is_computed_again(lab: Lab) -> None:
    diary = Diary(hold_until_the_doomed_is_dead(lab))
    data = study_data(cells=1, marks=str(lab.marks()))
    study = lab.run(data, algorithm(train_and_die_while_telling), executor="processes", jobs=2, observer=diary)
    assert (lab.marks() / "gate").exists()
    assert computed(lab)["b-1-0"] == 2
    assert diary.attempts["n-1__b__seed-0"] == 2
    ((failure, retried),) = diary.failures
    assert (failure.run, failure.attempt, retried) == ("n-1__b__seed-0", 1, True)
    assert "killed by signal 9 (SIGKILL)" in failure.reason
    assert_all_done(lab, study)


@pytest.mark.slow
@pytest.mark.fault(1, "SIGKILL of all children while they idle between two looks")
def test_children_killed_while_idle_are_replaced(lab: Lab) -> None:
    killed: list[int] = []

    def judge(study: Study) -> dict[str, int]:
        if len(study.records) == 2 and not killed:
            killed.extend(our_children())
            for pid in killed:
                os.kill(pid, signal.SIGKILL)
            wait_for(lambda: not any(map(alive, killed)), "the children to die")
        return dict.fromkeys((cell.id for cell in study.cells), 2)

    data = study_data(seeds={"looks": [1, 2]}, cells=1, marks=str(lab.marks()))
    study = lab.run(data, executor="processes", jobs=2, judge=judge)
    assert len(killed) == 2
    assert len(study.records) == 4
    assert set(computed(lab).values()) == {1}
    assert_all_done(lab, study)


@pytest.mark.fault(6, "a segmentation fault in a child")
def test_a_segfault_is_told_with_where_it_was_and_retried(lab: Lab) -> None:
    data = study_data(cells=1, mode="rubbish", only_seed=1, until=str(lab.folder / "crashed"), once=True)
    diary = Diary()
    study = lab.run(data, algorithm(train_into_nothing), executor="processes", jobs=1, observer=diary)
    ((failure, retried),) = diary.failures
    assert (failure.attempt, retried) == (1, True)
    assert "killed by signal 11 (SIGSEGV)" in failure.reason
    assert "train_into_nothing" in failure.detail
    assert diary.attempts[failure.run] == 2
    assert_all_done(lab, study)


@pytest.mark.fault(6, "a child is out of memory (RLIMIT_AS)")
def test_a_run_out_of_memory_fails_and_its_child_goes_on(lab: Lab) -> None:
    data = study_data(cells=1, mode="rubbish", only_seed=0)
    diary = Diary()
    study = lab.run(data, algorithm(train_beyond_memory), executor="processes", jobs=1, observer=diary)
    assert {record.seed for record in study.records} == {1}
    assert len(study.failures) == 2
    for failure in study.failures:
        assert failure.reason.startswith("MemoryError")
        assert "train_beyond_memory" in failure.detail
        assert failure.attempt == 1, "an exception is the run's own: no second try"


@pytest.mark.fault(2, "SIGKILL of the parent while its child hangs in C code that never lets go of the global lock")
def test_a_child_that_hangs_in_c_code_does_not_outlive_its_parent(lab: Lab) -> None:
    data = study_data(cells=1, marks=str(lab.marks()))
    code = f"""
from harness import parse_spec, run_study
from tests.faults.test_child_kills import algorithm, train_without_letting_go
run_study(parse_spec({data!r}), algorithm(train_without_letting_go), **{stores(lab)!r}, jobs=1)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=lab.folder, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    wait_for(lambda: len(computed(lab)) == 1, "a run to begin")
    children = children_of(process.pid)
    assert len(children) == 1
    lab.finish(process, signal.SIGKILL)
    try:
        wait_for(lambda: not any(map(alive, children)), "the child to end", 5.0)
    finally:
        for pid in filter(alive, children):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.fault(2, "SIGKILL of the parent while its children have processes of their own")
def test_what_children_have_started_does_not_outlive_the_parent(lab: Lab) -> None:
    data = study_data(seeds=1, cells=1, mode="wait", until=str(lab.folder / "never"), marks=str(lab.marks()))
    code = f"""
from harness import Algorithm, parse_spec, run_study
forking = Algorithm({FAKE.config!r}, "tests.harness.forking:train_with_helper")
run_study(parse_spec({data!r}), forking, **{stores(lab)!r}, jobs=2)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=lab.folder, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    try:
        wait_for(lambda: len(helpers(lab.marks())) == 2, "two runs to begin")
        others = [*children_of(process.pid), *helpers(lab.marks())]
        assert len(others) == 4
        lab.finish(process, signal.SIGKILL)
        wait_for(lambda: not any(map(alive, others)), "the children and theirs to end", 5.0)
    finally:
        end_helpers(lab.marks())
