"""Encode episodes as an animated GIF: panels side by side, each with its title and running return."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reports.text import show

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image
    from PIL.ImageFont import FreeTypeFont

MOST_BYTES = 700_000
FRAME_MILLISECONDS = 70  # GIF counts in hundredths of a second
MOST_FRAMES = 75
HOLD_MILLISECONDS = 750  # on the last frame
MOST_COLUMNS = 4
MOST_LETTERS = 60
# Width of a panel in pixels, colours, frames: the first that makes a file small enough is taken.
SIZES = ((300, 64, MOST_FRAMES), (240, 32, MOST_FRAMES), (180, 32, 50), (140, 16, 36))

_INK, _MUTED, _PAPER = (32, 32, 32), (96, 96, 96), (255, 255, 255)
_GAP = 8
_FADED = 0.6  # how far the panel of an episode that is over fades into the paper


@dataclass(frozen=True)
class Episode:
    """An episode of a policy.

    Attributes:
        title: what is written above it.
        frames: the environment as drawn before each step, and at the end; one more than there are rewards.
        rewards: one a step.
        ending: how it ended, in a word or two.
    """

    title: str
    frames: Sequence[Image]
    rewards: Sequence[float]
    ending: str

    @property
    def steps(self) -> int:
        """Length of the episode."""
        return len(self.rewards)


@dataclass(frozen=True)
class Animation:
    """A GIF, its size in pixels, and how many steps lie between two of its frames."""

    gif: bytes
    width: int
    height: int
    stride: int


def shrunk(frame: NDArray[np.uint8]) -> Image:
    """Return a frame ``[h, w, 3]``, or one of grey or with opacity, at the largest width that is drawn."""
    from PIL import Image

    return _to_width(Image.fromarray(frame).convert("RGB"), SIZES[0][0])


def animate(episodes: Sequence[Episode]) -> Animation | None:
    """Draw episodes side by side, whole, at an even pace; one that is over stays on its last frame.

    Returns:
        None if even the smallest is larger than :data:`MOST_BYTES`.
    """
    longest = max(episode.steps for episode in episodes)
    for width, colours, most in SIZES:
        stride = max(1, math.ceil(longest / (most - 1)))
        times = [*range(0, longest, stride), longest]
        pictures = [_picture(episodes, time, width) for time in times]
        gif = _encoded(pictures, colours)
        if len(gif) <= MOST_BYTES:
            return Animation(gif, *pictures[0].size, stride)
    return None


def _picture(episodes: Sequence[Episode], time: int, width: int) -> Image:
    """Draw all episodes as they stand after ``time`` steps."""
    from PIL import Image

    panels = [_panel(episode, time, width) for episode in episodes]
    columns = min(MOST_COLUMNS, len(panels))
    rows = math.ceil(len(panels) / columns)
    wide, high = panels[0].width, max(panel.height for panel in panels)
    size = (columns * (wide + _GAP) + _GAP, rows * (high + _GAP) + _GAP)
    picture = Image.new("RGB", size, _PAPER)
    for place, panel in enumerate(panels):
        row, column = divmod(place, columns)
        picture.paste(panel, (_GAP + column * (wide + _GAP), _GAP + row * (high + _GAP)))
    return picture


def _panel(episode: Episode, time: int, width: int) -> Image:
    from PIL import Image, ImageDraw

    at = min(time, episode.steps)
    over = time >= episode.steps
    frame = _to_width(episode.frames[at], width)
    if over:
        frame = Image.blend(frame, Image.new("RGB", frame.size, _PAPER), _FADED)
    bold, plain = _font(width // 20, bold=True), _font(width // 20)
    line = round(1.4 * bold.size)
    panel = Image.new("RGB", (width, frame.height + 2 * line), _PAPER)
    panel.paste(frame, (0, 2 * line))
    draw = ImageDraw.Draw(panel)
    draw.text((0, 0), _fitting(episode.title, bold, width), _INK, bold)
    total = f"return {sum(episode.rewards[:at]):.6g}"
    what = f"{total}, {episode.ending} at step {at}" if over else f"{total}, step {at}"
    draw.text((0, line), _fitting(what, plain, width), _INK if over else _MUTED, plain)
    draw.rectangle((0, 2 * line, width - 1, panel.height - 1), outline=_MUTED)
    return panel


def _to_width(frame: Image, width: int) -> Image:
    from PIL import Image

    if frame.width == width:
        return frame
    return frame.resize((width, max(1, round(frame.height * width / frame.width))), Image.Resampling.BOX)


def _font(size: int, *, bold: bool = False) -> FreeTypeFont:
    """Return the font of the report's figures: matplotlib brings it, the same on every machine."""
    import matplotlib as mpl
    from PIL import ImageFont

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(Path(mpl.get_data_path()) / "fonts" / "ttf" / name, size)


def _fitting(text: str, font: FreeTypeFont, width: int) -> str:
    """Cut a text so that it is no wider than ``width`` pixels."""
    for limit in range(min(len(text), MOST_LETTERS), 1, -1):
        if font.getlength(show(text, limit)) <= width:
            return show(text, limit)
    return ""


def _encoded(pictures: Sequence[Image], colours: int) -> bytes:
    """Write a GIF that runs for ever, all of whose frames share one palette."""
    from PIL import Image

    sample = [pictures[len(pictures) * k // 4] for k in range(4)] + [pictures[-1]]
    sheet = Image.new("RGB", (sample[0].width, sample[0].height * len(sample)))
    for place, picture in enumerate(sample):
        sheet.paste(picture, (0, place * picture.height))
    palette = sheet.quantize(colours, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    first, *rest = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]
    file = io.BytesIO()
    options: dict[str, Any] = {"save_all": True, "append_images": rest, "loop": 0, "optimize": False}
    durations = [FRAME_MILLISECONDS] * len(rest) + [HOLD_MILLISECONDS]
    first.save(file, "GIF", duration=durations, **options)
    return file.getvalue()
