"""A film of trained policies as the page shows it; :mod:`studies.film` makes them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Film:
    """An animated picture of each arm's trained policy, side by side.

    Attributes:
        cell: id of the cell whose runs are shown.
        gif: the file.
        alt: what is to be seen, in words.
        caption: which runs these are, and how they act.
        width: in pixels.
        height: in pixels.
    """

    cell: str
    gif: bytes
    alt: str
    caption: str
    width: int
    height: int
