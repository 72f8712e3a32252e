"""Row 20: a clock that jumps and a host that sleeps make no duration negative, and no run double or stolen."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import Observer, RunRecord, Study, expand, parse_spec
from harness.mirrors.mlflow.mirror import MLflowMirror
from harness.mirrors.optuna.trials import OptunaMirror
from harness.provenance import collect
from harness.record.plan import study_identity
from harness.record.study import load_study
from harness.study.design import PlannedRun
from tests.faults.clocks import HOUR, Clock
from tests.harness.lab import DATABASES, FAKE, Lab, children_of, study_data, wait_for

pytestmark = DATABASES

SLOW = pytest.mark.slow
ASLEEP = 3.0  # seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


class Jumper(Observer):
    """Lets the clock jump at chosen moments."""

    def __init__(self, jump: Callable[[int], None], at_start: bool) -> None:
        self._jump, self._at_start = jump, at_start
        self._count = 0

    def started(self, run: PlannedRun, attempt: int) -> None:
        if self._at_start:
            self._act()

    def finished(self, record: RunRecord) -> None:
        if not self._at_start:
            self._act()

    def _act(self) -> None:
        self._jump(self._count)
        self._count += 1


def assert_durations(lab: Lab, study: Study) -> None:
    """Nothing ends before it began, anywhere, and every run was computed once."""
    for record in study.records:
        assert 0 <= record.seconds < HOUR / 2
        assert record.attempt == 1
    for run in lab.mlflow_runs():
        assert run.info.end_time >= run.info.start_time, run.info.run_name
    for trial in lab.trials():
        assert trial.duration is not None
        assert trial.duration.total_seconds() >= 0
    assert len([*lab.marks().iterdir()]) == len(study.records) == len(study.planned)
    assert len(lab.children()) == len(lab.trials()) == len(study.planned)
    lab.assert_invariant(study)


@pytest.mark.fault(20, "the clock jumps an hour back, forward, or to and fro, whenever a run begins or ends")
@pytest.mark.parametrize(
    ("hours", "at_start"),
    [
        pytest.param((-1, 1), True, id="to and fro, when one begins"),
        pytest.param((-1, -1), False, id="back, when one ends"),
        pytest.param((-1, 1), False, id="to and fro, when one ends", marks=SLOW),
        pytest.param((-1, -1), True, id="back, when one begins", marks=SLOW),
        pytest.param((1, 1), True, id="forward, when one begins", marks=SLOW),
        pytest.param((1, 1), False, id="forward, when one ends", marks=SLOW),
    ],
)
def test_a_clock_that_jumps_makes_nothing_negative(
    lab: Lab, clock: Clock, hours: tuple[int, int], at_start: bool
) -> None:
    jumper = Jumper(lambda count: clock.jump(hours[count % 2] * HOUR), at_start)
    study = lab.run(study_data(seeds=1, marks=str(lab.marks())), observer=jumper)
    assert_durations(lab, study)


@SLOW
@pytest.mark.fault(20, "the clock jumps an hour between two commands")
@pytest.mark.parametrize("hours", [-1, 1])
def test_a_clock_that_jumps_between_commands_makes_nothing_negative(lab: Lab, clock: Clock, hours: int) -> None:
    marks = str(lab.marks())
    lab.run(study_data(seeds=1, cells=1, marks=marks))
    clock.jump(hours * HOUR)
    assert_durations(lab, lab.run(study_data(seeds=2, cells=1, marks=marks)))
    clock.jump(-2 * hours * HOUR)
    assert_durations(lab, lab.run(study_data(seeds=3, cells=1, marks=marks)))


@SLOW
@pytest.mark.fault(20, "the clocks of a study's processes an hour apart")
@pytest.mark.parametrize("hours", [-1, 1])
def test_children_on_another_time_make_nothing_negative(lab: Lab, clock: Clock, hours: int) -> None:
    clock.jump(hours * HOUR)  # of this process alone
    study = lab.run(study_data(seeds=1, cells=1, marks=str(lab.marks())), executor="processes", jobs=1)
    assert_durations(lab, study)


@pytest.mark.fault(20, "the clock is set back an hour before what a dead process left running is ended")
def test_what_was_begun_in_the_future_ends_no_earlier(lab: Lab, clock: Clock) -> None:
    data = study_data(seeds=1, cells=1)
    design = expand(parse_spec(data), FAKE)
    owner = study_identity(lab.out / "tiny")
    clock.jump(HOUR)
    tracker = MLflowMirror(lab.tracking_uri, "tiny", lab.folder / "mlartifacts", collect(), owner)
    tracker.started(design.runs[0], 1)
    OptunaMirror(lab.storage, design.spec, owner).started(design.runs[0], 1)
    clock.jump(-2 * HOUR)
    study = lab.run(data)
    assert [run.info.status for run in lab.children()].count("KILLED") == 1
    assert all(run.info.end_time >= run.info.start_time for run in lab.mlflow_runs())
    durations = [trial.duration for trial in lab.trials()]
    assert len(durations) == 3
    assert all(duration is not None and duration.total_seconds() >= 0 for duration in durations)
    lab.assert_invariant(study)


@SLOW
@pytest.mark.fault(20, "the host sleeps in the middle of a study: SIGSTOP of all its processes, SIGCONT")
def test_a_study_sleeps_and_goes_on(lab: Lab) -> None:
    go = lab.folder / "go"
    data = study_data(seeds=1, mode="wait", until=str(go), marks=str(lab.marks()))
    process = lab.start(data)
    wait_for(lambda: len([*lab.marks().iterdir()]) == 2, "two runs to begin")
    everybody = [process.pid, *children_of(process.pid)]
    assert len(everybody) == 3
    for pid in everybody:
        os.kill(pid, signal.SIGSTOP)
    wait_for(lambda: all(stopped(pid) for pid in everybody), "all to sleep")
    go.touch()
    time.sleep(ASLEEP)
    assert len([*lab.marks().iterdir()]) == 2
    for pid in reversed(everybody):
        os.kill(pid, signal.SIGCONT)
    assert lab.finish(process) == (0, "")
    study = load_study(lab.out / "tiny")
    assert max(record.seconds for record in study.records) >= ASLEEP
    assert_durations(lab, study)


def stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] == "T"
