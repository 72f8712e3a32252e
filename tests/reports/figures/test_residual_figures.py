from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from a3c import n_step_targets
from harness.study.design import PlannedRun
from reports.figures.residuals import COLUMNS, RESIDUALS
from tests.reports.drawn import finding_of, pictures_of, size, table_of, texts
from tests.reports.synthetic import plan, write_study
from tests.reports.theories import REWARD_VALUE, grid, residuals_of, with_residuals

SMALL = plan(base={"rollout_length": 20, "n_step": 5}, study={"name": "x", "seeds": 3})


def test_runs_are_averaged_by_their_counts_over_the_second_half(tmp_path: Path) -> None:
    table = table_of(RESIDUALS, write_study(tmp_path, SMALL, change=with_residuals, points=1))
    assert list(table.columns) == COLUMNS
    row = table[(table["arm"] == "missing_as_zero") & (table["distance"] == 2)].iloc[0]
    shift = 0.99**2 * REWARD_VALUE
    residuals, counts = [-shift + 0.01 * seed for seed in range(3)], [100, 101, 102]
    assert row["residual"] == pytest.approx(np.average(residuals, weights=counts))
    assert row["spread"] == pytest.approx(np.std(residuals, ddof=1))
    assert (row["shift"], row["predicted"]) == (pytest.approx(shift), pytest.approx(-shift))
    assert (row["count"], row["runs"]) == (303, 3)
    beyond = table[(table["arm"] == "missing_as_zero") & (table["distance"] == 6)].iloc[0]
    assert (beyond["shift"], beyond["predicted"]) == (0, 0)
    assert (table.loc[table["arm"] == "max_terms", "predicted"] == 0).all()


@pytest.mark.parametrize("rule", ["missing_as_zero", "max_terms", "wrong_gamma"])
def test_the_prediction_is_what_the_algorithms_own_targets_do(tmp_path: Path, rule: str) -> None:
    """With values that are exactly right, targets less values are the prediction to the digit."""
    length, n, gamma, value = 20, 5, 0.9, 1 / (1 - 0.9)
    targets = n_step_targets(np.ones(length), np.full(length, value), value, gamma, n, rule)
    d = np.arange(length, 0, -1)

    def change(run: PlannedRun, output: dict[str, Any]) -> None:
        residual = targets - value if run.config.target == rule else np.zeros(length)  # type: ignore[attr-defined]
        shift = np.where(d <= n, gamma**d * value, 0.0)
        columns = {"distance": d, "count_late": 7, "residual_late": residual, "shift_late": shift}
        output["tables"]["residuals"] = pd.DataFrame(columns)

    data = plan(
        study={"name": "x", "seeds": 1},
        base={"rollout_length": length, "n_step": n, "gamma": gamma},
        sweep={"target": ["drop", rule]},
        compare={"factor": "target", "baseline": "drop", "metric": "auc"},
    )
    table = table_of(RESIDUALS, write_study(tmp_path, data, change=change, points=1))
    own = table[table["arm"] == rule]
    assert len(own) == length
    assert list(own["predicted"]) == pytest.approx(list(own["residual"]), abs=1e-9)


def test_a_rule_of_ones_own_has_no_prediction(tmp_path: Path) -> None:
    data = plan(sweep={"target": ["max_terms", "mine:rule"]}, compare={**SMALL["compare"], "baseline": "max_terms"})
    study = write_study(tmp_path, data, change=with_residuals, points=1)
    table = table_of(RESIDUALS, study)
    assert table.loc[table["arm"] == "mine:rule", "predicted"].isna().all()
    assert len(pictures_of(RESIDUALS, study)) == 1
    assert "mine:rule" not in finding_of(RESIDUALS, study)


def test_runs_without_residuals_and_distances_without_targets_are_passed_over(tmp_path: Path) -> None:
    def change(run: PlannedRun, output: dict[str, Any]) -> None:
        if run.seed:
            table = residuals_of(run)
            table.loc[table["distance"] == 3, ["count_late", "residual_late", "shift_late"]] = [0, math.nan, math.nan]
            output["tables"]["residuals"] = table

    table = table_of(RESIDUALS, write_study(tmp_path, SMALL, change=change, points=1))
    assert set(table["runs"]) == {2}
    assert 3 not in set(table["distance"])


def test_without_any_there_is_neither_figure_nor_sentence(tmp_path: Path) -> None:
    study = write_study(tmp_path, SMALL, points=1)
    assert list(table_of(RESIDUALS, study).columns) == COLUMNS
    assert pictures_of(RESIDUALS, study) == []
    assert finding_of(RESIDUALS, study) == ""


def test_the_sentence_says_how_far_theory_and_measurement_lie_apart(tmp_path: Path) -> None:
    def change(run: PlannedRun, output: dict[str, Any]) -> None:
        output["tables"]["residuals"] = residuals_of(run, bias=2.0)

    words = finding_of(RESIDUALS, write_study(tmp_path, {**SMALL, "study": {"name": "x", "seeds": 1}}, change=change))
    shifts = [0.99**d * REWARD_VALUE for d in range(1, 6)]
    lies = np.mean(shifts)
    assert f"missing_as_zero: targets within n steps of a cut lie −{lies - 2:.1f} from the value" in words
    assert f"theory says −{lies:.1f}" in words
    assert "typically 2.000 apart" in words
    assert f"typically {np.sqrt(np.mean(np.square(shifts))):.1f}." in words
    # What the critic errs by in both arms alike is gone between them.
    assert "where it is not, both arms are moved. " in words
    assert words.endswith(
        f"max_terms minus missing_as_zero: measured +{lies:.1f}, theory +{lies:.1f}, typically 0.000 apart."
    )


def test_every_cell_has_a_facet_up_to_about_the_last_distance_that_differs_and_the_alt_text_holds_both(
    tmp_path: Path,
) -> None:
    data = grid(seeds=1)
    data["sweep"]["n_step"] = [1, 15]
    study = write_study(tmp_path, data, change=with_residuals, points=1)
    pictures = pictures_of(RESIDUALS, study)
    assert [picture.title for picture in pictures] == [
        "rollout_length 5",
        "rollout_length 20",
        "rollout_length episode",
    ]
    b = 0.99 * REWARD_VALUE
    assert (
        f"At distance 1: missing_as_zero −{b:.1f}, theory −{b:.1f}; max_terms 0.000, theory 0.000." in pictures[0].alt
    )
    assert "no target differs between the rules" in pictures[2].alt
    assert texts(pictures[2]).count("same targets") == 4
    assert "distance to the cut d (steps)" in texts(pictures[0])
    assert size(pictures) < 550_000
    ticks = {int(word) for picture in pictures for word in texts(picture) if word.isdecimal()}
    assert max(ticks) <= 20
    assert table_of(RESIDUALS, study)["distance"].max() == 64
