"""Limits of this process on its machine: cores, open files; and other processes by number."""

from __future__ import annotations

import os
import resource
from contextlib import suppress


def usable_cores() -> list[int]:
    """Return the numbers of the cores this process may run on; without affinity masks, of all there are."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def allow_open_files(wanted: int) -> int:
    """Raise the limit of files this process may have open where it is lower and may be, and return what it is then."""
    limit, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit != resource.RLIM_INFINITY and limit < wanted:
        with suppress(ValueError, OSError):  # the system's own limit is lower still
            limit = wanted if most == resource.RLIM_INFINITY else min(wanted, most)
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, most))
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return wanted if limit == resource.RLIM_INFINITY else limit


def is_alive(pid: int) -> bool:
    """Return whether a process runs on this machine."""
    if pid <= 0:  # which stand for groups of processes
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # it is somebody else's
        pass
    return True
