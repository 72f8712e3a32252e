"""What MLflow missed: derived from the record, delivered to each store by itself, kept back by nothing."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import Algorithm, Interrupted, Observer, RunRecord, Undelivered
from harness.commands.sync import sync_study
from harness.errors import StudyConflict
from harness.mirrors.databases import sqlite_url
from tests.faults.delivery import assert_delivered
from tests.faults.kill_points import CrashingExecutor
from tests.faults.locks import Holder, shorten_mlflows_patience
from tests.faults.servers import MlflowServer, Proxy, Way
from tests.harness.lab import DATABASES, FAKE, Lab, study_data
from tests.sharing import copy_place

pytestmark = DATABASES


class Warnings(Observer):
    """Writes down what does not stop the study."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def warned(self, what: str) -> None:
        self.heard.append(what)


class Away(Warnings):
    """Another program locks MLflow's database when the first run has finished, until it is let go."""

    def __init__(self, database: Path) -> None:
        super().__init__()
        self._database = database
        self._holder: Holder | None = None

    def finished(self, record: RunRecord) -> None:
        self._holder = self._holder or Holder(self._database, "IMMEDIATE")

    def let_go(self) -> None:
        if self._holder is not None:
            self._holder.let_go()
            self._holder = None


@pytest.fixture
def away(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Iterator[Away]:
    """MLflow's database, locked once the first run is finished; nobody waits for it long."""
    shorten_mlflows_patience(monkeypatch, 0.05)
    made = Away(lab.folder / "mlflow.db")
    yield made
    made.let_go()


def leave_untold(lab: Lab, away: Away, seeds: int = 1, **base: object) -> None:
    """Run a study of which MLflow is told one run at most."""
    with pytest.raises(Undelivered):
        lab.run(study_data(seeds=seeds, cells=1, **base), observer=away)
    away.let_go()
    assert len(lab.children(status="FINISHED")) < 2


@pytest.mark.fault(7, "the study is continued with another store while attempts are missing in the first")
def test_each_store_hears_what_it_missed_itself(lab: Lab, away: Away) -> None:
    leave_untold(lab, away)
    missing = lab.attempts("FINISHED")
    warned = Warnings()
    shutil.copy(lab.blank / "mlflow.db", lab.folder / "other.db")
    first, lab.tracking_uri = lab.tracking_uri, sqlite_url(lab.folder / "other.db")
    lab.assert_invariant(lab.run(study_data(seeds=1, cells=1), tracking_uri=lab.tracking_uri, observer=warned))
    assert any("tracked at" in what for what in warned.heard)
    lab.tracking_uri = first
    assert lab.attempts("FINISHED") == missing, "what is there stays as it is"
    sync_study(lab.out / "tiny", lab.storage, first)
    lab.assert_invariant(lab.run(study_data(seeds=1, cells=1)))


@pytest.mark.fault(7, "an attempt that began while the store was there and failed while it was away")
def test_an_attempt_that_failed_unheard_stands_once(lab: Lab, away: Away) -> None:
    mended = lab.folder / "mended"
    leave_untold(lab, away, seeds=2, mode="raise", only_seed=1, until=str(mended))
    sync_study(lab.out / "tiny", lab.storage)
    attempts = Counter((run.data.tags["run"], run.data.tags["attempt"]) for run in lab.children())
    assert set(attempts.values()) == {1}
    assert Counter(run.info.status for run in lab.children()) == {"FINISHED": 2, "FAILED": 2}
    assert not [run for run in lab.mlflow_runs() if run.info.status == "RUNNING"]
    mended.touch()
    lab.assert_invariant(lab.run(study_data(seeds=2, cells=1, mode="raise", only_seed=1, until=str(mended))))


REFUSED = Algorithm(FAKE.config, "tests.faults.test_spool:train_refused")


def train_refused(config, emit=None):  # type: ignore[no-untyped-def]
    """A run one of whose metrics has a name MLflow never takes, with seed 0."""
    from dataclasses import replace

    from tests.harness.fake_algorithm import train

    result = train(config, emit)
    return replace(result, metrics={**result.metrics, "loss(critic)": 1.0}) if config.seed == 0 else result


@pytest.mark.fault(19, "a metric whose name MLflow refuses")
def test_what_is_refused_is_told_and_keeps_nothing_back(lab: Lab) -> None:
    data = study_data(seeds=2, cells=1)
    for _ in range(2):
        warned = Warnings()
        with pytest.raises(Undelivered, match="refused 2 of what it was told") as caught:
            lab.run(data, REFUSED, observer=warned)
        assert caught.value.exit_code == 3
        assert len(lab.study().records) == 4
        told = {run.data.tags["run"] for run in lab.children(status="FINISHED")}
        assert told == {"n-1__a__seed-1", "n-1__b__seed-1"}
        assert sum("refused n-1" in what for what in warned.heard) == 2
        assert not [run for run in lab.mlflow_runs() if run.info.status == "RUNNING"]


@pytest.mark.fault(3, "SIGINT once, while a backlog is delivered")
def test_an_interrupt_is_heard_between_deliveries(lab: Lab, away: Away, monkeypatch: pytest.MonkeyPatch) -> None:
    leave_untold(lab, away)
    told = 0

    def count(self, record):  # type: ignore[no-untyped-def]
        nonlocal told
        told += 1

    def check(self) -> None:  # type: ignore[no-untyped-def]
        if told:
            raise Interrupted(2)

    monkeypatch.setattr("harness.mirrors.mlflow.experiment.MLflowExperiment.finished", count)
    monkeypatch.setattr("harness.interrupts.Interrupts.check", check)
    with pytest.raises(Interrupted):
        sync_study(lab.out / "tiny", lab.storage)
    assert told == 1
    monkeypatch.undo()
    assert not [run for run in lab.mlflow_runs() if run.info.status == "RUNNING"]
    sync_study(lab.out / "tiny", lab.storage)
    lab.assert_invariant(lab.run(study_data(seeds=1, cells=1)))


@pytest.mark.fault(7, "the answer to the making of the study's own run is lost, and the server away at the end")
def test_a_study_has_one_parent_whichever_of_twins_was_gone_on_with(
    lab: Lab, mlflow_server: MlflowServer, proxy: Proxy
) -> None:
    class GoneLater(Observer):
        def finished(self, record: RunRecord) -> None:
            proxy.behave(Way.REFUSE)

    name = "one-parent"
    proxy.behave(Way.RESET_AFTER_COMMIT, only="runs/create", times=1)
    with pytest.raises(Undelivered):
        lab.run(study_data(name, seeds=2, cells=1), tracking_uri=proxy.uri, observer=GoneLater())
    proxy.recover()
    study = lab.study(name)
    sync_study(study.folder, lab.storage)
    assert_delivered(lab, mlflow_server, study)


@pytest.mark.fault(10, "the last attempt at a run is torn: it failed before")
def test_an_attempt_is_never_counted_twice(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.compute.choice.InlineExecutor", CrashingExecutor)
    data = study_data(seeds=1, cells=1, mode="raise")
    lab.run(data)
    for attempt in (lab.out / "tiny" / "attempts").glob("*/3.json"):
        attempt.write_text("{", encoding="utf-8")
    lab.run(data)
    attempts = Counter((run.data.tags["run"], run.data.tags["attempt"]) for run in lab.children())
    assert attempts == {(f"n-1__{arm}__seed-0", str(number)): 1 for arm in "ab" for number in range(1, 7)}
    assert {run.info.status for run in lab.children()} == {"FAILED"}


@pytest.mark.fault(12, "a plan written by a newer version, or whole but no longer taken")
@pytest.mark.parametrize("change", [{"schema": 2}, {"spec": {"study": {"name": "tiny"}}}])
def test_a_plan_of_another_version_is_refused_and_stays_where_it_is(
    lab: Lab, two_runs: Path, change: dict[str, object]
) -> None:
    copy_place(two_runs, lab.folder)
    plan = lab.out / "tiny" / "study.json"
    plan.write_text(json.dumps({**json.loads(plan.read_text(encoding="utf-8")), **change}), encoding="utf-8")
    before = plan.read_bytes()
    with pytest.raises(StudyConflict, match="another version"):
        lab.run(study_data(seeds=1, cells=1))
    assert plan.read_bytes() == before
    assert not (lab.out / "tiny" / "damaged").exists()
