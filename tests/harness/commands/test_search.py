"""Search mode: arms tuned apart with one budget, then judged on fresh seeds at shared and at found settings."""

from __future__ import annotations

import signal
from collections import Counter
from typing import Any

import optuna
import pytest

from harness import BadInput, StudyChanged, expand, parse_spec
from tests.harness.fake_algorithm import Config, score
from tests.harness.lab import FAKE, Lab, databases, read_json, study_data, wait_for

SEARCH: dict[str, Any] = {
    "trials": 6,
    "seeds": 2,
    "batch": 2,
    "space": {"x": {"low": 0.0, "high": 1.0}, "text": {"choices": ["left", "right"]}},
}


def searching(name: str = "tiny", search: dict[str, Any] = SEARCH, **base: Any) -> dict[str, Any]:
    return {**study_data(name, seeds=2, cells=1, **base), "search": search}


def test_each_arm_gets_the_same_budget_and_its_best_settings_meet_fresh_seeds(lab: Lab) -> None:
    study = lab.run(searching())
    assert [(s.arm, len(s.trials)) for s in study.searches] == [("a", 6), ("b", 6)]
    tuning_seeds = set(study.spec.search.seeds) if study.spec.search else set()
    assert not tuning_seeds & set(study.spec.study.seeds)
    for search in study.searches:
        for trial in search.trials:  # the scores are those of runs with the tuning seeds and the tried settings
            runs = [Config(arm=search.arm, n=1, seed=seed, **trial.settings) for seed in sorted(tuning_seeds)]
            assert trial.scores == tuple(map(score, runs))
        values = [trial.value for trial in search.trials]
        assert search.best == values.index(max(v for v in values if v is not None))
    best = {s.arm: s.trials[s.best].settings for s in study.searches if s.best is not None}
    for record in study.records:
        given = best[record.arm] if record.levels["settings"] == "tuned" else {"x": 0.5, "text": ""}
        assert {name: record.config[name] for name in given} == given
    assert Counter(r.levels["settings"] for r in study.records) == {"shared": 4, "tuned": 4}


def test_the_arms_begin_with_the_same_proposals(lab: Lab) -> None:
    first, second = lab.run(searching()).searches
    assert [t.settings for t in first.trials[:2]] == [t.settings for t in second.trials[:2]]


@databases
def test_each_arm_has_an_optuna_study_and_tries_are_marked_in_mlflow(lab: Lab) -> None:
    study = lab.run(searching())
    for search in study.searches:
        kept = optuna.load_study(study_name=f"tiny / {search.cell} / {search.arm}", storage=lab.storage)
        assert [(t.params, t.value) for t in kept.trials] == [(dict(t.settings), t.value) for t in search.trials]
    tries = [run for run in lab.children(status="FINISHED") if run.data.tags.get("phase") == "search"]
    assert Counter(run.data.tags["trial"] for run in tries) == {str(number): 4 for number in range(6)}
    assert len(lab.trials(state="COMPLETE")) == len(study.planned) == 8  # tries are no trials of the comparison


@databases
def test_a_lost_optuna_database_is_made_anew(lab: Lab) -> None:
    study = lab.run(searching())
    (lab.folder / "optuna.db").unlink()
    lab.run(searching())
    for search in study.searches:
        kept = optuna.load_study(study_name=f"tiny / {search.cell} / {search.arm}", storage=lab.storage)
        assert [t.value for t in kept.trials] == [t.value for t in search.trials]


@databases
@pytest.mark.slow
def test_killed_at_any_time_it_tries_the_same_settings(lab: Lab) -> None:
    undisturbed = lab.run(searching("other"))
    data = searching(mode="slow", seconds=0.05)
    for finished in (1, 7, 20, 27):
        process = lab.start(data)
        runs = lab.out / "tiny" / "runs"
        wait_for(
            lambda runs=runs, finished=finished: runs.is_dir() and len(list(runs.glob("[!.]*"))) >= finished,
            f"{finished} runs",
        )
        lab.finish(process, signal.SIGKILL)
    study = lab.run(data)
    assert study.searches == undisturbed.searches
    assert [r.metrics for r in study.records] == [r.metrics for r in undisturbed.records]


