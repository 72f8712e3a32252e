"""What recording a run costs is bounded and does not grow with the study."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from sqlalchemy import event
from sqlalchemy.engine import Engine

from harness import Algorithm, Observer, RunRecord, StoreUnavailable
from harness.commands import dispatcher
from harness.commands.dispatcher import _imports_set_aside
from harness.mirrors.mlflow.mirror import MLflowMirror
from harness.mirrors.mlflow.payload import CURVE_POINTS
from harness.provenance import collect
from harness.record.plan import study_identity
from tests.harness.lab import FAKE, Lab, children_of, databases, study_data


@contextmanager
def statements() -> Iterator[list[str]]:
    """Every statement sent to a database meanwhile."""
    sent: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        sent.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(Engine, "before_cursor_execute", note)


class Meter(Observer):
    """Reads a counter whenever a run is done."""

    def __init__(self, sent: list[str]) -> None:
        self._sent = sent
        self.readings: list[int] = []

    def finished(self, record: RunRecord) -> None:
        self.readings.append(len(self._sent))


@databases
def test_a_late_run_costs_the_databases_what_an_early_one_does(lab: Lab) -> None:
    with statements() as sent:
        meter = Meter(sent)
        lab.run(study_data(seeds=3), observer=meter)
    costs = [later - earlier for earlier, later in zip(meter.readings, meter.readings[1:], strict=False)]
    assert len(costs) == 11
    assert len(set(costs)) == 1


@databases
def test_mlflow_is_given_a_bounded_number_of_points_and_disk_all(lab: Lab) -> None:
    study = lab.run(study_data(seeds=1, cells=1), Algorithm(FAKE.config, f"{__name__}:train_at_length"))
    client = MlflowClient(tracking_uri=lab.tracking_uri)
    for child in lab.children():
        points = client.get_metric_history(child.info.run_id, "curve/long")
        steps = [point.step for point in points]
        assert len(points) == CURVE_POINTS
        assert (steps[0], steps[-1]) == (0, 9_999)
        assert steps == sorted({*steps})
        assert len(client.get_metric_history(child.info.run_id, "curve/short")) == CURVE_POINTS
    assert [len(record.curve_points()["long"]) for record in study.records] == [10_000, 10_000]


def train_at_length(config: Any, emit: Any = None) -> Any:
    """A run with more points than a chart can show, and as many as it can."""
    from tests.harness.fake_algorithm import Result

    curves = {name: [(step, float(step)) for step in range(n)] for name, n in (("long", 10_000), ("short", 100))}
    return Result("complete", {"score": 0.5}, curves=curves)


@databases
def test_more_figures_and_settings_than_one_call_takes_all_arrive(lab: Lab) -> None:
    study = lab.run(study_data(seeds=1, cells=1))
    record = study.records[0]
    tracker = MLflowMirror(lab.tracking_uri, "wide", Path("mlartifacts"), collect(), study_identity(study.folder))
    metrics = {f"m{i}": float(i) for i in range(1500)}
    config = {f"p{i}": i for i in range(250)}
    wide = RunRecord(**{**vars(record), "metrics": metrics, "timings": {}, "config": config})
    tracker.finished(wide)
    tracker.close("FINISHED")
    (child,) = lab.children("wide", "FINISHED")
    assert {name: child.data.metrics[name] for name in metrics} == metrics
    assert child.data.params == {name: str(value) for name, value in config.items()}
    assert child.data.tags["outcome"] == "complete"


class Thermometer(Observer):
    """Notes how many objects are frozen whenever a run is done."""

    def __init__(self) -> None:
        self.frozen: list[int] = []

    def finished(self, record: RunRecord) -> None:
        self.frozen.append(gc.get_freeze_count())


@pytest.fixture
def collector_as_in_production(monkeypatch: pytest.MonkeyPatch) -> None:
    """As by every study but those of other tests."""
    monkeypatch.setattr(dispatcher, "_imports_set_aside", _imports_set_aside)


@pytest.mark.usefixtures("collector_as_in_production")
def test_the_garbage_collector_leaves_imports_alone_while_a_study_runs(lab: Lab) -> None:
    gc.unfreeze()
    try:
        meter = Thermometer()
        lab.run(study_data(seeds=1, cells=1), observer=meter)
        assert min(meter.frozen) > 1000
        assert gc.get_freeze_count() == 0
    finally:
        gc.freeze()


@pytest.mark.usefixtures("collector_as_in_production")
def test_what_the_caller_has_frozen_stays_frozen(lab: Lab) -> None:
    before = gc.get_freeze_count()
    lab.run(study_data(seeds=1, cells=1))
    assert gc.get_freeze_count() > before // 2 > 0, "all but those that have died since"


def test_no_child_is_left_where_a_store_cannot_be_opened(lab: Lab, tmp_path: Path) -> None:
    before = {*children_of(os.getpid())}
    broken = tmp_path / "broken.db"
    broken.write_bytes(b"this is no database")
    with pytest.raises(StoreUnavailable, match=r"broken\.db"):
        lab.run(study_data(), storage=f"sqlite:///{broken}", executor="processes", jobs=2)
    assert {*children_of(os.getpid())} == before


def test_a_study_with_nothing_to_do_starts_no_child(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.run(study_data(seeds=1, cells=1))
    monkeypatch.setattr("harness.compute.processes._Child", None)  # so that making one would raise
    lab.run(study_data(seeds=1, cells=1), executor="processes", jobs=2)
