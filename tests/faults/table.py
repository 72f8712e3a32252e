"""docs/faults.md: every fault, what injects it, and what comes of it; written from the tests' own markers.

``python -m tests.faults.table`` writes it; a test holds that it says what the tests say.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "faults.md"

HEAD = """\
# What must not break it

**The invariant.** After any fault and a resume every planned run has exactly one complete result, in the study's own
record on disk, in Optuna and in MLflow alike; nothing is left as running; no metric point is missing or double; and
results under `round_robin` are bit-identical to those of an undisturbed study.

Exit codes: 0 done · 1 finished, some runs failed · 2 bad input · 3 storage or tracking unavailable · 4 study locked,
or its settings changed · 130 SIGINT · 143 SIGTERM. A problem is one line on standard error; tracebacks only with
`--debug`.

Every fault below is injected for real: signals to real processes, a full disk that is a small tmpfs, a real tracking
server behind a proxy that fails, real locks, environments written to misbehave. `make test` runs the quick part,
`make faults` the rest. This page is written from the tests (`python -m tests.faults.table`), and a test holds it to
them.
"""

# number → the fault, and what comes of it
ROWS: dict[int, tuple[str, str]] = {
    1: (
        "A child is killed",
        "the run is tried again, three times in all; a result that was sent is used, not recomputed",
    ),
    2: ("The parent is killed at any write", "its children end within 5 s; a resume holds the invariant"),
    3: (
        "SIGINT once or twice, SIGTERM",
        "stops at the next update, code 130; stops at once; code 143; says how to go on",
    ),
    4: (
        "A worker thread raises",
        "all workers stop, the run fails with environment, worker, step, seed and traceback; other runs go on",
    ),
    5: (
        "A worker hangs in `env.step`",
        "a watchdog names it and where it is, and ends the process; the run fails as a timeout",
    ),
    6: ("A child runs out of memory or crashes", "“killed by signal N”; the run is tried again as in row 1"),
    7: (
        "The tracking server is down, slow or wrong",
        "at the start: code 3 within 10 s; later: the study goes on, what MLflow missed is on disk, is "
        "delivered when it answers again or by `a3c-bench sync`, and nothing is double",
    ),
    8: (
        "A database is locked, read-only or of another version",
        "waits, then code 3 with the path; the file is untouched",
    ),
    9: ("The disk is full", "code 3, no torn file; with space again a resume holds the invariant"),
    10: (
        "A file is torn or truncated",
        "repaired or recomputed, with a warning; the damaged file is kept in `damaged/`",
    ),
    11: (
        "Two runners on one study",
        "the second is refused with code 4, told who the first is; a dead one's lock is taken over",
    ),
    12: (
        "A resume with other settings, of a finished study, with other versions",
        "code 4 with what differs (more seeds or cells are allowed); code 0, nothing to do; a warning, recorded",
    ),
    13: (
        "A study file that is not as it must be",
        "code 2 within a second, every problem named with its field, value and what is allowed; bounded memory",
    ),
    14: (
        "An environment that does not fit, or misbehaves",
        "code 2 before anything runs, or a failure that names environment, seed and step; a failing close hides none",
    ),
    15: (
        "NaN or infinity",
        "the run is DIVERGED at that step, a result of its own kind; the global network never receives it; nothing "
        "infinite is stored or called best",
    ),
    16: (
        "A report of a study without runs, or with partial, failed, diverged ones",
        "a valid page that says so; code 0",
    ),
    17: (
        "Names that are markup, paths, formulas, endless",
        "escaped, kept inside the output folder, neutralised in CSV",
    ),
    18: (
        "Passwords in URIs, artifacts outside the folder, malicious files",
        "hidden everywhere; refused; nothing is ever unpickled",
    ),
    19: ("More than MLflow takes", "split; long values are kept as artifacts"),
    20: ("The host sleeps, or its clock jumps", "no negative duration, no run stolen or computed twice"),
}


@dataclass(frozen=True)
class Injection:
    """A test that injects a fault.

    Attributes:
        row: the fault.
        what: what is injected.
        path: the test's file, from the project's root.
        name: the test.
        slow: whether ``make faults`` runs it rather than ``make test``.
    """

    row: int
    what: str
    path: str
    name: str
    slow: bool


def injections(items: Iterable[pytest.Item]) -> list[Injection]:
    """Return what the markers of tests say, by row, file and place."""
    found: dict[Injection, None] = {}
    for item in items:
        for marker in item.iter_markers("fault"):
            row, what = marker.args
            path = str(item.path.relative_to(ROOT))
            name = getattr(item, "originalname", item.name)
            found[Injection(row, what, path, name, item.get_closest_marker("slow") is not None)] = None
    return sorted(found, key=lambda one: (one.row, one.path))


def page(found: Sequence[Injection]) -> str:
    """Return the page: of each row what is injected, by which test, and which command runs it."""
    parts = [HEAD]
    for number, (fault, outcome) in ROWS.items():
        parts.append(f"## {number}. {fault}\n\nOutcome: {outcome}.\n")
        lines = ["| injected | test | run by |", "|---|---|---|"]
        for one in found:
            if one.row == number:
                where = f"{one.path.removeprefix('tests/')}: {one.name.removeprefix('test_').replace('_', ' ')}"
                lines.append(f"| {one.what} | {where} | `make {'faults' if one.slow else 'test'}` |")
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


class Collector:
    """A plugin that keeps what was collected."""

    items: Sequence[pytest.Item] = ()

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Keep all tests, the slow ones too, which are left out next."""
        self.items = list(items)


if __name__ == "__main__":
    collector = Collector()
    pytest.main(["--collect-only", "-q", "-q", str(ROOT / "tests")], plugins=[collector])
    PAGE.write_text(page(injections(collector.items)), encoding="utf-8")
