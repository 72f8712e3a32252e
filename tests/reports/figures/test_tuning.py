from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.record.search import ArmSearch, Trial
from harness.record.study import Study
from reports.figures.importances import IMPORTANCES
from reports.figures.tuning import CELLS_SHOWN, TUNING, running_median
from tests.reports.drawn import pictures_of, size, svg, table_of, texts
from tests.reports.synthetic import plan, write_study

ARMS = ("missing_as_zero", "max_terms")


def search(study: Study, cell: int, arm: str, trials: list[Trial], best: int | None, **importances: float) -> ArmSearch:
    return ArmSearch(study.cells[cell].id, study.cells[cell].levels, arm, tuple(trials), best, importances)


def invented(arm: str, count: int = 20) -> list[Trial]:
    random = np.random.default_rng(len(arm))
    trials = []
    for number in range(count):
        rate = float(10 ** random.uniform(-5, -2))
        settings = {"learning_rate": rate, "n_step": int(random.integers(1, 21)), "activation": "tanh"}
        if number % 2:
            settings["activation"] = "relu"
        score = 1 - 0.2 * (np.log10(rate) + 3.5) ** 2
        trials.append(Trial(number, settings, (score, score + 0.1)))
    return trials


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return write_study(tmp_path_factory.mktemp("tuned"), plan(study={"name": "x", "seeds": 1}), points=1)


@pytest.fixture(scope="module")
def tuned(study: Study) -> Study:
    shares = {"learning_rate": 0.7, "n_step": 0.2, "activation": 0.1}
    return replace(study, searches=tuple(search(study, 0, arm, invented(arm), 3, **shares) for arm in ARMS))


def test_every_trial_is_a_row_with_its_settings(tuned: Study) -> None:
    table = table_of(TUNING, tuned)
    assert len(table) == 40
    row = table[(table["arm"] == "max_terms") & (table["trial"] == 3)].iloc[0]
    trial = tuned.searches[1].trials[3]
    assert row["score"] == pytest.approx(np.mean(trial.scores))
    assert (row["runs"], row["best"]) == (2, True)
    assert row["setting.learning_rate"] == trial.settings["learning_rate"]
    assert row["setting.activation"] == "relu"
    assert table["best"].sum() == 2


def test_score_is_drawn_against_every_field_and_the_alt_text_names_the_best(tuned: Study) -> None:
    (picture,) = pictures_of(TUNING, tuned)
    words = texts(picture)
    assert {"learning_rate", "n_step", "activation", "relu", "tanh", "taken", *ARMS} <= set(words)
    assert "auc, mean over tuning seeds" in words
    trial = tuned.searches[1].trials[3]
    assert trial.value is not None
    settings = (
        f"learning_rate {trial.settings['learning_rate']:.3g}, n_step {trial.settings['n_step']}, activation relu"
    )
    best = f"max_terms scored {trial.value:.3f} with {settings}"
    assert best in picture.alt
    assert picture.alt.startswith("Scores of 40 trials against learning_rate, n_step and activation. Taken: ")
    assert size([picture]) < 200_000


def ticks(study: Study, rates: list[float]) -> set[str]:
    trials = [Trial(i, {"learning_rate": rate}, (0.5,)) for i, rate in enumerate(rates)]
    (picture,) = pictures_of(TUNING, replace(study, searches=(search(study, 0, "max_terms", trials, 0),)))
    return set(texts(picture))


def test_a_range_over_decades_is_drawn_in_its_logarithm(study: Study) -> None:
    assert {"1e−5", "0.001", "0.1"} <= ticks(study, [1e-5, 1e-3, 0.1])
    assert {"0.0002", "0.0005"} <= ticks(study, [1.5e-4, 3e-4, 6e-4, 9e-3])
    assert "0.001" not in ticks(study, [0.1, 0.2, 0.3])


numbers = st.lists(st.tuples(st.floats(0, 1), st.floats(-1, 1)), max_size=60)


@given(points=numbers)
def test_the_running_median_is_of_groups_of_neighbours(points: list[tuple[float, float]]) -> None:
    x, y = [p[0] for p in points], [p[1] for p in points]
    xs, ys = running_median(x, y)
    assert len(xs) == len(ys) == min(8, len(points) // 3)
    assert xs == sorted(xs)
    if xs:
        assert min(x) <= xs[0]
        assert xs[-1] <= max(x)
        assert min(y) <= min(ys)
        assert max(ys) <= max(y)


def test_the_running_median_by_hand() -> None:
    assert running_median([3, 1, 2, 10, 12, 11], [30, 10, 20, 5, 7, 6]) == ([2, 11], [20, 6])


def test_trials_still_running_are_passed_over(study: Study) -> None:
    trials = [Trial(0, {"gamma": 0.9}, (0.4,)), Trial(1, {"gamma": 0.99}, ())]
    running = replace(study, searches=(search(study, 0, "max_terms", trials, None),))
    (picture,) = pictures_of(TUNING, running)
    assert "max_terms up to 0.400 so far" in picture.alt
    assert len(table_of(TUNING, running)) == 2
    none = replace(study, searches=(search(study, 0, "max_terms", trials[1:], None),))
    assert pictures_of(TUNING, none) == []


def test_a_study_that_searches_nothing_has_no_figures(study: Study) -> None:
    assert pictures_of(TUNING, study) == pictures_of(IMPORTANCES, study) == []
    assert table_of(TUNING, study).empty
    assert table_of(IMPORTANCES, study).empty


def test_importances_are_bars_an_arm_and_field(tuned: Study) -> None:
    (picture,) = pictures_of(IMPORTANCES, tuned)
    assert set(ARMS) | {"learning_rate", "n_step", "activation"} <= set(texts(picture))
    assert "max_terms: learning_rate 0.70, n_step 0.20, activation 0.10" in picture.alt
    assert "pattern" in {element.tag.rpartition("}")[2] for element in svg(picture).iter()}  # hatched, for print


def test_importances_of_several_cells_are_averaged(tmp_path: Path) -> None:
    study = write_study(tmp_path, plan(sweep={"target": list(ARMS), "workers": [1, 4]}), skip=lambda run: True)
    searches = tuple(search(study, cell, "max_terms", [], None, gamma=share) for cell, share in ((0, 0.2), (1, 0.6)))
    (picture,) = pictures_of(IMPORTANCES, replace(study, searches=searches))
    assert picture.alt == "Importance of each searched setting, mean over 2 cells. max_terms: gamma 0.40."


def test_of_many_tuned_cells_the_first_are_drawn(tmp_path: Path) -> None:
    sweep: dict[str, Any] = {"target": list(ARMS), "workers": list(range(1, CELLS_SHOWN + 4))}
    study = write_study(tmp_path, plan(sweep=sweep), skip=lambda run: True)
    trials = [Trial(0, {"gamma": 0.9}, (0.4,))]
    searches = tuple(search(study, cell, ARMS[0], trials, 0) for cell in range(len(study.cells)))
    pictures = pictures_of(TUNING, replace(study, searches=searches))
    assert [picture.title for picture in pictures] == [f"workers {n}" for n in range(1, CELLS_SHOWN + 1)]
