from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from scipy import stats

from harness.record.study import Study
from harness.study.design import PlannedRun
from reports.figures.horizon import HORIZON
from reports.theory import effective_value, matched_gamma
from tests.reports.drawn import finding_of, judged, pictures_of, size, table_of, texts
from tests.reports.synthetic import FakeConfig, plan, write_study
from tests.reports.theories import grid, sees_as_far


def headed(study: Study, head: str) -> Study:
    """The same study, its runs trained with another head."""
    records = tuple(dataclasses.replace(r, config={**r.config, "n_step_head": head}) for r in study.records)
    return dataclasses.replace(study, records=records)


def whole(run: PlannedRun) -> bool:
    """Runs whose rollouts are whole episodes, of which theory says nothing."""
    return run.cell.levels["rollout_length"] == "episode"


@pytest.fixture(scope="module")
def obedient(tmp_path_factory: pytest.TempPathFactory) -> Study:
    study = write_study(tmp_path_factory.mktemp("theory"), grid(), score=sees_as_far, points=1)
    return headed(study, "both")


def test_every_cut_cell_has_its_prediction_beside_its_measurement(obedient: Study) -> None:
    table = table_of(HORIZON, obedient, judged(obedient))
    levels = {(row.rollout_length, row.n_step, row.workers) for row in table.itertuples()}
    assert levels == {(5, n, w) for n in (1, 5) for w in (1, 4)} | {(20, n, w) for n in (1, 5, 15) for w in (1, 4)}
    for row in table.itertuples():
        assert row.horizon == effective_value(int(row.rollout_length), int(row.n_step), 0.99)  # type: ignore[arg-type]
        assert row.matched_gamma == matched_gamma(int(row.rollout_length), int(row.n_step), 0.99)  # type: ignore[arg-type]
        assert row.full_horizon == pytest.approx(100)
        assert row.low <= row.difference <= row.high  # type: ignore[operator]


def test_where_direction_and_order_agree_it_says_so(obedient: Study) -> None:
    table = table_of(HORIZON, obedient, judged(obedient))
    rank = stats.spearmanr(table["horizon"], table["difference"]).statistic
    words = finding_of(HORIZON, obedient, judged(obedient))
    assert rank < -0.9
    assert words.startswith(
        "max_terms did better in 10 of 10 comparisons of cut rollouts, as theory says; 10 of their intervals exclude 0 "
        "that way, none the other way."
    )
    assert f"is −{-rank:.3f} over 10 comparisons; the order agrees: the shorter" in words
    assert "n_step_head" not in words


def test_under_the_actors_head_the_map_is_called_a_rough_guide(obedient: Study) -> None:
    study = headed(obedient, "actor")
    assert "the critic stays unbiased" in finding_of(HORIZON, study, judged(study))
    assert "only a rough guide" in finding_of(HORIZON, study, judged(study))


def test_where_they_do_not_agree_it_says_where(tmp_path: Path) -> None:
    def other_way(config: FakeConfig) -> float:
        return -sees_as_far(config) if config.n_step == 5 else sees_as_far(config)

    study = write_study(tmp_path, grid(), score=other_way, points=1, skip=whole)
    words = finding_of(HORIZON, study, judged(study))
    assert "max_terms did better in 6 of 10 comparisons of cut rollouts, theory says in all" in words
    assert "4 the other way, against theory: rollout_length 5, n_step 5, workers 1, rollout_length 5" in words
    assert words.count("n_step 5") == 3
    assert "the order does not agree" in words


def test_the_difference_is_max_terms_minus_missing_as_zero_whichever_is_the_baseline(obedient: Study) -> None:
    spec = {"factor": "target", "baseline": "max_terms", "metric": "auc"}
    study = write_study(obedient.folder / "other", grid(compare=spec), score=sees_as_far, points=1, skip=whole)
    columns = ["difference", "low", "high"]
    one, other = (table_of(HORIZON, s, judged(s))[columns] for s in (obedient, study))
    pd.testing.assert_frame_equal(one, other)


def test_less_is_better_turns_the_gain_around(tmp_path: Path) -> None:
    compare = {"factor": "target", "baseline": "missing_as_zero", "metric": "auc", "higher_is_better": False}
    study = write_study(
        tmp_path, grid(compare=compare), score=lambda config: -sees_as_far(config), points=1, skip=whole
    )
    assert "in 10 of 10 comparisons of cut rollouts, as theory says" in finding_of(HORIZON, study, judged(study))


ELSEWHERE: list[dict[str, Any]] = [
    plan(base={"rollout_length": "episode"}),
    plan(sweep={"gamma": [0.9, 0.99]}, compare={"factor": "gamma", "baseline": 0.9, "metric": "auc"}),
    plan(
        sweep={
            "how": {
                "zero": {"target": "missing_as_zero", "gamma": 0.99},
                "matched": {"target": "max_terms", "gamma": 0.66},
            }
        },
        compare={"factor": "how", "baseline": "zero", "metric": "auc"},
    ),
]


@pytest.mark.parametrize("data", ELSEWHERE)
def test_of_other_comparisons_theory_says_nothing(tmp_path: Path, data: dict[str, Any]) -> None:
    study = write_study(tmp_path, data, points=1)
    assert table_of(HORIZON, study, judged(study)).empty
    assert pictures_of(HORIZON, study, judged(study)) == []
    assert finding_of(HORIZON, study, judged(study)) == ""


def test_named_arms_count_by_what_they_set(tmp_path: Path) -> None:
    levels = {"with 0": {"target": "missing_as_zero"}, "with all": {"target": "max_terms"}}
    compare = {"factor": "how", "baseline": "with 0", "metric": "auc"}
    study = write_study(tmp_path, plan(sweep={"how": levels}, compare=compare), points=1)
    assert len(table_of(HORIZON, study, judged(study))) == 1
    words = finding_of(HORIZON, study, judged(study))
    assert "1 of 1 comparison of cut rollouts" in words
    assert "Spearman" not in words  # one horizon has no order


def test_the_map_has_the_studys_levels_and_the_alt_text_both_ends(obedient: Study) -> None:
    (picture,) = pictures_of(HORIZON, obedient, judged(obedient))
    words = texts(picture)
    assert {"3.0", "15.4", "11.8", "16.8", "workers", "n_step", "rollout_length"} <= set(words)
    assert picture.alt.startswith("Predicted horizon of missing_as_zero over 10 comparisons: 3.0 to 16.8 steps; mean")
    assert size([picture]) < 120_000


def test_half_a_study_and_one_seed_are_drawn(tmp_path: Path) -> None:
    study = write_study(tmp_path, grid(seeds=1), skip=lambda run: run.config.workers == 4, points=1)
    table = table_of(HORIZON, study, judged(study))
    assert set(table["workers"]) == {1}
    assert table["low"].isna().all()
    assert len(pictures_of(HORIZON, study, judged(study))) == 1
