"""What cannot be told to MLflow keeps nothing back, and is never taken for a store that is away."""

from __future__ import annotations

import json
import resource
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import RestException

from harness import Algorithm, Observer, RunRecord, StoreUnavailable, Study, Undelivered
from harness.commands.doctor import repair_study
from harness.commands.sync import sync_study
from harness.mirrors.databases import sqlite_url
from harness.mirrors.mlflow.mirror import MLflowMirror
from harness.record.run import finished_runs
from harness.study.design import PlannedRun
from tests.faults.locks import Holder, shorten_mlflows_patience
from tests.faults.servers import MlflowServer, Proxy, Way
from tests.harness import fake_algorithm
from tests.harness.lab import DATABASES, FAKE, Lab, study_data

pytestmark = DATABASES
OTHERS = {"n-1__a__seed-1", "n-1__b__seed-0", "n-1__b__seed-1"}  # of four runs all but the first


class Listener(Observer):
    """Does something when so many runs have finished; keeps the warnings."""

    def __init__(self, *acts: tuple[int, Callable[[RunRecord], object]]) -> None:
        self.heard: list[str] = []
        self._acts = dict(acts)
        self._finished = 0

    def warned(self, what: str) -> None:
        self.heard.append(what)

    def finished(self, record: RunRecord) -> None:
        self._finished += 1
        self._acts.get(self._finished, lambda record: None)(record)


def spoil(record: Path) -> Path:
    """Change a byte of a run's curves; return the file."""
    path = record / "curves.csv"
    path.write_bytes(path.read_bytes().replace(b",50,", b",5;,"))
    return path


def blank(record: Path) -> Path:
    """Let a run's curves be zeros, as many as there were bytes; return the file."""
    path = record / "curves.csv"
    path.write_bytes(bytes(path.stat().st_size))
    return path


def unsynced(lab: Lab) -> set[str]:
    """The finished runs that are on disk and not in MLflow."""
    return {*finished_runs(lab.out / "tiny" / "runs")} - told(lab)


def told(lab: Lab) -> set[str]:
    return {run.data.tags["run"] for run in lab.children(status="FINISHED")}


@contextmanager
def away(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Callable[..., object], Callable[..., object]]]:
    """Two acts: MLflow's database is locked by another program, and let go."""
    shorten_mlflows_patience(monkeypatch, 0.05)
    holders: list[Holder] = []

    def let_go(*_: object) -> None:
        while holders:
            holders.pop().let_go()

    try:
        yield lambda *_: holders.append(Holder(lab.folder / "mlflow.db", "IMMEDIATE")), let_go
    finally:
        let_go()


@pytest.mark.fault(10, "runs' curves, damaged but as long as they were, before MLflow is told of them late")
def test_a_damaged_record_is_named_and_all_others_are_delivered(lab: Lab) -> None:
    data = study_data(seeds=2, cells=1)
    study = lab.run(data)
    paths = [damage(record.folder) for damage, record in zip((spoil, blank), study.records, strict=False)]
    shutil.copy(lab.blank / "mlflow.db", lab.folder / "team.db")
    lab.tracking_uri = sqlite_url(lab.folder / "team.db")
    for tell in (
        lambda listener: lab.run(data, tracking_uri=lab.tracking_uri, observer=listener),
        lambda listener: sync_study(study.folder, lab.storage, lab.tracking_uri, listener.warned),
    ):
        listener = Listener()
        with pytest.raises(Undelivered, match=rf"2 damaged records, first: {paths[0]} is damaged: [^;\n]+$") as caught:
            tell(listener)
        assert caught.value.exit_code == 3
        assert [sum(f"{path} is damaged" in what for what in listener.heard) for path in paths] == [1, 1]
        assert not [what for what in listener.heard if "away" in what]
        assert told(lab) == {record.run for record in study.records[2:]}
        assert len(lab.children()) == 2
        assert not [run for run in lab.mlflow_runs() if run.info.status == "RUNNING"]


