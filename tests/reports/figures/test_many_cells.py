"""A study too large to be shown whole: what the page leaves out it says, and the tables beside it hold everything."""

from __future__ import annotations

import base64
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from harness.algorithm.output import RunOutput
from harness.record.run import write_record
from harness.record.study import load_study
from harness.study.checks import parse_spec
from harness.study.design import expand
from reports import write_report
from reports.figures.differences import CELLS
from reports.figures.forest import FOREST
from reports.figures.learning import EVALUATIONS, TRAINING
from reports.figures.thinning import MAX_POINTS, Thinning
from studies import A3C
from tests.harness.lab import read_json
from tests.reports import many_runs
from tests.reports.drawn import draw_only
from tests.reports.synthetic import plan, write_study

SHOWN, KEPT = 4, 25
TARGETS = ["missing_as_zero", "max_terms"]


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a study of 32 cells, half of them vacuous, with a report that shows few."""
    folder = tmp_path_factory.mktemp("large") / "study"
    data = many_runs.shaped("wide", seeds=5)
    regimes = {name: many_runs.REGIMES[name] for name in ("t20", "episode")}
    sweep = {"workers": [1, 2, 3, 4], "n_step": [1, 2, 4, 8], "regime": regimes, "target": TARGETS}
    many_runs.write_many(folder, {**data, "sweep": sweep})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("reports.figures.selection.CELLS_CHOSEN", SHOWN)
        patch.setattr("reports.page.rendering.ROWS_KEPT", KEPT)
        patch.setattr("reports.figures.selection.CELLS_SHOWN", 30)
        patch.setattr("reports.page.rendering.CELLS_SHOWN", 15)  # more controls than that are folded
        draw_only(patch, CELLS, FOREST, EVALUATIONS, TRAINING)
        write_report(load_study(folder))
    return folder


@pytest.fixture(scope="module")
def sections(large: Path) -> dict[str, str]:
    page = (large / "report.html").read_text()
    return {part.split('"')[0]: part for part in page.split('<section id="')[1:]}


@pytest.fixture(scope="module")
def cells(large: Path) -> pd.DataFrame:
    return pd.read_csv(large / "tables" / "cells.csv")


def rows_of(table: str) -> list[list[str]]:
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", table.split("<tbody>")[1], re.DOTALL)
    return [
        [re.sub("<[^>]*>", "", field) for field in re.findall(r"<t[dh].*?</t[dh]>", row, re.DOTALL)] for row in rows
    ]


def drawings(section: str) -> list[ET.Element]:
    found = re.findall(r'<img src="data:image/svg\+xml;base64,([^"]*)"', section)
    return [ET.fromstring(base64.b64decode(image)) for image in found]  # noqa: S314 - our own drawing


def expected_first(cells: pd.DataFrame) -> pd.DataFrame:
    known = cells[cells["state"] == "compared"]
    order = pd.DataFrame(
        {"clear": (known["low"] > 0) | (known["high"] < 0), "size": known["difference"].abs()}, index=known.index
    )
    return known.loc[order.sort_values(["clear", "size"], ascending=False).index].head(SHOWN)


def test_the_clearest_differences_are_shown_and_the_others_said_to_be_left_out(
    sections: dict[str, str], cells: pd.DataFrame
) -> None:
    first = expected_first(cells)
    shown, _, all_of_them = sections["cells"].partition("<details><summary>All ")
    expected = [[str(row.workers), str(row.n_step), row.regime] for row in first.itertuples()]
    assert [row[:3] for row in rows_of(shown)] == expected
    assert f"{SHOWN} of 32 cells: first those whose interval excludes 0" in shown
    assert all_of_them.startswith("32 cells")
    assert f"The first {KEPT} of 32 rows; all of them: " in all_of_them
    assert len(rows_of(all_of_them)) == KEPT
    for section, table in (("curves", "curves"), ("training", "training")):
        said = re.sub("<[^>]*>", "", sections[section])
        assert f"{SHOWN} of 32 cells: first those" in said
        assert f"likelier too large than too small. The others: {table}.csv." in said


def test_the_curves_drawn_are_those_of_the_cells_shown(sections: dict[str, str], cells: pd.DataFrame) -> None:
    for section in ("curves", "training"):
        drawing, *_ = drawings(sections[section])
        text = " ".join("".join(element.itertext()) for element in drawing.iter() if element.tag.endswith("}text"))
        for row in expected_first(cells).itertuples():
            assert f"workers {row.workers}, n_step {row.n_step}, regime {row.regime}" in text
        assert text.count("workers ") == SHOWN


def test_the_map_has_a_field_for_every_cell_and_a_dot_where_an_interval_excludes_zero(
    sections: dict[str, str], cells: pd.DataFrame
) -> None:
    forest, drawing = drawings(sections["differences"])
    assert "".join(forest.itertext()).count("…") + "".join(forest.itertext()).count("workers ") == SHOWN
    groups = {element.get("id", ""): element for element in drawing.iter()}
    meshes = [groups[name] for name in groups if name.startswith("QuadMesh")]
    dots = [use for name in groups if name.startswith("PathCollection") for use in groups[name].findall(".//{*}use")]
    compared = cells[cells["control"].isna()]
    assert len(meshes) == 4  # for each regime the differences and the vacuous
    assert len(dots) == ((compared["low"] > 0) | (compared["high"] < 0)).sum() > SHOWN
    assert f"full colour: {compared['difference'].abs().max():.3f}" in sections["differences"]


def test_controls_are_counted_and_folded(sections: dict[str, str], cells: pd.DataFrame) -> None:
    assert (cells["control"] == "identical").sum() == 16
    assert "All 16 rows; in 16 every pair is bit-identical" in sections["control"]


def test_the_tables_hold_every_run(large: Path) -> None:
    tables = {path.stem: pd.read_csv(path) for path in (large / "tables").iterdir()}
    assert len(tables["runs"]) == 32 * 2 * 5
    for name in ("curves", "training"):
        assert len(tables[name][["cell", "arm", "seed"]].drop_duplicates()) == 32 * 2 * 5


def test_without_differences_the_first_cells_of_the_design_are_shown(tmp_path: Path) -> None:
    sweep = {"target": TARGETS, "workers": list(range(1, 9)), "n_step": list(range(1, 9))}
    data = plan(base={"rollout_length": 20}, sweep=sweep)
    page = write_report(write_study(tmp_path, data, skip=lambda run: True)).read_text()
    assert "The first 24 of 64 cells in the order of the design." in page


def test_too_many_cells_for_a_map_are_said_to_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = {"target": TARGETS, "workers": list(range(1, 9)), "n_step": list(range(1, 9)), "gamma": [0.9, 0.99]}
    data = plan(base={"rollout_length": 20}, study={"name": "x", "seeds": 1}, sweep=sweep)
    study = write_study(tmp_path, data, skip=lambda run: run.cell.levels["n_step"] > 1, points=1)
    draw_only(monkeypatch, CELLS)
    monkeypatch.setattr("reports.figures.selection.CELLS_CHOSEN", 1)
    monkeypatch.setattr("reports.figures.overview.MAX_FIELDS", 100)
    assert "The first 1 of 2 panels are drawn." in write_report(study).read_text()
    monkeypatch.setattr("reports.figures.overview.MAX_FIELDS", 10)
    assert "128 cells are too many for a map of them." in write_report(study).read_text()


def test_a_few_seeds_stand_for_many_from_the_lowest_to_the_highest() -> None:
    seeds = np.random.default_rng(0).permutation(101)
    curves = pd.DataFrame({"cell": "c", "arm": "a", "seed": np.repeat(np.arange(101), 2), "at": [1, 2] * 101})
    curves["return"] = np.repeat(seeds.astype(float), 2)
    thinning = Thinning("return", lines=5, seeds=101, points=2)
    assert sorted(thinning.thin_seeds(curves)["return"].unique()) == [0.0, 25.0, 50.0, 75.0, 100.0]
    assert "Thin: 5 of up to 101 seeds an arm" in thinning.words
    assert Thinning("return", lines=101, seeds=101, points=2).thin_seeds(curves) is curves


def test_a_long_curve_is_drawn_at_even_points_its_ends_among_them() -> None:
    curves = pd.DataFrame({"cell": "c", "arm": "a", "seed": 0, "at": np.arange(1, 1000), "return": 0.0})
    thinning = Thinning.of(curves, "return")
    at = thinning.thin_points(curves)["at"]
    assert (len(at), at.min(), at.max()) == (MAX_POINTS, 1, 999)
    assert set(np.diff(at)) == {10, 11}
    assert thinning.words == "Thin: every seed. Curves are drawn at 100 of up to 999 points."
    short = curves.head(MAX_POINTS)
    assert thinning.thin_points(short) is short


def test_invented_runs_are_written_as_real_ones_are(tmp_path: Path) -> None:
    run = expand(parse_spec(many_runs.shaped("deep", seeds=1)), A3C).runs[0]
    output = many_runs.invent(run)
    record = many_runs.recorded(run, output)
    many_runs.write_quickly(tmp_path / "quickly", record, output)
    output.tables.update({name: pd.DataFrame(table) for name, table in output.tables.items()})
    properly = write_record(tmp_path / "runs", record, RunOutput.of(output))
    files = {path.name for path in properly.folder.iterdir()}
    assert files == {path.name for path in (tmp_path / "quickly").iterdir()}
    for name in files:
        quick, proper = tmp_path / "quickly" / name, properly.folder / name
        if name == "record.json":  # but for the digests of the others
            ours, theirs = ({k: v for k, v in read_json(path).items() if k != "files"} for path in (quick, proper))
            assert ours == theirs
        elif name.endswith(".npz"):  # however hard they were pressed
            with np.load(quick) as ours, np.load(proper) as pressed:
                assert ours.files == pressed.files
                for array in ours.files:
                    np.testing.assert_array_equal(ours[array], pressed[array])
        else:
            assert quick.read_bytes() == proper.read_bytes()
