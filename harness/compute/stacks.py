"""Describe the stacks of this process's threads, to report where a run hangs."""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Collection
from pathlib import Path
from types import FrameType

MOST_PLACES = 3
_STANDARD = str(Path(threading.__file__).parent)


def describe_stacks(ignored: Collection[int | None]) -> tuple[str, str]:
    """Return a one-line summary of which threads are in which function, the fewest first, and all their stacks.

    Of threads that wait for each other all but the one that hangs stand in few places together. The main thread is
    named only where it is alone: otherwise it waits for the others.

    Args:
        ignored: identifiers of threads to leave out.
    """
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    main = threading.main_thread().ident
    frames = {ident: frame for ident, frame in sys._current_frames().items() if ident not in ignored}
    stacks = "\n".join(
        f"{names.get(ident, ident)}:\n{''.join(traceback.format_stack(frame))}" for ident, frame in frames.items()
    )
    places: dict[str, list[str]] = {}
    for ident, frame in frames.items():
        if ident != main or len(frames) == 1:
            places.setdefault(_place(frame), []).append(str(names.get(ident, ident)))
    fewest_first = sorted(places.items(), key=lambda item: (len(item[1]), item[1]))
    clauses = [f"{_names(names)} in {place}" for place, names in fewest_first[:MOST_PLACES]]
    if left := sum(len(names) for _, names in fewest_first[MOST_PLACES:]):
        clauses.append(f"{left} more elsewhere")
    return ", ".join(clauses), stacks


def _names(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{len(names)} others"


def _place(frame: FrameType) -> str:
    """Return the innermost function that is not the standard library's, with file and line."""
    inner: FrameType | None = frame
    while (
        inner is not None
        and inner.f_code.co_filename.startswith((_STANDARD, "<frozen"))
        and ("site-packages" not in inner.f_code.co_filename)
    ):
        inner = inner.f_back
    frame = inner or frame
    code = frame.f_code
    return f"{code.co_qualname} ({Path(code.co_filename).name}:{frame.f_lineno})"
