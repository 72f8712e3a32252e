"""Count how often files are opened, by whatever means."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_opened: list[Counter[str]] = []  # where opened files are counted, while any are


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if _opened and event == "open" and isinstance(arguments[0], str | os.PathLike):
        _opened[-1][str(Path(os.fspath(arguments[0])).absolute())] += 1


sys.addaudithook(_note)


@contextmanager
def counting() -> Iterator[Counter[str]]:
    """Count how often each file is opened, by its absolute path."""
    _opened.append(Counter())
    try:
        yield _opened[-1]
    finally:
        _opened.clear()
