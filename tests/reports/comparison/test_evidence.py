"""What is put forward to be judged: looks that are complete, lost runs by the declared rule, seeds still wanted."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from harness.record.attempt import Failure
from harness.record.run import RunRecord
from harness.record.study import Study
from reports import compare_cells, paired_differences, seeds_wanted, write_report
from reports.comparison.cells import comparisons_table
from reports.comparison.evidence import declared_rules, gather
from reports.page.csv import csv_text
from reports.page.films import Film
from reports.statistics.verdicts import Verdict
from tests.reports.conftest import noisy, staged
from tests.reports.drawn import draw_only
from tests.reports.synthetic import FakeConfig, plan, write_study

TARGETS = ["missing_as_zero", "max_terms"]
AUC = {"factor": "target", "baseline": "missing_as_zero", "metric": "auc"}
LOOKS = {"name": "example", "seeds": {"looks": [10, 20, 40]}}


def up_to(study: Study, seeds: int) -> Study:
    """The study when only its first seeds had run."""
    return replace(study, records=tuple(record for record in study.records if record.seed < seeds))


def test_a_look_is_complete_when_all_its_runs_finished_or_failed(staged_study: Study) -> None:
    def late(run: RunRecord) -> bool:
        return run.arm == "max_terms" and run.seed == 12 and run.levels["workers"] == 4

    def failed(run: RunRecord) -> bool:
        return run.seed == 3 and run.arm == "max_terms"

    begun = up_to(staged_study, 20).records
    study = replace(
        staged_study,
        records=tuple(run for run in begun if not late(run) and not failed(run)),
        failures=tuple(Failure(run.run, run.cell, run.arm, run.seed, 3, "") for run in begun if failed(run)),
    )
    for (cell, _), found in gather(study).items():
        assert [len(look) for look in found.looks] == ([10] if "workers-4" in cell else [10, 20])
        assert len(found.pairs) == (19 if "workers-4" in cell else 20)
        assert found.looks[-1][: len(found.looks[0])] == found.looks[0]


def test_seeds_are_wanted_where_a_primary_cell_is_undecided(staged_study: Study) -> None:
    assert set(seeds_wanted(up_to(staged_study, 0)).values()) == {10}
    first = up_to(staged_study, 10)
    verdicts = {(c.cell.levels["n_step"], c.cell.levels["workers"]): c.verdict for c in compare_cells(first)}
    assert verdicts[1, 1] is Verdict.DIFFERENT
    assert verdicts[5, 1] is Verdict.UNDECIDED
    assert verdicts[5, 4] is Verdict.UNDECIDED
    assert verdicts[15, 1] is Verdict.VACUOUS
    wanted = {cell.id: cell for cell in first.cells}
    more = {wanted[cell].levels["n_step"] for cell, seeds in seeds_wanted(first).items() if seeds == 20}
    assert more == {5}
    assert sorted(seeds_wanted(first).values()) == [10] * 5 + [20], "neither exploratory cells nor vacuous ones"
    assert sorted(seeds_wanted(up_to(staged_study, 15)).values()) == [10] * 5 + [20], "the second look is not complete"
    assert sorted(seeds_wanted(staged_study).values()) == [10] * 5 + [40], "what a verdict rests on is wanted still"


def test_a_verdict_rests_on_its_look_and_not_on_later_seeds(staged_study: Study) -> None:
    decided = next(c for c in compare_cells(staged_study) if c.cell.levels == {"n_step": 1, "workers": 1})
    assert (decided.judgement.look, decided.estimate.count, decided.reached) == (1, 10, 3)
    pairs = paired_differences(staged_study)
    own = pairs[pairs["cell"] == decided.cell.id].head(10)
    assert decided.estimate.mean == pytest.approx(own["difference"].mean())
    assert decided.candidate_mean == pytest.approx(own["candidate_value"].mean())


def test_a_failed_run_counts_as_the_worst_value_or_its_pair_is_left_out(tmp_path: Path) -> None:
    fail = {"fail": lambda run: run.seed == 1 and run.arm == "max_terms"}
    worst = paired_differences(write_study(tmp_path / "worst", plan(), **fail))
    assert list(worst["seed"]) == [0, 1, 2, 3, 4]
    assert worst["candidate_value"][1] == 0.0
    assert list(worst["failed"]) == [0, 1, 0, 0, 0]
    missing = paired_differences(write_study(tmp_path / "missing", plan(compare={**AUC, "failed": "missing"}), **fail))
    assert list(missing["seed"]) == [0, 2, 3, 4]
    assert list(missing["failed"]) == [0, 0, 0, 0]


def test_a_cell_that_lost_every_run_stays_without_a_comparison(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw_only(monkeypatch)
    study = write_study(tmp_path, plan(study={"name": "x", "seeds": 10}), fail=lambda run: True)
    (comparison,) = compare_cells(study)
    assert (comparison.state, comparison.verdict, comparison.failed) == ("no pairs", Verdict.NONE, 20)
    assert comparison.lost
    assert "every run diverged or failed, so nothing was measured" in write_report(study).read_text()


def test_the_rules_are_those_declared(tmp_path: Path) -> None:
    compare = {**AUC, "margin": 0.05, "level": 0.9, "higher_is_better": False}
    rules = declared_rules(write_study(tmp_path, plan(study=LOOKS, compare=compare), points=2))
    assert (rules.margin, rules.level, rules.looks, rules.higher_is_better) == (0.05, 0.9, (10, 20, 40), False)


@pytest.mark.parametrize(("high", "span"), [(0.6, 1.0), (1.2, 1.2)])
def test_the_span_reaches_from_the_worst_known_to_the_best_known_or_seen(
    tmp_path: Path, high: float, span: float
) -> None:
    study = write_study(tmp_path, plan(), score=lambda config: high - 0.1 * config.seed, points=2)
    assert declared_rules(study).span == pytest.approx(span)


def test_cells_csv_holds_what_each_verdict_rests_on(staged_study: Study) -> None:
    text = csv_text(comparisons_table(staged_study, compare_cells(staged_study)))
    cells = pd.read_csv(io.StringIO(text))
    judged = cells[cells["verdict"].isin(["DIFFERENT", "UNDECIDED"])]
    assert len(judged) == 4
    for column in ("simultaneous_low", "look", "p_different_adjusted", "correlation", "variance_ratio", "welch_low"):
        assert judged[column].notna().all()
    assert (judged["simultaneous_low"] <= judged["low"]).all()
    assert (judged["p_different_adjusted"] >= judged["p_different"]).all()
    assert cells.loc[cells["verdict"] == "VACUOUS", "p_different"].isna().all()


def test_films_stand_on_the_page_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw_only(monkeypatch)
    study = write_study(tmp_path, plan(), points=2)
    film = Film(study.cells[0].id, b"GIF89a...", "a <pole>", "both arms", 6, 4)
    page = write_report(study, films=[film]).read_text()
    assert 'src="data:image/gif;base64,R0lGODlhLi4u" alt="a &lt;pole&gt;" width="6" height="4"' in page
    assert '<section id="film">' in page
    assert '<section id="film">' not in write_report(study).read_text()


def test_what_a_later_look_brings_changes_no_lost_run_of_an_earlier_one(tmp_path: Path) -> None:
    """A run that diverged in the first look counts the same, however badly another cell's run of the second goes."""

    def score(config: FakeConfig) -> float:
        return -9.0 if config.seed == 15 and config.n_step == 5 else noisy(config)

    def lost(run: Any) -> bool:
        return bool(run.seed == 2 and run.cell.levels["n_step"] == 1 and run.arm == "missing_as_zero")

    data = staged(sweep={"target": TARGETS, "n_step": [1, 5], "workers": [1, 4]})
    study = write_study(tmp_path, data, score=score, points=2, diverge=lost, skip=lambda run: run.seed >= 20)
    values = []
    for seeds in (10, 20):
        pairs = paired_differences(up_to(study, seeds))
        values.append(pairs[(pairs["seed"] == 2) & (pairs["diverged"] == 1)]["baseline_value"].tolist())
    assert values[0] == values[1]
    assert len(values[0]) == 2
