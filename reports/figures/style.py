"""The style of figures, and their conversion to images inside the page.

A figure is drawn once, in the colours for a light page, on a transparent ground. The image for a dark page is the
same drawing with every colour exchanged (:data:`_DARK`).
"""

from __future__ import annotations

import base64
import io
import math
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.ticker import EngFormatter

INK = "#1f2429"
MUTED = "#68717b"
FAINT = "#d3d8de"
PAPER = "#ffffff"  # the page itself: what a hollow marker is filled with
BASELINE = "#b45309"
CANDIDATES = ("#1068b3", "#117a65", "#8b4fb0", "#a33a5e", "#5b6b1f", "#4a4f9c")
SERIES = ("#117a65", "#8b4fb0", "#a33a5e", "#5b6b1f", "#4a4f9c", "#68717b")

_DARK = {
    INK: "#e8eaed",
    MUTED: "#9aa4ae",
    FAINT: "#3a424b",
    PAPER: "#14181c",
    BASELINE: "#f0a04b",
    "#1068b3": "#63b3f4",
    "#117a65": "#4cc3a5",
    "#8b4fb0": "#c792ea",
    "#a33a5e": "#f28ba8",
    "#5b6b1f": "#b9cc5c",
    "#4a4f9c": "#a3a8f5",
}
# Arms differ by more than colour, for those who see few and for print: dashes of lines, markers, hatches of bars.
_DASHES: tuple[tuple[float, ...], ...] = (
    (),
    (5, 1.5),  # the baseline shows through the gaps of a candidate that lies on top of it
    (1.3, 1.3),
    (7, 1.5, 1.3, 1.5),
    (9, 3),
    (3, 1.2, 1.2, 1.2, 1.2, 1.2),
    (2.5, 4),
)
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_HATCHES = ("", "////", "....", "\\\\\\\\", "xxxx", "----", "oo")
_FONTS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', 'DejaVu Sans', sans-serif"
_PATH = re.compile(r' d="[^"]*"')
_DECIMALS = re.compile(r"(\.\d)\d+")
_BETWEEN_TAGS = re.compile(r">\s+<")
_PIXELS_PER_INCH = 96


@dataclass(frozen=True)
class Picture:
    """One figure as the page shows it.

    Attributes:
        title: what distinguishes it from the other pictures of its section; may be empty.
        alt: the finding in words.
        light: data URI of the image for a light page.
        dark: data URI of the image for a dark page.
        width: natural width in CSS pixels.
        height: natural height in CSS pixels.
    """

    title: str
    alt: str
    light: str
    dark: str
    width: int
    height: int


@dataclass(frozen=True)
class Style:
    """Colour and shapes of one arm, or of one series.

    Attributes:
        colour: of lines, markers and bars.
        dashes: lengths of strokes and gaps in line widths; empty for a line without gaps.
        marker: matplotlib's name of the marker.
        hatch: matplotlib's name of the hatch of a bar.
    """

    colour: str
    dashes: tuple[float, ...]
    marker: str
    hatch: str

    @property
    def line(self) -> Any:
        """The dashes as matplotlib's ``linestyle``."""
        return (0, self.dashes) if self.dashes else "-"


def arm_styles(arms: Sequence[str]) -> dict[str, Style]:
    """Return each arm's style, the same in every figure."""
    return styles(arm_colours(arms))


def styles(colours: Mapping[str, str]) -> dict[str, Style]:
    """Return each coloured thing's style: dashes, marker and hatch of its own."""
    return {
        name: Style(colour, _DASHES[i % len(_DASHES)], _MARKERS[i % len(_MARKERS)], _HATCHES[i % len(_HATCHES)])
        for i, (name, colour) in enumerate(colours.items())
    }


def arm_colours(arms: Sequence[str]) -> dict[str, str]:
    """Return each arm's colour, the same in every figure: the baseline orange, candidates from blue on."""
    return {arm: CANDIDATES[(i - 1) % len(CANDIDATES)] if i else BASELINE for i, arm in enumerate(arms)}


def dark_colour(colour: str) -> str:
    """Return the colour of a dark page that replaces one of this module's."""
    return _DARK[colour]


