"""Where results go: Optuna's storage and MLflow's, opened for one study."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.algorithm.traits import MetricTraits
from harness.errors import StoreUnavailable
from harness.mirrors.addresses import _remember, checked_tracking_uri, default_storage, default_tracking_uri
from harness.mirrors.databases import LOCK_SECONDS
from harness.mirrors.mirror import Projection, Projections
from harness.mirrors.spool import Spool, Spooled
from harness.record.folder import PLAN_FILE, SEARCH_FILE
from harness.record.plan import study_identity
from harness.study.spec import StudySpec

if TYPE_CHECKING:
    from harness.mirrors.mlflow.tracker import Tracker

ARTIFACTS_FOLDER = "mlartifacts"


def open_tracker(
    experiment: str,
    tracking_uri: str | None,
    origin: Mapping[str, Any],
    owner: str | None = None,
    waiting: Callable[[Path], None] = lambda path: None,
) -> Tracker:
    """Open an MLflow experiment; its defaults are files in the working directory."""
    from harness.mirrors.mlflow.tracker import Tracker

    uri = checked_tracking_uri(tracking_uri) or default_tracking_uri()
    return Tracker(uri, experiment, Path(ARTIFACTS_FOLDER), origin, owner, waiting)


def open_single(
    experiment: str, tracking_uri: str | None, origin: Mapping[str, Any], run: str, who: Mapping[str, str]
) -> Projections:
    """Open an MLflow experiment of single runs and begin one there.

    Args:
        experiment: its name.
        tracking_uri: see :func:`open_tracker`.
        origin: provenance of this command.
        run: the run's name.
        who: its further tags.

    Raises:
        StoreUnavailable: if the store cannot be used.
    """
    tracker = open_tracker(experiment, tracking_uri, origin)
    with tracker.errors():
        tracker.close_abandoned()
        tracker.start(run, who, attempt=1)
    return Projections([tracker])


def open_projections(
    spec: StudySpec,
    metrics: Mapping[str, MetricTraits],
    folder: Path,
    storage: str | None,
    tracking_uri: str | None,
    origin: Mapping[str, Any],
    warn: Callable[[str], None],
    look: Callable[[], None] = lambda: None,
    adopt: bool = False,
) -> Projections:
    """Open both stores for a study; MLflow's may go away later, and what it misses is spooled.

    Args:
        spec: the study, with search mode's own factor where it searches.
        metrics: what is known of its metrics, by name.
        folder: its folder; the caller holds the study's lock.
        storage: Optuna's storage URL; None: in the study's folder.
        tracking_uri: MLflow's; None: in the working directory.
        origin: provenance of this command.
        warn: is told when a store keeps us waiting, goes away or comes back.
        look: called now and then while a store keeps us waiting; what it raises ends the wait.
        adopt: whether what waits for another tracking store is to go to this one.

    Raises:
        StoreUnavailable: if one of them cannot be used.
    """
    from harness.mirrors.optuna.trials import Trials

    told: set[Path] = set()

    def waiting(path: Path) -> None:
        if path not in told:
            told.add(path)
            warn(f"{path} is locked by another program: waiting for up to {LOCK_SECONDS:g} s")
        look()

    owner = study_identity(folder)
    parts: list[Projection] = [Trials(storage or default_storage(folder), spec, owner, waiting, metrics)]
    try:
        tracker = open_tracker(spec.name, tracking_uri, origin, owner, waiting)
        spool = Spool(folder)
        parts.append(Spooled(tracker, spool, warn, look, adopt))
        if not adopt and (others := spool.waiting() - spool.waiting(tracker.uri)):
            warn(f"{others} attempts wait in {spool.folder} for another store than {tracker.address}")
        _remember(folder, storage, tracker.uri, warn)
        projections = Projections(parts)
        projections.attach(declared_files(folder))
    except BaseException:
        with suppress(StoreUnavailable):  # what went wrong first is what is told
            Projections(parts).close("KILLED")
        raise
    return projections


def declared_files(folder: Path) -> list[Path]:
    """Return the files that say what a study is made of."""
    return [path for path in (folder / PLAN_FILE, folder / SEARCH_FILE) if path.exists()]
