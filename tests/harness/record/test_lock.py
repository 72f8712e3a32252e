"""The lock on a study's folder: held by one process, and by nothing that process has started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness.errors import StudyLocked
from harness.record.folder import LOCK_FILE
from harness.record.lock import last_holder, nobody_runs, study_lock
from tests.harness.lab import ROOT, alive

HOLDER = """
import os, pathlib, signal, sys, time
from harness.record.lock import study_lock
with study_lock(pathlib.Path(sys.argv[1])):
    begun = pathlib.Path(sys.argv[1], "helper")
    if not (helper := os.fork()):
        begun.touch()
        time.sleep(30)
        os._exit(0)
    while not begun.exists():
        time.sleep(0.001)
    print(helper, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.fault(11, "a lock whose holder was killed, while a process it had forked lives on")
def test_a_process_its_holder_has_forked_does_not_keep_a_lock(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    with process, process.stdout:
        helper = int(process.stdout.readline())
    try:
        assert alive(helper)
        with study_lock(tmp_path):
            pass
    finally:
        os.kill(helper, signal.SIGKILL)


def test_a_fork_that_ends_leaves_the_lock_with_its_holder(tmp_path: Path) -> None:
    with study_lock(tmp_path):
        child = os.fork()
        if not child:
            os._exit(0)
        os.waitpid(child, 0)
        with pytest.raises(StudyLocked, match=f"is being run by process {os.getpid()} on "), study_lock(tmp_path):
            pass
    assert last_holder(tmp_path) == ""


@pytest.mark.fault(11, "a lock that holds bytes that are not UTF-8")
def test_a_lock_that_holds_nonsense_is_read_and_taken(tmp_path: Path) -> None:
    (tmp_path / LOCK_FILE).write_bytes(b"\xff\xfe process")
    with nobody_runs(tmp_path):
        assert last_holder(tmp_path) == "\N{REPLACEMENT CHARACTER}" * 2 + " process"
    with study_lock(tmp_path):
        (tmp_path / LOCK_FILE).write_bytes(b"\xff\xfe process")
        with pytest.raises(StudyLocked, match=r"is being run by .* process"), nobody_runs(tmp_path):
            pass
    assert last_holder(tmp_path) == ""
