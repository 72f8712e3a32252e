"""Row 9: a full disk is told in a line and tears nothing; when there is room again the study goes on."""

from __future__ import annotations

import shutil
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.faults.full_disk import PARTS, VARIANTS
from tests.faults.programs import what_came
from tests.harness.lab import DATABASES

pytestmark = DATABASES

PAGE_KIB = 4
ENOUGH_KIB = 2000


@pytest.fixture(scope="module")
def namespace() -> list[str]:
    """How to start a program that may mount a file system, which goes away with it."""
    for command in (["unshare", "--mount"], ["unshare", "--map-root-user", "--mount"]):
        mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", "/mnt"]
        if shutil.which("unshare") and subprocess.run([*command, *mount], capture_output=True).returncode == 0:
            return command
    pytest.skip("mounting a small file system is not allowed here, neither as this user nor in a user namespace")


def filled(namespace: list[str], place: Path, blank: Path, variant: str, *kib: int) -> list[dict[str, Any]]:
    """Run a study with so many KiB free (first, last, step); return how each ended, having shown what is wrong."""
    told, errors = what_came(
        "tests.faults.full_disk", str(place), str(blank), variant, *map(str, kib),
        show=lambda end: f"{end['free']} KiB free, {end['message']!r}",
        within=namespace,
    )  # fmt: skip
    assert "Traceback" not in errors, errors
    return told


WHAT = {
    "everything": "the disk with all stores is full, at every other page",
    "looks": "the disk of a study that looks twice is full, at every other page",
    "search": "the disk of a search is full, at every other page",
    "from nothing": "the disk is full when the databases are made",
    "out": "the disk of the records alone is full",
    "optuna.db": "the disk of Optuna's database alone is full",
    "mlflow.db": "the disk of MLflow's database alone is full: the study goes on, results are delivered later",
    "mlartifacts": "the disk of MLflow's artifacts alone is full: the study goes on, results are delivered later",
}


@pytest.mark.slow
@pytest.mark.parametrize("variant", [pytest.param(name, marks=pytest.mark.fault(9, WHAT[name])) for name in VARIANTS])
def test_a_disk_may_be_full_at_any_moment(
    tmp_path: Path, blank_databases: Path, namespace: list[str], variant: str
) -> None:
    step = {"from nothing": 8 * PAGE_KIB, "optuna.db": PAGE_KIB, "mlflow.db": PAGE_KIB}.get(variant, 2 * PAGE_KIB)
    told = filled(namespace, tmp_path / "place", blank_databases, variant, 0, ENOUGH_KIB, step)
    full = Counter(next(part for part in PARTS if f"/{part}" in end["message"]) for end in told[:-1])
    print(f"{variant}: {len(told)} amounts of free space; full: {dict(full)}")
    assert [end["code"] for end in told] == [3] * (len(told) - 1) + [0]
    assert len(told) > 5
    if len(VARIANTS[variant].parts) > 1:
        assert len(full) > 1
    if VARIANTS[variant].goes_on:
        assert any(end["went_on"] for end in told)
