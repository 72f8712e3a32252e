"""Which engine computes, and how its machine code is kept."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from a3c import train
from a3c.engines.choice import choose_engine
from a3c.kernels.jit import DIGEST
from tests.a3c.oracles import small_config

ROOT = Path(__file__).parents[3]


def run(code, **environment):
    """What another interpreter prints, its variables of the environment changed; None: removed."""
    variables = {
        **os.environ,
        **environment,
        "PYTHONPATH": os.pathsep.join([environment.get("PYTHONPATH", ""), str(ROOT)]),
    }
    variables = {name: value for name, value in variables.items() if value is not None}
    command = [sys.executable, "-W", "error", "-c", code]
    finished = subprocess.run(command, capture_output=True, text=True, env=variables, cwd=ROOT)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout.splitlines()


# The choice


@pytest.mark.parametrize(
    ("asked", "computes"), [("auto", "compiled"), ("compiled", "compiled"), ("autograd", "autograd")]
)
def test_a_result_says_which_engine_computed_it(asked, computes):
    config = small_config(engine=asked)
    assert choose_engine(config) == computes
    result = train(config)
    assert (result.config.engine, result.engine) == (asked, computes)
    assert result.labels == {"engine": computes}


def test_auto_is_the_reference_where_numba_cannot_be_imported(tmp_path):
    (tmp_path / "numba").mkdir()
    (tmp_path / "numba" / "__init__.py").write_text("raise ImportError('no Numba for this platform')\n")
    code = """
from a3c import train
from tests.a3c.oracles import small_config
result = train(small_config(evaluations=1, total_steps=60))
print(result.engine, result.outcome, result.parameters_hash)
try:
    train(small_config(engine="compiled"))
except ImportError as error:
    print(error)
"""
    said, refused = run(code, PYTHONPATH=str(tmp_path))
    expected = train(small_config(engine="autograd", evaluations=1, total_steps=60))
    assert said == f"autograd complete {expected.parameters_hash}"
    assert refused == "no Numba for this platform"


# The cache

KERNEL = """
from a3c.kernels.jit import kernel


@kernel("float64(float64)")
def twice(x):
    return 2 * x
"""
CALL = """
import logging
logging.basicConfig(level=logging.INFO, format="%(message)s", stream=__import__("sys").stdout)
from tiny import twice
print(twice(2.0))
try:
    twice("two")
except TypeError:
    print("refused")
"""
# An interpreter that has imported Numba, which takes a second, and forks for every line of JSON it reads: the child
# takes the line's environment and calls the kernel, all of ours being imported by it alone.
FORKING = f"""
import json, os, sys
import numba
assert not [name for name in sys.modules if name.split(".")[0] in ("a3c", "tiny")]
for line in sys.stdin:
    variables = json.loads(line)
    if not os.fork():
        for name, value in variables.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        numba.core.config.reload_config()
        sys.path.insert(0, os.environ["PYTHONPATH"])
        exec({CALL!r})
        sys.stdout.flush()
        os._exit(0)
    print("ended", os.waitstatus_to_exitcode(os.wait()[1]), flush=True)
"""


@pytest.fixture(scope="module")
def call():
    """A function that returns what a fresh process prints that calls the kernel, with these variables set."""
    command = [sys.executable, "-W", "error", "-c", FORKING]
    variables = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=variables) as process:

        def called(**variables):
            process.stdin.write(json.dumps(variables) + "\n")
            process.stdin.flush()
            printed = []
            for line in process.stdout:
                if line.startswith("ended "):
                    assert line == "ended 0\n", printed
                    return printed
                printed.append(line.rstrip("\n"))
            raise AssertionError(printed)

        yield called
        process.stdin.close()


@pytest.fixture(scope="module")
def compiled_once(call, tmp_path_factory):
    """A folder with a module with one kernel, which was called once; and what was printed."""
    folder = tmp_path_factory.mktemp("kernels")
    (folder / "tiny.py").write_text(KERNEL)
    return folder, call(PYTHONPATH=str(folder), NUMBA_CACHE_DIR=None)


def kept_in(folder):
    return {path: path.stat().st_mtime_ns for path in sorted((folder / "__pycache__").glob("tiny.twice*"))}


def test_a_kernel_is_compiled_once_and_then_read_from_beside_its_source(call, compiled_once):
    folder, printed = compiled_once
    assert printed == ["compiling kernels: about ten seconds, once", "4.0", "refused"]
    kept = kept_in(folder)
    assert kept
    assert call(PYTHONPATH=str(folder), NUMBA_CACHE_DIR=None) == ["4.0", "refused"]
    assert kept_in(folder) == kept


def test_machine_code_of_other_sources_or_cut_short_is_thrown_away(call, compiled_once, tmp_path):
    folder = Path(shutil.copytree(compiled_once[0], tmp_path / "kernels"))
    variables = {"PYTHONPATH": str(folder), "NUMBA_CACHE_DIR": None}
    kept = list(kept_in(folder))
    for path in kept:  # as older sources would have left it
        path.rename(path.with_name(path.name.replace(DIGEST, "0" * len(DIGEST))))
    assert call(**variables)[1:] == ["4.0", "refused"]
    assert list(kept_in(folder)) == kept
    for path in kept:
        path.write_bytes(path.read_bytes()[:20])
    said, *rest = call(**variables)
    assert "without a cache" in said
    assert rest == ["4.0", "refused"]
    assert not kept_in(folder)
    assert call(**variables) == ["compiling kernels: about ten seconds, once", "4.0", "refused"]
    assert list(kept_in(folder)) == kept


@pytest.mark.parametrize("asked", [True, False])
def test_a_cache_that_cannot_be_written_costs_no_failure(call, tmp_path, asked):
    """Neither the folder asked for can be made nor, where none is, the source's or the user's: all are below files."""
    (tmp_path / "tiny.py").write_text(KERNEL)
    (tmp_path / "__pycache__").write_text("")  # stands where the folder would
    file = tmp_path / "file"
    file.write_text("")
    nowhere = str(file / "below")
    homes = {"HOME": nowhere, "XDG_CACHE_HOME": nowhere, "NUMBA_CACHE_DIR": nowhere if asked else None}
    first, *rest = call(PYTHONPATH=str(tmp_path), **homes)
    assert "without a cache" in first
    assert rest == ["4.0", "refused"]
