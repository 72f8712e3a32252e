"""Performance profiles against shares counted one by one and intervals from scipy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from harness.record.study import Study
from reports.figures.profiles import COLUMNS, POOLED, PROFILES, exact_bounds, stratified_bootstrap
from tests.reports.drawn import judged, pictures_of, size, table_of, texts
from tests.reports.synthetic import FakeConfig, plan, realistic, write_study

ARMS = ["missing_as_zero", "max_terms"]


def by_seed(scores: dict[str, list[float]]) -> Any:
    return lambda config: scores[config.target][config.seed]


SCORES = {"missing_as_zero": [0.1, 0.2, 0.2, 0.4, 0.9, 0.3], "max_terms": [0.5, 0.6, 0.7, 0.8, 0.9, 1.0]}


@pytest.fixture(scope="module")
def one_cell(tmp_path_factory: pytest.TempPathFactory) -> Study:
    data = plan(study={"name": "x", "seeds": 6})
    return write_study(tmp_path_factory.mktemp("one"), data, score=by_seed(SCORES), points=2)


def test_the_share_is_that_of_runs_above_the_threshold(one_cell: Study) -> None:
    table = table_of(PROFILES, one_cell, judged(one_cell))
    assert set(table["scope"]) == {POOLED}
    for arm in ARMS:
        for row in table[table["arm"] == arm].itertuples():
            above = sum(score > row.threshold for score in SCORES[arm])
            assert row.share == pytest.approx(above / 6)
            exact = stats.binomtest(above, 6).proportion_ci(0.95, method="exact")
            assert (row.low, row.high) == (pytest.approx(exact.low), pytest.approx(exact.high))
    assert set(table["band"]) == {"Clopper-Pearson"}


@given(hits=st.lists(st.integers(0, 30), min_size=1, max_size=5), level=st.floats(0.5, 0.999))
def test_exact_bounds_leave_half_of_the_rest_on_either_side(hits: list[int], level: float) -> None:
    """At a bound, so many hits or more (so many or fewer) have the probability (1 - level)/2."""
    better = np.array([[float(run < hit) for hit in hits] for run in range(30)])
    for hit, low, high in zip(hits, *exact_bounds(better, level), strict=True):
        assert low == 0 if hit == 0 else stats.binom.sf(hit - 1, 30, low) == pytest.approx((1 - level) / 2)
        assert high == 1 if hit == 30 else stats.binom.cdf(hit, 30, high) == pytest.approx((1 - level) / 2)


def test_the_bootstrap_is_that_of_scipy() -> None:
    """Both draw at random, so they agree to a few hundredths."""
    random = np.random.default_rng(0)
    strata = [(random.random((20, 1)) < p).astype(float) for p in (0.2, 0.5, 0.9)]

    def mean(*samples: Any, axis: int) -> Any:
        return np.mean([sample.mean(axis=axis) for sample in samples], axis=0)

    theirs = stats.bootstrap(
        [own[:, 0] for own in strata], mean, n_resamples=5000, method="percentile", rng=random, confidence_level=0.9
    ).confidence_interval
    low, high = stratified_bootstrap(strata, 0.9)
    assert (low[0], high[0]) == (pytest.approx(theirs.low, abs=0.02), pytest.approx(theirs.high, abs=0.02))


def test_cells_count_alike_whatever_their_seeds(tmp_path: Path) -> None:
    def level(config: FakeConfig) -> float:
        return (
            (1.0 if config.workers == 1 else 0.0)
            + 0.001 * config.seed
            + (0.0001 if config.target == "max_terms" else 0)
        )

    data = plan(study={"name": "x", "seeds": 8}, sweep={"target": ARMS, "workers": [1, 4]})
    study = write_study(
        tmp_path, data, score=level, points=1, skip=lambda run: run.config.workers == 4 and run.seed > 4
    )
    table = table_of(PROFILES, study, judged(study))
    pooled = table[(table["scope"] == POOLED) & (table["arm"] == "max_terms")]
    middle = pooled.iloc[(pooled["threshold"] - 0.5).abs().argmin()]
    assert (middle["share"], middle["runs"], middle["cells"]) == (0.5, 13, 2)
    assert set(table["scope"]) == {POOLED, *(cell.id for cell in study.cells)}
    assert set(pooled["band"]) == {"stratified bootstrap"}


@pytest.fixture(scope="module")
def partly_exploratory(tmp_path_factory: pytest.TempPathFactory) -> Study:
    data = realistic()
    data["compare"]["primary"] = [{"rollout_length": 20}, {"rollout_length": "episode"}]
    return write_study(tmp_path_factory.mktemp("partly"), data, points=1)


def test_bands_hold_the_share_and_shares_fall(partly_exploratory: Study) -> None:
    table = table_of(PROFILES, partly_exploratory, judged(partly_exploratory))
    assert ((table["low"] <= table["share"] + 1e-12) & (table["share"] <= table["high"] + 1e-12)).all()
    for _, own in table.groupby(["scope", "arm"]):
        assert (np.diff(own["share"]) <= 0).all()
        assert (own["share"].iloc[0], own["share"].iloc[-1]) == (1, 0)


def test_vacuous_and_exploratory_cells_are_left_out(partly_exploratory: Study) -> None:
    table = table_of(PROFILES, partly_exploratory, judged(partly_exploratory))
    assert set(table["cells"]) == {1, 6}
    alone = set(table["scope"]) - {POOLED}
    assert alone == {cell.id for cell in partly_exploratory.cells if cell.levels["rollout_length"] == 20}


def test_lost_runs_stand_at_the_worst_value(tmp_path: Path) -> None:
    data = plan(study={"name": "x", "seeds": 6})
    study = write_study(
        tmp_path, data, score=by_seed(SCORES), points=2, diverge=lambda run: run.arm == "max_terms" and run.seed == 5
    )
    table = table_of(PROFILES, study, judged(study))
    best = table[table["arm"] == "max_terms"]
    assert best.loc[best["threshold"] > 0.01, "share"].max() == pytest.approx(5 / 6)
    assert set(best["runs"]) == {6}


def test_less_can_be_better(tmp_path: Path) -> None:
    compare = {"factor": "target", "baseline": ARMS[0], "metric": "auc", "higher_is_better": False}
    data = plan(study={"name": "x", "seeds": 6}, compare=compare)
    study = write_study(tmp_path, data, score=by_seed(SCORES), points=1)
    table = table_of(PROFILES, study, judged(study))
    own = table[table["arm"] == "max_terms"]
    for row in own.itertuples():
        assert row.share == pytest.approx(np.mean([score < row.threshold for score in SCORES["max_terms"]]))
    (picture,) = pictures_of(PROFILES, study, judged(study))
    assert "share of runs with score < τ" in texts(picture)


def test_the_alt_text_says_what_half_of_the_runs_reach(one_cell: Study) -> None:
    (picture,) = pictures_of(PROFILES, one_cell, judged(one_cell))
    assert picture.alt.startswith(
        "Performance profiles over 1 primary cell. Half of the runs score better than: missing"
    )
    assert "max_terms 0.7" in picture.alt
    assert picture.alt.endswith("pointwise, Clopper-Pearson.")


def test_three_arms_and_a_few_cells_have_a_picture_together_and_one_apart(tmp_path: Path) -> None:
    data = plan(
        sweep={"gamma": [0.9, 0.99, 0.999], "workers": [1, 4, 16]},
        compare={"factor": "gamma", "baseline": 0.9, "metric": "auc"},
    )
    study = write_study(tmp_path, data, points=1, score=lambda config: config.gamma + 0.01 * config.seed)
    pictures = pictures_of(PROFILES, study, judged(study))
    assert [picture.title for picture in pictures] == ["pooled", "cell by cell"]
    assert {"workers 1", "workers 4", "workers 16"} <= set(texts(pictures[1]))
    assert size(pictures) < 250_000


@pytest.mark.parametrize("data", [plan(base={"rollout_length": "episode"}), plan()])
def test_nothing_to_compare_is_no_figure(tmp_path: Path, data: dict[str, Any]) -> None:
    empty = "base" not in data or not data["base"]
    study = write_study(tmp_path, data, points=1, skip=lambda run: empty)
    assert pictures_of(PROFILES, study, judged(study)) == []
    table = table_of(PROFILES, study, judged(study))
    assert isinstance(table, pd.DataFrame)
    assert list(table.columns) == COLUMNS


def test_one_seed_has_no_band(tmp_path: Path) -> None:
    study = write_study(tmp_path, plan(study={"name": "x", "seeds": 1}), points=1)
    assert table_of(PROFILES, study, judged(study))["low"].isna().all()
    assert "Bands" not in pictures_of(PROFILES, study, judged(study))[0].alt
