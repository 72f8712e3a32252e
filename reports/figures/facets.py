"""Small multiples: every cell a facet, the arms together in it, axes shared by all.

The caller draws the content of a facet; its place, its title and the note in an empty one are made here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.record.study import Study
from reports.figures.findings import Findings
from reports.figures.layout import Layout, Panel
from reports.figures.style import (
    MUTED,
    Picture,
    arm_styles,
    drawing,
    legend_line,
    multiples,
    picture,
    thousands,
)
from reports.text import cell_name, count, show, wrapped

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

Limits = tuple[float, float]

_WIDTH = 11.0
_FACET_WIDTHS = (2.4, 3.6)
_FACET_HEIGHT = 2.1
_TITLE_LINE = 0.16  # inches a further line of a facet's title takes
_MAX_ACROSS = 4
_THOUSAND = 1000  # below, there is nothing to shorten, and seconds would be written in thousandths


@dataclass(frozen=True)
class Facet:
    """One field of a figure: a cell, or a note in its place."""

    title: str
    cell: str | None
    note: str = ""


@dataclass(frozen=True)
class Sheet:
    """One picture: its title, its facets row by row, and how many stand in a row."""

    title: str
    facets: Sequence[Facet]
    across: int


@dataclass(frozen=True)
class Frame:
    """The properties that all facets of a figure share.

    Attributes:
        x_label: what runs across, with its unit.
        y_label: what runs up, with its unit.
        x: limits of the axis across.
        y: limits of the axis up.
        missing: what stands in a facet whose cell has nothing to draw yet.
        vacuous: ids of cells to be marked as having the same targets in both arms.
    """

    x_label: str
    y_label: str
    x: Limits
    y: Limits
    missing: str
    vacuous: Collection[str] = ()


Draw = Callable[["Axes", str], None]
Describe = Callable[[Sequence[str]], str]


def facet_pictures(
    findings: Findings,
    known: Collection[str],
    frame: Frame,
    handles: Callable[[], Sequence[Line2D]],
    draw: Draw,
    shown: str,
    finding: Describe,
) -> list[Picture]:
    """Draw the selected cells; none if nothing is known of them.

    A study shown whole has a picture for every panel of its layout of which something is known, any other a single
    picture.

    Args:
        findings: the study's, with the cells to draw and where they stand.
        known: ids of the cells of which there is something to draw.
        frame: labels and limits.
        handles: makes what the legend shows.
        draw: draws a cell, given by its id, on axes.
        shown: what a picture shows, the start of its text alternative.
        finding: writes the end of that text, from the ids of the cells drawn.
    """
    pictures = []
    for sheet in _sheets(findings, known, frame.missing):
        with drawing():
            figure, grid = _grid(sheet, frame)
            for axes, facet in zip(grid, sheet.facets, strict=True):
                _fill(axes, facet, known, frame, draw)
            figure.supxlabel(frame.x_label, fontsize=10)
            figure.supylabel(frame.y_label, fontsize=10)
            put_legend(figure, handles())
            drawn = [facet.cell for facet in sheet.facets if facet.cell in known and facet.cell is not None]
            where = f" ({sheet.title})" if sheet.title else ""
            alt = f"{shown} {count(len(drawn), 'cell')}{where}. {finding(drawn)}."
            pictures.append(picture(figure, sheet.title, alt))
    return pictures


def arm_handles(study: Study, *, markers: bool = False) -> list[Line2D]:
    """Return the arms as a legend shows them: lines, or lines with the arm's marker; call inside ``drawing``."""
    return [
        legend_line(
            color=style.colour,
            linewidth=1.9,
            linestyle=style.line,
            marker=style.marker if markers else "",
            markersize=5,
            label=show(arm, 40),
        )
        for arm, style in arm_styles(study.arms).items()
    ]


def put_legend(figure: Figure, handles: Sequence[Line2D]) -> None:
    """Put a legend above a figure, in a row where it fits."""
    inches = sum(0.7 + 0.09 * len(str(handle.get_label())) for handle in handles)
    columns = len(handles) if inches < figure.get_figwidth() else 1
    figure.legend(handles=list(handles), loc="outside upper left", ncols=columns, handlelength=3.2)


def note(axes: Axes, text: str) -> None:
    """Write a few words in the middle of a facet."""
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=MUTED, fontsize=9)


def _sheets(findings: Findings, known: Collection[str], missing: str) -> list[Sheet]:
    layout, selection = findings.layout, findings.selection
    if not selection.whole:
        chosen = [cell for cell in selection.cells if cell.id in known]
        facets = [Facet(wrapped(cell_name(cell), 38), cell.id) for cell in chosen]
        return [Sheet("", facets, _MAX_ACROSS)] if chosen else []
    across = len(layout.columns) if layout.row else min(len(layout.columns), _MAX_ACROSS)
    return [
        Sheet(panel.title, _facets(findings.study, layout, panel, missing), across)
        for panel in layout.panels
        if any(place.cell in known and not place.alias for place in panel.places.values())
    ]


def _facets(study: Study, layout: Layout, panel: Panel, missing: str) -> list[Facet]:
    facets = []
    for row in layout.rows:
        for column in layout.columns:
            title, place = layout.field_name(row, column), panel.places.get((row, column))
            if place is None:
                facets.append(Facet(title, None, "not planned"))
            elif place.alias:
                standing_for = _standing_for(study, panel, layout, place.cell)
                facets.append(Facet(title, None, f"same settings as\n{standing_for}"))
            else:
                facets.append(Facet(title, place.cell, missing))
    return facets


def _standing_for(study: Study, panel: Panel, layout: Layout, cell: str) -> str:
    """Name the field of the cell that an alias stands for; a cell of another panel by all its levels."""
    for (row, column), place in panel.places.items():
        if place.cell == cell and not place.alias:
            return layout.field_name(row, column)
    return next(cell_name(kept) for kept in study.cells if kept.id == cell).replace(", ", "\n")


def _grid(sheet: Sheet, frame: Frame) -> tuple[Figure, list[Axes]]:
    """Return a figure and its axes, empty and titled, which share their limits."""
    number = len(sheet.facets)
    across = min(sheet.across, number)
    facet_width = min(max(_WIDTH / across, _FACET_WIDTHS[0]), _FACET_WIDTHS[1])
    lines = max(facet.title.count("\n") for facet in sheet.facets)
    height = -(-number // across) * (_FACET_HEIGHT + lines * _TITLE_LINE) + 0.7
    figure, grid = multiples(number, across, max(across * facet_width, 7.0) + 0.3, height, sharex=True)
    grid[0].set(xlim=frame.x, ylim=frame.y)
    if frame.x[1] >= _THOUSAND:
        grid[0].xaxis.set_major_formatter(thousands())
    for axes, facet in zip(grid, sheet.facets, strict=True):
        axes.set_title(facet.title, fontsize=10 if not lines else 9, loc="left")
    return figure, grid


def _fill(axes: Axes, facet: Facet, known: Collection[str], frame: Frame, draw: Draw) -> None:
    if facet.cell is None or facet.cell not in known:
        note(axes, facet.note)
    else:
        draw(axes, facet.cell)
        axes.set(xlabel="", ylabel="")
    if facet.cell in frame.vacuous:
        axes.text(0.98, 0.04, "same targets", transform=axes.transAxes, ha="right", color=MUTED, fontsize=9)
