"""What a study's tracking server must hold in the end, and an observer that takes the server away on the way."""

from __future__ import annotations

from collections import Counter
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING

from harness import Observer, RunRecord, Study
from harness.record.attempt import failed_attempts
from harness.study.design import PlannedRun
from tests.faults.servers import MlflowServer, Proxy, Way
from tests.harness.lab import Lab

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

POINTS = 100  # of a curve in MLflow


class Outage(Observer):
    """Takes the server away when a run has finished, before MLflow is told of it, and brings it back likewise.

    Args:
        proxy: stands before the server.
        ways: how it misbehaves, in turn.
        after: how many runs are finished when it begins; 0: when the first has begun.
        until: how many are when it ends; None: for good.
    """

    def __init__(self, proxy: Proxy, *ways: Way, after: int = 2, until: int | None = None) -> None:
        self._proxy, self._ways = proxy, ways
        self._after, self._until = after, until
        self.finished_runs = 0

    def started(self, run: PlannedRun, attempt: int) -> None:
        if self._after == 0 == self.finished_runs:
            self._proxy.behave(*self._ways)

    def finished(self, record: RunRecord) -> None:
        self.finished_runs += 1
        if self.finished_runs == self._after:
            self._proxy.behave(*self._ways)
        elif self.finished_runs == self._until:
            self._proxy.recover()


def assert_delivered(lab: Lab, server: MlflowServer, study: Study) -> None:
    """The server holds every planned run once and whole."""
    from mlflow import MlflowClient

    lab.tracking_uri = server.database
    lab.assert_invariant(study)
    assert_attempts_told_once(lab, study)
    client = MlflowClient(tracking_uri=server.database)
    parent = lab.parent(study.spec.name)
    assert parent.info.status == "FINISHED"
    kept = server.artifacts / parent.info.experiment_id / parent.info.run_id / "artifacts" / "study.json"
    assert kept.read_bytes() == (study.folder / "study.json").read_bytes()
    records = {record.run: record for record in study.records}
    for run in lab.children(study.spec.name, "FINISHED"):
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert_whole(client, server, run, records[run.data.tags["run"]])


def assert_attempts_told_once(lab: Lab, study: Study) -> None:
    """Each attempt has one run; runs made twice by mistake are deleted, and none is left running, deleted or not."""
    name = study.spec.name
    attempts = Counter((run.data.tags["run"], run.data.tags["attempt"]) for run in lab.children(name))
    assert set(attempts.values()) <= {1}, attempts
    deleted = deleted_runs(lab, name)
    assert not [run.info.run_id for run in deleted if run.info.status in ("FINISHED", "RUNNING")]
    failed = {(failure.run, failure.attempt) for failure in failed_attempts(study.folder)}
    assert {*lab.attempts("FAILED", name)} == failed


def assert_whole(client: MlflowClient, server: MlflowServer, run: Run, record: RunRecord) -> None:
    """A run has every metric point of its record, none of them twice, and its files as they are on disk."""
    points = {name: [(int(record.metrics.get("steps", 0)), value)] for name, value in record.metrics.items()}
    points |= {f"time/{name}": [(points["steps"][0][0], value)] for name, value in record.timings.items()}
    curves = {f"curve/{name}": curve for name, curve in record.curve_points().items()}
    assert set(run.data.metrics) == set(points) | set(curves)
    for name, expected in {**points, **curves}.items():
        told = [_comparable(p.step, p.value) for p in client.get_metric_history(run.info.run_id, name)]
        whole = [_comparable(step, value) for step, value in expected]
        assert len(told) == min(len(whole), POINTS), name
        assert len(set(told)) == len(told), name
        assert set(told) <= set(whole), name
    files = server.artifacts / run.info.experiment_id / run.info.run_id / "artifacts"
    assert _contents(files) == _contents(record.folder)
    assert set(run.data.params) == set(record.config)


def deleted_runs(lab: Lab, name: str) -> list[Run]:
    """The runs of a study's experiment that were deleted."""
    from mlflow import MlflowClient
    from mlflow.entities import ViewType

    client = MlflowClient(tracking_uri=lab.tracking_uri)
    experiment = client.get_experiment_by_name(name)
    return list(client.search_runs([experiment.experiment_id], "", ViewType.DELETED_ONLY, 1000))


def unsynced(lab: Lab, server: MlflowServer, study: Study) -> set[str]:
    """The finished runs of a study that are on disk and not in MLflow."""
    lab.tracking_uri = server.database
    there = {run for run, _ in lab.attempts("FINISHED", study.spec.name)}
    return {record.run for record in study.records} - there


def _comparable(step: int, value: float) -> tuple[int, float | str]:
    return step, "nan" if isnan(value) else value


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
