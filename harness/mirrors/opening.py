"""Where results go: Optuna's storage and MLflow's, opened for one study."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import BadInput, DamagedRecord, Problem, StoreUnavailable
from harness.mirrors.addresses import checked_tracking_uri
from harness.mirrors.databases import LOCK_SECONDS, sqlite_path, sqlite_url
from harness.mirrors.mirror import Projection, Projections
from harness.mirrors.spool import Spool, Spooled
from harness.record.run import read_as, write_json
from harness.record.search import SEARCH_FILE
from harness.record.study import PLAN_FILE, study_identity
from harness.redaction import redact
from harness.study.spec import StudySpec

if TYPE_CHECKING:
    from harness.mirrors.mlflow.tracker import Tracker

ARTIFACTS_FOLDER = "mlartifacts"
STORES_FILE = "stores.json"


@dataclass(frozen=True)
class Stores:
    """Where a study's results went, without passwords; ``storage`` is None for the study's own folder."""

    storage: str | None
    tracking_uri: str

    @classmethod
    def of(cls, data: Any) -> Stores:
        """Make it of what was written.

        Raises:
            TypeError: if that is none.
        """
        stores = cls(**data)
        if not isinstance(stores.storage, str | None) or not isinstance(stores.tracking_uri, str):
            raise TypeError("must be texts")
        return stores


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
    adopt: bool = False,
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
    parts: list[Projection] = [Trials(storage or default_storage(folder), spec, owner, waiting)]
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


def _remember(folder: Path, storage: str | None, tracking_uri: str, warn: Callable[[str], None]) -> None:
    """Keep where a study's results went, without passwords, for commands that are not told."""
    before = remembered(folder)
    now = Stores(None if storage is None else redact(storage), tracking_uri)
    if before is not None and before.tracking_uri != now.tracking_uri:
        warn(f"the study was tracked at {before.tracking_uri} before: what is there stays as it is")
    if before != now:
        write_json(folder / STORES_FILE, asdict(now))


def remembered(folder: Path) -> Stores | None:
    """Return where a study's results went when it was last run; None if that is not known.

    Raises:
        DamagedRecord: if what was noted cannot be read.
    """
    path = folder / STORES_FILE
    return read_as(path, Stores.of) if path.exists() else None


def stores_of(folder: Path, storage: str | None, tracking_uri: str | None) -> tuple[str | None, str | None]:
    """Return both addresses as given, or else as the study was last run with.

    Raises:
        BadInput: if the one to be used holds a password, which is not kept, or what was noted cannot be read.
    """
    try:
        last = remembered(folder) or Stores(None, "")
    except DamagedRecord as error:  # results must not go to stores nobody chose
        if storage is None or tracking_uri is None:
            allowed = "is damaged: both --storage and --tracking-uri must be given, as the study was run with"
            raise BadInput([Problem("stores", str(error.path), allowed)]) from error
        return storage, tracking_uri
    problems = []
    for field, given, kept in (("storage", storage, last.storage), ("tracking URI", tracking_uri, last.tracking_uri)):
        if given is None and kept and "***" in kept:
            problems.append(Problem(field, kept, "must be given: its password is not kept"))
    if problems:
        raise BadInput(problems)
    path = sqlite_path(last.tracking_uri)
    moved = path is not None and not path.exists()  # with the folder it stood in
    return storage or last.storage, tracking_uri or (None if moved else last.tracking_uri or None)


def declared_files(folder: Path) -> list[Path]:
    """Return the files that say what a study is made of."""
    return [path for path in (folder / PLAN_FILE, folder / SEARCH_FILE) if path.exists()]
