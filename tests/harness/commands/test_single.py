"""One run by itself: recorded and tracked like any other."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from harness import Algorithm, BadInput, RunRecord
from harness.commands.single import RunFailed, run_single, sync_singles
from harness.errors import Interrupted, Undelivered
from harness.record.run import finished_runs, read_record
from tests.harness.fake_algorithm import Config, Progress, Result, result, score
from tests.harness.lab import DATABASES, FAKE, ROOT, Lab

pytestmark = DATABASES


def run(lab: Lab, settings: dict[str, Any], **options: Any) -> RunRecord:
    return run_single(settings, FAKE, out=lab.out, **options)


def test_a_run_is_on_disk_and_in_mlflow(lab: Lab) -> None:
    seen: list[Progress] = []
    record = run(lab, {"arm": "b", "seed": 5}, emit=seen.append)
    assert record.metrics["score"] == score(Config(arm="b", seed=5))
    assert (record.seed, record.attempt, record.outcome) == (5, 1, "complete")
    assert record.folder.parent == lab.out / "train" / "runs"
    assert read_record(record.folder) == record
    assert [progress.fraction for progress in seen] == [1.0]
    (child,) = lab.mlflow_runs("train")
    assert child.info.status == "FINISHED"
    assert (child.data.tags["run"], child.data.tags["seed"]) == (record.run, "5")
    assert child.data.metrics["score"] == record.metrics["score"]
    assert child.data.params["arm"] == "b"


def test_runs_add_up(lab: Lab) -> None:
    runs = [run(lab, {}).run for _ in range(3)]
    assert len(set(runs)) == 3
    assert finished_runs(lab.out / "train" / "runs") == sorted(runs)
    assert len(lab.children("train", "FINISHED")) == 3


def test_a_preset_is_a_starting_point(lab: Lab) -> None:
    assert run(lab, {"preset": "half", "n": 3}).config["n"] == 3


def test_a_diverged_run_is_kept(lab: Lab) -> None:
    record = run(lab, {"mode": "diverge"})
    assert record.outcome == "diverged"
    assert [child.data.tags["outcome"] for child in lab.children("train", "FINISHED")] == ["diverged"]


def test_a_run_that_raises_is_failed(lab: Lab) -> None:
    with pytest.raises(RunFailed, match="RuntimeError: told to fail with seed 0") as caught:
        run(lab, {"mode": "raise"})
    assert caught.value.exit_code == 1
    assert [child.info.status for child in lab.mlflow_runs("train")] == ["FAILED"]
    assert finished_runs(lab.out / "train" / "runs") == []


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"n": 0}, "n = 0"),
        ({"nn": 1}, "did you mean 'n'"),
        ({"preset": "third"}, "preset = 'third'"),
        ({"x": "a"}, "x = 'a'"),
    ],
)
def test_bad_settings_are_refused_before_anything_runs(lab: Lab, settings: dict[str, Any], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        run(lab, settings)
    assert not lab.out.exists()
    assert lab.mlflow_runs("train") == []


def test_all_bad_settings_are_told_at_once(lab: Lab) -> None:
    with pytest.raises(BadInput) as caught:
        run(lab, {"n": 0, "x": 2.0, "mode": "fast"})
    assert [problem.field for problem in caught.value.problems] == ["x", "n", "mode"]


def test_the_algorithm_must_be_there() -> None:
    with pytest.raises(BadInput, match="importable"):
        run_single({}, Algorithm("nowhere:Config", "nowhere:train"))


def test_a_run_whose_process_dies_leaves_nothing_running(lab: Lab) -> None:
    program = (
        "from tests.harness.lab import FAKE\n"
        "from harness.commands.single import run_single\n"
        f"run_single({{'mode': 'kill'}}, FAKE, out={str(lab.out)!r})\n"
    )
    died = subprocess.run([sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert died.returncode == -signal.SIGKILL
    assert lab.mlflow_runs("train") == []
    run(lab, {})
    assert [child.info.status for child in lab.mlflow_runs("train")] == ["FINISHED"]


def test_an_interrupted_run_is_killed_in_mlflow_with_its_times(lab: Lab) -> None:
    def interrupt(progress: Progress) -> None:
        assert not lab.mlflow_runs("train"), "nothing stands there before it has ended"
        os.kill(os.getpid(), signal.SIGINT)

    before = time.time()
    with pytest.raises(Interrupted):
        run(lab, {"mode": "slow", "seconds": 60.0, "seed": 5}, emit=interrupt)
    (child,) = lab.mlflow_runs("train")
    assert (child.info.status, child.data.tags["seed"]) == ("KILLED", "5")
    assert before * 1000 - 1 <= child.info.start_time <= child.info.end_time <= time.time() * 1000


def test_a_run_without_a_store_is_on_disk_alone(lab: Lab) -> None:
    record = run(lab, {}, tracking_uri="memory:")
    with pytest.raises(RunFailed):
        run(lab, {"mode": "raise"}, tracking_uri="memory:")
    assert sync_singles(lab.out, "memory:") == (1, ())
    assert finished_runs(lab.out / "train" / "runs") == [record.run]
    assert lab.mlflow_runs("train") == []


@pytest.mark.fault(7, "MLflow's store gone while a single run trains that then raises; sync")
def test_a_failed_run_that_mlflow_missed_is_delivered_later(lab: Lab) -> None:
    with pytest.raises(RunFailed):
        run_single({}, RAISING, out=lab.out, emit=lambda progress: away(lab))
    back(lab)
    for _ in range(2):
        assert sync_singles(lab.out) == (0, ())
        (child,) = lab.mlflow_runs("train")
        assert child.info.status == "FAILED"
        assert child.data.tags["reason"].startswith("ValueError: cannot reach ")


def away(lab: Lab) -> None:
    """Take MLflow's database away, if that was not done before; nothing can be made anew in its place."""
    if (lab.folder / "mlflow.db").is_file():
        (lab.folder / "mlflow.db").rename(lab.folder / "away.db")
        (lab.folder / "mlflow.db").mkdir()


