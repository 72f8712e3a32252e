"""Kaplan-Meier curves against figures computed by hand and against the product-limit formula written out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from harness.record.study import Study
from harness.study.design import PlannedRun
from reports.figures.survival import SUMMARY, SURVIVAL, Times, _curve
from tests.reports.drawn import pictures_of, size, table_of, texts
from tests.reports.synthetic import plan, write_study

ARMS = ["missing_as_zero", "max_terms"]
BUDGET = 50_000


def solved_at(times: dict[str, Sequence[float | None]]) -> Callable[[PlannedRun, dict[str, Any]], None]:
    """Make each arm's runs reach the threshold at these steps, by seed; None: never."""

    def change(run: PlannedRun, output: dict[str, Any]) -> None:
        time = times[run.arm][run.seed]
        output["metrics"] |= {"solved": float(time is not None), "steps_to_threshold": BUDGET if time is None else time}

    return change


def study_of(folder: Path, times: dict[str, Sequence[float | None]], data: Any = None, **more: Any) -> Study:
    seeds = len(times["max_terms"])
    return write_study(
        folder, data or plan(study={"name": "x", "seeds": seeds}), change=solved_at(times), points=2, **more
    )


TIMES = {
    "missing_as_zero": [None, 40_000, None, None, 50_000, None],
    "max_terms": [10_000, 20_000, 20_000, 30_000, None, 45_000],
}


def test_the_curve_is_the_one_computed_by_hand(tmp_path: Path) -> None:
    table = table_of(SURVIVAL, study_of(tmp_path, TIMES))
    curve = table[table["arm"] == "max_terms"]
    assert list(curve["at"]) == [0, 10_000, 20_000, 30_000, 45_000, 50_000]
    assert list(curve["not_reached"]) == pytest.approx([1, 5 / 6, 3 / 6, 2 / 6, 1 / 6, 1 / 6])
    assert list(curve["at_risk"]) == [6, 6, 5, 3, 2, 1]
    assert list(curve["events"]) == [0, 1, 2, 1, 1, 0]
    other = table[table["arm"] == "missing_as_zero"]
    assert list(other["at"]) == [0, 40_000, 50_000]  # reached at the very end of the budget: an event all the same
    assert list(other["not_reached"]) == pytest.approx([1, 5 / 6, 4 / 6])


def test_the_interval_is_the_one_computed_by_hand(tmp_path: Path) -> None:
    """Exponential Greenwood: log(-log S) ± z·√(Σ d/(n(n - d)))/|log S|, at S = 1/2 after events 1 of 6 and 2 of 5."""
    table = table_of(SURVIVAL, study_of(tmp_path, TIMES))
    row = table[(table["arm"] == "max_terms") & (table["at"] == 20_000)].iloc[0]
    reach = stats.norm.ppf(0.975) * math.sqrt(1 / (6 * 5) + 2 / (5 * 3)) / math.log(2)
    assert row["low"] == pytest.approx(0.5 ** math.exp(reach))
    assert row["high"] == pytest.approx(0.5 ** math.exp(-reach))


times = st.integers(1, 12).map(float)


@given(reached=st.lists(times, max_size=12), never=st.integers(0, 8))
def test_it_is_the_product_limit_estimate(reached: list[float], never: int) -> None:
    if not reached and not never:
        return
    budget = 12.0
    rows = _curve(Times("c", "a", tuple(sorted(reached)), (budget,) * never, 0), 0.95)
    share, runs = Fraction(1), len(reached) + never
    expected = [(0.0, share)]
    for at in sorted(set(reached)):
        at_risk = sum(time >= at for time in reached) + never
        share *= Fraction(at_risk - reached.count(at), at_risk)
        expected.append((at, share))
    end = max(reached) if not never else budget
    if expected[-1][0] != end:
        expected.append((end, share))
    assert [row[2] for row in rows] == [at for at, _ in expected]
    assert [row[3] for row in rows] == pytest.approx([float(share) for _, share in expected])
    for row in rows[1:]:
        low, value, high = row[4], row[3], row[5]
        assert math.isnan(low) == math.isnan(high) == (runs < 5 or not 0 < value < 1)  # type: ignore[arg-type, operator]
        assert math.isnan(low) or low < value < high  # type: ignore[arg-type, operator]


def test_with_one_budget_the_curve_is_the_share_of_runs(tmp_path: Path) -> None:
    table = table_of(SURVIVAL, study_of(tmp_path, TIMES))
    for arm, steps in TIMES.items():
        for row in table[table["arm"] == arm].itertuples():
            assert row.not_reached == pytest.approx(np.mean([step is None or step > row.at for step in steps]))


