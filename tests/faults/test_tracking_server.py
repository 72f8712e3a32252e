"""Row 7: whatever becomes of the tracking server, nothing computed is lost, and all of it is told once in the end."""

from __future__ import annotations

import re
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from harness import Observer, RunRecord, StoreUnavailable, Study, StudyLocked, load_study
from harness.commands.sync import sync_study
from harness.errors import Undelivered
from harness.record.lock import study_lock
from harness.study.design import PlannedRun
from tests.faults.delivery import Outage, assert_attempts_told_once, assert_delivered, unsynced
from tests.faults.servers import HOST, MlflowServer, Proxy, Way
from tests.harness.lab import DATABASES, Lab, study_data, wait_for
from tests.studies.command import call

pytestmark = DATABASES
AT_ONCE = 10.0  # seconds within which a server that is away at the start is said to be
LASTING = [way for way in Way if way not in (Way.THROUGH, Way.DELAY)]
TRIES, FOR_GOOD = 8, 10_000  # more than are made of one request, fewer than of two; and of any number


def each(ways: list[Way], moment: str, quick: tuple[Way, ...]) -> pytest.MarkDecorator:
    """A case for every way to misbehave; all but a few are left to the long tests."""
    cases = []
    for way in ways:
        fault = pytest.mark.fault(7, f"{moment}: {way.value}")
        marks = [fault] if way in quick else [fault, pytest.mark.slow]
        cases.append(pytest.param(way, id=way.name.lower(), marks=marks))
    return pytest.mark.parametrize("way", cases)


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A study name of the test's own: all tests share one server."""
    return re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()).strip("-")[:100]


class Beginnings(Observer):
    """Writes down what runs."""

    def __init__(self) -> None:
        self.runs: list[str] = []

    def started(self, run: PlannedRun, attempt: int) -> None:
        self.runs.append(run.id)


def with_password(uri: str) -> str:
    return uri.replace("://", "://someone:correct-horse@")


def assert_one_line(message: str, uri: str, lab: Lab) -> None:
    """A message is a line a person can read, which names the server and no password."""
    assert len(message.splitlines()) == 1, message
    assert len(re.sub(rf"{lab.folder}\S*", "PATH", message)) < 400, message
    assert uri.removeprefix("http://") in message
    assert "correct-horse" not in message


def assert_told_at_once(lab: Lab, data: dict[str, Any], uri: str) -> None:
    """A server that is away at the start is named within seconds, and no run is begun."""
    beginnings = Beginnings()
    began = time.monotonic()
    with pytest.raises(StoreUnavailable) as caught:
        lab.run(data, tracking_uri=with_password(uri), observer=beginnings)
    assert time.monotonic() - began < AT_ONCE
    assert caught.value.exit_code == 3
    assert_one_line(str(caught.value), uri, lab)
    assert not beginnings.runs


def run_undelivered(lab: Lab, data: dict[str, Any], proxy: Proxy, *ways: Way, after: int, **options: Any) -> Study:
    """Run a study whose server goes away for good; return it as it is on disk."""
    options = {"tracking_uri": proxy.uri, "observer": Outage(proxy, *ways, after=after), **options}
    with pytest.raises(Undelivered) as caught:
        lab.run(data, **options)
    assert caught.value.exit_code == 3
    assert_one_line(str(caught.value), proxy.uri, lab)
    return lab.study(data["study"]["name"])


def sync(lab: Lab, study: Study, uri: str) -> None:
    sync_study(study.folder, lab.storage, uri)


@each(LASTING, "at start", quick=(Way.REFUSE,))
def test_a_server_that_is_away_at_the_start_is_named_within_ten_seconds(
    lab: Lab, mlflow_server: MlflowServer, proxy: Proxy, name: str, way: Way
) -> None:
    proxy.behave(way)
    data = study_data(name, seeds=1, cells=1)
    assert_told_at_once(lab, data, proxy.uri)
    assert not [request for request in proxy.requests if "runs/create" in request]
    proxy.recover()
    assert_delivered(lab, mlflow_server, lab.run(data, tracking_uri=proxy.uri))


