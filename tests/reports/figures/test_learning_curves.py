"""What the thick lines and bands of learning curves are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from scipy import stats

from harness.record.study import Study
from reports.data.curves import evaluation_curves
from reports.figures.learning import EVALUATIONS, CurveStyle, _draw_cell
from reports.figures.style import arm_styles, dark_colour
from reports.figures.thinning import Thinning
from tests.reports.drawn import pictures_of, size, texts
from tests.reports.synthetic import plan, write_study


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return write_study(tmp_path_factory.mktemp("curves"), plan(study={"name": "x", "seeds": 9}), points=4)


STYLE = CurveStyle("scaled", "steps", "score", {}, 0.9)


def test_the_thick_line_and_its_band_are_what_scipy_computes(study: Study) -> None:
    curves = evaluation_curves(study)
    axes = Figure().subplots()
    _draw_cell(axes, study, curves, Thinning.of(curves, "scaled"), STYLE)
    thick = [line for line in axes.lines if line.get_linewidth() > 1.5]
    assert len(thick) == len(axes.collections) == 2
    for arm, line, band in zip(study.arms, thick, axes.collections, strict=True):
        own = curves[curves["arm"] == arm]
        by_point = [values.to_numpy() for _, values in own.groupby("at")["scaled"]]
        assert list(line.get_ydata()) == pytest.approx([np.mean(values) for values in by_point])  # type: ignore[arg-type]
        corners = band.get_paths()[0].vertices
        for at, values in zip(sorted(set(own["at"])), by_point, strict=True):
            low, high = stats.t.interval(0.9, len(values) - 1, np.mean(values), stats.sem(values))
            ys = [y for x, y in corners if x == at]
            assert (min(ys), max(ys)) == (pytest.approx(low), pytest.approx(high))


def test_the_alt_text_says_where_curves_end(study: Study) -> None:
    (picture,) = pictures_of(EVALUATIONS, study)
    assert picture.alt.startswith("Learning curves of 1 cell. Mean at the end: missing_as_zero from ")


def test_arms_are_told_apart_without_colour() -> None:
    styles = arm_styles([f"arm {i}" for i in range(7)])
    for kind in ("dashes", "marker", "hatch", "colour"):
        assert len({getattr(style, kind) for style in styles.values()}) == 7
    assert len({dark_colour(style.colour) for style in styles.values()}) == 7


def test_many_arms_are_drawn_each_in_its_own_dashes(tmp_path: Path) -> None:
    gammas = [0.9, 0.91, 0.92, 0.93, 0.94, 0.95, 0.96, 0.97, 0.98]
    data = plan(sweep={"gamma": gammas}, compare={"factor": "gamma", "baseline": 0.9, "metric": "auc"})
    study = write_study(tmp_path, data, points=2)
    (picture,) = pictures_of(EVALUATIONS, study)
    assert {str(gamma) for gamma in gammas} <= set(texts(picture))
    assert size([picture]) < 150_000
