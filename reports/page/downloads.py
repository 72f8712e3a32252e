"""Embed the tables behind the page in it where they are small, so that a copy of the page alone has them too."""

from __future__ import annotations

import base64
import gzip
from dataclasses import dataclass

from reports.text import number

PLAIN_BYTES = 30_000  # carried as they are
PACKED_BYTES = 100_000  # carried packed
_MOST_BYTES = 5_000_000  # not even packed


@dataclass(frozen=True)
class Download:
    """One table as the page offers it.

    Attributes:
        name: its file beside the page, without ``.csv``.
        holds: what it holds.
        rows: how many rows it has.
        size: how large the file is, in words.
        href: data URI of the whole file; empty where it is too large to be carried.
        file: what it is called when taken from the page: packed ones end in ``.csv.gz``.
    """

    name: str
    holds: str
    rows: int
    size: str
    href: str
    file: str


def offer(name: str, holds: str, text: str, rows: int) -> Download:
    """Offer a table, given as CSV: carried by the page as it is, packed, or not at all, by its size."""
    data = text.encode("utf-8", "replace")
    size = f"{number(len(data) / 1000, 0)} kB"
    href, file = "", f"{name}.csv"
    if len(data) <= PLAIN_BYTES:
        href = _uri("text/csv;charset=utf-8", data)
    elif len(data) <= _MOST_BYTES:
        packed = gzip.compress(data, mtime=0)  # without the time the same records give the same bytes
        if len(packed) <= PACKED_BYTES:
            href, file = _uri("application/gzip", packed), f"{name}.csv.gz"
    return Download(name, holds, rows, size, href, file)


def _uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"