@pytest.mark.slow
@pytest.mark.fault(7, "at start: a host that neither accepts nor refuses connections")
def test_a_host_that_does_not_answer_at_all_is_named_within_ten_seconds(lab: Lab, name: str) -> None:
    with socket.create_server((HOST, 0), backlog=0) as deaf, socket.socket() as one, socket.socket() as two:
        for waiting in (one, two):  # they fill the backlog: whoever comes next is not even turned away
            waiting.setblocking(False)
            with suppress(BlockingIOError):
                waiting.connect(deaf.getsockname())
        assert_told_at_once(lab, study_data(name, cells=1), f"http://{HOST}:{deaf.getsockname()[1]}")


@pytest.mark.slow
@pytest.mark.fault(7, "at start of a study half done: connections refused")
def test_a_server_that_is_away_when_a_study_is_continued_costs_nothing_that_is_done(
    lab: Lab, mlflow_server: MlflowServer, proxy: Proxy, name: str
) -> None:
    before = lab.run(study_data(name, seeds=1, cells=1), tracking_uri=proxy.uri)
    proxy.behave(Way.REFUSE)
    assert_told_at_once(lab, study_data(name, cells=1), proxy.uri)
    assert load_study(before.folder).records[0].metrics == before.records[0].metrics
    proxy.recover()
    beginnings = Beginnings()
    after = lab.run(study_data(name, cells=1), tracking_uri=proxy.uri, observer=beginnings)
    assert sorted(beginnings.runs) == sorted(set(after.planned) - set(before.planned))
    assert_delivered(lab, mlflow_server, after)


@pytest.mark.fault(7, "at start: the answers that the experiment and the study's run are made get lost")
@pytest.mark.parametrize("request_", [pytest.param("experiments/create", marks=pytest.mark.slow), "runs/create"])
@pytest.mark.parametrize("times", [pytest.param(1, marks=pytest.mark.slow), TRIES])
def test_what_is_made_at_the_start_is_made_once(
    lab: Lab, mlflow_server: MlflowServer, proxy: Proxy, name: str, request_: str, times: int
) -> None:
    proxy.behave(Way.RESET_AFTER_COMMIT, only=request_, times=times)
    try:
        study = lab.run(study_data(name, seeds=1, cells=1), tracking_uri=proxy.uri)
    except StoreUnavailable:
        assert times > 1, "a client's second try is enough"
        proxy.recover()
        study = lab.run(study_data(name, seeds=1, cells=1), tracking_uri=proxy.uri)
    assert proxy.mistreated
    assert_delivered(lab, mlflow_server, study)


@each([*LASTING, Way.DELAY], "mid-run", quick=(Way.REFUSE,))
def test_a_server_that_is_back_before_the_end_is_told_what_it_missed(
    lab: Lab, mlflow_server: MlflowServer, proxy: Proxy, name: str, way: Way
) -> None:
    outage = Outage(proxy, way, after=1, until=3)
    study = lab.run(study_data(name, seeds=2, cells=1), tracking_uri=proxy.uri, observer=outage)
    assert outage.finished_runs == 4, "the study goes on"
    assert proxy.mistreated or way is Way.REFUSE
    assert_delivered(lab, mlflow_server, study)


@each(LASTING, "for good", quick=(Way.REFUSE,))
def test_results_are_kept_for_a_server_that_stays_away_and_sync_delivers_them(
    lab: Lab, mlflow_server: MlflowServer, proxy: Proxy, name: str, way: Way
) -> None:
    pages: list[Path] = []

    def report(study: Study) -> list[Path]:
        pages.append(study.folder / "report.html")
        pages[-1].write_text(f"{len(study.records)} runs", encoding="utf-8")
        return pages

    outage = Outage(proxy, way, after=2)
    with pytest.raises(Undelivered) as caught:
        lab.run(
            study_data(name, seeds=2, cells=1), tracking_uri=with_password(proxy.uri), observer=outage, report=report
        )
    study = lab.study(name)
    assert sorted(record.run for record in study.records) == sorted(study.planned)
    assert [page.read_text(encoding="utf-8") for page in pages] == ["4 runs"]
    assert len(unsynced(lab, mlflow_server, study)) == 3, "all but the first of four"
    assert_one_line(str(caught.value), proxy.uri, lab)
    assert "3 attempts are on disk and not in MLflow yet" in str(caught.value)
    proxy.recover()
    sync(lab, study, proxy.uri)
    assert_delivered(lab, mlflow_server, study)
    assert [file.path for file in MlflowClient(mlflow_server.uri).list_artifacts(lab.parent(name).info.run_id)] == [
        "report.html",
        "study.json",
    ]


