"""Every attempt at a run stands on disk: when it started, and how it failed if it did."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.record.attempt import (
    Failure,
    fail_attempt,
    failed_attempts,
    finish_attempt,
    last_failures,
    reset_attempt,
    start_attempt,
)
from harness.record.json_file import write_json


def failure(run: str, attempt: int, reason: str = "died") -> Failure:
    return Failure(run, "cell", "a", 0, attempt, reason, "Traceback", trial=2)


def fail(folder: Path, run: str) -> Failure:
    """Start an attempt and let it fail."""
    failed = failure(run, start_attempt(folder, run))
    fail_attempt(folder, failed)
    return failed


def test_failed_attempts_of_every_run_are_kept_with_their_times(tmp_path: Path) -> None:
    failed = [fail(tmp_path, run) for run in ("a", "b", "a")]
    assert start_attempt(tmp_path, "a") == 3
    finish_attempt(tmp_path, "a", 3)
    assert start_attempt(tmp_path, "c") == 1
    found = failed_attempts(tmp_path)
    assert found == [failed[0], failed[2], failed[1]]
    for one in found:
        assert one.started is not None
        assert one.ended is not None
        assert one.started <= one.ended


def test_the_last_failure_counts_until_the_run_has_finished(tmp_path: Path) -> None:
    fail(tmp_path, "a")
    last = fail(tmp_path, "a")
    assert last_failures(tmp_path, frozenset()) == ({"a": last}, ())
    assert start_attempt(tmp_path, "a") == 3
    assert last_failures(tmp_path, frozenset()) == ({"a": last}, ()), "nothing came of the third attempt yet"
    assert last_failures(tmp_path, {"a"}) == ({}, ()), "its record is on disk"
    finish_attempt(tmp_path, "a", 3)
    assert last_failures(tmp_path, frozenset()) == ({}, ()), "its record was lost"
    again = fail(tmp_path, "a")
    assert (again.attempt, last_failures(tmp_path, frozenset())) == (4, ({"a": again}, ()))


@pytest.mark.fault(10, "the note of a failed attempt is torn: its number is not given again")
@pytest.mark.parametrize(
    "content", ['{"started": 1.0, "reason": "di', '{"started": 1.0, "reason": "died"}', "5", "[]", ""]
)
def test_a_torn_attempt_is_named_keeps_its_number_and_hides_none_before_it(tmp_path: Path, content: str) -> None:
    first = fail(tmp_path, "a")
    fail(tmp_path, "a")
    torn = tmp_path / "attempts" / "a" / "2.json"
    torn.write_text(content, encoding="utf-8")
    failures, damaged = last_failures(tmp_path, frozenset())
    assert failures == {"a": first}
    (what,) = damaged
    assert what.startswith(f"{torn} is damaged: ")
    assert failed_attempts(tmp_path) == [first]
    reset_attempt(torn)
    assert last_failures(tmp_path, frozenset()) == ({"a": first}, ())
    assert start_attempt(tmp_path, "a") == 3


@pytest.mark.parametrize("count", ["4", "torn", None])
def test_attempts_of_earlier_versions_count_as_far_as_they_can_be_read(tmp_path: Path, count: str | None) -> None:
    (tmp_path / "attempts").mkdir()
    (tmp_path / "failures").mkdir()
    if count is not None:
        (tmp_path / "attempts" / "a.json").write_text(count, encoding="utf-8")
    before = failure("a", 3)
    body = {name: value for name, value in vars(before).items() if name not in ("started", "ended")}
    write_json(tmp_path / "failures" / "a.json", body)
    assert last_failures(tmp_path, frozenset()) == ({"a": before}, ())
    assert start_attempt(tmp_path, "a") == (5 if count == "4" else 4)
    later = failure("a", 5 if count == "4" else 4)
    fail_attempt(tmp_path, later)
    assert failed_attempts(tmp_path) == [before, later]
    assert last_failures(tmp_path, frozenset()) == ({"a": later}, ())
