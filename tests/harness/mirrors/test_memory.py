"""A study whose stores are in memory: nothing of MLflow or Optuna is imported, kept or looked for."""

from __future__ import annotations

import subprocess
import sys

from harness.commands.doctor import examine_study
from harness.commands.sync import sync_study
from tests.harness.lab import ROOT, Lab, study_data

PROGRAM = """
import sys
from harness import parse_spec, run_study
from tests.harness.lab import FAKE, study_data
study = run_study(parse_spec(study_data()), FAKE, storage="memory:", tracking_uri="memory:", executor="inline")
assert len(study.records) == 8
print(sorted({"mlflow", "optuna", "sqlalchemy"} & {*sys.modules}))
"""


def test_a_study_in_memory_imports_no_store_and_leaves_none(lab: Lab) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, cwd=lab.folder
    )
    assert (done.stdout, done.stderr, done.returncode) == ("[]\n", "", 0)
    assert [path.name for path in lab.folder.iterdir()] == ["out"]
    assert not [*lab.folder.rglob("*.db")]


def test_a_study_in_memory_is_whole_to_sync_and_doctor(lab: Lab) -> None:
    study = lab.run(study_data())
    lab.assert_invariant(study)
    assert sync_study(study.folder).records == 8
    assert examine_study(study.folder) == []
