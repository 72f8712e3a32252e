"""One study of the real algorithm, killed a hundred times at moments nobody chose."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from harness.record.run import finished_runs
from harness.record.study import load_study
from tests.harness.lab import DATABASES, ROOT, Lab, alive, children_of, wait_for

pytestmark = [*DATABASES, pytest.mark.slow]

KILLS = 100
SEED = 0
SECONDS_TO_START = 6.0  # of a command, at most: kills fall on its whole start
SECONDS_OF_A_RUN = 1.0
PATIENCE = 300.0
STUDY = """
[study]
name = "tiny"
question = "Is anything lost?"
seeds = 10

[base]
total_steps = 3000
evaluations = 3
evaluation_episodes = 3
workers = 2
hidden_sizes = [8]

[sweep]
rollout_length = [5, 10]
n_step = [3, 5]
learning_rate = [0.001, 0.003]
target = ["missing_as_zero", "max_terms"]
bootstrap_truncated = [false]

[compare]
factor = "target"
baseline = "missing_as_zero"
"""


class Command:
    """``a3c-bench run`` in a lab's folder, in a process of its own."""

    def __init__(self, lab: Lab) -> None:
        self._errors = (lab.folder / "errors.txt").open("w+", encoding="utf-8")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "studies.cli", "run", "tiny.toml", "--jobs", "2", "--storage", lab.storage],
            cwd=lab.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.DEVNULL,
            stderr=self._errors,
        )

    def over(self) -> bool:
        return self.process.poll() is not None

    def kill(self) -> None:
        """Kill it; its children must follow."""
        self.process.send_signal(signal.SIGSTOP)  # so that it starts no more of them
        children = children_of(self.process.pid)
        self.process.kill()
        self.process.wait()
        wait_for(lambda: not any(map(alive, children)), "the children to end", 5.0)
        self.close()

    def kill_child(self, chance: random.Random) -> bool:
        """Kill one of its children, if there are any."""
        children = [pid for pid in children_of(self.process.pid) if b"harness.compute.child" in command_line(pid)]
        if not children:
            return False
        os.kill(chance.choice(children), signal.SIGKILL)
        return True

    def finish(self) -> int:
        """Wait for its end; return its exit code."""
        code = self.process.wait(PATIENCE)
        self.close()
        return code

    def close(self) -> None:
        self._errors.seek(0)
        text = self._errors.read()
        self._errors.close()
        assert "Traceback" not in text, text


def command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def lab_in(folder: Path, blank: Path) -> Lab:
    shutil.copy(blank / "mlflow.db", folder)
    (folder / "tiny.toml").write_text(STUDY, encoding="utf-8")
    return Lab(folder, blank)


def done(lab: Lab) -> int:
    return len(finished_runs(lab.out / "tiny" / "runs"))


def kill_again_and_again(lab: Lab, chance: random.Random) -> Counter[str]:
    """Kill the study's parent or a child a hundred times, each time at a moment of its own."""
    killed: Counter[str] = Counter()
    command, began, fresh = Command(lab), time.monotonic(), True
    while killed.total() < KILLS:
        before = done(lab)
        if fresh and chance.random() < 0.5:  # while it starts
            moment = began + chance.uniform(0, SECONDS_TO_START)
        else:  # while it runs
            more = before + chance.choice((0, 1, 1, 2))
            wait_for(lambda command=command, more=more: command.over() or done(lab) >= more, "runs to finish", PATIENCE)
            moment = time.monotonic() + chance.uniform(0, SECONDS_OF_A_RUN)
        while time.monotonic() < moment and not command.over():
            time.sleep(0.001)
        fresh = command.over()
        if fresh:
            assert command.finish() in (0, 1)  # 1: a run was killed three times in this command
        elif chance.random() < 0.5 and command.kill_child(chance):
            killed["child"] += 1
        else:
            command.kill()
            killed["parent, starting" if done(lab) == before else "parent"] += 1
            fresh = True
        if fresh:
            command, began = Command(lab), time.monotonic()
    command.kill()
    return killed


@pytest.mark.fault(2, "100 SIGKILLs of one study's parent or a child, at random moments (real algorithm, real command)")
def test_a_study_killed_a_hundred_times_comes_out_the_same(tmp_path: Path, blank_databases: Path) -> None:
    for name in ("undisturbed", "killed"):
        (tmp_path / name).mkdir()
    undisturbed = lab_in(tmp_path / "undisturbed", blank_databases)
    began = time.monotonic()
    assert Command(undisturbed).finish() == 0
    print(f"\nundisturbed: {time.monotonic() - began:.0f} s")
    lab = lab_in(tmp_path / "killed", blank_databases)
    began = time.monotonic()
    killed = kill_again_and_again(lab, random.Random(SEED))
    print(f"killed: {dict(killed)}, {done(lab)} runs done, {time.monotonic() - began:.0f} s")
    for _ in range(3):
        if (code := Command(lab).finish()) == 0:
            break
        assert code == 1
    study, expected = (load_study(place.out / "tiny") for place in (lab, undisturbed))
    assert len(study.records) == len(study.planned) == 160
    lab.assert_invariant(study)
    assert lab.table().equals(undisturbed.table())
    for record, same in zip(study.records, expected.records, strict=True):
        for arrays in ("parameters", "updates"):
            found, wanted = record.arrays(arrays), same.arrays(arrays)
            assert found.keys() == wanted.keys()
            assert all(found[key].tobytes() == wanted[key].tobytes() for key in wanted), record.run
    assert lab.parent().info.status == "FINISHED"