def better_or_worse() -> LinearSegmentedColormap:
    """Return the heatmap's colours: from the baseline's over nothing at all to the candidate's.

    The middle is transparent, so that the map sits on a light page as on a dark one.
    """
    from matplotlib.colors import LinearSegmentedColormap, to_rgba

    return LinearSegmentedColormap.from_list(
        "better_or_worse",
        [
            (0.0, to_rgba(BASELINE, 0.6)),
            (0.5, to_rgba(BASELINE, 0.0)),
            (0.5, to_rgba(CANDIDATES[0], 0.0)),
            (1.0, to_rgba(CANDIDATES[0], 0.6)),
        ],
    )


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of a size in inches, with constrained layout."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def multiples(
    number: int, across: int, width: float, height: float, *, sharex: bool = False
) -> tuple[Figure, list[Axes]]:
    """Return a figure and its axes in rows of ``across``, all on one scale; blank what is left of the last."""
    figure = new_figure(width, height)
    down = math.ceil(number / across)
    grid = list(figure.subplots(down, across, squeeze=False, sharex=sharex, sharey=True).flat)
    for axes in grid[number:]:
        axes.set_axis_off()
    return figure, grid[:number]


def legend_line(**style: Any) -> Line2D:
    """Return a line that stands in a legend alone."""
    from matplotlib.lines import Line2D

    return Line2D([], [], **style)


@contextmanager
def drawing() -> Iterator[None]:
    """Draw in this page's style; leaves matplotlib's own settings as they were."""
    import matplotlib as mpl

    settings: dict[Any, Any] = {
        "axes.edgecolor": MUTED,
        "axes.facecolor": "none",
        "axes.grid": True,
        "axes.labelcolor": INK,
        "axes.labelsize": 10,
        "axes.linewidth": 0.8,
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.titlesize": 10,
        "axes.titlecolor": INK,
        "figure.facecolor": "none",
        "font.family": "sans-serif",
        "font.sans-serif": ["DejaVu Sans"],
        "font.size": 10,
        "grid.color": FAINT,
        "grid.linewidth": 0.6,
        "legend.frameon": False,
        "legend.labelcolor": INK,
        "svg.fonttype": "none",
        "svg.hashsalt": "report",
        "text.color": INK,
        # A `$` in an arm's name is a dollar sign, not mathematics.
        "text.parse_math": False,
        "xtick.color": MUTED,
        "xtick.labelcolor": INK,
        "xtick.labelsize": 9,
        "ytick.color": MUTED,
        "ytick.labelcolor": INK,
        "ytick.labelsize": 9,
    }
    with mpl.rc_context(settings), warnings.catch_warnings():
        # The viewer's fonts draw the text, so it does not matter what this machine's font lacks.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def picture(figure: Figure, title: str, alt: str) -> Picture:
    """Turn a drawn figure into images that need nothing from outside; call it inside :func:`drawing`."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    FigureCanvasSVG(figure)  # texts are measured as they will be drawn
    if figure.axes and (engine := figure.get_layout_engine()) is not None:
        engine.execute(figure)
        figure.set_layout_engine(None)  # or saving would draw everything twice, the first time for the layout alone
    buffer = io.StringIO()
    # Without dates and creator the same records give the same bytes.
    figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    svg = _compact(buffer.getvalue()).replace("'DejaVu Sans'", _FONTS)
    dark = re.sub("|".join(_DARK), lambda colour: _DARK[colour[0]], svg)
    width, height = (round(inches * _PIXELS_PER_INCH) for inches in figure.get_size_inches())
    return Picture(title, alt, _data_uri(svg), _data_uri(dark), width, height)


def thousands() -> EngFormatter:
    """Format ticks as 10k, 1.5M."""
    from matplotlib.ticker import EngFormatter

    return EngFormatter(sep="")


def _compact(svg: str) -> str:
    """Halve an SVG: tenths of a point are fine enough, and a path need not repeat its command at every point."""
    svg = _PATH.sub(lambda path: _DECIMALS.sub(r"\1", path[0].replace(" \nL ", " ").replace("\n", "")), svg)
    return _BETWEEN_TAGS.sub("><", svg)


def _data_uri(svg: str) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode("utf-8", "replace")).decode("ascii")
