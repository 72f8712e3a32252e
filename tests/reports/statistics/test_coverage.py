"""Intervals cover and verdicts err as declared, on simulated runs with known truth.

400 replicates each, where `python -m tests.reports.simulation` takes 10,000 (docs/statistics.md). A limit L is
widened by three binomial standard errors, 3·√(L(1 − L)/400): what lies exactly at its limit exceeds that one time
in 700.
"""

from __future__ import annotations

import math

import pytest

from tests.reports.simulation import (
    AT_MARGIN,
    FAMILIES,
    FAMILYWISE,
    FAMILYWISE_LIMIT,
    SIZES,
    AtMargin,
    Draw,
    Family,
    coverage,
    false_different,
    false_equivalent,
    family_wise,
)

REPLICATES = 400


def slack(limit: float) -> float:
    return 3 * math.sqrt(limit * (1 - limit) / REPLICATES)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: f"{family.group}: {family.name}")
def test_intervals_cover(family: Family) -> None:
    for n, share, (low, high) in zip(SIZES, coverage(family, REPLICATES), family.coverage, strict=True):
        assert low is None or share >= low - slack(low), f"{n} pairs"
        assert high is None or share <= high + slack(high), f"{n} pairs"


@pytest.mark.parametrize(
    "family", [f for f in FAMILIES if f.different], ids=lambda family: f"{family.group}: {family.name}"
)
def test_arms_that_are_the_same_are_seldom_called_different(family: Family) -> None:
    assert family.different is not None
    assert false_different(family, REPLICATES) <= family.different + slack(family.different)


@pytest.mark.parametrize("case", AT_MARGIN, ids=lambda case: case.name)
def test_arms_a_margin_apart_are_seldom_called_equivalent(case: AtMargin) -> None:
    assert false_equivalent(case, REPLICATES) <= case.limit + slack(case.limit)


@pytest.mark.parametrize(
    ("name", "draw", "real"), FAMILYWISE[:2], ids=lambda given: given if isinstance(given, str) else None
)
def test_a_family_of_cells_seldom_errs_anywhere(name: str, draw: Draw, real: int) -> None:
    assert family_wise(name, draw, real, REPLICATES) <= FAMILYWISE_LIMIT + slack(FAMILYWISE_LIMIT)
