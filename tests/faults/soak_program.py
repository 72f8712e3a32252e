"""A program that runs a long study of the fake algorithm and writes down what its processes take up meanwhile."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from harness import Observer, RunRecord, parse_spec, run_study
from tests.harness.lab import FAKE, children_of

PAGE_KIB = os.sysconf("SC_PAGE_SIZE") // 1024
TICKS = os.sysconf("SC_CLK_TCK")


def taken(pid: int) -> dict[str, float]:
    """What a process takes up: resident memory in KiB, open descriptors, threads; and the seconds it has computed."""
    process = Path(f"/proc/{pid}")
    fields = (process / "stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    descriptors = len([*(process / "fd").iterdir()])
    seconds = (int(fields[11]) + int(fields[12])) / TICKS
    return {
        "kib": int(fields[21]) * PAGE_KIB, "descriptors": descriptors, "threads": int(fields[17]), "seconds": seconds,
    }  # fmt: skip


class Samples(Observer):
    """Samples the study's process and its children every so many runs; a line of JSON each."""

    def __init__(self, path: Path, every: int) -> None:
        self._file = path.open("a", encoding="utf-8", buffering=1)
        self._every = every
        self._finished = 0
        self._began = time.monotonic()

    def finished(self, record: RunRecord) -> None:
        self._finished += 1
        if self._finished % self._every == 0:
            self._file.write(json.dumps(self._sample()) + "\n")

    def close(self) -> None:
        self._file.close()

    def _sample(self) -> dict[str, Any]:
        processes = {"parent": taken(os.getpid())}
        for number, child in enumerate(sorted(children_of(os.getpid()))):
            processes[f"child {number}"] = taken(child)
        return {"runs": self._finished, "seconds": time.monotonic() - self._began, "processes": processes}


def main(data: str, options: str, samples: str, every: str) -> int:
    observer = Samples(Path(samples), int(every))
    run_study(parse_spec(json.loads(data)), FAKE, observer=observer, **json.loads(options))
    observer.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
