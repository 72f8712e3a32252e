"""Open the mirrors of a study, or of single runs, at their addresses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from harness.algorithm.traits import MetricTraits
from harness.errors import StoreUnavailable
from harness.mirrors.addresses import MEMORY, checked_tracking_uri, default_storage, default_tracking_uri, remember
from harness.mirrors.databases import LOCK_SECONDS
from harness.mirrors.memory import MemoryMirror
from harness.mirrors.mirror import Mirror, Mirrors
from harness.mirrors.patient import PatientMirror
from harness.mirrors.spool import take_over_spool
from harness.record.attempt import Failure
from harness.record.folder import PLAN_FILE, SEARCH_FILE
from harness.record.plan import study_identity
from harness.record.run import RunRecord
from harness.study.spec import StudySpec

if TYPE_CHECKING:
    from harness.mirrors.mlflow.experiment import MLflowExperiment

ARTIFACTS_FOLDER = "mlartifacts"


class SingleRuns(Protocol):
    """A mirror of runs that belong to no study: each is reported when it has ended."""

    @property
    def address(self) -> str:
        """Its name and place, without passwords."""

    def finished(self, record: RunRecord) -> None:
        """Note a result that is on disk."""

    def failed(self, failure: Failure) -> None:
        """Note a run that came to nothing."""

    def interrupted(self, run: str, seed: int, started: float) -> None:
        """Note a run that was stopped; it started so many seconds since the epoch."""

    def cut_short(self) -> None:
        """End as killed what was noted and has no end."""


def open_single_runs(experiment: str, tracking_uri: str | None, origin: Mapping[str, Any]) -> SingleRuns:
    """Open a mirror of single runs; see :func:`open_experiment`."""
    return MemoryMirror("MLflow") if tracking_uri == MEMORY else open_experiment(experiment, tracking_uri, origin)


def open_experiment(experiment: str, tracking_uri: str | None, origin: Mapping[str, Any]) -> MLflowExperiment:
    """Open an MLflow experiment.

    Args:
        experiment: its name.
        tracking_uri: MLflow's; None: in the working directory.
        origin: provenance of this command.

    Raises:
        StoreUnavailable: if the store cannot be used.
    """
    from harness.mirrors.mlflow.experiment import MLflowExperiment

    uri = checked_tracking_uri(tracking_uri) or default_tracking_uri()
    return MLflowExperiment(uri, experiment, Path(ARTIFACTS_FOLDER), origin)


def open_mirrors(
    spec: StudySpec,
    metrics: Mapping[str, MetricTraits],
    folder: Path,
    storage: str | None,
    tracking_uri: str | None,
    origin: Mapping[str, Any],
    warn: Callable[[str], None],
    poll: Callable[[], None] = lambda: None,
) -> Mirrors:
    """Open both stores for a study; MLflow's may go away later.

    Args:
        spec: the study, with search mode's own factor where it searches.
        metrics: what is known of its metrics, by name.
        folder: its folder; the caller holds the study's lock.
        storage: Optuna's storage URL; None: in the study's folder.
        tracking_uri: MLflow's; None: in the working directory.
        origin: provenance of this command.
        warn: receives a sentence when a store keeps us waiting, goes away or comes back.
        poll: called now and then while a store keeps us waiting; what it raises ends the wait.

    Raises:
        StoreUnavailable: if one of them cannot be used.
    """
    locked: set[Path] = set()

    def waiting(path: Path) -> None:
        if path not in locked:
            locked.add(path)
            warn(f"{path} is locked by another program: waiting for up to {LOCK_SECONDS:g} s")
        poll()

    take_over_spool(folder)
    owner = study_identity(folder)
    parts = [_open_optuna(storage or default_storage(folder), spec, metrics, owner, waiting)]
    try:
        tracked_at = MEMORY
        if tracking_uri == MEMORY:
            parts.append(MemoryMirror("MLflow"))
        else:
            from harness.mirrors.mlflow.mirror import MLflowMirror

            uri = checked_tracking_uri(tracking_uri) or default_tracking_uri()
            store = MLflowMirror(uri, spec.name, Path(ARTIFACTS_FOLDER), origin, owner, waiting)
            parts.append(PatientMirror(store, folder, warn, poll))
            tracked_at = store.uri
        remember(folder, storage, tracked_at, warn)
        mirrors = Mirrors(parts)
        mirrors.attach(declared_files(folder))
    except BaseException:
        with suppress(StoreUnavailable):  # what went wrong first is what is raised
            Mirrors(parts).close("KILLED")
        raise
    return mirrors


def _open_optuna(
    url: str, spec: StudySpec, metrics: Mapping[str, MetricTraits], owner: str, waiting: Callable[[Path], None]
) -> Mirror:
    if url == MEMORY:
        return MemoryMirror("Optuna")
    from harness.mirrors.optuna.trials import OptunaMirror

    return OptunaMirror(url, spec, owner, waiting, metrics)


def declared_files(folder: Path) -> list[Path]:
    """Return the files that declare a study: its plan and its search."""
    return [path for path in (folder / PLAN_FILE, folder / SEARCH_FILE) if path.exists()]
