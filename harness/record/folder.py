"""The files and folders of a study, by name; docs/record.md lists who writes them, when, and what they hold."""

from __future__ import annotations

from pathlib import Path

from harness.study.names import slug

# the record
PLAN_FILE = "study.json"
IDENTITY_FILE = "identity.json"
SEARCH_FILE = "search.json"
RUNS_FOLDER = "runs"  # RUN/
ATTEMPTS_FOLDER = "attempts"  # RUN/N.json; earlier versions: RUN.json
FAILURES_FOLDER = "failures"  # earlier versions only: RUN.json

# in the folder of a run, beside harness.algorithm.output's CURVES_FILE, its tables and its arrays
RECORD_FILE = "record.json"
CONFIG_FILE = "config.json"

# where and how far it is mirrored
STORES_FILE = "stores.json"
OPTUNA_FILE = "optuna.db"
SPOOL_FOLDER = "spool"

# what is made of it
REPORT_FILE = "report.html"

# while something writes to it, and after something went wrong
LOCK_FILE = ".lock"
DRAFT_PREFIX = ".draft-"
DAMAGED_FOLDER = "damaged"


def study_folder(name: str, out: Path) -> Path:
    """Return the folder of the study called ``name`` under ``out``."""
    return out / slug(name)
