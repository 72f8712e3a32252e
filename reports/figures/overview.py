"""Hundreds of paired differences on one screen: the heatmaps as small multiples, colours and no numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from reports.comparison.cells import Comparison
from reports.figures.findings import Findings
from reports.figures.heatmap import comparisons_of, map_alt, shade, shade_limit, versus
from reports.figures.layout import Layout, Panel
from reports.figures.style import FAINT, INK, Picture, better_or_worse, drawing, new_figure, picture
from reports.text import show, wrapped

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_FIELDS = 2000  # about a megabyte
MAX_PANELS = 60
_WIDTH = 11.0
_MAX_HEIGHT = 14.0
_FIELD = (0.38, 0.26)
_MIN_PANEL = 1.6
_LETTER = 0.066  # inches
_AROUND = (0.35, 0.45)  # inches a panel takes besides its fields


def drawn_panels(layout: Layout) -> list[Panel]:
    """Return the first panels, as many as a page can hold; none where the first alone is too large."""
    fields, panels = 0, []
    for panel in layout.panels[:MAX_PANELS]:
        fields += len(panel.places)
        if fields > MAX_FIELDS:
            break
        panels.append(panel)
    return panels


def overview(findings: Findings) -> list[Picture]:
    """Draw sign and size of every paired difference, with a dot where its interval excludes 0: a map a candidate."""
    layout, study = findings.layout, findings.study
    panels, limit = drawn_panels(layout), shade_limit(findings.comparisons)
    shown = sorted({place.cell for panel in panels for place in panel.places.values()})
    pictures = []
    for candidate in study.arms[1:] if panels else ():
        if found := comparisons_of(findings, candidate):
            with drawing():
                figure = _draw(layout, panels, found, limit, study.spec.compare.higher_is_better)
                pictures.append(picture(figure, versus(study, candidate), map_alt([found[cell] for cell in shown])))
    return pictures


def _draw(
    layout: Layout, panels: Sequence[Panel], found: Mapping[str, Comparison], limit: float, higher_is_better: bool
) -> Figure:
    wide = max(_MIN_PANEL, min(len(layout.columns) * _FIELD[0], _WIDTH - 1.0))
    high = min(len(layout.rows) * _FIELD[1], _MAX_HEIGHT)
    pitch = wide + _AROUND[0]
    scale = min(1.0, wide / len(layout.columns) / _FIELD[0], high / len(layout.rows) / _FIELD[1])
    across = min(len(panels), max(1, int(_WIDTH / pitch)))
    down = math.ceil(len(panels) / across)
    figure = new_figure(across * pitch + 0.4, down * (high + _AROUND[1]) + 0.5)
    grid = figure.subplots(down, across, squeeze=False, sharex=True, sharey=True)
    for axes, panel in zip(grid.flat, panels, strict=False):
        axes.set_title(wrapped(panel.title, int(wide / _LETTER)), fontsize=9, loc="left")
        _draw_panel(axes, layout, panel, found, limit, higher_is_better, scale)
    grid[0, 0].invert_yaxis()
    for place, axes in enumerate(grid.flat):
        axes.set_visible(place < len(panels))
        axes.tick_params(labelbottom=place + across >= len(panels))
    _name_levels(grid[0, 0], layout, wide, high)
    figure.supxlabel(show(layout.column, 40), fontsize=10)
    figure.supylabel(show(layout.row, 40), fontsize=10)
    return figure


def _draw_panel(
    axes: Axes,
    layout: Layout,
    panel: Panel,
    found: Mapping[str, Comparison],
    limit: float,
    higher_is_better: bool,
    scale: float,
) -> None:
    """Draw one map; ``scale`` shrinks its lines and dots with its fields."""
    from matplotlib.colors import ListedColormap, to_rgba

    places = [[panel.places.get((row, column)) for column in layout.columns] for row in layout.rows]
    fields = [[found[place.cell] if place else None for place in row] for row in places]
    edges: dict[str, Any] = {"edgecolors": FAINT, "linewidth": 0.6 * scale**2}
    axes.grid(False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelsize=8)
    shades = [[shade(field, higher_is_better) for field in row] for row in fields]
    axes.pcolormesh(_masked(shades), cmap=better_or_worse(), vmin=-limit, vmax=limit, **edges)
    vacuous = [[1.0 if field and field.control else math.nan for field in row] for row in fields]
    axes.pcolormesh(_masked(vacuous), cmap=ListedColormap([to_rgba(FAINT, 0.45)]), **edges)
    clear = [
        (x + 0.5, y + 0.5)
        for y, row in enumerate(fields)
        for x, field in enumerate(row)
        if field and field.control is None and field.estimate.side
    ]
    axes.scatter([x for x, _ in clear], [y for _, y in clear], s=max(0.3, 5 * scale**2), color=INK, linewidths=0)


def _masked(table: Sequence[Sequence[float]]) -> Any:
    import numpy as np

    return np.ma.masked_invalid(np.array(table))


def _name_levels(axes: Axes, layout: Layout, wide: float, high: float) -> None:
    """Write as many levels beside the fields as there is room for."""
    columns = [show(column, 8) for column in layout.columns]
    rows = [show(row, 14) for row in layout.rows]
    step_x = math.ceil(len(columns) * _LETTER * (max(map(len, columns)) + 1) / wide)
    step_y = math.ceil(len(rows) * 0.14 / high)
    axes.set_xticks([x + 0.5 for x in range(len(columns))][::step_x], columns[::step_x])
    axes.set_yticks([y + 0.5 for y in range(len(rows))][::step_y], rows[::step_y])
