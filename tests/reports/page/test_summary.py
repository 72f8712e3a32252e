from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from harness.record.plan import write_plan
from harness.record.study import Study, load_study
from harness.study.checks import parse_spec
from harness.study.design import expand
from reports import compare_cells
from reports.comparison.calibration import Calibration, FalseRate, write_calibration
from reports.comparison.cells import comparisons_table
from reports.figures.findings import find
from reports.page.csv import csv_text
from reports.page.summary import Summary, summarise
from tests.reports.synthetic import ALGORITHM, FakeConfig, plan, write_study

TARGETS = ["missing_as_zero", "max_terms"]
AUC = {"factor": "target", "baseline": "missing_as_zero", "metric": "auc"}


def summary_of(study: Any) -> Summary:
    return summarise(find(study))


def seeds(count: int) -> dict[str, Any]:
    return {"name": "example", "seeds": count}


def noisy(effect: float, spread: float = 0.05) -> Any:
    """Scores of arms that lie so far apart, with noise of their own."""

    def score(config: FakeConfig) -> float:
        noise = np.random.default_rng([config.seed, config.n_step, config.workers, len(config.target)])
        return float(0.5 + effect * (config.target == "max_terms") + noise.normal(0, spread))

    return score


def mixed(config: FakeConfig) -> float:
    """Better with one n_step, worse with another, noise alone with the third."""
    return float(noisy({1: 0.4, 5: -0.3, 15: 0.0}[config.n_step])(config))


def mixed_plan(**compare: Any) -> dict[str, Any]:
    return plan(
        study=seeds(10),
        base={"rollout_length": 20},
        sweep={"target": TARGETS, "n_step": [1, 5, 15], "workers": [1, 4]},
        compare={**AUC, **compare},
    )


@pytest.fixture(scope="module")
def mixed_study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return write_study(tmp_path_factory.mktemp("mixed"), mixed_plan(), score=mixed, points=1)


@pytest.mark.parametrize("higher", [True, False])
def test_the_sentence_says_what_the_table_says(mixed_study: Study, higher: bool) -> None:
    study = replace(mixed_study, spec=parse_spec(mixed_plan(higher_is_better=higher)))
    text = csv_text(comparisons_table(study, compare_cells(study)))
    cells = pd.read_csv(io.StringIO(text))
    different = cells[cells["verdict"] == "DIFFERENT"]
    better = different[different["candidate_better"].astype(bool)]
    worse = different[~different["candidate_better"].astype(bool)]
    assert len(better) == len(worse) == 2
    assert ((better["difference"] > 0) == higher).all()
    assert (cells["verdict"] == "UNDECIDED").sum() == 2
    sizes = better["difference"].abs()
    summary = summary_of(study)
    assert summary.answer.startswith(
        f"It matters: in 2 of 6 cells max_terms converges better than missing_as_zero (by {sizes.min():.2f} to "
        f"{sizes.max():.2f}), in 2 it converges worse (by "
    )
    assert summary.answer.endswith(", in 2 it is undecided after 10 pairs.")

    largest = cells.loc[cells["difference"].abs().idxmax()]
    sentence = summary.findings[0].replace("−", "-")
    assert f"{largest['difference']:+.3f} [{largest['low']:.3f}, {largest['high']:.3f}]" in sentence
    assert f"n_step {largest['n_step']}, workers {largest['workers']}" in sentence
    needs = cells["more_pairs"].dropna()
    assert needs.nunique() == 1
    assert f"would probably be settled by about {needs.min():.0f} more seeds" in summary.findings[1]


@pytest.mark.parametrize(
    ("count", "score", "words"),
    [
        (40, noisy(0.4), "It matters: max_terms converges better than missing_as_zero (by 0.4"),
        (10, noisy(-0.4), "It matters: max_terms converges worse than missing_as_zero (by 0."),
        (
            40,
            noisy(0.0, 0.01),
            "It makes no difference that matters: max_terms and missing_as_zero are equivalent within",
        ),
        (10, noisy(0.0, 0.5), "Undecided: it is undecided between max_terms and missing_as_zero after 10 pairs."),
    ],
    ids=["better", "worse", "equivalent", "undecided"],
)
def test_each_verdict_makes_an_answer(tmp_path: Path, count: int, score: Any, words: str) -> None:
    summary = summary_of(write_study(tmp_path, plan(study=seeds(count)), score=score, points=1))
    assert summary.answer.startswith(words)


def test_a_difference_too_small_to_matter_is_called_negligible(tmp_path: Path) -> None:
    summary = summary_of(write_study(tmp_path, plan(study=seeds(40)), score=noisy(0.03, 0.01), points=1))
    assert summary.answer.startswith("It makes no difference that matters: max_terms converges better than")
    assert ", negligibly)" in summary.answer


