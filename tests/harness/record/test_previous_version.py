"""Studies begun by the version before, recorded in tests/data/before: they are read as it read them, and go on.

``begun`` was run with two seeds and continued with three: a run died once and was tried again, another failed six
times, one is left over from an interruption, and MLflow was away at the end. ``searched`` was interrupted in its
search, after a trial that failed, while MLflow was away. ``finished.json`` is what the version before made of both.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
import sqlite3
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from harness import Study, load_study, parse_spec, run_study
from harness.mirrors.databases import sqlite_url
from harness.record.attempt import failed_attempts
from harness.record.json_file import to_json
from tests.harness.lab import DATABASES, FAKE, Lab, read_json, study_data

pytestmark = DATABASES

RECORDED = Path(__file__).parents[2] / "data" / "before"
SEARCH = {"trials": 3, "seeds": 1, "batch": 1, "space": {"x": {"low": 0.0, "high": 1.0}}}
DATA: Mapping[str, Mapping[str, Any]] = {
    "begun": study_data("begun", seeds=3, cells=1, mode="kill", only_seed=1, until="mended"),
    "searched": {**study_data("searched", seeds=2, cells=1, mode="raise", until="mended"), "search": SEARCH},
}
# the last that failed is in failures/, those before it in the spool
FAILED = {
    "begun": [("n-1__b__seed-1", attempt) for attempt in (4, 5, 6)],
    "searched": [("n-1_settings-tuned__a__trial-0__seed-1000000000", 1)],
}


@pytest.fixture
def place(workplace: Path) -> Path:
    """The folder the recorded studies were run in, which is the working directory."""
    for name in DATA:
        shutil.copytree(RECORDED / name, workplace / "out" / name)
    for path in workplace.rglob("*.json"):
        path.write_text(path.read_text(encoding="utf-8").replace("@HERE@", str(workplace)), encoding="utf-8")
    for path in workplace.rglob("*.gz"):
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    (workplace / "mlflow.db").write_bytes(gzip.decompress((RECORDED / "mlflow.db.gz").read_bytes()))
    with closing(sqlite3.connect(workplace / "mlflow.db")) as database, database:
        for table, column in (("experiments", "artifact_location"), ("runs", "artifact_uri")):
            database.execute(f"UPDATE {table} SET {column} = replace({column}, '@HERE@', ?)", (str(workplace),))  # noqa: S608
    (workplace / "mended").touch()
    return workplace


def plain(study: Study) -> dict[str, Any]:
    """A study as JSON holds it."""
    data = {**vars(study), "spec": study.spec.to_toml_data()}
    data["records"] = [{**vars(record), "folder": record.folder.name} for record in study.records]
    for record in data["records"]:
        del record["files"]  # which only this version keeps in mind
    del data["folder"]
    return dict(json.loads(to_json(data)))


def contents(folder: Path) -> dict[str, str]:
    files = (path for path in folder.glob("runs/*/*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.parametrize("name", DATA)
def test_a_study_is_read_as_the_version_before_read_it(place: Path, name: str) -> None:
    expected = read_json(RECORDED / f"{name}.json")
    expected["failed_trials"] = expected.pop("lost_tries")
    for failure in (*expected["failures"], *expected["failed_trials"]):
        failure |= {"started": None, "ended": None}  # which it did not keep
    found = plain(load_study(place / "out" / name))
    assert {field: found[field] for field in expected} == expected


@pytest.mark.fault(2, "a study that the version before left half done, with attempts waiting for MLflow, goes on")
@pytest.mark.parametrize("name", DATA)
def test_a_study_of_the_version_before_goes_on(place: Path, blank_databases: Path, name: str) -> None:
    folder = place / "out" / name
    before = contents(folder)
    study = run_study(parse_spec(DATA[name]), FAKE, executor="inline")
    finished = read_json(RECORDED / "finished.json")[name]
    records = {path.parent.name: read_json(path) for path in folder.glob("runs/*/record.json")}
    assert {run: [record["attempt"], record["metrics"]] for run, record in records.items()} == finished["runs"]
    assert list(study.planned) == finished["planned"]
    assert plain(study)["searches"] == finished["searches"]
    assert contents(folder).items() >= before.items(), "what was finished is left alone"
    assert (study.failures, study.failed_trials, study.damaged) == ((), (), ())
    assert [(failure.run, failure.attempt) for failure in failed_attempts(folder)] == FAILED[name]
    lab = Lab(place, blank_databases)
    lab.storage = sqlite_url(folder / "optuna.db")
    lab.assert_invariant(study)
    attempts = Counter((run.data.tags["run"], run.data.tags["attempt"]) for run in lab.children(name))
    assert set(attempts.values()) == {1}, attempts
    failed, last = FAILED[name][-1]
    assert {attempt for run, attempt in attempts if run == failed} == {*map(str, range(1, last + 2))}
    assert not (folder / "spool").exists()
