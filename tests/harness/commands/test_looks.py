"""Seeds in looks: only undecided cells get more, and interruptions do not change what is asked for."""

from __future__ import annotations

import json
import signal
from typing import Any

import pytest

from harness import BadInput, Observer, Study
from tests.harness.lab import Lab, databases, decide_by_name, read_json, study_data, wait_for

LOOKS = {"looks": [2, 3, 5]}


def seeds_by_cell(study: Study) -> dict[str, int]:
    counts: dict[str, int] = {}
    for record in study.records:
        counts[record.cell] = counts.get(record.cell, 0) + 1
    return {cell: count // len(study.arms) for cell, count in counts.items()}


class Diary(Observer):
    def __init__(self) -> None:
        self.said: list[tuple[int, int, str]] = []

    def extended(self, total: int, runs: int, why: str) -> None:
        self.said.append((total, runs, why))


@databases
def test_decided_cells_get_no_more_seeds(lab: Lab) -> None:
    diary = Diary()
    study = lab.run(study_data(seeds=LOOKS, cells=3), judge=decide_by_name, observer=diary)
    assert seeds_by_cell(study) == {"n-1": 2, "n-2": 3, "n-3": 5}
    assert len(study.planned) == 20  # what was asked for, not what might have been
    assert diary.said == [(16, 4, "2 undecided cells go on"), (20, 4, "1 undecided cell goes on")]
    lab.assert_invariant(study)
    plan = read_json(study.folder / "study.json")
    assert plan["spec"]["study"]["looks"] == [2, 3, 5]
    assert plan["revisions"] == []


def test_done_means_done(lab: Lab) -> None:
    data = study_data(seeds=LOOKS, cells=3, marks=str(lab.marks()))
    lab.run(data, judge=decide_by_name)
    computed = len(list(lab.marks().iterdir()))
    study = lab.run(data, judge=decide_by_name)
    assert len(list(lab.marks().iterdir())) == computed == 20
    lab.assert_invariant(study)


def test_looks_without_a_judge_are_refused_before_anything_runs(lab: Lab) -> None:
    with pytest.raises(BadInput, match=r"study\.looks = .*need a judge"):
        lab.run(study_data(seeds=LOOKS))
    assert not lab.out.exists()


@databases
@pytest.mark.slow
def test_killed_at_any_time_it_asks_for_the_same_runs(lab: Lab) -> None:
    data = study_data(seeds=LOOKS, cells=3, mode="slow", seconds=0.05)
    undisturbed = lab.run(study_data("other", seeds=LOOKS, cells=3, mode="slow", seconds=0.0), judge=decide_by_name)
    for finished in (1, 5, 13, 17):
        process = lab.start(data, judged=True)
        runs = lab.out / "tiny" / "runs"
        wait_for(
            lambda runs=runs, finished=finished: runs.is_dir() and len(list(runs.glob("[!.]*"))) >= finished,
            f"{finished} runs",
        )
        lab.finish(process, signal.SIGKILL)
    study = lab.run(data, judge=decide_by_name)
    assert study.planned == undisturbed.planned
    assert [r.metrics for r in study.records] == [r.metrics for r in undisturbed.records]
    lab.assert_invariant(study)


def test_a_failed_run_settles_its_look_and_is_tried_again_by_the_next_command(lab: Lab) -> None:
    mended = lab.folder / "mended"
    data = study_data(seeds=LOOKS, cells=3, mode="raise", only_seed=1, until=str(mended))
    study = lab.run(data, judge=decide_by_name)
    assert seeds_by_cell(study) == {"n-1": 1, "n-2": 2, "n-3": 4}
    assert len(study.failures) == 6
    mended.touch()
    study = lab.run(data, judge=decide_by_name)
    assert seeds_by_cell(study) == {"n-1": 2, "n-2": 3, "n-3": 5}
    lab.assert_invariant(study)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"seeds": 3}, "seeds was 2, is 3"),
        ({"seeds": {"looks": [2, 4]}}, "seeds was 2, is 2 then 4"),
        ({"margin": 0.2}, "margin was 0.1, is 0.2"),
    ],
)
def test_what_is_declared_anew_after_results_could_be_seen_is_noted(
    lab: Lab, change: dict[str, Any], told: str
) -> None:
    data = study_data(seeds=2)
    assert lab.run(data).revisions == ()
    assert lab.run(data).revisions == ()
    changed = json.loads(json.dumps(data))
    changed["study"].update({k: v for k, v in change.items() if k == "seeds"})
    changed["compare"].update({k: v for k, v in change.items() if k != "seeds"})
    for _ in range(2):
        (revision,) = lab.run(changed, judge=decide_by_name).revisions
        assert revision.changes == (told,)
        assert revision.finished == 8


def test_seeds_exchanged_and_cells_left_out_are_noted(lab: Lab) -> None:
    lab.run(study_data(seeds=[0, 1], cells=2))
    exchanged = lab.run(study_data(seeds=[1, 7], cells=2))
    assert exchanged.revisions[-1].changes == ("seeds was 2, is 2 ([1,7])",)
    fewer = lab.run(study_data(seeds=[1, 7], cells=1))
    assert fewer.revisions[-1].changes == ("1 of 2 cells left out: n-2",)
    more = lab.run(study_data(seeds=[1, 7], cells=3))
    assert more.revisions[-1].changes == ("cells added to 1: n-2, n-3",)


@databases
@pytest.mark.slow
def test_looks_that_come_late_ask_for_no_more_than_if_they_had_been_there(lab: Lab) -> None:
    data = study_data(seeds=5, cells=3, mode="slow", seconds=0.05)
    process = lab.start(data)
    runs = lab.out / "tiny" / "runs"
    wait_for(lambda: runs.is_dir() and len(list(runs.glob("[!.]*"))) >= 3, "3 runs")
    lab.finish(process, signal.SIGKILL)
    study = lab.run({**data, "study": {**data["study"], "seeds": LOOKS}}, judge=decide_by_name)
    assert seeds_by_cell(study) == {"n-1": 2, "n-2": 3, "n-3": 5}
