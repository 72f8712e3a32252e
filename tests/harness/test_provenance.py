"""Where results come from: an allow-list, with nothing in it that is secret."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from harness.provenance import collect
from tests.harness.lab import DATABASES, ROOT, Lab, study_data

pytestmark = DATABASES

SECRET = "correct-horse-battery-staple"  # noqa: S105 - what must not be found


def test_what_is_collected_is_an_allow_list() -> None:
    found = collect()
    assert sorted(found) == ["command", "commit", "cores", "cpu", "dirty", "host", "platform", "versions"]
    assert {"python", "numpy", "mlflow", "optuna"} <= {*found["versions"]}
    assert found["cores"] >= 1


def test_the_commit_is_the_one_of_the_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)  # another checkout around the results
    answer = subprocess.run(["git", "-C", ROOT, "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    expected = answer.stdout.strip() if answer.returncode == 0 else None
    found = collect()
    assert found["commit"] == expected
    assert found["dirty"] in ((True, False) if expected else (None,))


def test_secrets_of_the_environment_and_of_uris_are_written_nowhere(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", SECRET)
    monkeypatch.setattr(sys, "argv", ["/usr/bin/a3c-bench", "run", "--storage", f"postgresql://me:{SECRET}@db/x"])
    study = lab.run(
        study_data(seeds=1, cells=1, mode="raise", until=str(lab.folder / "x"), once=True), executor="processes", jobs=1
    )
    assert study.failures
    assert study.provenance["command"] == "a3c-bench run --storage postgresql://***@db/x"
    holding = [path for path in lab.folder.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]
    assert holding == []
    assert "a3c-bench run" in lab.parent().data.tags["mlflow.source.name"]


def test_records_carry_their_provenance(lab: Lab) -> None:
    study = lab.run(study_data(seeds=1, cells=1))
    assert all(record.provenance == study.provenance for record in study.records)
    assert study.provenance["versions"] == collect()["versions"]
