"""Findings of `a3c-bench doctor`: about the machine, and about studies that were run."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import platform
import shutil
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.machine import usable_cores

NEEDED = (
    "torch", "numba", "gymnasium", "numpy", "pandas", "scipy", "mlflow", "optuna", "seaborn", "matplotlib", "pydantic",
    "jinja2", "typer", "rich",
)  # fmt: skip
FREE_BYTES = 10**9


@dataclass(frozen=True)
class Finding:
    """A finding; ``bad`` is the word for it where it is not good."""

    good: bool
    what: str
    detail: str
    bad: str = "MISSING"


def examine() -> Iterator[Finding]:
    """Yield findings about the machine: packages, cores, disk, engine, environment."""
    yield Finding(sys.version_info >= (3, 11), "Python", f"{platform.python_version()} (3.11 or later is needed)")
    for package in NEEDED:
        yield _package(package)
    yield Finding(True, "cores", f"{len(usable_cores())}: as many runs go at a time")
    here = Path.cwd()
    yield Finding(os.access(here, os.W_OK), "working directory", f"{here}, results and mlflow.db go there")
    free = shutil.disk_usage(here).free
    yield Finding(free > FREE_BYTES, "disk", f"{free / 1e9:.1f} GB free (1 GB is plenty for a study)")
    yield Finding(True, "git", shutil.which("git") or "absent: records will not name the commit")
    yield _engine()
    yield _environment()


def examine_studies(
    folders: Iterable[Path], storage: str | None, tracking_uri: str | None, repair: bool
) -> Iterator[Finding]:
    """Yield findings about studies: what is wrong and, where ``repair`` is asked for, whether it was repaired."""
    from harness.commands.doctor import examine_study, repair_study
    from harness.errors import HarnessError, StudyLocked

    for folder in folders:
        messages: list[str] = []
        try:
            ailments = examine_study(folder, storage, tracking_uri)
            if repair and ailments:
                repair_study(folder, storage, tracking_uri, messages.append)
                before, ailments = ailments, examine_study(folder, storage, tracking_uri)
                for ailment in before:
                    if ailment not in ailments:
                        yield Finding(True, folder.name, f"repaired: {_take_message(ailment, messages)}")
        except StudyLocked as error:
            yield Finding(True, folder.name, str(error))
            continue
        except HarnessError as error:
            ailments = str(error).splitlines()
        for message in messages:
            yield Finding(True, folder.name, message)
        for ailment in ailments:
            yield Finding(False, folder.name, ailment, "WRONG" if repair else "REPAIR")
        if not ailments:
            yield Finding(True, folder.name, "records, Optuna and MLflow agree")


def _take_message(ailment: str, messages: list[str]) -> str:
    """Remove and return a repair's message about an ailment; return the ailment itself if there is none."""
    for number, message in enumerate(messages):
        if message.startswith(ailment):
            return messages.pop(number)
    return ailment


def _package(name: str) -> Finding:
    try:
        importlib.import_module(name)
        return Finding(True, name, importlib.metadata.version(name))
    except Exception as error:
        return Finding(False, name, f"{type(error).__name__}: {error}")


def _engine() -> Finding:
    from a3c import TrainConfig
    from a3c.engines.choice import choose_engine

    engine = choose_engine(TrainConfig())
    slow = "" if engine == "compiled" else ": Numba cannot be used here, and training takes some ten times as long"
    return Finding(True, "engine", engine + slow)


def _environment() -> Finding:
    try:
        from a3c.environments.probing import probe

        probe("CartPole-v1", {})
    except Exception as error:
        return Finding(False, "CartPole-v1", f"{type(error).__name__}: {error}")
    return Finding(True, "CartPole-v1", "makes, resets and steps")
