"""Real signals at real moments: what was finished is kept, and the same command goes on to the same table."""

from __future__ import annotations

import os
import shlex
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from _pytest.mark.structures import ParameterSet

from harness import Interrupted, StudyLocked, load_results
from harness.record.run import finished_runs
from harness.record.study import load_study
from studies.cli import run as run_command
from tests.harness.lab import PATIENCE, Lab, alive, children_of, databases, study_data, wait_for, without_time
from tests.studies.command import TINY, start

SLOW = pytest.mark.slow
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: 137}


def data_of(lab: Lab) -> dict[str, Any]:
    return study_data(seeds=3, cells=1, mode="slow", seconds=0.1, marks=str(lab.marks()))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """The table of the study that nobody interrupted."""
    folder = tmp_path_factory.mktemp("undisturbed")
    lab = Lab(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return without_time(load_results(lab.run(study_data(seeds=3, cells=1))))


def finished(lab: Lab, count: int) -> Callable[[], bool]:
    return lambda: len(finished_runs(lab.out / "tiny" / "runs")) >= count


MOMENTS: dict[str, Callable[[Lab], Callable[[], Any]]] = {
    "locked": lambda lab: (lab.out / "tiny" / ".lock").exists,
    "planned": lambda lab: (lab.out / "tiny" / "study.json").exists,
    "a run began": lambda lab: lambda: [*lab.marks().iterdir()],
    "half is done": lambda lab: finished(lab, 3),
    "all is done": lambda lab: finished(lab, 6),
}


def assert_same_after_resume(lab: Lab, undisturbed: pd.DataFrame) -> None:
    """The same command finishes what is missing and nothing else."""
    before = {*finished_runs(lab.out / "tiny" / "runs")}
    marks = {*lab.marks().iterdir()}
    study = lab.run(data_of(lab))
    assert len({*lab.marks().iterdir()} - marks) == 6 - len(before)
    lab.assert_invariant(study)
    assert without_time(load_results(study)).equals(undisturbed)
    assert lab.parent().info.status == "FINISHED"


def stopped(sent: signal.Signals, moment: str, row: int, what: str, *marks: pytest.MarkDecorator) -> ParameterSet:
    return pytest.param(sent, moment, marks=[pytest.mark.fault(row, what), *marks])


@databases
@pytest.mark.parametrize(
    ("sent", "moment"),
    [
        stopped(signal.SIGINT, "locked", 3, "SIGINT once, before anything runs"),
        stopped(signal.SIGTERM, "half is done", 3, "SIGTERM when half of the runs are done"),
        stopped(signal.SIGKILL, "planned", 2, "SIGKILL of the parent when the plan is written, children starting"),
        stopped(signal.SIGKILL, "a run began", 2, "SIGKILL of the parent while two children compute"),
        stopped(signal.SIGKILL, "all is done", 2, "SIGKILL of the parent after the last run, before its end", SLOW),
    ],
)
def test_a_study_stopped_at_any_moment_goes_on(
    lab: Lab, undisturbed: pd.DataFrame, sent: signal.Signals, moment: str
) -> None:
    process = lab.start(data_of(lab))
    wait_for(MOMENTS[moment](lab), moment)
    children = children_of(process.pid)
    began = time.monotonic()
    code, errors = lab.finish(process, sent)
    assert code == CODES[sent], errors
    if sent != signal.SIGKILL:
        assert "Traceback" not in errors
        assert not [run for run in lab.mlflow_runs() if run.info.status == "RUNNING"]
    wait_for(lambda: not any(map(alive, children)), "the children to end", 5 - min(4.0, time.monotonic() - began))
    assert_same_after_resume(lab, undisturbed)


@databases
@SLOW
@pytest.mark.fault(2, "SIGKILL of the parent twice in a row")
def test_a_study_killed_again_and_again_comes_to_an_end(lab: Lab, undisturbed: pd.DataFrame) -> None:
    for count in (1, 4):
        process = lab.start(data_of(lab), jobs=1)
        wait_for(finished(lab, count), f"{count} finished runs")
        lab.finish(process, signal.SIGKILL)
    assert_same_after_resume(lab, undisturbed)


@databases
@pytest.mark.fault(3, "SIGTERM while two runs compute")
def test_a_waiting_run_is_stopped_at_once_and_recorded_as_killed(lab: Lab) -> None:
    data = study_data(cells=1, mode="wait", until=str(lab.folder / "never"), marks=str(lab.marks()))
    process = lab.start(data)
    wait_for(lambda: len([*lab.marks().iterdir()]) == 2, "two runs to begin")
    wait_for(lambda: len(lab.children(status="RUNNING")) == 2, "two runs in MLflow")
    code, errors = lab.finish(process, signal.SIGTERM)
    assert code == 143
    assert "interrupted" in errors
    assert [run.info.status for run in lab.children()] == ["KILLED", "KILLED"]
    assert lab.parent().info.status == "KILLED"
    assert [trial.state.name for trial in lab.trials()] == ["FAIL", "FAIL"]
    assert finished_runs(lab.out / "tiny" / "runs") == []


@pytest.mark.fault(3, "SIGTERM and, while it is being heeded, SIGINT")
def test_a_second_signal_ends_the_process_at_once(lab: Lab) -> None:
    """The first is still being heeded: the process is held while it has taken note of it."""
    process = lab.start(study_data(cells=1, mode="wait", until=str(lab.folder / "never"), marks=str(lab.marks())))
    wait_for(lambda: len([*lab.marks().iterdir()]) == 2, "two runs to begin")
    children = children_of(process.pid)
    process.send_signal(signal.SIGSTOP)
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    process.send_signal(signal.SIGCONT)
    code, _ = lab.finish(process)
    assert code in (130, 143)
    assert time.monotonic() - began < 2
    wait_for(lambda: not any(map(alive, children)), "the children to end", 5)


@pytest.mark.fault(11, "a second runner on a study that is being run")
def test_a_study_that_is_being_run_is_locked(lab: Lab) -> None:
    gate = lab.folder / "gate"
    data = study_data(seeds=1, cells=1, mode="wait", until=str(gate), marks=str(lab.marks()))
    process = lab.start(data)
    wait_for(lambda: [*lab.marks().iterdir()], "a run to begin")
    with pytest.raises(StudyLocked, match=rf"process {process.pid} on ") as caught:
        lab.run(data)
    assert caught.value.exit_code == 4
    gate.touch()
    code, errors = lab.finish(process)
    assert code == 0, errors
    lab.assert_invariant(lab.run(data))


@databases
@pytest.mark.fault(3, "SIGTERM while a run is computed in the process itself")
def test_a_study_run_inline_is_stopped_by_a_signal_too(lab: Lab) -> None:
    def stop() -> None:
        wait_for(lambda: [*lab.marks().iterdir()], "a run to begin")
        os.kill(os.getpid(), signal.SIGTERM)

    stopping = threading.Thread(target=stop)
    stopping.start()
    with pytest.raises(Interrupted) as caught:
        lab.run(study_data(cells=1, mode="wait", until=str(lab.folder / "never"), marks=str(lab.marks())))
    stopping.join()
    assert caught.value.exit_code == 143
    assert [run.info.status for run in lab.children()] == ["KILLED"]


@pytest.mark.fault(3, "SIGINT of a3c-bench run; the command it prints is given")
def test_the_command_line_says_how_to_continue_and_so_it_continues(
    lab: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    text = TINY.replace("seeds = 1", "seeds = 12").replace('[10, "episode"]', "[10]").replace("[10, 20]", "[10]")
    text = text.replace("total_steps = 300", "total_steps = 5000")  # seconds, from the first of 24 runs to the last
    (lab.folder / "tiny.toml").write_text(text, encoding="utf-8")
    stores = ("--storage", lab.storage, "--tracking-uri", lab.tracking_uri)
    process = start("run", "tiny.toml", "--jobs", "1", *stores, cwd=lab.folder)
    wait_for(finished(lab, 1), "a finished run", 2 * PATIENCE)
    code, errors = lab.finish(process, signal.SIGINT)
    assert not finished(lab, 24)(), "the signal came too late"
    assert code == 130
    said, told = errors.splitlines()
    assert said.startswith("stopped; what was finished is kept. To continue: ")
    assert told == "a3c-bench: interrupted by signal 2"
    command = shlex.split(said.partition("To continue: ")[2])
    assert Path(command[0]).name == "a3c-bench"
    assert run_command(command[1:]) == 0
    assert capsys.readouterr().err == ""
    lab.assert_invariant(load_study(lab.out / "tiny"))


def test_signal_handlers_are_as_before_afterwards(lab: Lab) -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    lab.run(study_data(seeds=1, cells=1))
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_a_study_can_be_run_outside_the_main_thread(lab: Lab) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        study = pool.submit(lab.run, study_data(seeds=1, cells=1)).result()
    lab.assert_invariant(study)
