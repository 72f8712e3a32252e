"""The command line as a person calls it, a study of the real algorithm small enough for a test, its report at once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from tests.processes import Running

if TYPE_CHECKING:
    import pytest

ROOT = Path(__file__).parents[2]
PATIENCE = 120.0

TINY = """
[study]
name = "tiny"
question = "Does it <b>run</b>?"
seeds = 1

[base]
total_steps = 300
evaluations = 2
evaluation_episodes = 2
workers = 2
hidden_sizes = [8]

[sweep]
rollout_length = [10, "episode"]
n_step = [10, 20]
target = ["missing_as_zero", "max_terms"]
bootstrap_truncated = [false]

[compare]
factor = "target"
baseline = "missing_as_zero"
"""

THREE_SEEDS = TINY.replace("seeds = 1", "seeds = 3")
ANSWER = "answer.json"  # exit code, standard output and standard error of the command that ran it


def leave_pictures_blank(patch: pytest.MonkeyPatch) -> None:
    """Let reports be written without the time drawing takes; tables and words, those of pictures too, are the same."""

    def save(figure: object, file: IO[str], **_: Any) -> None:
        file.write("<svg/>")

    patch.setattr("matplotlib.figure.Figure.savefig", save)
    patch.setattr("matplotlib.figure.Figure.get_layout_engine", lambda figure: None)


def draw_nothing(patch: pytest.MonkeyPatch) -> None:
    """Leave the pictures of reports blank, and their films out."""
    leave_pictures_blank(patch)
    patch.setattr("studies.film.choosing.make_film", lambda study: None)


def start(*arguments: str, cwd: Path) -> Running:
    """Start ``a3c-bench`` in a process of its own, its libraries loaded."""
    return Running("studies.cli", [*arguments], cwd, {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"})


def start_afresh(*arguments: str, cwd: Path) -> subprocess.Popen[str]:
    """Start ``a3c-bench`` in an interpreter of its own, which still has everything to import."""
    command = [sys.executable, "-m", "studies.cli", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=cwd, env=environment, stdout=pipe, stderr=pipe, text=True)


def call(*arguments: str, cwd: Path) -> tuple[int, str, str]:
    """Run ``a3c-bench`` to its end; return exit code, standard output and standard error."""
    process = start(*arguments, cwd=cwd)
    out, errors = process.communicate(PATIENCE)
    return process.wait(), out, errors