def test_a_lost_try_counts_as_the_worst(lab: Lab) -> None:
    lost = 1_000_000_001
    data = searching(mode="raise", only_seed=lost)
    study = lab.run(data)
    seen = [t.scores[0] for s in study.searches for t in s.trials]
    assert all(t.scores[1] <= max(seen) for s in study.searches for t in s.trials)
    assert {(len(t.scores), t.lost) for s in study.searches for t in s.trials} == {(2, 1)}
    assert len(study.failed_trials) == 12
    assert not study.failures


def test_a_trial_whose_runs_all_fail_is_never_the_best(lab: Lab) -> None:
    space = {"mode": {"choices": ["raise", "ok"]}}
    study = lab.run(searching(search={**SEARCH, "trials": 8, "sampler": "random", "space": space}))
    assert {t.settings["mode"] for s in study.searches for t in s.trials} == {"raise", "ok"}
    assert {s.trials[s.best].settings["mode"] for s in study.searches if s.best is not None} == {"ok"}
    assert len(study.records) == 8


def test_what_counts_as_better_may_not_change_under_a_search(lab: Lab) -> None:
    data = searching()
    lab.run(data)
    data["compare"]["higher_is_better"] = False
    with pytest.raises(StudyChanged, match="higher_is_better"):
        lab.run(data)


def test_cells_that_differ_only_once_tuned_are_all_kept(lab: Lab) -> None:
    data = searching(search={**SEARCH, "space": {"x": {"low": 0.0, "high": 1.0}}}, at_most=1)
    data["sweep"]["n"] = [2, 3]  # alike where at most 1 counts
    design = expand(parse_spec(data), FAKE)
    assert [cell.levels["settings"] for cell in design.cells] == ["shared", "tuned", "tuned"]


def test_another_search_does_not_go_on_with_this_ones_tries(lab: Lab) -> None:
    lab.run(searching())
    with pytest.raises(StudyChanged, match="under other settings"):
        lab.run(searching(search={**SEARCH, "trials": 8}))
    assert len(read_json(lab.out / "tiny" / "search.json")["arms"][0]["trials"]) == 6


@pytest.mark.parametrize(
    ("search", "told"),
    [
        ({"space": {"x": {"low": 0.0, "high": 2.0}}}, "search.space.x = 2.0: must be less than or equal to 1"),
        ({"space": {"y": {"low": 0.0, "high": 1.0}}}, "search.space.y = 0.0: no such field"),
        ({"space": {"n": {"low": 1, "high": 2}}}, "search.space.n = .*is swept by sweep.n"),
        ({"space": {"x": {"low": 1.0, "high": 0.5}}}, "search.space.x.high = 0.5: must be greater than low"),
        ({"space": {"x": {"low": 0.0, "high": 1.0, "log": True}}}, "search.space.x.low = 0.0: must be greater than 0"),
        ({"space": {}}, "search.space = {}: "),
        ({"space": {"x": {"low": 0, "high": 1}}}, r"search.space.x = 0: must be written with a point \(0.0\)"),
        ({"space": {"text": {"choices": [[1], [2]]}}}, r"search.space.text = '\[1\]': must be text"),
        ({"space": {"x": {"choices": [0.1, 0.1]}}}, "must not name a choice twice"),
        ({"seeds": [0, 9], "space": SEARCH["space"]}, r"search.seeds = \[0\]: must share none with the study's"),
        ({"trails": 3, "space": SEARCH["space"]}, "search.trails = 3: no such field, did you mean 'trials'"),
    ],
)
def test_a_bad_search_is_refused_before_anything_runs(lab: Lab, search: dict[str, Any], told: str) -> None:
    with pytest.raises(BadInput, match=told):
        lab.run(searching(search=search))
    assert not lab.out.exists()