@pytest.mark.slow
@pytest.mark.fault(7, "for good: every request hangs")
def test_a_server_that_hangs_is_not_waited_for_run_by_run(lab: Lab, proxy: Proxy, name: str) -> None:
    study = run_undelivered(lab, study_data(name, seeds=10, cells=1), proxy, Way.HANG, after=1)
    assert len(study.records) == 20
    assert len(proxy.mistreated) < 8


@pytest.mark.slow
@pytest.mark.fault(7, "mid-run: away for two seconds of ten")
def test_a_server_that_comes_back_is_told_what_it_missed_while_the_study_goes_on(
    lab: Lab, mlflow_server: MlflowServer, proxy: Proxy, name: str
) -> None:
    class Watch(Outage):
        told = 0

        def finished(self, record: RunRecord) -> None:
            super().finished(record)
            if self.finished_runs == 12:
                self.told = len(lab.children(name, "FINISHED"))

    lab.tracking_uri = mlflow_server.database
    watch = Watch(proxy, Way.REFUSE, after=1, until=3)
    data = study_data(name, seeds=6, cells=1, mode="slow", seconds=1.0)
    study = lab.run(data, tracking_uri=proxy.uri, observer=watch)
    assert watch.told == 11
    assert_delivered(lab, mlflow_server, study)


@pytest.mark.parametrize(
    ("request_", "way", "times"),
    [
        pytest.param("runs/create", Way.RESET_AFTER_COMMIT, 1, marks=pytest.mark.slow),
        pytest.param("runs/create", Way.RESET_AFTER_COMMIT, TRIES, marks=pytest.mark.slow),
        pytest.param("runs/create", Way.TRUNCATE, 1, marks=pytest.mark.slow),
        pytest.param("runs/log-batch", Way.RESET_AFTER_COMMIT, 1, marks=pytest.mark.slow),
        ("runs/log-batch", Way.TRUNCATE, 1),
        pytest.param("PUT artifacts/curves.csv", Way.TRUNCATE, 1, marks=pytest.mark.slow),
        pytest.param("runs/update", Way.TRUNCATE, 1, marks=pytest.mark.slow),
    ],
    ids=lambda value: value.name.lower() if isinstance(value, Way) else str(value),
)
@pytest.mark.fault(7, "mid-run: carries out a request, but its answer gets lost")
def test_what_was_carried_out_unheard_is_told_once(
    lab: Lab, mlflow_server: MlflowServer, proxy: Proxy, name: str, request_: str, way: Way, times: int
) -> None:
    class AfterTheFirst(Observer):
        def finished(self, record: RunRecord) -> None:
            if not proxy.mistreated:
                proxy.behave(way, only=request_, times=times)

    study = lab.run(study_data(name, cells=1), tracking_uri=proxy.uri, observer=AfterTheFirst())
    assert proxy.mistreated
    assert_delivered(lab, mlflow_server, study)


@pytest.mark.fault(7, "mid-run: answers an upload with some HTML page and status 200")
def test_an_upload_that_only_seemed_to_be_taken_is_made_again(
    lab: Lab, mlflow_server: MlflowServer, proxy: Proxy, name: str
) -> None:
    proxy.behave(Way.PAGE, only="PUT artifacts/parameters.npz", times=1)
    study = lab.run(study_data(name, seeds=1, cells=1), tracking_uri=proxy.uri)
    assert proxy.mistreated
    assert_delivered(lab, mlflow_server, study)


@pytest.mark.fault(7, "for good, while runs fail: connections refused")
def test_failures_wait_with_their_tracebacks(lab: Lab, mlflow_server: MlflowServer, proxy: Proxy, name: str) -> None:
    data = study_data(name, cells=1, mode="raise", only_seed=1)
    study = run_undelivered(lab, data, proxy, Way.REFUSE, after=0)
    assert len(study.records) == len(study.failures) == 2
    proxy.recover()
    sync(lab, study, proxy.uri)
    lab.tracking_uri = mlflow_server.database
    assert_attempts_told_once(lab, study)
    assert lab.parent(name).info.status == "FAILED"
    assert {run.data.tags["run"] for run in lab.children(name, "FINISHED")} == {r.run for r in study.records}
    failed = lab.children(name, "FAILED")
    assert {run.data.tags["run"] for run in failed} == {failure.run for failure in study.failures}
    for run in failed:
        assert "told to fail with seed 1" in run.data.tags["reason"]
        assert run.data.tags["seed"] == "1"
        kept = mlflow_server.artifacts / run.info.experiment_id / run.info.run_id / "artifacts" / "traceback.txt"
        assert "fake_algorithm.py" in kept.read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.fault(7, "for good, while a process is killed and its run tried again: connections refused")
