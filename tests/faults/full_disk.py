"""A full disk: a program that runs studies where so many bytes are free, and goes on when there is room again.

``python -m tests.faults.full_disk FOLDER BLANK VARIANT FIRST LAST STEP`` mounts a small file system (so it needs a
mount namespace of its own, see :func:`tests.faults.test_disk_full.namespace`), and for each number of free KiB from
FIRST to LAST prints a line of JSON: how the command ended, and what was wrong then or after the resume. It ends early
where there is room for the whole study.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import HarnessError
from harness.commands.sync import sync_study
from harness.mirrors.databases import sqlite_url
from harness.record.run import finished_runs, read_record
from tests.faults.kill_points import (
    SERIES,
    Series,
    assert_databases_sound,
    check,
    finish,
    forked,
    prepare,
    undisturbed_study,
    warm_up,
)
from tests.harness.lab import Lab

DISK_MIB = 16
MISSING = r"(is|are) (on disk|known) and not in MLflow yet"
FULL = re.compile("No space left on device|database or disk is full")


@dataclass(frozen=True)
class Variant:
    """What lies on the disk that is full.

    Attributes:
        series: the study.
        parts: of out/, optuna.db, mlflow.db and mlartifacts/.
        goes_on: whether the study is computed to its end all the same: MLflow alone is away.
    """

    series: str
    parts: Sequence[str]
    goes_on: bool = False


PARTS = ("out", "optuna.db", "mlflow.db", "mlartifacts")
VARIANTS = {
    "everything": Variant("failure and divergence", PARTS),
    "looks": Variant("looks", PARTS),
    "search": Variant("search", PARTS),
    "from nothing": Variant("from nothing", PARTS),
    "out": Variant("failure and divergence", ["out"]),
    "optuna.db": Variant("failure and divergence", ["optuna.db"]),
    "mlflow.db": Variant("failure and divergence", ["mlflow.db"], goes_on=True),
    "mlartifacts": Variant("failure and divergence", ["mlartifacts"], goes_on=True),
}


def place(variant: Variant, folder: Path, disk: Path, blank: Path) -> Lab:
    """Prepare a study with some of its parts on the disk."""
    lab = prepare(SERIES[variant.series], folder, blank)
    for part in variant.parts:
        if (folder / part).exists():
            shutil.move(folder / part, disk / part)
    if "out" in variant.parts:
        lab.out = disk / "out"
    if "optuna.db" in variant.parts:
        lab.storage = sqlite_url(disk / "optuna.db")
    if "mlflow.db" in variant.parts:
        lab.tracking_uri = sqlite_url(disk / "mlflow.db")
    if "mlartifacts" in variant.parts:  # MLflow keeps them in the working directory
        (disk / "mlartifacts").mkdir()
        (folder / "mlartifacts").symlink_to(disk / "mlartifacts")
    return lab


def fill(disk: Path, free: int) -> Path:
    """Leave so many bytes free; return the file that takes up the rest."""
    ballast = disk / "ballast"
    room = os.statvfs(disk)
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, room.f_bavail * room.f_frsize - free)
    return ballast


def ended(lab: Lab, series: Series) -> list[Any]:
    """Run the study's commands until one ends badly; return its code and what it says."""
    try:
        finish(lab, series)
    except HarnessError as error:
        return [error.exit_code, str(error)]
    return [0, ""]


def assert_told(code: int, message: str, parts: Sequence[str]) -> None:
    """One line that says what is full."""
    assert code == 3, (code, message)
    assert len(message.splitlines()) == 1, message
    assert FULL.search(message), message
    assert any(f"/{part}" in message for part in parts), message


def assert_nothing_torn(lab: Lab) -> None:
    """Every file that has its name is whole."""
    assert_databases_sound(lab)
    folder = lab.out / "tiny"
    for path in folder.rglob("*.json"):
        if not path.name.startswith("."):
            json.loads(path.read_text(encoding="utf-8"))
    for run in finished_runs(folder / "runs"):
        record = read_record(folder / "runs" / run)
        record.curves()
        if record.outcome == "complete":
            record.table("episodes")
            record.arrays("parameters")
    page = folder / "report.html"
    assert not page.exists() or page.read_text(encoding="utf-8").endswith("</html>"), "a torn report"


def assert_went_on(message: str) -> None:
    """All was computed, and the message says that MLflow lacks some of it."""
    assert re.search(MISSING, message), message


def resume(lab: Lab, series: Series) -> None:
    """Give the same command again."""
    finish(lab, series)


def deliver(lab: Lab, series: Series) -> None:
    """Deliver what is missing, computing nothing."""
    os.chdir(lab.folder)
    sync_study(lab.out / "tiny", lab.storage, lab.tracking_uri)


def run_with(variant: Variant, free: int, folder: Path, disk: Path, blank: Path, undisturbed: Any) -> dict[str, Any]:
    """Run the study with so many KiB free, then with room."""
    series, lab = SERIES[variant.series], place(variant, folder, disk, blank)
    ballast = fill(disk, free * 1024)
    code, said = forked(lambda: ended(lab, series))
    told: dict[str, Any] = {"free": free, "code": None, "message": "", "went_on": False, "wrong": None}
    if code:
        told["wrong"] = said
        return told
    told["code"], told["message"] = json.loads(said)
    if told["code"] == 0:
        return told
    went_on = variant.goes_on and finished_runs(lab.out / "tiny" / "runs") == sorted(undisturbed["files"])
    again = deliver if went_on and free // 4 % 2 else resume
    acts = [
        lambda: assert_told(told["code"], told["message"], variant.parts),
        lambda: assert_nothing_torn(lab),
        lambda: assert_went_on(told["message"]) if went_on else None,
        lambda: ballast.unlink(),
        lambda: again(lab, series),
        lambda: check(lab, undisturbed),
    ]
    told["went_on"] = went_on
    for act in acts:
        code, said = forked(act)
        if code and told["wrong"] is None:
            told["wrong"] = said
    return told


def main(where: str, blank: str, name: str, first: str, last: str, step: str) -> int:
    variant, folder = VARIANTS[name], Path(where)
    disk = folder / "disk"
    disk.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tmpfs", str(disk)], check=True)
    warm_up(folder / "warm", Path(blank))
    _, undisturbed = undisturbed_study(SERIES[variant.series], folder / "undisturbed", Path(blank))
    for free in range(int(first), int(last) + 1, int(step)):
        told = run_with(variant, free, folder / str(free), disk, Path(blank), undisturbed)
        print(json.dumps(told), flush=True)
        if told["code"] == 0:
            break
        os.chdir(folder)
        shutil.rmtree(folder / str(free))
        for path in disk.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
