"""What the thick lines and bands of learning curves are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from scipy import stats
from scipy.stats import mstats

from harness.record.study import Study
from reports.comparison.cells import compare_cells
from reports.data.curves import evaluation_curves
from reports.figures.layout import arrange
from reports.figures.learning import Centre, CurveStyle, _draw_cell, learning_curves
from reports.figures.selection import select_cells
from reports.figures.style import arm_looks, dark_colour
from reports.figures.thinning import Thinning
from tests.reports.drawn import size, texts
from tests.reports.synthetic import plan, write_study


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return write_study(tmp_path_factory.mktemp("curves"), plan(study={"name": "x", "seeds": 9}), points=4)


def style(centre: Centre) -> CurveStyle:
    return CurveStyle("scaled", "steps", "score", {}, 0.9, centre=centre)


def mean_by_scipy(values: Any) -> tuple[float, float, float]:
    return float(np.mean(values)), *stats.t.interval(0.9, len(values) - 1, np.mean(values), stats.sem(values))


def iqm_by_scipy(values: Any) -> tuple[float, float, float]:
    return float(stats.trim_mean(values, 0.25)), *mstats.trimmed_mean_ci(values, (0.25, 0.25), alpha=0.1)


@pytest.mark.parametrize(("centre", "by_scipy"), [("mean", mean_by_scipy), ("iqm", iqm_by_scipy)])
def test_the_thick_line_and_its_band_are_what_scipy_computes(study: Study, centre: Centre, by_scipy: Any) -> None:
    curves = evaluation_curves(study)
    axes = Figure().subplots()
    _draw_cell(axes, study, curves, Thinning.of(curves, "scaled"), style(centre))
    thick = [line for line in axes.lines if line.get_linewidth() > 1.5]
    assert len(thick) == len(axes.collections) == 2
    for arm, line, band in zip(study.arms, thick, axes.collections, strict=True):
        own = curves[curves["arm"] == arm]
        expected = [by_scipy(values.to_numpy()) for _, values in own.groupby("at")["scaled"]]
        assert list(line.get_ydata()) == pytest.approx([middle for middle, _, _ in expected])  # type: ignore[arg-type]
        corners = band.get_paths()[0].vertices
        for at, (_, low, high) in zip(sorted(set(own["at"])), expected, strict=True):
            ys = [y for x, y in corners if x == at]
            assert (min(ys), max(ys)) == (pytest.approx(low), pytest.approx(high))


def test_the_alt_text_says_which_middle_it_is(study: Study) -> None:
    selection = select_cells(study, compare_cells(study))
    for centre, word in (("mean", "Mean at the end"), ("iqm", "Interquartile mean at the end")):
        drawn = learning_curves(study, arrange(study), selection, evaluation_curves(study), style(centre))  # type: ignore[arg-type]
        assert drawn is not None
        assert f". {word}: missing_as_zero from " in drawn.pictures[0].alt


def test_arms_are_told_apart_without_colour() -> None:
    looks = arm_looks([f"arm {i}" for i in range(7)])
    for kind in ("dashes", "marker", "hatch", "colour"):
        assert len({getattr(look, kind) for look in looks.values()}) == 7
    assert len({dark_colour(look.colour) for look in looks.values()}) == 7


def test_many_arms_are_drawn_each_in_its_own_dashes(tmp_path: Path) -> None:
    gammas = [0.9, 0.91, 0.92, 0.93, 0.94, 0.95, 0.96, 0.97, 0.98]
    data = plan(sweep={"gamma": gammas}, compare={"factor": "gamma", "baseline": 0.9, "metric": "auc"})
    study = write_study(tmp_path, data, points=2)
    selection = select_cells(study, compare_cells(study))
    drawn = learning_curves(study, arrange(study), selection, evaluation_curves(study), style("mean"))
    assert drawn is not None
    assert {str(gamma) for gamma in gammas} <= set(texts(drawn.pictures[0]))
    assert size(drawn.pictures) < 150_000