def test_each_try_of_a_run_is_told(lab: Lab, mlflow_server: MlflowServer, proxy: Proxy, name: str) -> None:
    data = study_data(name, seeds=1, cells=1, mode="kill", until=str(lab.folder / "killed"), once=True)
    study = run_undelivered(lab, data, proxy, Way.REFUSE, after=0, executor="processes", jobs=1)
    proxy.recover()
    sync(lab, study, proxy.uri)
    assert_delivered(lab, mlflow_server, study)
    tries = {run.data.tags["attempt"]: run.info.status for run in lab.children(name) if "__a__" in run.data.tags["run"]}
    assert tries == {"1": "FAILED", "2": "FINISHED"}


@pytest.mark.slow
@pytest.mark.fault(7, "for good, then back: the study is continued, not synced")
def test_the_same_command_delivers_too(lab: Lab, mlflow_server: MlflowServer, proxy: Proxy, name: str) -> None:
    study = run_undelivered(lab, study_data(name, cells=1), proxy, Way.REFUSE, after=1)
    proxy.recover()
    beginnings = Beginnings()
    again = lab.run(study_data(name, cells=1), tracking_uri=proxy.uri, observer=beginnings)
    assert not beginnings.runs, "what is computed is not computed again"
    assert again.records == study.records
    assert_delivered(lab, mlflow_server, again)


@pytest.mark.fault(7, "still away when sync is called, then back, then sync once more")
def test_sync_says_when_it_cannot_and_does_nothing_twice(
    lab: Lab, mlflow_server: MlflowServer, proxy: Proxy, name: str
) -> None:
    study = run_undelivered(lab, study_data(name, seeds=1, cells=1), proxy, Way.REFUSE, after=1)
    waiting = unsynced(lab, mlflow_server, study)
    began = time.monotonic()
    with pytest.raises(StoreUnavailable) as caught:
        sync(lab, study, with_password(proxy.uri))
    assert time.monotonic() - began < AT_ONCE
    assert_one_line(str(caught.value), proxy.uri, lab)
    assert waiting
    assert unsynced(lab, mlflow_server, study) == waiting
    proxy.recover()
    sync(lab, study, proxy.uri)
    assert_delivered(lab, mlflow_server, study)
    rows = {run.info.run_id: run.to_dictionary() for run in lab.children(name)}
    proxy.requests.clear()
    sync(lab, study, proxy.uri)
    assert not [request for request in proxy.requests if "runs/create" in request]
    assert {run.info.run_id: run.to_dictionary() for run in lab.children(name)} == rows
    assert_delivered(lab, mlflow_server, study)


@pytest.mark.slow
def test_sync_is_refused_while_the_study_is_being_run(
    lab: Lab, mlflow_server: MlflowServer, proxy: Proxy, name: str
) -> None:
    study = run_undelivered(lab, study_data(name, seeds=1, cells=1), proxy, Way.REFUSE, after=1)
    proxy.recover()
    with study_lock(study.folder), pytest.raises(StudyLocked) as caught:
        sync(lab, study, proxy.uri)
    assert caught.value.exit_code == 4
    assert unsynced(lab, mlflow_server, study)


@pytest.mark.slow
def test_sync_tells_a_server_all_of_a_study_it_has_never_heard_of(
    lab: Lab, mlflow_server: MlflowServer, proxy: Proxy, name: str
) -> None:
    study = lab.run(study_data(name, cells=1))
    sync(lab, study, proxy.uri)
    assert_delivered(lab, mlflow_server, study)


