"""Arrange cells on a grid: columns, rows, and one panel for every combination of the other factors."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

from harness.record.study import Study
from harness.study.names import label
from harness.study.spec import Factor
from reports.text import show


@dataclass(frozen=True)
class Place:
    """The content of a field of a panel: a cell of its own, or one that stands for this combination too."""

    cell: str
    alias: bool


@dataclass(frozen=True)
class Panel:
    """One grid: the fields by (row, column), and the levels that all of them share."""

    title: str
    places: Mapping[tuple[str, str], Place]


@dataclass(frozen=True)
class Layout:
    """The study's cells arranged.

    Attributes:
        column: the factor across; empty if there is none.
        columns: its levels as text.
        row: the factor down; empty if there is none.
        rows: its levels as text.
        panels: one for every combination of the other factors' levels that was planned.
    """

    column: str
    columns: tuple[str, ...]
    row: str
    rows: tuple[str, ...]
    panels: tuple[Panel, ...]

    def field_name(self, row: str, column: str) -> str:
        """Name a field by its two levels."""
        parts = ((self.column, column), (self.row, row))
        return " · ".join(f"{show(name, 20)} {show(level, 20)}" for name, level in parts if name)


def arrange(study: Study) -> Layout:
    """Put ``n_step`` across and ``workers`` down if both are swept, else the two factors with most levels."""
    factors = [
        factor for factor in study.spec.sweep if factor.name != study.spec.compare.factor and len(factor.levels) > 1
    ]
    column, row = _axes(factors)
    others = [factor for factor in factors if factor not in (column, row)]
    places = _places(study)
    panels = []
    for combination in itertools.product(*(factor.values for factor in others)):
        shared = {factor.name: label(value) for factor, value in zip(others, combination, strict=True)}
        fields = {
            (levels[row.name] if row else "", levels[column.name] if column else ""): place
            for levels, place in places
            if all(levels[name] == value for name, value in shared.items())
        }
        title = " · ".join(f"{show(name, 30)} {show(value, 30)}" for name, value in shared.items())
        if fields:
            panels.append(Panel(title, fields))
    return Layout(
        column=column.name if column else "",
        columns=_labels(column),
        row=row.name if row else "",
        rows=_labels(row),
        panels=tuple(panels),
    )


def _axes(factors: list[Factor]) -> tuple[Factor | None, Factor | None]:
    named = {factor.name: factor for factor in factors}
    if {"n_step", "workers"} <= named.keys():
        return named["n_step"], named["workers"]
    first, second, *_ = [*sorted(factors, key=lambda factor: -len(factor.levels)), None, None]
    return first, second


def _labels(factor: Factor | None) -> tuple[str, ...]:
    return tuple(label(value) for value in factor.values) if factor else ("",)


def _places(study: Study) -> list[tuple[dict[str, str], Place]]:
    own = [(cell.levels, Place(cell.id, alias=False)) for cell in study.cells]
    stand_ins = [(alias.levels, Place(alias.cell, alias=True)) for alias in study.aliases]
    return [({name: label(value) for name, value in levels.items()}, place) for levels, place in own + stand_ins]
