"""Two studies side by side: cells matched by their levels, verdicts held against each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from harness import Study
from harness.study.design import PlannedRun
from reports import compare_cells, write_comparison
from reports.comparison.matching import match_cells, same_runs
from reports.page.comparison_of_studies import agreement_sentence, differences
from tests.reports.synthetic import FakeConfig, plan, write_study

TARGETS = ["missing_as_zero", "max_terms"]


def effects(seed: int, **by_n_step: float) -> Any:
    """Scores with an effect for each n_step, and noise of their own."""

    def score(config: FakeConfig) -> float:
        noise = np.random.default_rng([seed, config.seed, config.n_step, config.workers, len(config.target)])
        effect = by_n_step[f"n{config.n_step}"] * (config.target == "max_terms")
        return float(0.5 + effect + noise.normal(0, 0.01))

    return score


def swept(name: str, **sweep: Any) -> dict[str, Any]:
    return plan(
        study={"name": name, "question": f"{name}?", "seeds": 30},
        base={"rollout_length": 20},
        sweep={"target": TARGETS, **sweep},
    )


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, Study]:
    """One over n_step with 4 workers, one over n_step and workers: alike, contrary, different and unsettled."""
    folder = tmp_path_factory.mktemp("two")
    one = effects(1, n1=0.3, n5=0.3, n10=0.3, n15=0.0, n20=0.04)
    two = effects(2, n1=0.3, n5=-0.3, n10=0.0, n15=0.0, n20=0.0)

    def other(config: FakeConfig) -> float:
        """As ``two``, but with so much noise at 15 that nothing is decided."""
        wild = np.random.default_rng([9, config.seed, len(config.target)]).uniform(-0.45, 0.45)
        return float(two(config) + wild * (config.n_step == 15))

    a = write_study(folder / "a", swept("first", n_step=[1, 5, 10, 15, 20]), score=one, points=1)
    data = swept("second", n_step=[1, 5, 10, 15, 20], workers=[1, 4])

    def skip(run: PlannedRun) -> bool:
        return run.cell.levels["workers"] == 1 and run.seed > 0  # the other study has none of these

    return a, write_study(folder / "b", data, score=other, points=1, skip=skip)


def test_cells_are_matched_by_levels_and_fixed_settings(two: tuple[Study, Study]) -> None:
    a, b = two
    names, matches = match_cells(a, b, compare_cells(a), compare_cells(b))
    assert names == ("n_step", "workers")
    both = [match for match in matches if match.agreement is not None]
    assert [(m.levels["n_step"], m.levels["workers"]) for m in both] == [(n, "4") for n in ("1", "5", "10", "15", "20")]
    assert [m.agreement for m in both] == ["agree", "contradict", "differ", "open", "agree"]
    alone = [match for match in matches if match.agreement is None]
    assert [(m.levels["workers"], m.one) for m in alone] == [("1", None)] * 5


def test_the_sentence_counts_and_names_what_does_not_agree(two: tuple[Study, Study]) -> None:
    a, b = two
    _, matches = match_cells(a, b, compare_cells(a), compare_cells(b))
    assert agreement_sentence(a, b, matches) == (
        "Of 5 comparisons in both studies, 2 agree, 1 contradicts the other study (n_step 5, workers 4), 1 comes to "
        "another verdict (n_step 10, workers 4) and 1 is undecided in at least one of them; 5 comparisons only in the "
        "second."
    )


def test_the_page_shows_both_and_what_differs(two: tuple[Study, Study], tmp_path: Path) -> None:
    a, b = two
    page = write_comparison(a, b, tmp_path).read_text()
    assert page.count("<tr>") > 10
    for words in ("first beside second", "first?", "second?", "It matters: in 4 of 5 cells", "1 contradicts the other"):
        assert words in page
    assert '<th scope="row">comparison</th>' in page
    table = pd.read_csv(tmp_path / "tables" / "comparison.csv")
    assert len(table) == 10
    assert table["agreement"].value_counts()["only in one"] == 5
    told = {name: (one, other) for name, one, other in differences(a, b)}
    assert told["sweep.workers"] == ("–", "[1,4]")
    assert told["workers"] == ("4", "1 | 4")
    assert "gamma" not in told


def test_a_study_beside_itself_agrees_and_says_that_it_is_no_replication(
    two: tuple[Study, Study], tmp_path: Path
) -> None:
    a, _ = two
    assert same_runs(a, a) == (300, 300)
    assert differences(a, a) == []
    page = write_comparison(a, a, tmp_path).read_text()
    assert "Of 5 comparisons in both studies, 5 agree." in page
    assert "300 of them gave the same result" in page
    assert "Nothing: both declare the same" in page


def test_studies_of_different_things_are_not_held_against_each_other(tmp_path: Path) -> None:
    one = write_study(tmp_path / "one", plan(), points=2)
    data = plan(sweep={"gamma": [0.9, 0.99]}, compare={"factor": "gamma", "baseline": 0.9})
    other = write_study(tmp_path / "other", data, skip=lambda run: True)
    page = write_comparison(one, other, tmp_path / "page").read_text()
    assert "The two do not compare the same thing" in page
    assert "example (one) beside example" not in page  # the folders' parent is the same
    assert "example (first) beside example (second)" in page


def test_hostile_names_are_escaped(tmp_path: Path) -> None:
    study = write_study(tmp_path / "a", plan(study={"name": "<script>x</script>", "seeds": 1}), points=2)
    page = write_comparison(study, study, tmp_path / "page").read_text()
    assert page.count("<script>") == 1
    assert "&lt;script&gt;x" in page
