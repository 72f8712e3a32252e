"""A worker that never comes back cannot be stopped from inside; whoever ends the process can tell which it was."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WATCHED = """
import os, sys, threading, time, traceback
from a3c import TrainConfig, train
from a3c.streams import Purpose, reset_seed

kwargs = {"fault": "hang", "at": 7, "only_reset_seed": reset_seed(0, Purpose.ENVIRONMENT, 2)}
config = TrainConfig(env_id="tests.environments:Misbehaving-v0", env_kwargs=kwargs, workers=4, evaluations=0)
threading.Thread(target=train, args=(config,), daemon=True).start()
while True:
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    stacks = {names.get(ident): traceback.format_stack(frame) for ident, frame in sys._current_frames().items()}
    if hanging := [name for name, stack in stacks.items() if "in _hang" in "".join(stack)]:
        print(*hanging, flush=True)
        os._exit(0)
    time.sleep(0.01)
"""


@pytest.mark.fault(5, "a worker hangs in env.step: the name of its thread tells which")
def test_a_worker_that_hangs_is_known_by_the_name_of_its_thread():
    found = subprocess.run([sys.executable, "-c", WATCHED], capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert found.stdout.split() == ["a3c-worker-2"], found.stderr
