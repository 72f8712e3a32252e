from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from harness.record.study import Study
from reports.figures.forest import FOREST, ROWS_A_PICTURE
from reports.statistics.verdicts import Verdict
from tests.reports.drawn import judged, judgement, pictures_of, size, svg, table_of, texts
from tests.reports.synthetic import plan, realistic, write_study

GAMMAS = {"factor": "gamma", "baseline": 0.9, "metric": "auc", "margin": 0.1}


@pytest.fixture(scope="module")
def three_arms(tmp_path_factory: pytest.TempPathFactory) -> Study:
    data = plan(sweep={"gamma": [0.9, 0.99, 0.999], "workers": [1, 4]}, compare=GAMMAS)
    return write_study(tmp_path_factory.mktemp("three"), data, points=2)


GIVEN = [
    judgement(Verdict.DIFFERENT, 0.2, 0.1, wide=0.15, better=True),
    judgement(Verdict.DIFFERENT, 0.05, 0.03, wide=0.04, better=False, negligible=True),
    judgement(Verdict.EQUIVALENT, -0.01, 0.05, wide=0.08),
    judgement(Verdict.NONE, 0.15),
]


def test_every_comparison_is_a_row_with_its_verdict_in_words(three_arms: Study) -> None:
    (picture,) = pictures_of(FOREST, three_arms, judged(three_arms, GIVEN))
    words = texts(picture)
    for word in ("DIFFERENT, better", "DIFFERENT, worse (negligible)", "EQUIVALENT", "no verdict", "margin ±0.1"):
        assert word in words
    rows = [word for word in words if "·" in word]
    assert rows == [f"workers {w} · gamma {g}" for w in (1, 4) for g in (0.99, 0.999)]
    assert picture.alt == (
        "Forest of paired differences, 4 rows: 1 DIFFERENT, better, 1 DIFFERENT, worse (negligible), 1 EQUIVALENT, "
        "1 no verdict. Mean differences from −0.010 (workers 4 · gamma 0.99) to +0.200 (workers 1 · gamma 0.99)."
    )


def test_the_table_holds_what_is_drawn(three_arms: Study) -> None:
    table = table_of(FOREST, three_arms, judged(three_arms, GIVEN))
    assert list(table["verdict"]) == ["DIFFERENT", "DIFFERENT", "EQUIVALENT", "no verdict"]
    first = table.iloc[0]
    assert list(first[["low", "difference", "high"]]) == pytest.approx([0.1, 0.2, 0.3])
    assert list(first[["simultaneous_low", "simultaneous_high"]]) == pytest.approx([0.05, 0.35])
    assert pd.isna(table["low"].iloc[3])


def test_primary_rows_stand_above_exploratory_ones_and_vacuous_ones_say_so(tmp_path: Path) -> None:
    data = realistic(seeds=1)
    data["compare"]["primary"] = [{"rollout_length": 20}, {"rollout_length": "episode", "n_step": 1}]
    study = write_study(tmp_path, data, points=2)
    (picture,) = pictures_of(FOREST, study, judged(study))
    rows = [word for word in texts(picture) if word.startswith(("rollout_length", "Primary", "Exploratory"))]
    assert (rows[0], rows[9]) == ("Primary", "Exploratory")
    assert all("rollout_length 20" in row or "n_step 1," in row for row in rows[1:9])
    assert sum("rollout_length 5" in row for row in rows[10:]) == 4
    assert texts(picture).count("same targets") == 6
    assert "6 same targets" in picture.alt


@pytest.mark.parametrize("skip", [lambda run: True, lambda run: run.arm == "max_terms"])
def test_without_a_difference_there_is_no_figure(tmp_path: Path, skip) -> None:  # type: ignore[no-untyped-def]
    study = write_study(tmp_path, plan(), skip=skip)
    assert pictures_of(FOREST, study, judged(study)) == []


def test_a_study_whose_targets_never_differ_has_no_figure(tmp_path: Path) -> None:
    study = write_study(tmp_path, plan(base={"rollout_length": "episode"}), points=2)
    assert pictures_of(FOREST, study, judged(study)) == []


def test_one_seed_is_a_point(tmp_path: Path) -> None:
    study = write_study(tmp_path, plan(study={"name": "x", "seeds": 1}), points=2)
    (picture,) = pictures_of(FOREST, study, judged(study))
    assert "the only cell" in texts(picture)
    assert "interval" not in " ".join(texts(picture))


def test_of_many_cells_the_selected_are_drawn_in_pictures_a_page_holds(tmp_path: Path) -> None:
    data = plan(study={"name": "x", "seeds": 1}, sweep={"target": ["missing_as_zero", "max_terms"], "n_step": [1, 5],
                "workers": list(range(1, 21))})  # fmt: skip
    study = write_study(tmp_path, data, points=1)
    pictures = pictures_of(FOREST, study, judged(study))
    assert [picture.title for picture in pictures] == ["1 of 2", "2 of 2"]
    assert [texts(picture).count("no verdict") for picture in pictures] == [ROWS_A_PICTURE + 1, 11]
    assert size(pictures) < 250_000


def test_an_interval_for_all_rows_far_wider_than_the_rest_does_not_squeeze_them(three_arms: Study) -> None:
    wide = [*GIVEN[:3], judgement(Verdict.UNDECIDED, 0.1, 0.2, wide=1e6)]
    (picture,) = pictures_of(FOREST, three_arms, judged(three_arms, wide))
    ticks = [word for word in texts(picture) if word.replace("−", "").replace(".", "").isdigit()]
    assert max(abs(float(tick.replace("−", "-"))) for tick in ticks) < 2


def test_odd_names_are_drawn_as_they_are(tmp_path: Path) -> None:
    levels = {"$x^2$ & <b>": {"gamma": 0.9}, "y\x00\n" + "long " * 30: {"gamma": 0.99}}
    compare = {"factor": "how", "baseline": "$x^2$ & <b>", "metric": "auc"}
    data = plan(sweep={"how": levels}, compare=compare)
    study = write_study(tmp_path, data, points=1, score=lambda config: config.gamma + 0.01 * config.seed)
    (picture,) = pictures_of(FOREST, study, judged(study))
    assert any("minus $x^2$ & <b>" in word for word in texts(picture))
    assert svg(picture, dark=True) is not None
