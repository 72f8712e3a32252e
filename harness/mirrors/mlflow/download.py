"""Download studies from MLflow's artifacts, and list the attempts that MLflow holds."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable
from contextlib import closing
from pathlib import Path

from harness.errors import BadInput, Problem, StoreUnavailable
from harness.mirrors.addresses import checked_tracking_uri, default_tracking_uri
from harness.mirrors.databases import is_missing, sqlite_path
from harness.mirrors.mlflow.client import MlflowClient, Run, asked, impatient, search, store_errors
from harness.mirrors.mlflow.experiment import attempt_of
from harness.mirrors.mlflow.mirror import OWNER_TAG, is_parent
from harness.record.attempt import AttemptKey, Failure, write_failure
from harness.record.folder import PLAN_FILE, RUNS_FOLDER, SEARCH_FILE
from harness.record.study import Study, load_study
from harness.redaction import redact


def download_study(name: str, uri: str, folder: Path) -> Study:
    """Read a study back from MLflow's artifacts.

    Args:
        name: the study's name, which is its experiment's.
        uri: tracking URI.
        folder: where the artifacts are put; must be empty.

    Raises:
        BadInput: if no such study was recorded there.
        StoreUnavailable: if the store cannot be used.
    """
    checked_tracking_uri(uri)
    if is_missing(uri):
        raise BadInput([Problem("tracking URI", redact(uri), "must be a store that exists")])
    with store_errors(uri):
        client = _client(uri)
        experiment = client.get_experiment_by_name(name)
        runs = list(search(client, experiment.experiment_id)) if experiment is not None else []
        parent = max(filter(is_parent, runs), key=lambda run: run.info.start_time, default=None)
        if parent is None:
            raise BadInput([Problem("study", name, f"must be a study recorded in {redact(uri)}")])
        client.download_artifacts(parent.info.run_id, PLAN_FILE, str(folder))
        if any(file.path == SEARCH_FILE for file in client.list_artifacts(parent.info.run_id)):
            client.download_artifacts(parent.info.run_id, SEARCH_FILE, str(folder))
        children = [run for run in _children(runs, {parent.info.run_id}) if "run" in run.data.tags]
        for run in sorted(children, key=lambda run: int(run.data.tags["attempt"])):  # the last failure is what counts
            child = run.data.tags["run"]
            if not child or Path(child).name != child or child.startswith("."):
                raise StoreUnavailable(f"MLflow run {run.info.run_id} has no run's name: {child[:80]!r}")
            _download_run(client, run, child, folder)
    return load_study(folder)


def _client(uri: str) -> MlflowClient:
    """Return a client of a store; a file that can never be read fails at once, the library tries for minutes.

    Raises:
        sqlite3.Error: if the store is such a file.
    """
    if (path := sqlite_path(uri)) is not None:
        with closing(sqlite3.connect(path, timeout=0)) as connection:
            try:
                connection.execute("SELECT count(*) FROM sqlite_master")
            except sqlite3.OperationalError as error:
                if "locked" not in str(error):  # which the library waits for
                    raise
    return MlflowClient(tracking_uri=uri)


def _children(runs: Iterable[Run], parents: Collection[str]) -> list[Run]:
    """Return those runs that stand for attempts of a study, by the ids of the runs that stand for it as a whole."""
    return [run for run in runs if run.data.tags.get("mlflow.parentRunId") in parents]


def _download_run(client: MlflowClient, run: Run, name: str, folder: Path) -> None:
    """Put a finished run's files, or the reason of a failed attempt, in their place in a study's folder."""
    target = folder / RUNS_FOLDER / name
    tags = run.data.tags
    if run.info.status == "FINISHED" and not target.exists():
        target.mkdir(parents=True)
        client.download_artifacts(run.info.run_id, "", str(target))
    elif run.info.status == "FAILED":
        trial = int(tags["trial"]) if "trial" in tags else None
        seed, attempt = int(tags["seed"]), int(tags["attempt"])
        failure = Failure(name, tags["cell"], tags["arm"], seed, attempt, tags.get("reason", ""), trial=trial)
        write_failure(folder, failure)


def attempts_in_mlflow(name: str, uri: str | None, owner: str) -> dict[str, list[AttemptKey]]:
    """Return by status the attempts that stand in a study's experiment; the study's own run has an empty id.

    Args:
        name: the study's name, which is its experiment's.
        uri: tracking URI; None: the default.
        owner: identity of the study's folder.

    Raises:
        StoreUnavailable: if the store cannot be used.
    """
    uri = uri or default_tracking_uri()
    found: dict[str, list[AttemptKey]] = {}
    if is_missing(uri):
        return found
    with store_errors(uri), impatient():
        client = _client(uri)
        experiment = asked(client.get_experiment_by_name, name)
        runs = list(search(client, experiment.experiment_id)) if experiment is not None else []
    parents = [run for run in runs if is_parent(run) and run.data.tags.get(OWNER_TAG) == owner]
    for run in (*parents, *_children(runs, {parent.info.run_id for parent in parents})):
        attempt = attempt_of(run) if "run" in run.data.tags else ("", 0)
        found.setdefault(run.info.status, []).append(attempt)
    return found


def experiment_page(name: str, uri: str) -> str:
    """Return the page of an experiment in an MLflow UI, after its host: by default it opens for language models."""
    with store_errors(uri):
        experiment = _client(uri).get_experiment_by_name(name)
    if experiment is None:
        raise StoreUnavailable(f"MLflow at {redact(uri)} has no experiment {name!r}")
    return f"#/experiments/{experiment.experiment_id}/runs?workflowType=machine_learning"
