"""Provenance of a result: commit, versions, machine. An allow-list, never the whole environment."""

from __future__ import annotations

import importlib.metadata
import platform
import socket
import subprocess
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from harness.machine import usable_cores
from harness.redaction import redact

PACKAGES = ("gymnasium", "mlflow", "numba", "numpy", "optuna", "pandas", "scipy", "torch")


def collect() -> dict[str, Any]:
    """Return what a reader needs to repeat a result: plain data, ready for JSON."""
    commit, dirty = _git()
    return {
        "commit": commit,
        "dirty": dirty,
        "versions": {"python": platform.python_version(), **versions(PACKAGES)},
        "platform": platform.platform(),
        "cpu": _cpu(),
        "cores": len(usable_cores()),
        "host": socket.gethostname(),
        "command": redact(" ".join([Path(sys.argv[0]).name, *sys.argv[1:]])),
    }


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Return the versions of those packages that are installed."""
    return {package: version for package in packages if (version := _version(package)) is not None}


@cache  # looked up in every folder of the path
def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _git() -> tuple[str | None, bool | None]:
    """Return the commit of the code that runs and whether it was changed since; None outside a checkout."""

    def git(*arguments: str) -> str | None:
        try:
            answer = subprocess.run(  # noqa: S603 - a fixed command
                ["git", "-C", str(Path(__file__).parent), *arguments],  # noqa: S607 - found on PATH
                capture_output=True,
                text=True,
                timeout=10,
                check=True,
            )
        except (OSError, subprocess.SubprocessError):
            return None
        return answer.stdout.strip()

    if git("ls-files", "--error-unmatch", Path(__file__).name) is None:
        return None, None  # installed inside somebody else's checkout
    status = git("status", "--porcelain")
    return git("rev-parse", "HEAD"), None if status is None else bool(status)


def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def differences(before: Iterable[Mapping[str, Any]], now: Mapping[str, Any]) -> str:
    """Describe in a sentence how the provenance of finished runs differs from this command's; empty if it does not.

    Args:
        before: the runs' provenances.
        now: this command's.
    """
    differing: dict[str, set[str]] = {}
    runs = 0
    here = _basis(now)
    for origin in before:
        then = _basis(origin)
        names = [name for name in sorted({*here, *then}) if here.get(name) != then.get(name)]
        runs += bool(names)
        for name in names:
            differing.setdefault(name, set()).add(str(then.get(name)))
    if not differing:
        return ""
    clauses = [f"{name} was {' or '.join(sorted(was))}, is {here.get(name)}" for name, was in differing.items()]
    those = "1 finished run was" if runs == 1 else f"{runs} finished runs were"
    return (
        f"{those} computed otherwise ({'; '.join(clauses)}): figures may differ in the last bits; "
        "each run's record says with what"
    )


def _basis(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Return what can change a result though no setting does."""
    return {**provenance.get("versions", {}), **{name: provenance.get(name) for name in ("commit", "cpu")}}
