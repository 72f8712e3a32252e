"""The tables behind the page as CSV: beside it, and inside it where small, so that a copy alone has them too."""

from __future__ import annotations

import base64
import gzip
from collections.abc import Mapping
from dataclasses import dataclass

from reports.text import number

PLAIN_BYTES = 30_000  # carried as they are
PACKED_BYTES = 100_000  # carried packed
_MOST_BYTES = 5_000_000  # not even packed

_WHAT = {
    "comparison": "every comparison of the two studies: both verdicts, differences and intervals",
    "cells": "every comparison: verdict, difference, intervals, p-values, look, pairing, control",
    "pairs": "every pair of runs: both values of the compared metric and their difference",
    "runs": "every finished run: levels, outcome, metrics, timings",
    "forest": "the forest: verdict, difference and both intervals of every comparison",
    "curves": "evaluation curves over the budget, run by run",
    "training": "returns of training episodes over the budget, run by run",
    "time_curves": "evaluation curves over seconds of training, run by run",
    "profiles": "performance profiles with their bands",
    "survival": "Kaplan-Meier curves of the time to the threshold",
    "survival_summary": "how many runs reached the threshold, and the restricted mean time",
    "residuals": "residual of the targets by distance to the cut, and what theory says",
    "horizon": "predicted horizon beside the measured difference",
    "tuning": "every trial of the search: settings and score",
    "importances": "importance of each searched setting",
    "throughput": "speed and staleness, run by run or cell by cell",
}


@dataclass(frozen=True)
class Download:
    """One table as the page offers it.

    Attributes:
        name: its file beside the page, without ``.csv``.
        what: what it holds.
        rows: how many rows it has.
        size: how large the file is, in words.
        href: data URI of the whole file; empty where it is too large to be carried.
        file: what it is called when taken from the page: packed ones end in ``.csv.gz``.
    """

    name: str
    what: str
    rows: int
    size: str
    href: str
    file: str


def downloads(texts: Mapping[str, str], rows: Mapping[str, int]) -> list[Download]:
    """Offer tables, given as CSV by name."""
    return [_download(name, text, rows[name]) for name, text in texts.items()]


def _download(name: str, text: str, rows: int) -> Download:
    data = text.encode("utf-8", "replace")
    size = f"{number(len(data) / 1000, 0)} kB"
    href, file = "", f"{name}.csv"
    if len(data) <= PLAIN_BYTES:
        href = _uri("text/csv;charset=utf-8", data)
    elif len(data) <= _MOST_BYTES:
        packed = gzip.compress(data, mtime=0)  # without the time the same records give the same bytes
        if len(packed) <= PACKED_BYTES:
            href, file = _uri("application/gzip", packed), f"{name}.csv.gz"
    return Download(name, _WHAT.get(name, ""), rows, size, href, file)


def _uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"
