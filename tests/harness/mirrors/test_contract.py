"""The laws of a mirror, asked of each: in memory, Optuna on SQLite, MLflow on SQLite and behind its server."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any, Protocol

import pytest
from mlflow import MlflowClient

from harness import RunRecord, StudySpec, Undelivered, expand, parse_spec
from harness.mirrors.addresses import MEMORY
from harness.mirrors.memory import MemoryMirror
from harness.mirrors.mirror import Mirrors
from harness.mirrors.opening import open_mirrors
from harness.provenance import collect
from harness.record.attempt import Failure, failed_attempts, write_failure
from harness.record.run import RECORD_FILE, finished_runs
from harness.record.study import read_records
from harness.study.design import PlannedRun
from tests.harness.lab import DATABASES, FAKE, Lab, study_data

pytestmark = DATABASES

Attempt = tuple[str, int]
# Of the laws behind a server two are quick: every report there is goes its way, and what was not reported is made good.
HERE = ("memory", "optuna", "mlflow")
EVERYWHERE = pytest.mark.parametrize("bench", [*HERE, "server"], indirect=True)
REPORTED, TELLING = (0, 1, 2, 3, 5, -1), 3


class Reader(Protocol):
    """What is asked of a store."""

    def finished(self) -> Counter[str]:
        """How often each run stands as finished."""

    def failed(self) -> Counter[Attempt]:
        """How often each attempt stands as ended without a result."""

    def running(self) -> int:
        """How many attempts stand as running."""

    def files(self) -> dict[str, bytes] | None:
        """The files kept with the study; None where none are kept."""

    def ended(self) -> str | None:
        """How the last command ended; None where that is not kept."""


class Memory:
    def __init__(self, mirror: MemoryMirror) -> None:
        self._mirror = mirror

    def _of(self, *states: str) -> list[Attempt]:
        return [attempt for attempt, state in self._mirror.attempts.items() if state in states]

    def finished(self) -> Counter[str]:
        return Counter(run for run, _ in self._of("FINISHED"))

    def failed(self) -> Counter[Attempt]:
        return Counter(self._of("FAILED", "KILLED"))

    def running(self) -> int:
        return len(self._of("RUNNING"))

    def files(self) -> None:
        return None

    def ended(self) -> str | None:
        return self._mirror.status


class Optuna:
    def __init__(self, lab: Lab) -> None:
        self._lab = lab

    def finished(self) -> Counter[str]:
        return Counter(trial.user_attrs["run"] for trial in self._lab.trials(state="COMPLETE"))

    def failed(self) -> Counter[Attempt]:
        return Counter((t.user_attrs["run"], t.user_attrs["attempt"]) for t in self._lab.trials(state="FAIL"))

    def running(self) -> int:
        return len(self._lab.trials(state="RUNNING"))

    def files(self) -> None:
        return None

    def ended(self) -> None:
        return None


class MLflow:
    def __init__(self, lab: Lab, name: str) -> None:
        self._lab, self._name = lab, name

    def finished(self) -> Counter[str]:
        return Counter(run for run, _ in self._lab.attempts("FINISHED", self._name))

    def failed(self) -> Counter[Attempt]:
        return Counter([a for state in ("FAILED", "KILLED") for a in self._lab.attempts(state, self._name)])

    def running(self) -> int:
        return len(self._lab.children(self._name, "RUNNING"))

    def files(self) -> dict[str, bytes]:
        client, home = MlflowClient(self._lab.tracking_uri), self._lab.parent(self._name).info.run_id
        names = [file.path for file in client.list_artifacts(home)]
        return {name: Path(client.download_artifacts(home, name)).read_bytes() for name in names}

    def ended(self) -> str:
        return str(self._lab.parent(self._name).info.status)


class Bench:
    """A study with records and failed attempts on disk, and one mirror of it.

    Attributes:
        records: of the runs that finished; the first at its second attempt.
        failures: of the attempts that failed: the first of that run, and one of a run that did not finish.
        reader: of the mirror.
    """

    def __init__(self, lab: Lab, spec: StudySpec, folder: Path, stores: dict[str, str], reader: Reader) -> None:
        self._lab, self._spec, self._stores = lab, spec, stores
        self.folder, self.reader = folder, reader
        self.runs: Sequence[PlannedRun] = expand(spec, FAKE).runs
        self.records, _ = read_records(folder, finished_runs(folder / "runs"))
        self.failures = failed_attempts(folder)
        self.warnings: list[str] = []

    def open(self) -> Mirrors:
        return open_mirrors(self._spec, {}, self.folder, origin=collect(), warn=self.warnings.append, **self._stores)

    def repair(self, mirror: Mirrors) -> int:
        return mirror.repair(self.records, self.failures, frozenset(finished_runs(self.folder / "runs")))

    def calls(self) -> list[Callable[[Mirrors], None]]:
        """The reports of a command that computes the study, in order."""
        made: list[Callable[[Mirrors], None]] = []
        ends: dict[Attempt, RunRecord | Failure] = {(r.run, r.attempt): r for r in self.records}
        ends |= {(f.run, f.attempt): f for f in self.failures}
        for run in self.runs:
            for number in (1, 2):
                if (end := ends.get((run.id, number))) is not None:
                    made.append(lambda mirror, run=run, number=number: mirror.started(run, number))
                    made.append(
                        (lambda mirror, end=end: mirror.finished(end))
                        if isinstance(end, RunRecord)
                        else (lambda mirror, end=end: mirror.failed(end))
                    )
        return made

    def assert_whole(self) -> None:
        """Every finished run and every failed attempt stands once, and nothing is running."""
        assert self.reader.finished() == Counter(record.run for record in self.records)
        failed = self.reader.failed()
        assert {attempt: failed[attempt] for attempt in self.failed} == dict.fromkeys(self.failed, 1)
        assert set(failed.values()) <= {1}
        assert not self.reader.running()

    @property
    def failed(self) -> set[Attempt]:
        return {(failure.run, failure.attempt) for failure in self.failures}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a study as it was computed without stores."""
    lab = Lab(tmp_path_factory.mktemp("template"))
    study = lab.run(study_data(seeds=1, cells=2))
    first, last = study.records[0], study.records[-1]
    record = (first.folder / RECORD_FILE).read_text(encoding="utf-8")
    (first.folder / RECORD_FILE).write_text(record.replace('"attempt": 1', '"attempt": 2'), encoding="utf-8")
    shutil.rmtree(last.folder)
    for run, number in ((first, 1), (last, 1), (last, 2)):
        failure = Failure(run.run, run.cell, run.arm, run.seed, number, f"reason {number}", "Traceback")
        write_failure(study.folder, failure)
    return study.folder


