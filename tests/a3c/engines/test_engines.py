"""Which engine computes, and how its machine code is kept."""

import os
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


def kernels_folder(tmp_path, writable):
    """A module with one kernel; a file that stands where its cache would."""
    folder = tmp_path / "kernels"
    folder.mkdir()
    (folder / "tiny.py").write_text(KERNEL)
    if not writable:
        (folder / "__pycache__").write_text("")
    return folder


def test_a_kernel_is_compiled_once_and_then_read_from_beside_its_source(tmp_path):
    folder = kernels_folder(tmp_path, writable=True)
    variables = {"PYTHONPATH": str(folder), "NUMBA_CACHE_DIR": None}
    assert run(CALL, **variables) == ["compiling kernels: about ten seconds, once", "4.0", "refused"]
    kept = {path.name: path.stat().st_mtime_ns for path in (folder / "__pycache__").glob("tiny.twice*")}
    assert kept
    assert run(CALL, **variables) == ["4.0", "refused"]
    assert {path.name: path.stat().st_mtime_ns for path in (folder / "__pycache__").glob("tiny.twice*")} == kept


def test_machine_code_of_other_sources_or_cut_short_is_thrown_away(tmp_path):
    folder = kernels_folder(tmp_path, writable=True)
    variables = {"PYTHONPATH": str(folder), "NUMBA_CACHE_DIR": None}
    run(CALL, **variables)
    kept = sorted((folder / "__pycache__").glob("tiny.twice*"))
    for path in kept:  # as an older version of jit.py and kernels.py would have left it
        path.rename(path.with_name(path.name.replace(DIGEST, "0" * len(DIGEST))))
    assert run(CALL, **variables)[1:] == ["4.0", "refused"]
    assert sorted((folder / "__pycache__").glob("tiny.twice*")) == kept
    for path in kept:
        path.write_bytes(path.read_bytes()[:20])
    said, *rest = run(CALL, **variables)
    assert "without a cache" in said
    assert rest == ["4.0", "refused"]
    run(CALL, **variables)
    assert run(CALL, **variables) == ["4.0", "refused"]


@pytest.mark.parametrize("asked", [True, False])
def test_a_cache_that_cannot_be_written_costs_no_failure(tmp_path, asked):
    """Neither the folder asked for can be made nor, where none is, the source's or the user's: all are below files."""
    folder = kernels_folder(tmp_path, writable=False)
    file = tmp_path / "file"
    file.write_text("")
    nowhere = str(file / "below")
    homes = {"HOME": nowhere, "XDG_CACHE_HOME": nowhere, "NUMBA_CACHE_DIR": nowhere if asked else None}
    first, *rest = run(CALL, PYTHONPATH=str(folder), **homes)
    assert "without a cache" in first
    assert rest == ["4.0", "refused"]