def test_the_summary_counts_every_run(tmp_path: Path) -> None:
    summary = table_of(SUMMARY, study_of(tmp_path, TIMES)).set_index("arm")
    zero, most = (summary.loc[arm] for arm in ARMS)
    assert (zero["runs"], zero["solved"], most["solved"]) == (6, 2, 5)
    assert most["share_solved"] == pytest.approx(5 / 6)
    assert zero["restricted_mean"] == pytest.approx((4 * 50 + 40 + 50) / 6 * 1000)
    values = [10_000, 20_000, 20_000, 30_000, 50_000, 45_000]
    assert most["restricted_mean"] == pytest.approx(np.mean(values))
    low, high = stats.t.interval(0.95, 5, np.mean(values), stats.sem(values))
    assert (most["low"], most["high"]) == (pytest.approx(low), pytest.approx(high))


def area(curve: pd.DataFrame) -> float:
    return float((curve["not_reached"].to_numpy()[:-1] * np.diff(curve["at"])).sum())


def test_the_restricted_mean_is_the_area_under_the_curve(tmp_path: Path) -> None:
    study = study_of(tmp_path, TIMES)
    table, summary = table_of(SURVIVAL, study), table_of(SUMMARY, study).set_index("arm")
    for arm in ARMS:
        assert area(table[table["arm"] == arm]) == pytest.approx(summary.loc[arm, "restricted_mean"])


def test_diverged_and_failed_runs_count_as_the_whole_budget(tmp_path: Path) -> None:
    study = study_of(
        tmp_path,
        TIMES,
        diverge=lambda run: run.arm == "max_terms" and run.seed == 0,
        fail=lambda run: run.arm == "max_terms" and run.seed == 1,
    )
    row = table_of(SUMMARY, study).set_index("arm").loc["max_terms"]
    assert (row["runs"], row["solved"], row["lost"]) == (6, 3, 2)
    assert row["restricted_mean"] == pytest.approx((50 + 50 + 20 + 30 + 50 + 45) / 6 * 1000)
    assert table_of(SURVIVAL, study).query("arm == 'max_terms'")["not_reached"].iloc[-1] == pytest.approx(0.5)


def test_failed_runs_are_left_out_where_the_study_says_so(tmp_path: Path) -> None:
    data = plan(study={"name": "x", "seeds": 6})
    data["compare"]["failed"] = "missing"
    study = study_of(tmp_path, TIMES, data, fail=lambda run: run.arm == "max_terms" and run.seed == 1)
    row = table_of(SUMMARY, study).set_index("arm").loc["max_terms"]
    assert (row["runs"], row["solved"], row["lost"]) == (5, 4, 0)


@pytest.mark.parametrize("lost", [{"skip": lambda run: True}, {"change": lambda run, output: None}])
def test_where_nothing_says_what_solved_is_there_is_no_figure(tmp_path: Path, lost: dict[str, Any]) -> None:
    study = write_study(tmp_path, plan(), points=2, **lost)
    assert table_of(SURVIVAL, study).empty
    assert table_of(SUMMARY, study).empty
    assert pictures_of(SURVIVAL, study) == []


def test_every_cell_has_a_facet_and_the_alt_text_says_who_never_arrived(tmp_path: Path) -> None:
    sweep = {"target": ARMS, "rollout_length": [5, "episode"], "n_step": [1, 5], "workers": [1, 4]}
    study = study_of(tmp_path, TIMES, plan(study={"name": "x", "seeds": 6}, sweep=sweep))
    pictures = pictures_of(SURVIVAL, study)
    assert [picture.title for picture in pictures] == ["rollout_length 5", "rollout_length episode"]
    assert (
        "Runs still below the threshold at the end of the budget: missing_as_zero 66.7\N{NARROW NO-BREAK SPACE}%; "
        "max_terms 16.7\N{NARROW NO-BREAK SPACE}%." in pictures[0].alt
    )
    assert "share of runs below the threshold" in texts(pictures[0])
    assert size(pictures) < 250_000


def test_one_seed_of_three_arms_is_drawn_without_a_band(tmp_path: Path) -> None:
    data = plan(
        study={"name": "x", "seeds": 1},
        sweep={"gamma": [0.9, 0.99, 0.999]},
        compare={"factor": "gamma", "baseline": 0.9, "metric": "auc"},
    )
    study = write_study(tmp_path, data, change=solved_at({"0.9": [None], "0.99": [10], "0.999": [50_000]}), points=1)
    (picture,) = pictures_of(SURVIVAL, study)
    assert {"0.9", "0.99", "0.999"} <= set(texts(picture))
    assert table_of(SURVIVAL, study)["low"].isna().all()
