"""Studies in which nothing says what solved is: scores are plain returns, and 0 is not the worst of them."""

from __future__ import annotations

from pathlib import Path

import optuna
import pandas as pd
import pytest

from reports import compare_cells, paired_differences, write_report
from reports.statistics.verdicts import Verdict
from studies import run_study
from tests.harness.lab import DATABASES
from tests.studies.command import draw_nothing
from tests.studies.test_cli_run import page_text

pytestmark = DATABASES

SMALL = {"workers": 2, "hidden_sizes": [8], "evaluations": 2, "evaluation_episodes": 2}
CRITICS = {
    "calm": {"optimizer": "adam", "critic_learning_rate": 0.01},
    "wild": {"optimizer": "sgd", "critic_learning_rate": 10.0},
}


@pytest.fixture(autouse=True)
def _nothing_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    draw_nothing(monkeypatch)


def test_an_arm_that_diverges_in_every_run_is_worse_where_returns_are_negative(workplace: Path) -> None:
    study = run_study(
        {
            "study": {"name": "toll", "question": "Is an arm that always diverges worse?", "seeds": 10},
            "base": {"env_id": "tests.environments:Toll-v0", "total_steps": 1200, "learning_rate": 0.01, **SMALL},
            "sweep": {"critic": CRITICS},
            "compare": {"factor": "critic", "baseline": "calm", "metric": "final", "margin": 1.0},
        },
        executor="inline",
        tracking_uri="memory:",
    )
    assert {record.outcome for record in study.records if record.arm == "wild"} == {"diverged"}
    (comparison,) = compare_cells(study)
    assert (comparison.verdict, comparison.worse) == (Verdict.DIFFERENT, True)
    chance = next(r.metrics["random_return"] for r in study.records if "random_return" in r.metrics)
    pairs = paired_differences(study)
    worst = min(chance, pairs["baseline_value"].min())
    assert set(pairs["candidate_value"]) == {worst}
    assert worst < -25

    assert "by final (return)" in page_text(write_report(study))
    curves = pd.read_csv(study.folder / "tables" / "curves.csv")
    drawn = curves[curves["filled"]]
    assert set(drawn["arm"]) == {"wild"}
    assert set(drawn["scaled"]) == set(drawn["return"]) == {drawn["return"].iloc[0]}
    assert drawn["return"].iloc[0] == pytest.approx(worst)

    trials = optuna.load_study(study_name="toll", storage=f"sqlite:///{study.folder / 'optuna.db'}").get_trials()
    assert {trial.state.name for trial in trials} == {"COMPLETE"}
    assert {trial.value for trial in trials if trial.params["critic"] == "wild"} == {chance}


def test_a_threshold_that_chance_exceeds_scales_nothing(workplace: Path) -> None:
    study = run_study(
        {
            "study": {"name": "bar", "seeds": 1},
            "base": {"env_id": "tests.environments:LowBar-v0", "total_steps": 300, **SMALL},
            "sweep": {"gamma": [0.9, 0.99]},
            "compare": {"factor": "gamma", "baseline": 0.9},
        },
        executor="inline",
        storage="memory:",
        tracking_uri="memory:",
    )
    assert all("reward_threshold" in record.metrics and "solved" not in record.metrics for record in study.records)
    text = page_text(write_report(study))
    assert "by auc (return)" in text
    assert "scaled return" not in text