@pytest.mark.fault(10, "a run's curves, damaged while they wait for MLflow, which answers again in the same command")
def test_what_waits_damaged_keeps_nothing_back(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    first = lab.out / "tiny" / "runs" / "n-1__a__seed-0"
    with away(lab, monkeypatch) as (lock, let_go):
        listener = Listener((1, lock), (3, lambda record: spoil(first)), (4, let_go))
        with pytest.raises(Undelivered, match=r"1 damaged record: \S+seed-0/curves\.csv is damaged"):
            lab.run(study_data(seeds=2, cells=1), observer=listener)
    assert any("answers again" in what for what in listener.heard)
    assert told(lab) == OTHERS
    assert not unsynced(lab) ^ {"n-1__a__seed-0"}
    assert lab.parent().info.status == "FINISHED"
    repair_study(lab.out / "tiny", lab.storage, lab.tracking_uri, listener.warned)
    assert not unsynced(lab)
    lab.assert_invariant(lab.run(study_data(seeds=2, cells=1)))


def with_seed_zero(**changes: Any) -> Callable[..., Any]:
    def train(config: fake_algorithm.Config, emit: Any = None) -> Any:
        result = fake_algorithm.train(config, emit)
        return replace(result, **changes) if config.seed == 0 else result

    return train


train_without_end = with_seed_zero(metrics={"score": 0.5, "steps": float("nan")})
train_for_ages = with_seed_zero(curves={"learning": [(2**70, 0.5)]})


@pytest.mark.fault(19, "a count of steps that is not a number")
def test_a_run_that_does_not_count_its_steps_is_told_all_the_same(lab: Lab) -> None:
    algorithm = Algorithm(FAKE.config, f"{__name__}:train_without_end")
    lab.run(study_data(seeds=1, cells=1), algorithm)
    lab.assert_invariant(lab.run(study_data(seeds=1, cells=1), algorithm))


@pytest.mark.fault(19, "a step larger than a database's integers")
def test_a_step_no_database_holds_is_the_runs_own_fault(lab: Lab) -> None:
    listener = Listener()
    with pytest.raises(Undelivered, match=r"2 damaged records, first: \S+seed-0/curves\.csv is damaged"):
        lab.run(study_data(cells=1), Algorithm(FAKE.config, f"{__name__}:train_for_ages"), observer=listener)
    assert told(lab) == {"n-1__a__seed-1", "n-1__b__seed-1"}
    assert not [what for what in listener.heard if "away" in what]


@pytest.mark.fault(7, "the server refuses to be told of a run's beginning, and takes its end")
def test_a_beginning_that_is_refused_leaves_nothing_undelivered(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    begin, refused = MLflowMirror.started, []

    def started(self: MLflowMirror, run: PlannedRun, attempt: int) -> None:
        if not refused:
            refused.append(run.id)
            raise RestException({"error_code": "PERMISSION_DENIED", "message": "token expired"})
        begin(self, run, attempt)

    monkeypatch.setattr(MLflowMirror, "started", started)
    lab.assert_invariant(lab.run(study_data(seeds=1, cells=1)))
    assert refused


@pytest.mark.fault(7, "the study is continued with fewer seeds while attempts of the others wait")
def test_what_waits_is_delivered_when_the_plan_has_shrunk(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    with away(lab, monkeypatch) as (lock, _), pytest.raises(Undelivered):
        lab.run(study_data(seeds=2, cells=1), observer=Listener((1, lock)))
    lab.run(study_data(seeds=1, cells=1))
    assert told(lab) == {*OTHERS, "n-1__a__seed-0"}


LARGE = 4_000_000  # bytes; the databases take less than half


def train_at_length(config: fake_algorithm.Config, emit: Any = None) -> Any:
    """A run whose arrays are large, and no zeros."""
    parameters = np.random.default_rng(config.seed).bytes(LARGE)
    arrays = {"parameters": {"parameters": np.frombuffer(parameters, dtype=np.uint8)}}
    return replace(fake_algorithm.train(config, emit), arrays=arrays)


@contextmanager
def no_large_files() -> Iterator[Callable[[RunRecord], object]]:
    """An act: from now on the system refuses this process files as large as those arrays, in the middle of a write."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        yield lambda record: resource.setrlimit(resource.RLIMIT_FSIZE, (LARGE // 2, hard))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.fault(9, "the disk takes no more of a run's artifacts: the message names their folder")
def test_artifacts_that_are_not_taken_are_told_with_their_folder(lab: Lab) -> None:
    data = study_data(seeds=1, cells=1)
    algorithm = Algorithm(FAKE.config, f"{__name__}:train_at_length")
    folder = rf"{lab.folder}/mlartifacts/tiny/\w+/artifacts"
    told_so = rf"away \({folder}: File too large\); 1 attempt is on disk and not in MLflow yet$"
    with no_large_files() as limit, pytest.raises(Undelivered, match=told_so):
        lab.run(data, algorithm, observer=Listener((2, limit)))
    sync_study(lab.out / "tiny", lab.storage)
    lab.assert_invariant(lab.run(data, algorithm))


@pytest.mark.fault(9, "the disk takes no artifact when a study starts")
def test_artifacts_that_are_not_taken_at_the_start_are_told_before_anything_runs(lab: Lab) -> None:
    data = study_data(seeds=1, cells=1, marks=str(lab.marks()))
    place = lab.folder / "mlartifacts"
    place.touch()
    listener = Listener()
    with pytest.raises(StoreUnavailable, match=rf"{place}/tiny\S*: Not a directory; results on disk are kept$"):
        lab.run(data, observer=listener)
    assert not listener.heard
    assert not [*lab.marks().iterdir()]
    assert {run.info.status for run in lab.mlflow_runs()} == {"KILLED"}
    place.unlink()
    lab.assert_invariant(lab.run(data))


@pytest.mark.fault(9, "the disk takes the report no more, when all runs are told")
def test_a_report_that_waits_is_called_by_its_name(lab: Lab) -> None:
    def report(study: Study) -> list[Path]:
        (lab.folder / "mlartifacts").rename(lab.folder / "moved")
        (lab.folder / "mlartifacts").touch()
        page = study.folder / "report.html"
        page.touch()
        return [page]

    with pytest.raises(
        Undelivered, match=r"/mlartifacts/\S+: [\w ]+\); the study's files are on disk and not in MLflow yet$"
    ):
        lab.run(study_data(seeds=1, cells=1), report=report)
    (lab.folder / "mlartifacts").unlink()
    (lab.folder / "moved").rename(lab.folder / "mlartifacts")
    sync_study(lab.out / "tiny", lab.storage)
    kept = MlflowClient(lab.tracking_uri).list_artifacts(lab.parent().info.run_id)
    assert [file.path for file in kept] == ["report.html", "study.json"]
    assert lab.parent().info.status == "FINISHED"


@pytest.mark.fault(7, "mid-run: answers the upload of a traceback with some HTML page and status 200")
def test_a_traceback_that_only_seemed_to_be_taken_is_sent_again(
    lab: Lab, mlflow_server: MlflowServer, proxy: Proxy
) -> None:
    proxy.behave(Way.PAGE, only="PUT artifacts/traceback.txt", times=1)
    lab.run(study_data("traceback", seeds=1, cells=1, mode="raise"), tracking_uri=proxy.uri)
    assert proxy.mistreated
    lab.tracking_uri = mlflow_server.uri
    for run in lab.children("traceback", "FAILED"):
        kept = mlflow_server.artifacts / run.info.experiment_id / run.info.run_id / "artifacts" / "traceback.txt"
        assert "told to fail" in kept.read_text(encoding="utf-8")


@pytest.mark.fault(
    10, "what waits for MLflow since an earlier version: failed attempts, one torn, one of no run's name"
)
def test_what_waits_since_an_earlier_version_is_read_once(lab: Lab) -> None:
    data = study_data(seeds=1, cells=1, mode="raise", until=str(lab.folder / "mended"))
    study = lab.run(data)
    spool = study.folder / "spool"
    spool.mkdir()
    failure = {**asdict(study.failures[0]), "attempt": 7, "reason": "as told before"}
    entry = {"kind": "failed", "run": failure["run"], "failure": failure, "paths": [], "uri": "x", "why": ""}
    odd = {**entry, "failure": {**failure, "run": "../../x"}}
    finished = {**entry, "kind": "finished", "failure": None}
    for name, content in (("1-failed", entry), ("2-failed", odd), ("3-finished", finished), ("4-closed", entry)):
        (spool / f"0000000{name}.json").write_text(json.dumps(content), encoding="utf-8")
    (spool / "00000005-failed.json").write_text("{", encoding="utf-8")
    for _ in range(2):
        sync_study(study.folder, lab.storage)
        assert not spool.exists()
        assert sorted(lab.attempts("FAILED")) == [
            ("n-1__a__seed-0", 1), ("n-1__a__seed-0", 7), ("n-1__b__seed-0", 1),
        ]  # fmt: skip
        (made,) = [run for run in lab.children() if run.data.tags["attempt"] == "7"]
        assert made.data.tags["reason"] == "as told before"
    assert not [*lab.folder.parent.rglob("7.json")][1:]
    (lab.folder / "mended").touch()
    study = lab.run(data)
    assert max(record.attempt for record in study.records) == 8
    lab.assert_invariant(study)