def back(lab: Lab) -> None:
    (lab.folder / "mlflow.db").rmdir()
    (lab.folder / "away.db").rename(lab.folder / "mlflow.db")


def raise_late(config: Config, emit: Callable[[Progress], None]) -> Result:
    """Get on, then raise what holds a password."""
    emit(Progress(0.5))
    raise ValueError("cannot reach http://bob:s3cret@host/x")


RAISING = Algorithm(FAKE.config, "tests.harness.commands.test_single:raise_late")


@pytest.mark.fault(7, "MLflow's store gone while a single run trains")
def test_a_run_that_mlflow_missed_is_kept_and_delivered_later(lab: Lab) -> None:
    with pytest.raises(Undelivered, match="results on disk are kept"):
        run(lab, {"seed": 5}, emit=lambda progress: away(lab))
    (kept,) = finished_runs(lab.out / "train" / "runs")
    back(lab)
    with pytest.raises(RunFailed):
        run(lab, {"mode": "raise"})
    for _ in range(2):
        assert sync_singles(lab.out) == (1, ())
        (child,) = lab.children("train", "FINISHED")
        assert child.data.tags["run"] == kept
        assert child.data.metrics["score"] == score(Config(seed=5))
    assert len(lab.children("train", "FAILED")) == 1, "who failed stays failed"


@pytest.mark.fault(7, "MLflow's store gone while a single run trains that then raises")
def test_why_a_run_failed_is_told_though_mlflow_is_away(lab: Lab) -> None:
    with pytest.raises(RunFailed) as caught:
        run_single({}, RAISING, out=lab.out, emit=lambda progress: away(lab))
    first, second = str(caught.value).splitlines()
    assert first.startswith("ValueError: cannot reach ")
    assert "MLflow" in second
    assert "kept" not in second, "nothing of it is"
    assert "raise_late" in caught.value.detail


@pytest.mark.fault(7, "MLflow's store gone while a single run trains that is then interrupted")
def test_an_interrupt_is_told_though_mlflow_is_away(lab: Lab) -> None:
    def leave(progress: Progress) -> None:
        away(lab)
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Interrupted) as caught:
        run(lab, {"mode": "slow"}, emit=leave)
    assert caught.value.exit_code == 130


@pytest.mark.fault(18, "a password in what a single run raises")
def test_what_a_run_raised_holds_no_password(lab: Lab) -> None:
    with pytest.raises(RunFailed) as caught:
        run_single({}, RAISING, out=lab.out)
    assert "ValueError: cannot reach http://***@host/x" in str(caught.value)
    assert "s3cret" not in str(caught.value) + caught.value.detail
    (child,) = lab.children("train", "FAILED")
    assert child.data.tags["reason"] == str(caught.value)


def badly_named(config: Config, emit: Callable[[Progress], None]) -> Result:
    """Return a metric whose name MLflow does not take."""
    made = result(config)
    return replace(made, metrics={**made.metrics, "a\tb?": 1.0})


@pytest.mark.fault(7, "a single run that MLflow refuses, before one that it missed")
def test_what_mlflow_refuses_keeps_nothing_else_back(lab: Lab) -> None:
    with pytest.raises(Undelivered):
        run_single({}, Algorithm(FAKE.config, "tests.harness.commands.test_single:badly_named"), out=lab.out)
    (first,) = finished_runs(lab.out / "train" / "runs")
    (lab.out / "train" / "runs" / first).rename(lab.out / "train" / "runs" / f"0{first}")  # which comes first, surely
    with pytest.raises(Undelivered):
        run(lab, {"seed": 5}, emit=lambda progress: away(lab))
    back(lab)
    before = len(lab.mlflow_runs("train"))
    for _ in range(2):
        with pytest.raises(Undelivered, match=rf"refused 1 of 2 runs, first: {first}: .*a\\tb"):
            sync_singles(lab.out)
        assert len(lab.mlflow_runs("train")) == before + 1, "what was begun is gone on with, what was missed is added"
    assert [child.data.tags["seed"] for child in lab.children("train", "FINISHED")] == ["5"]
    assert not lab.children("train", "RUNNING")


def test_where_nothing_was_trained_nothing_is_synced(lab: Lab) -> None:
    with pytest.raises(BadInput, match="study = 'train': must have been run"):
        sync_singles(lab.out)
    assert not lab.out.exists()
