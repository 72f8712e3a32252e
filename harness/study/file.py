"""Read study files, and refuse values that are too large to be shown, stored or compared."""

from __future__ import annotations

import os
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.errors import MAX_PROBLEMS, BadInput, Problem

MAX_FILE_BYTES = 1_000_000
MAX_DEPTH = 32
_INTEGERS = range(-(2**63), 2**63)  # TOML's, JSON's and the databases'


def read_tables(path: Path) -> dict[str, Any]:
    """Read a study file as the tables it holds.

    Raises:
        BadInput: if it is no regular file, too large, or not TOML.
    """
    try:
        text = _read_bytes(path).decode("utf-8-sig")
        return tomllib.loads(text)
    except UnicodeDecodeError as error:
        raise BadInput([Problem("study file", str(path), f"must be UTF-8 text ({error.reason})")]) from None
    except (ValueError, RecursionError) as error:
        raise BadInput([Problem("study file", str(path), f"must be valid TOML ({error})")]) from None
    except OSError as error:
        raise BadInput([Problem("study file", str(path), f"must be a readable file ({error.strerror})")]) from None


def _read_bytes(path: Path) -> bytes:
    """Read a regular file of limited size; pipes and devices, which may never end, are refused unread."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise BadInput([Problem("study file", str(path), "must be a readable file, not a folder, pipe or device")])
        content = file.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise BadInput([Problem("study file", str(path), f"must be smaller than {MAX_FILE_BYTES} bytes")])
    return content


def implausible(data: object) -> list[Problem]:
    """Return a problem for each value that no field of a study may have, up to one more than are shown."""
    problems: list[Problem] = []
    waiting: list[tuple[str, object, int]] = [("", data, 0)]
    while waiting and len(problems) <= MAX_PROBLEMS:
        place, value, depth = waiting.pop()
        if not isinstance(value, Mapping | list | tuple):
            problems += _of_scalar(place, value)
        elif depth == MAX_DEPTH:
            problems.append(Problem(place, "...", f"must not be nested deeper than {MAX_DEPTH} levels"))
        elif isinstance(value, Mapping):
            for key, part in value.items():
                inner = f"{place}.{key}" if place else str(key)
                problems += _of_scalar(inner, key)
                waiting.append((inner, part, depth + 1))
        else:
            waiting += ((f"{place}.{index}", part, depth + 1) for index, part in enumerate(value))
    return sorted(problems, key=lambda problem: problem.field)


def _of_scalar(place: str, value: object) -> list[Problem]:
    if isinstance(value, bool | float) or value is None:
        return []
    if isinstance(value, int):
        fits = value in _INTEGERS
        return [] if fits else [Problem(place, f"a number of {value.bit_length()} bits", "must fit in 64 bits")]
    if not isinstance(value, str):
        return [Problem(place, str(value), "must be a number, text, true, false, a list or a table")]
    try:
        value.encode()
    except UnicodeEncodeError:
        return [Problem(place, value, "must be text that can be written as UTF-8")]
    return []
