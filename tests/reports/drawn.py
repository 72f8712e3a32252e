"""What the tests of figures share: pictures taken apart, and comparisons judged by hand."""

from __future__ import annotations

import base64
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from harness.record.study import Study
from reports.comparison.cells import Comparison, compare_cells
from reports.figures.catalogue import CATALOGUE
from reports.figures.exhibit import Exhibit
from reports.figures.findings import find
from reports.figures.style import Picture
from reports.page import report
from reports.statistics.intervals import Estimate
from reports.statistics.verdicts import Judgement, Verdict


def draw_only(monkeypatch: pytest.MonkeyPatch, *shown: Exhibit, more: Sequence[Exhibit] = ()) -> None:
    """Let pages show these figures alone, and ``more`` after them; of the rest they hold tables and words as ever."""
    kept = [exhibit if exhibit in shown else replace(exhibit, figure=None) for exhibit in CATALOGUE]
    monkeypatch.setattr(report, "CATALOGUE", (*kept, *more))


def table_of(exhibit: Exhibit, study: Study, comparisons: Sequence[Any] = ()) -> pd.DataFrame:
    """The table of a figure."""
    return exhibit.table(find(study, comparisons))


def pictures_of(exhibit: Exhibit, study: Study, comparisons: Sequence[Any] = ()) -> Sequence[Picture]:
    """The pictures of a figure."""
    findings = find(study, comparisons)
    assert exhibit.figure is not None
    return exhibit.figure(exhibit.table(findings), findings)


def finding_of(exhibit: Exhibit, study: Study, comparisons: Sequence[Any] = ()) -> str:
    """The sentences beside a figure."""
    findings = find(study, comparisons)
    assert exhibit.words is not None
    return exhibit.words(exhibit.table(findings), findings).finding


def svg(picture: Picture, *, dark: bool = False) -> ET.Element:
    """The drawing of a picture, checked to be an image that stands alone."""
    uri = picture.dark if dark else picture.light
    text = base64.b64decode(uri.removeprefix("data:image/svg+xml;base64,")).decode()
    assert "<script" not in text
    root = ET.fromstring(text)  # noqa: S314 - our own drawing
    assert root.tag.endswith("svg")
    return root


def texts(picture: Picture) -> list[str]:
    """The words in a picture, one string a text element."""
    return ["".join(element.itertext()) for element in svg(picture).iter() if element.tag.endswith("}text")]


def size(pictures: Sequence[Picture]) -> int:
    """Bytes that pictures add to a page, each with its dark twin."""
    return sum(len(picture.light) + len(picture.dark) for picture in pictures)


def judgement(
    verdict: Verdict,
    mean: float | None = None,
    half: float | None = None,
    *,
    wide: float | None = None,
    better: bool | None = None,
    negligible: bool = False,
) -> Judgement:
    """A judgement with an interval of ±half about the mean, and one of ±wide for all rows together."""

    def estimate(reach: float | None, level: float) -> Estimate:
        if mean is None or reach is None:
            return Estimate(0 if mean is None else 10, level, mean)
        return Estimate(10, level, mean, mean - reach, mean + reach)

    return Judgement(
        verdict=verdict,
        look=1,
        final=True,
        candidate_better=better,
        negligible=negligible,
        estimate=estimate(half, 0.95),
        simultaneous=estimate(wide, 0.995),
        p_different=None,
        p_equivalent=None,
        adjusted_different=None,
        adjusted_equivalent=None,
        nominal=0.05,
        more_pairs=None,
        reason="",
    )


def judged(study: Study, given: Sequence[Judgement] | None = None) -> list[Any]:
    """The study's comparisons with judgements of the test's own; by default what their intervals say at first sight."""
    comparisons = compare_cells(study)
    return [
        SimpleNamespace(
            cell=c.cell, baseline=c.baseline, candidate=c.candidate, control=c.control, estimate=c.estimate, judgement=j
        )
        for c, j in zip(comparisons, given or [first_sight(c) for c in comparisons], strict=True)
    ]


def first_sight(comparison: Comparison) -> Judgement:
    estimate = comparison.estimate
    if comparison.control:
        return judgement(Verdict.VACUOUS)
    if estimate.mean is None or estimate.low is None or estimate.high is None:
        return judgement(Verdict.NONE, estimate.mean)
    half = estimate.high - estimate.mean
    verdict = Verdict.DIFFERENT if estimate.side else Verdict.UNDECIDED
    return judgement(verdict, estimate.mean, half, wide=1.6 * half, better=estimate.side > 0 if estimate.side else None)
