from __future__ import annotations

from pathlib import Path
from typing import Any

from reports.figures.layout import Layout, arrange
from tests.reports.synthetic import plan, write_study

TARGETS = ["missing_as_zero", "max_terms"]


def layout_of(tmp_path: Path, sweep: dict[str, Any]) -> Layout:
    return arrange(write_study(tmp_path, plan(sweep={"target": TARGETS, **sweep}), skip=lambda run: True))


def test_n_step_runs_across_and_workers_down_with_a_panel_for_each_rollout_length(tmp_path: Path) -> None:
    layout = layout_of(tmp_path, {"workers": [1, 4, 16], "rollout_length": [5, "episode"], "n_step": [1, 5]})
    assert (layout.column, layout.columns) == ("n_step", ("1", "5"))
    assert (layout.row, layout.rows) == ("workers", ("1", "4", "16"))
    assert [panel.title for panel in layout.panels] == ["rollout_length 5", "rollout_length episode"]
    assert all(len(panel.places) == 6 for panel in layout.panels)


def test_an_alias_takes_the_place_of_the_cell_that_stands_for_it(tmp_path: Path) -> None:
    layout = layout_of(tmp_path, {"workers": [1, 4], "rollout_length": [5, 20], "n_step": [5, 15]})
    places = layout.panels[0].places
    assert not places["1", "5"].alias
    assert places["1", "15"].alias
    assert places["1", "15"].cell == places["1", "5"].cell
    assert not any(place.alias for place in layout.panels[1].places.values())


def test_other_factors_are_placed_by_their_number_of_levels(tmp_path: Path) -> None:
    layout = layout_of(tmp_path, {"gamma": [0.9, 0.99], "learning_rate": [1e-3, 1e-2, 1e-1], "schedule": ["free"]})
    assert (layout.column, layout.row) == ("learning_rate", "gamma")
    assert [panel.title for panel in layout.panels] == [""]


def test_one_factor_is_one_row_and_none_is_one_field(tmp_path: Path) -> None:
    one = layout_of(tmp_path / "one", {"gamma": [0.9, 0.99]})
    assert (one.columns, one.row, one.rows) == (("0.9", "0.99"), "", ("",))
    none = layout_of(tmp_path / "none", {})
    assert list(none.panels[0].places) == [("", "")]


def test_composite_factors_are_placed_by_their_names(tmp_path: Path) -> None:
    regime = {"cut": {"rollout_length": 20}, "whole": {"rollout_length": "episode"}}
    layout = layout_of(tmp_path, {"regime": regime, "workers": [1, 4], "n_step": [1, 5]})
    assert [panel.title for panel in layout.panels] == ["regime cut", "regime whole"]
