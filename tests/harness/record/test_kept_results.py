"""What was computed is kept, whatever goes wrong beside it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from harness import Algorithm, Observer, RunRecord, StoreUnavailable
from harness.record.folder import RUNS_FOLDER
from harness.record.run import finished_runs
from harness.study.design import PlannedRun
from tests.harness import fake_algorithm
from tests.harness.fake_algorithm import Config, Progress, Result
from tests.harness.lab import DATABASES, FAKE, Lab, study_data, wait_for

pytestmark = DATABASES


def train_and_tell(config: Config, emit: Callable[[Progress], None] | None = None) -> Result:
    """Leave a file in ``marks`` when the result has been sent: before the process reads on."""

    def watch(frame: FrameType, event: str, argument: Any) -> None:
        if event == "c_call" and argument is os.read:
            sys.setprofile(None)
            (Path(config.marks) / f"told-{config.arm}").touch()

    done = fake_algorithm.train(config, None)
    sys.setprofile(watch)
    return done


class Spoiler(Observer):
    """Lets no attempt at the run that comes second be written down, when the first has begun."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def started(self, run: PlannedRun, attempt: int) -> None:
        (self._folder / "attempts" / "n-1__b__seed-0").touch()


class Late(Observer):
    """Keeps the study from looking until both results are there; raises at the first."""

    def __init__(self, marks: Path) -> None:
        self._marks = marks

    def started(self, run: PlannedRun, attempt: int) -> None:
        if run.arm == "b":
            wait_for(lambda: len([*self._marks.glob("told-*")]) == 2, "two results")

    def finished(self, record: RunRecord) -> None:
        raise RuntimeError(f"told to fail at {record.run}")


def kept(lab: Lab) -> list[str]:
    return finished_runs(lab.out / "tiny" / RUNS_FOLDER)


@pytest.mark.fault(10, "a file in the place of a run's attempts while the run before it is computed")
def test_a_result_is_kept_though_the_next_run_cannot_begin(lab: Lab) -> None:
    data = study_data(seeds=1, cells=1)
    with pytest.raises(StoreUnavailable, match=r"attempts/n-1__b__seed-0: File exists"):
        lab.run(data, observer=Spoiler(lab.out / "tiny"))
    assert kept(lab) == ["n-1__a__seed-0"]
    (lab.out / "tiny" / "attempts" / "n-1__b__seed-0").unlink()
    lab.assert_invariant(lab.run(data))


def test_results_that_arrive_together_are_kept_though_the_first_cannot_be_told(lab: Lab) -> None:
    data = study_data(seeds=1, cells=1, marks=str(lab.marks()))
    telling = Algorithm(FAKE.config, f"{__name__}:train_and_tell")
    with pytest.raises(RuntimeError, match="told to fail at n-1__a__seed-0"):
        lab.run(data, telling, observer=Late(lab.marks()), executor="processes", jobs=2)
    assert kept(lab) == ["n-1__a__seed-0", "n-1__b__seed-0"]
    lab.assert_invariant(lab.run(data))
    assert len([*lab.marks().glob("[ab]-*")]) == 2
