"""What stands where in a study's folder."""

from __future__ import annotations

from pathlib import Path

from harness.study.names import slug

PLAN_FILE = "study.json"


IDENTITY_FILE = "identity.json"


RUNS_FOLDER = "runs"


FAILURES_FOLDER = "failures"


ATTEMPTS_FOLDER = "attempts"


def study_folder(name: str, out: Path) -> Path:
    """Return the folder of the study called ``name`` under ``out``."""
    return out / slug(name)
