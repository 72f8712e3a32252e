"""What a study takes of its machine."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

from harness.machine import allow_open_files
from tests.harness.lab import FAKE, ROOT, study_data

FEW = 100


def test_the_limit_of_open_files_is_raised_where_it_may_be() -> None:
    limits = soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (FEW, hard))
        assert allow_open_files(FEW - 1) == allow_open_files(FEW) == FEW
        assert allow_open_files(FEW + 1) == FEW + 1
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (FEW + 1, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert soft != FEW


def test_more_jobs_than_files_may_be_open_for_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    code = f"""
import resource
from harness import Algorithm, BadInput, parse_spec, run_study
resource.setrlimit(resource.RLIMIT_NOFILE, ({FEW}, {FEW}))
try:
    run_study(parse_spec({study_data(seeds=10)!r}), Algorithm({FAKE.config!r}, {FAKE.train!r}), jobs=20)
except BadInput as error:
    print(error)
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == (
        "jobs = 20: must be from 1 to 12 where a process may have 100 files open (see `ulimit -n`)\n", "",
    )  # fmt: skip
    assert list(tmp_path.iterdir()) == []