@pytest.mark.slow
@pytest.mark.fault(7, "for good, then back: a3c-bench sync")
def test_the_command_line_delivers(lab: Lab, mlflow_server: MlflowServer, proxy: Proxy, name: str) -> None:
    study = run_undelivered(lab, study_data(name, cells=1), proxy, Way.REFUSE, after=1)
    proxy.recover()
    options = ("--out", str(lab.out), "--storage", lab.storage, "--tracking-uri", proxy.uri)
    code, out, errors = call("sync", name, *options, cwd=lab.folder)
    assert (code, errors) == (0, "")
    assert out
    assert_delivered(lab, mlflow_server, study)


@pytest.mark.slow
@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "killed"])
@pytest.mark.fault(7, "for good, and the study is stopped or killed meanwhile: connections refused")
def test_what_a_stopped_study_had_not_told_is_delivered_when_it_is_continued(
    lab: Lab, mlflow_server: MlflowServer, proxy: Proxy, name: str, stop: signal.Signals
) -> None:
    data = study_data(name, seeds=8, cells=1, mode="slow", seconds=0.5)
    process = lab.start(data, tracking_uri=proxy.uri)
    runs = lab.out / name / "runs"
    wait_for(lambda: len(list(runs.glob("n-1*"))) >= 2, "two results")
    proxy.behave(Way.REFUSE)
    wait_for(lambda: len(list(runs.glob("n-1*"))) >= 6, "more results")
    code, _ = lab.finish(process, stop)
    assert code == 128 + stop
    proxy.recover()
    sync_study(lab.out / name, lab.storage, proxy.uri)
    lab.tracking_uri = mlflow_server.database
    assert_attempts_told_once(lab, load_study(lab.out / name))
    finished = {path.name for path in runs.glob("n-1*")}
    assert len(finished) < 16
    assert {run.data.tags["run"] for run in lab.children(name, "FINISHED")} == finished
    assert lab.parent(name).info.status == "KILLED"
    assert_delivered(lab, mlflow_server, lab.run(data, tracking_uri=proxy.uri))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("way", "times"),
    [(Way.RESET, TRIES), (Way.RESET_AFTER_COMMIT, TRIES), (Way.RESET_AFTER_COMMIT, FOR_GOOD)],
    ids=["cut-off", "carried-out", "carried-out-then-away"],
)
@pytest.mark.fault(7, "each single request of a study in turn cut off, or carried out but its answer lost")
def test_whichever_request_of_a_study_is_lost_all_is_delivered(
    lab: Lab, mlflow_server: MlflowServer, proxy: Proxy, name: str, way: Way, times: int
) -> None:
    def run(number: int) -> Study:
        return lab.run(study_data(f"{name}-{number}", seeds=1, cells=1), tracking_uri=proxy.uri)

    for number in range(count_requests(proxy, lambda: run(0))):
        proxy.behave(way, after=number, times=times)
        try:
            study = run(number + 1)
        except Undelivered:
            proxy.recover()
            study = lab.study(f"{name}-{number + 1}")
            sync(lab, study, proxy.uri)
        except StoreUnavailable:
            proxy.recover()
            study = run(number + 1)
        assert_delivered(lab, mlflow_server, study)


@pytest.mark.slow
@pytest.mark.parametrize("way", [Way.RESET_AFTER_COMMIT, Way.TRUNCATE], ids=lambda way: way.name.lower())
@pytest.mark.fault(7, "each single request of a sync in turn carried out, but its answer and all later ones lost")
def test_whichever_request_of_a_sync_is_lost_the_next_sync_delivers(
    lab: Lab, mlflow_server: MlflowServer, proxy: Proxy, name: str, way: Way
) -> None:
    def leave(number: int) -> Study:
        study = run_undelivered(lab, study_data(f"{name}-{number}", seeds=1, cells=1), proxy, Way.REFUSE, after=1)
        proxy.recover()
        return study

    first = leave(0)
    for number in range(count_requests(proxy, lambda: sync(lab, first, proxy.uri))):
        study = leave(number + 1)
        proxy.behave(way, after=number)
        with pytest.raises(StoreUnavailable):
            sync(lab, study, proxy.uri)
        proxy.recover()
        sync(lab, study, proxy.uri)
        assert_delivered(lab, mlflow_server, study)


def count_requests(proxy: Proxy, what: Callable[[], object]) -> int:
    """How many requests something costs that nothing disturbs."""
    before = len(proxy.requests)
    what()
    return len(proxy.requests) - before
