"""Every fault has a test that injects it, and docs/faults.md says which."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.conftest import COLLECTED
from tests.faults.table import PAGE, ROOT, ROWS, Injection, injections, page


@pytest.fixture
def found(request: pytest.FixtureRequest) -> Sequence[Injection]:
    """What all tests inject."""
    items = request.config.stash[COLLECTED]
    if not {item.path for item in items} >= {*(ROOT / "tests").rglob("test_*.py")}:
        pytest.skip("only some of the tests were collected")
    return injections(items)


def test_every_fault_is_injected_and_only_known_ones_are(found: Sequence[Injection]) -> None:
    assert {one.row for one in found} == {*ROWS} == {*range(1, 21)}


def test_what_is_injected_is_said_in_a_phrase(found: Sequence[Injection]) -> None:
    for one in found:
        assert 3 < len(one.what) <= 160, one
        assert not one.what.endswith("."), one
        assert "|" not in one.what, one


def test_the_page_says_what_the_tests_say(found: Sequence[Injection]) -> None:
    assert PAGE.read_text(encoding="utf-8") == page(found), "write it again: python -m tests.faults.table"