def test_how_sure_names_level_correction_and_margin(main_study: Study) -> None:
    summary = summary_of(main_study)
    told = " ".join(summary.sureness).replace("\N{NARROW NO-BREAK SPACE}", " ")
    assert "95 % interval of their paired difference excludes 0" in told
    assert "correction (Holm) for all 10 primary comparisons together" in told
    assert "about 5 % of such studies at most" in told
    assert "±0.1, the margin declared before the study ran" in told
    assert "6 cells vacuous" in summary.findings[-1]
    assert "(all bit-identical, as theory says)" in summary.findings[-1]


def test_looks_are_told(tmp_path: Path) -> None:
    data = plan(study={"name": "x", "seeds": {"looks": [10, 20]}})
    told = " ".join(summary_of(write_study(tmp_path, data, points=2)).sureness)
    assert "Seeds were added in looks, at 10 and 20" in told


def test_before_there_are_ten_pairs_there_is_no_verdict(tmp_path: Path) -> None:
    data = plan(sweep={"target": TARGETS, "n_step": [1, 5], "workers": [1, 4]})
    summary = summary_of(write_study(tmp_path, data, points=1))
    assert summary.answer.startswith("No verdict: it needs 10 pairs of runs in a cell, and here are 5.")
    assert "max_terms is ahead of missing_as_zero in " in summary.answer
    assert summary.sureness[0].startswith("The intervals stand each for itself and bear no verdict")


def test_few_pairs_are_points_only(tmp_path: Path) -> None:
    summary = summary_of(write_study(tmp_path, plan(study=seeds(4))))
    assert summary.findings[0].startswith("1 cell with fewer than 5 pairs: points only, no interval.")
    assert (summary.sureness, summary.caveats) == ((), ())


def test_exploratory_cells_are_counted_apart_and_labelled(tmp_path: Path) -> None:
    data = plan(
        study=seeds(10),
        sweep={"target": TARGETS, "workers": [1, 2, 4]},
        compare={**AUC, "primary": [{"workers": 4}]},
    )
    summary = summary_of(write_study(tmp_path, data, score=noisy(0.4), points=2))
    assert summary.answer.startswith("It matters: max_terms converges better")
    (told,) = [sentence for sentence in summary.findings if sentence.startswith("Exploratory")]
    assert "no part of the answer: in both exploratory cells max_terms converges better" in told


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"skip": lambda run: True}, "No run has finished"),
        ({"skip": lambda run: run.arm == "max_terms"}, "without a pair of runs to compare"),
        ({"skip": lambda run: run.seed == 4}, "not complete: 8 of 10 planned runs finished"),
        ({"diverge": lambda run: run.arm == "max_terms" and run.seed == 1}, "1 run diverged; each counts as the worst"),
        ({"change": lambda run, output: output["metrics"].pop("auc")}, "10 finished runs without the compared metric"),
        ({"fail": lambda run: run.seed == 1}, "each counts as the worst value of the compared metric, as the study"),
    ],
)
def test_what_is_missing_is_said(tmp_path: Path, options: dict[str, Any], words: str) -> None:
    summary = summary_of(write_study(tmp_path, plan(), **options))
    told = [summary.answer, *summary.findings, *summary.sureness, *summary.caveats]
    assert words in " ".join(told)


def test_failed_runs_are_named_with_the_declared_rule(tmp_path: Path) -> None:
    missing = plan(compare={**AUC, "failed": "missing"})
    summary = summary_of(write_study(tmp_path, missing, fail=lambda run: run.seed == 1))
    (told,) = [sentence for sentence in summary.caveats if "failed" in sentence]
    assert re.match(r"2 runs failed \(\S+ and \S+\); their pairs are left out, as the study declared", told)


def test_a_study_declared_anew_says_so(tmp_path: Path) -> None:
    study = write_study(tmp_path, plan(), points=2)
    assert not any("Declared anew" in sentence for sentence in summary_of(study).caveats)
    further = write_study(tmp_path / "other", plan(study=seeds(10)), points=2)
    write_plan(tmp_path, expand(further.spec, ALGORITHM), {})
    (told, *_) = summary_of(load_study(tmp_path)).caveats
    assert told.startswith("Declared anew after results could be seen (first when 10 runs had finished): seeds was 5")


@pytest.mark.parametrize(("low", "words"), [(0.041, "declared are at most 5"), (0.06, "more often than the 5")])
def test_the_check_on_equal_arms_stands_in_the_summary(tmp_path: Path, low: float, words: str) -> None:
    study = write_study(tmp_path, plan(study=seeds(10)), points=2)
    rates = (FalseRate("redraw", 1, 10, 2000, 100, low, 0.07),)
    write_calibration(tmp_path, Calibration(0.05, (10,), 20, 0, rates))
    told = summary_of(study).sureness[-1].replace("\N{NARROW NO-BREAK SPACE}", " ")
    assert f"in 5 % [{100 * low:.1f} %, 7 %] of 2 000 studies".replace(".0", "") in told
    assert words in told
