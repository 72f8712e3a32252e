"""The A/A check: it finds a procedure that errs too often, and leaves alone one that does not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from harness import BadInput
from reports import write_report
from reports.comparison.calibration import (
    CALIBRATION_FILE,
    Calibration,
    calibrate,
    read_calibration,
    write_calibration,
)
from tests.reports.drawn import draw_only
from tests.reports.synthetic import FakeConfig, plan, write_study

SEEDS = {"name": "example", "seeds": {"looks": [10, 20]}}


def noisy(effect: float) -> Any:
    """Normal scores, independent between arms, the candidate's moved."""

    def score(config: FakeConfig) -> float:
        stream = np.random.default_rng([config.seed, config.workers, len(config.target)])
        return float(0.5 + effect * (config.target == "max_terms") + stream.normal(0, 0.1))

    return score


@pytest.mark.parametrize("effect", [0.0, 0.4])
def test_runs_of_arms_that_differ_say_no_more_than_those_of_arms_that_do_not(tmp_path: Path, effect: float) -> None:
    data = plan(study=SEEDS, sweep={"target": ["missing_as_zero", "max_terms"], "workers": [1, 4]})
    found = calibrate(write_study(tmp_path, data, score=noisy(effect), points=1), replicates=600)
    assert (found.alpha, found.looks, found.runs) == (0.05, (10, 20), 80)
    assert [(rate.method, rate.comparisons, rate.n_max) for rate in found.rates] == [("redraw", 2, 20), ("swap", 2, 20)]
    for rate in found.rates:  # at most α, give or take three standard errors
        assert rate.rate <= 0.05 + 3 * (0.05 * 0.95 / 600) ** 0.5
        bounds = stats.binomtest(rate.false_different, 600).proportion_ci(0.95, "exact")
        assert (rate.low, rate.high) == pytest.approx((bounds.low, bounds.high))
    assert not found.too_often


def test_a_rate_that_lies_above_what_was_declared_is_called_so(tmp_path: Path) -> None:
    found = calibrate(write_study(tmp_path, plan(study=SEEDS), score=noisy(0), points=1), replicates=200)
    assert replace(found, alpha=0.0001, rates=(replace(found.rates[0], low=0.001),)).too_often


def test_the_same_seed_gives_the_same_answer_and_it_reads_back(tmp_path: Path) -> None:
    study = write_study(tmp_path, plan(study=SEEDS), score=noisy(0), points=1)
    assert read_calibration(tmp_path) is None
    first, again, other = (calibrate(study, 200, seed) for seed in (1, 1, 2))
    assert first == again
    assert isinstance(first, Calibration)
    write_calibration(tmp_path, first)
    assert read_calibration(tmp_path) == first
    assert other.seed == 2


def test_a_torn_check_is_named_on_the_page_and_ends_no_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw_only(monkeypatch)
    study = write_study(tmp_path, plan(study=SEEDS), score=noisy(0), points=1)
    (tmp_path / CALIBRATION_FILE).write_text('{"alpha": 0.05', encoding="utf-8")
    page = write_report(study).read_text(encoding="utf-8")
    assert "The A/A check cannot be read" in page
    assert "calibration.json is damaged" in page


def test_what_cannot_be_calibrated_is_refused(tmp_path: Path) -> None:
    few = write_study(tmp_path / "few", plan(study={"name": "example", "seeds": 5}), points=1)
    with pytest.raises(BadInput, match="seeds = 5: must be 10 or more"):
        calibrate(few, 100)
    none = write_study(tmp_path / "none", plan(study=SEEDS), skip=lambda run: True)
    with pytest.raises(BadInput, match="must hold an arm of a primary cell"):
        calibrate(none, 100)
