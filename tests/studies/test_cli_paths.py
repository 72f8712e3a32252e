"""Where the command line looks for modules."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.harness.lab import ROOT

SCRIPT = """
import sys
from studies.cli import run
code = run(["run", "smoke", "--dry-run"])
import a3c, only_here
print(a3c.__file__)
sys.exit(code)
"""


def test_a_copy_of_a_package_in_the_working_directory_does_not_stand_in_for_it(tmp_path: Path) -> None:
    (tmp_path / "a3c").mkdir()
    (tmp_path / "a3c" / "__init__.py").write_text("raise ImportError('a copy')", encoding="utf-8")
    (tmp_path / "only_here.py").touch()
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    arguments = [sys.executable, "-P", "-c", SCRIPT]  # as a console script is started: without the working directory
    done = subprocess.run(arguments, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert Path(done.stdout.splitlines()[-1]).parent == ROOT / "a3c"