@pytest.fixture(params=[*HERE, pytest.param("server", marks=pytest.mark.slow)])
def bench(request: pytest.FixtureRequest, lab: Lab, template: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    name = f"study-{abs(hash(request.node.name))}"
    folder = shutil.copytree(template, lab.out / name)
    (folder / "identity.json").write_text(f'"{name}"', encoding="utf-8")
    (folder / "study.json").write_text("{}", encoding="utf-8")  # only attached here
    spec = parse_spec(study_data(name, seeds=1, cells=2))
    stores: dict[str, str] = {"storage": MEMORY, "tracking_uri": MEMORY}
    reader: Reader
    kind = request.param
    if kind == "memory":
        kept = {name: MemoryMirror(name) for name in ("Optuna", "MLflow")}
        monkeypatch.setattr("harness.mirrors.opening.MemoryMirror", kept.__getitem__)
        reader = Memory(kept["MLflow"])
    elif kind == "optuna":
        stores["storage"] = lab.storage
        reader = Optuna(lab)
        lab.trials = _trials_of(lab, name)  # type: ignore[method-assign]
    else:
        lab.tracking_uri = request.getfixturevalue("mlflow_server").uri if kind == "server" else lab.tracking_uri
        stores["tracking_uri"] = lab.tracking_uri
        reader = MLflow(lab, name)
    return Bench(lab, spec, folder, stores, reader)


def _trials_of(lab: Lab, name: str) -> Callable[..., Any]:
    trials = lab.trials
    return lambda state=None: trials(name, state)


@EVERYWHERE
def test_all_that_is_reported_stands_once_however_often_it_is_repeated(bench: Bench) -> None:
    mirror = bench.open()
    for _ in range(2):
        assert bench.repair(mirror) in (0, len(bench.records) + len(bench.failures))
    bench.assert_whole()
    mirror.close("FINISHED")
    mirror = bench.open()
    assert bench.repair(mirror) == 0, "nothing is missing"
    for call in bench.calls():
        call(mirror)
        call(mirror)
    mirror.close("FINISHED")
    bench.assert_whole()


def test_each_report_of_a_command_may_be_repeated(bench: Bench) -> None:
    mirror = bench.open()
    mirror.repair([], [], frozenset())
    for call in bench.calls():
        call(mirror)
        call(mirror)
    mirror.close("FINISHED")
    bench.assert_whole()


@pytest.mark.parametrize(
    ("bench", "reported"),
    [
        *product(HERE, REPORTED),
        *(pytest.param("server", n, marks=[] if n == TELLING else pytest.mark.slow) for n in REPORTED),
    ],
    indirect=["bench"],
)
def test_repair_makes_good_what_a_command_did_not_report_wherever_it_died(bench: Bench, reported: int) -> None:
    mirror = bench.open()
    mirror.repair([], [], frozenset())
    for call in bench.calls()[:reported]:
        call(mirror)
    again = bench.open()  # the command died
    bench.repair(again)
    bench.assert_whole()
    again.close("FINISHED")
    bench.assert_whole()


def test_what_was_cut_short_is_not_left_running_and_a_later_attempt_takes_its_place(bench: Bench) -> None:
    mirror, run = bench.open(), bench.runs[1]
    mirror.repair([], [], frozenset())
    mirror.started(run, 1)
    assert bench.reader.running() == 1
    mirror.close("KILLED")
    assert not bench.reader.running()
    assert bench.reader.failed() == {(run.id, 1): 1}
    assert bench.reader.ended() in (None, "KILLED")
    record = next(record for record in bench.records if record.run == run.id)
    mirror = bench.open()
    mirror.repair([], [], frozenset())
    mirror.started(run, 2)
    mirror.finished(replace(record, attempt=2))
    mirror.close("FINISHED")
    assert bench.reader.finished() == {run.id: 1}
    assert bench.reader.ended() in (None, "FINISHED")


def test_a_run_whose_record_is_gone_is_finished_no_more(bench: Bench) -> None:
    mirror = bench.open()
    bench.repair(mirror)
    mirror.close("FINISHED")
    gone, *bench.records = bench.records
    shutil.rmtree(bench.folder / "runs" / gone.run)
    mirror = bench.open()
    bench.repair(mirror)
    mirror.close("FINISHED")
    assert bench.reader.finished() == Counter(record.run for record in bench.records)


def test_files_are_replaced(bench: Bench) -> None:
    mirror = bench.open()
    bench.repair(mirror)
    page = bench.folder / "report.html"
    for text in ("one", "another"):
        page.write_text(text, encoding="utf-8")
        mirror.attach([page])
        assert bench.reader.files() in (None, {"report.html": text.encode(), "study.json": b"{}"})
    mirror.close("FAILED")
    assert bench.reader.ended() in (None, "FAILED")


def test_a_record_that_cannot_be_reported_holds_nothing_back(bench: Bench) -> None:
    spoilt = bench.records[1]
    curves = spoilt.folder / "curves.csv"
    curves.write_bytes(bytes(curves.stat().st_size))
    mirror = bench.open()
    bench.repair(mirror)
    held = {record.run for record in bench.records} - {*bench.reader.finished()}
    if held:  # where a record is read whole
        assert held == {spoilt.run}
        with pytest.raises(Undelivered, match=rf"1 damaged record: {curves} is damaged"):
            mirror.close("FINISHED")
        assert sum(str(curves) in warning for warning in bench.warnings) == 1
    else:
        mirror.close("FINISHED")
    assert {*bench.reader.failed()} >= bench.failed
    assert not bench.reader.running()
