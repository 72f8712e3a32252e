"""Errors of the harness, and the exit code of each.

HarnessError                       1
├── BadInput                       2   a study file, option or environment is not valid
├── StoreUnavailable               3   Optuna's or MLflow's store, or the disk, cannot be used
│   ├── Undelivered                3   all is computed and on disk, but MLflow does not know all of it yet
│   └── DamagedRecord              3   a file on disk is not what was written
├── StudyConflict                  4
│   ├── StudyLocked                4   another process is running this study
│   └── StudyChanged               4   finished runs were made with other settings
├── RunFailed                      1   a single run raised (harness/commands/single.py)
└── Interrupted                  130   SIGINT (143 for SIGTERM); everything finished is kept
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness.redaction import redact

MAX_PROBLEMS = 100  # reported of one input


@dataclass(frozen=True)
class Problem:
    """One thing wrong with an input.

    Attributes:
        field: where it stands, dotted as in the study file (``sweep.n_step``).
        value: what stands there.
        allowed: what may stand there, as a phrase.
    """

    field: str
    value: object
    allowed: str

    def __str__(self) -> str:
        """Return one line, printable and of bounded length whatever the input holds."""
        return f"{_printable(self.field, 100)} = {_shown(self.value)}: {_printable(self.allowed, 1000)}"


class HarnessError(Exception):
    """Base of every error the harness raises on purpose."""

    exit_code = 1


def distinct(problems: Iterable[Problem]) -> list[Problem]:
    """Return the problems that read differently, in the order found."""
    return list({str(problem): problem for problem in problems}.values())


class BadInput(HarnessError):
    """An input that cannot be run; carries every problem found once, or the first hundred and that there are more."""

    exit_code = 2

    def __init__(self, problems: Iterable[Problem]) -> None:
        problems = distinct(problems)
        more = Problem("problems", "...", f"there are more than the {MAX_PROBLEMS} told")
        self.problems = (*problems[:MAX_PROBLEMS], *([more] if len(problems) > MAX_PROBLEMS else ()))
        super().__init__("\n".join(str(problem) for problem in self.problems))


class StoreUnavailable(HarnessError):
    """A database, tracking server or disk cannot be used; results on disk are unharmed."""

    exit_code = 3


class DamagedRecord(StoreUnavailable):
    """A file of a study is not what was written; continuing the study sets it aside and computes it again.

    Where it is as long as it was, only a command that reads every byte sees it: ``doctor --repair`` sets it aside.

    Attributes:
        path: the file, or the folder of the run.
    """

    def __init__(self, path: Path, why: str) -> None:
        self.path = path
        super().__init__(f"{path} is damaged: {why}")


class Undelivered(StoreUnavailable):
    """A study ended, but its tracking server was away, or refused something; all is on disk and can be synced.

    Attributes:
        damaged: whether some of it is a damaged record, which no later sync can deliver either.
    """

    def __init__(self, why: str, damaged: bool = False) -> None:
        self.damaged = damaged
        super().__init__(why)


class StudyConflict(HarnessError):
    """The study on disk cannot be continued by this command."""

    exit_code = 4


class StudyLocked(StudyConflict):
    """Another process is running the study."""


class StudyChanged(StudyConflict):
    """Finished runs were computed with settings other than those now asked for."""


class Interrupted(HarnessError):
    """A signal stopped the study; ``exit_code`` is 128 + its number."""

    def __init__(self, signal_number: int) -> None:
        self.exit_code = 128 + signal_number
        super().__init__(f"interrupted by signal {signal_number}")


@contextmanager
def disk_errors(folder: Path | None = None) -> Iterator[None]:
    """Raise errors of the file system as :class:`StoreUnavailable`, with the path: ``folder`` where they name none."""
    try:
        yield
    except OSError as error:
        raise StoreUnavailable(redact(f"{error.filename or folder or 'disk'}: {error.strerror or error}")) from error


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``", did you mean 'x'?"`` for the nearest known word, or an empty string."""
    nearest = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f", did you mean {nearest[0]!r}?" if nearest else ""


def _shown(value: object) -> str:
    try:
        return _printable(repr(value), 200)
    except (ValueError, RecursionError):  # a number of thousands of digits, a list in a list in a list
        return f"a {type(value).__name__} too large to show"


def _printable(text: str, limit: int) -> str:
    text = redact(text)
    cut = text if len(text) <= limit else text[: limit - 3] + "..."
    return cut if cut.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in cut)
