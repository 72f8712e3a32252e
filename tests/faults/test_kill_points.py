"""Row 2: the parent is killed at a write, at every write, and the same command goes on as if it had not been."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.faults.programs import what_came
from tests.harness.lab import DATABASES

pytestmark = DATABASES

EARLY_AND_LATE = ["failure and divergence:7", "search:415"]  # of 365 writes, and of 490
KINDS = {"open", "write", "fsync", "rename", "remove", "mkdir", "commit", "committed"}


def killed(place: Path, blank: Path, *deaths: str) -> list[dict[str, Any]]:
    """Kill studies there; return what came of each, having shown what was wrong."""
    program = "tests.faults.kill_points"
    told, _ = what_came(
        program, str(place), str(blank), *deaths, show=lambda death: f"{death['died']}, before {death['before']}"
    )
    return told


@pytest.mark.fault(2, "SIGKILL of the parent at an early write of a study, and at a late one (every write: below)")
def test_a_study_killed_at_a_write_goes_on(tmp_path: Path, blank_databases: Path) -> None:
    told = killed(tmp_path, blank_databases, *EARLY_AND_LATE)
    assert [death["died"] for death in told] == EARLY_AND_LATE


@pytest.mark.slow
@pytest.mark.parametrize(
    "series",
    [
        pytest.param(name, marks=pytest.mark.fault(2, f"SIGKILL of the parent at every write of a study {what}"))
        for name, what in (
            ("failure and divergence", "with a run that is retried and one that diverges"),
            ("looks", "that looks twice"),
            ("search", "that searches settings"),
            ("from nothing", "that makes its databases"),
        )
    ],
)
def test_a_study_killed_at_every_write_goes_on(tmp_path: Path, blank_databases: Path, series: str) -> None:
    told = killed(tmp_path, blank_databases, f"{series}:1+1")
    points = Counter(death["before"] for death in told)
    print(f"{series}: {len(told)} writes: {dict(points)}")
    assert [death["died"] for death in told] == [f"{series}:{k + 1}" for k in range(told[0]["points"])]
    assert points.keys() >= (KINDS - {"rename"} | {"link"} if series == "from nothing" else KINDS)


@pytest.mark.slow
@pytest.mark.fault(2, "SIGKILL of the parent at a write, and again at every 7th write of the resume")
@pytest.mark.parametrize("first", [("failure and divergence", 160), ("looks", 250), ("search", 200)])
def test_a_resume_killed_at_a_write_goes_on(tmp_path: Path, blank_databases: Path, first: tuple[str, int]) -> None:
    series, point = first
    told = killed(tmp_path, blank_databases, f"{series}:{point}/1+7")
    assert len(told) > 20
