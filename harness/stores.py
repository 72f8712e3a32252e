"""Where results go: Optuna's storage and MLflow's, opened for one study."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.databases import LOCK_SECONDS, sqlite_url
from harness.projection import Projections
from harness.results import PLAN_FILE, study_identity
from harness.search import SEARCH_FILE
from harness.spec import StudySpec
from harness.spool import Spool, Spooled
from harness.uris import checked_tracking_uri

if TYPE_CHECKING:
    from harness.tracking import Tracker

ARTIFACTS_FOLDER = "mlartifacts"


def open_tracker(
    experiment: str,
    tracking_uri: str | None,
    origin: Mapping[str, Any],
    owner: str | None = None,
    waiting: Callable[[Path], None] = lambda path: None,
) -> Tracker:
    """Open an MLflow experiment; its defaults are files in the working directory."""
    from harness.tracking import Tracker

    uri = checked_tracking_uri(tracking_uri) or default_tracking_uri()
    return Tracker(uri, experiment, Path(ARTIFACTS_FOLDER), origin, owner, waiting)


def default_tracking_uri() -> str:
    """Return the store a plain ``mlflow ui`` in the working directory shows."""
    return sqlite_url(Path("mlflow.db"))


def default_storage(folder: Path) -> str:
    """Return the Optuna storage in a study's folder."""
    return sqlite_url(folder / "optuna.db")


def open_projections(
    spec: StudySpec,
    folder: Path,
    storage: str | None,
    tracking_uri: str | None,
    origin: Mapping[str, Any],
    warn: Callable[[str], None],
    look: Callable[[], None] = lambda: None,
) -> Projections:
    """Open both stores for a study; MLflow's may go away later, and what it misses is spooled.

    Args:
        spec: the study, with search mode's own factor where it searches.
        folder: its folder; the caller holds the study's lock.
        storage: Optuna's storage URL; None: in the study's folder.
        tracking_uri: MLflow's; None: in the working directory.
        origin: provenance of this command.
        warn: is told when a store keeps us waiting, goes away or comes back.
        look: called now and then while a store keeps us waiting; what it raises ends the wait.

    Raises:
        StoreUnavailable: if one of them cannot be used.
    """
    from harness.trials import Trials

    told: set[Path] = set()

    def waiting(path: Path) -> None:
        if path not in told:
            told.add(path)
            warn(f"{path} is locked by another program: waiting for up to {LOCK_SECONDS:g} s")
        look()

    owner = study_identity(folder)
    trials = Trials(storage or default_storage(folder), spec, owner, waiting)
    tracker = open_tracker(spec.name, tracking_uri, origin, owner, waiting)
    projections = Projections([trials, Spooled(tracker, Spool(folder), warn)])
    projections.attach(declared_files(folder))
    return projections


def declared_files(folder: Path) -> list[Path]:
    """Return the files that say what a study is made of."""
    return [path for path in (folder / PLAN_FILE, folder / SEARCH_FILE) if path.exists()]
