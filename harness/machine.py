"""What this process may use of its machine."""

from __future__ import annotations

import os


def usable_cores() -> list[int]:
    """Return the numbers of the cores this process may run on; without affinity masks, of all there are."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))
