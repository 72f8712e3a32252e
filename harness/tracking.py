"""MLflow as the record of results: write and read back. The only file that imports mlflow.

One experiment per study; in it one parent run, reused by every command, and a child run per attempt. Nothing here
uses MLflow's fluent calls, which keep their state per thread.
"""

from __future__ import annotations

import json
import logging
import os
import socket
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # two lines a run, and a request to make them

from mlflow import MlflowClient
from mlflow.entities import Experiment, Metric, Param, RunInfo, RunTag, ViewType
from mlflow.entities import Run as MlflowRun
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from harness.databases import ensure_database, explain, is_alive, redact, sqlite_path
from harness.design import PlannedRun, slug
from harness.errors import BadInput, Problem, StoreUnavailable
from harness.records import RunRecord, write_json
from harness.results import FAILURES_FOLDER, PLAN_FILE, RUNS_FOLDER, Failure, Study, load_study
from harness.search import SEARCH_FILE, ArmSearch

MAX_PARAM_LENGTH, MAX_TAG_LENGTH = 6000, 5000  # MLflow's
CURVE_POINTS = 100  # of one metric of one run in MLflow: a row costs 60 µs, and a chart shows no more
PAGE = 1000
PARENT_TAG, PARENT = "role", "study"
OWNER_TAG = "folder"
PROCESS_TAG = "process"


class Tracker:
    """An MLflow experiment and the runs of one command in it.

    Args:
        uri: tracking URI; a ``sqlite:///`` one is created where it is missing.
        experiment: its name.
        artifacts: folder for the artifacts of a new experiment; servers use their own.
        provenance: see :mod:`harness.provenance`.
        owner: identity of the study's folder, which has one parent run in the experiment, whatever other folders
            have; None for an experiment of single runs.

    Raises:
        StoreUnavailable: if the store cannot be used.
    """

    def __init__(
        self, uri: str, experiment: str, artifacts: Path, provenance: Mapping[str, Any], owner: str | None = None
    ) -> None:
        self._name = experiment
        self._provenance = provenance
        self._uri = uri
        self._open: dict[str, RunInfo] = {}
        self._parent: str | None = None
        with _store_errors(uri):
            ensure_database(uri, lambda draft: _touch(draft))
            self._client = MlflowClient(tracking_uri=uri)
            self._experiment = self._ensure_experiment(not uri.startswith(("http://", "https://")), artifacts)
            if owner is not None:
                self._parent = self._ensure_parent(owner)

    def repair(self, records: Sequence[RunRecord], on_disk: Set[str]) -> None:
        """See :class:`~harness.projection.Projection`."""
        finished = {record.run: record for record in records}
        complete: set[str] = set()
        for run in self._runs():
            name = run.data.tags.get("run")
            if name is None or run.data.tags.get("mlflow.parentRunId") != self._parent:
                continue
            if run.info.status == "FINISHED" and name in on_disk and name not in complete:
                complete.add(name)
            elif run.info.status in ("RUNNING", "SCHEDULED", "FINISHED"):
                self._client.set_terminated(run.info.run_id, "KILLED")
        for name, record in finished.items():
            if name not in complete:
                self.finished(record)

    def started(self, run: PlannedRun, attempt: int) -> None:
        """See :class:`~harness.projection.Projection`."""
        self.start(run.id, _who(run.cell.id, run.arm, run.seed, run.trial), attempt)

    def start(
        self,
        run: str,
        who: Mapping[str, str],
        attempt: int,
        started: float | None = None,
        provenance: Mapping[str, Any] | None = None,
    ) -> None:
        """Create a child run.

        Args:
            run: its name.
            who: further tags.
            attempt: 1 for the first try.
            started: seconds since the epoch; None: now.
            provenance: of the attempt; None: this command's.
        """
        tags = {
            **_source_tags(provenance or self._provenance),
            **who,
            "study": self._name,
            "run": run,
            "attempt": str(attempt),
        }
        if self._parent is not None:
            tags["mlflow.parentRunId"] = self._parent
        else:
            tags[PROCESS_TAG] = f"{os.getpid()}@{socket.gethostname()}"
        start_time = None if started is None else _milliseconds(started)
        made = self._client.create_run(self._experiment.experiment_id, start_time=start_time, tags=tags, run_name=run)
        self._open[run] = made.info

    def finished(self, record: RunRecord) -> None:
        """See :class:`~harness.projection.Projection`."""
        if record.run not in self._open:
            who = _who(record.cell, record.arm, record.seed, record.trial)
            self.start(record.run, who, record.attempt, record.started, record.provenance)
        made = self._open[record.run]
        ended = _milliseconds(record.started + record.seconds)
        last_step = int(record.metrics.get("steps", 0))
        finals = {**record.metrics, **{f"time/{name}": value for name, value in record.timings.items()}}
        metrics = [Metric(name, value, ended, last_step) for name, value in finals.items()]
        for name, curve in record.curve_points().items():  # the prefix gives them a section of their own in the UI
            metrics += [Metric(f"curve/{name}", value, ended, step) for step, value in _thinned(curve)]
        tags = [RunTag("outcome", record.outcome)]
        tags += [RunTag(f"label/{slug(name)}", text[:MAX_TAG_LENGTH]) for name, text in record.labels.items()]
        self._client.log_batch(made.run_id, metrics, _params(record.config), tags)  # split where it is too long
        # by the address that is known: the client would read the whole run to find it
        get_artifact_repository(made.artifact_uri, self._uri).log_artifacts(str(record.folder))
        self._client.set_terminated(made.run_id, "FINISHED", end_time=ended)
        del self._open[record.run]  # only now: `close` ends what is open

    def failed(self, failure: Failure) -> None:
        """See :class:`~harness.projection.Projection`."""
        if (made := self._open.pop(failure.run, None)) is not None:
            tags = [RunTag("outcome", "failed"), RunTag("reason", failure.reason[:MAX_TAG_LENGTH])]
            self._client.log_batch(made.run_id, tags=tags)
            if failure.detail:
                self._client.log_text(made.run_id, failure.detail, "traceback.txt")
            self._client.set_terminated(made.run_id, "FAILED")

    def interrupted(self, run: str) -> None:
        """Note an attempt that was cut short."""
        if (made := self._open.pop(run, None)) is not None:
            self._client.set_terminated(made.run_id, "KILLED")

    def searched(self, arms: Sequence[ArmSearch]) -> None:
        """See :class:`~harness.projection.Projection`; what was tried are runs like any other here."""

    def attach(self, paths: Sequence[Path]) -> None:
        """See :class:`~harness.projection.Projection`; artifacts of the parent run, replaced where they are there."""
        for path in paths:
            self._client.log_artifact(self._parent, str(path))

    def close(self, status: str) -> None:
        """See :class:`~harness.projection.Projection`."""
        for run in list(self._open):
            self.interrupted(run)
        if self._parent is not None:
            self._client.set_terminated(self._parent, status)

    def close_abandoned(self) -> None:
        """End the runs of processes of this machine that no longer live: nothing else ever would."""
        for run in self._runs():
            process = run.data.tags.get(PROCESS_TAG, "")
            pid, _, host = process.partition("@")
            if run.info.status == "RUNNING" and host == socket.gethostname() and not is_alive(int(pid)):
                self._client.set_terminated(run.info.run_id, "KILLED")

    def _ensure_experiment(self, local: bool, artifacts: Path) -> Experiment:
        found = self._client.get_experiment_by_name(self._name)
        if found is None:
            location = (artifacts / slug(self._name)).absolute().as_uri() if local else None
            # the tag makes the UI open on runs and curves instead of its view for language models
            tags = {"mlflow.experimentKind": "custom_model_development"}
            made = self._client.create_experiment(self._name, artifact_location=location, tags=tags)
            found = self._client.get_experiment(made)
        elif found.lifecycle_stage != "active":
            self._client.restore_experiment(found.experiment_id)
        return found

    def _ensure_parent(self, owner: str) -> str:
        parents = [run for run in self._runs() if _is_parent(run) and run.data.tags.get(OWNER_TAG) == owner]
        tags = {**_source_tags(self._provenance), "study": self._name, PARENT_TAG: PARENT, OWNER_TAG: owner}
        if not parents:
            made = self._client.create_run(self._experiment.experiment_id, tags=tags, run_name=self._name)
            return str(made.info.run_id)
        kept = min(parents, key=lambda run: run.info.start_time)
        for ghost in parents:  # a retried request can have left a second
            if ghost is not kept:
                self._client.delete_run(ghost.info.run_id)
        self._client.update_run(kept.info.run_id, status="RUNNING")
        self._client.log_batch(kept.info.run_id, tags=[RunTag(key, value) for key, value in tags.items()])
        return str(kept.info.run_id)

    def _runs(self) -> Iterator[MlflowRun]:
        return _search(self._client, self._experiment.experiment_id)


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
    if (path := sqlite_path(uri)) is not None and not path.exists():
        raise BadInput([Problem("tracking URI", redact(uri), "must be a store that exists")])
    with _store_errors(uri):
        client = MlflowClient(tracking_uri=uri)
        experiment = client.get_experiment_by_name(name)
        runs = list(_search(client, experiment.experiment_id)) if experiment is not None else []
        parent = max(filter(_is_parent, runs), key=lambda run: run.info.start_time, default=None)
        if parent is None:
            raise BadInput([Problem("study", name, f"must be a study recorded in {redact(uri)}")])
        client.download_artifacts(parent.info.run_id, PLAN_FILE, str(folder))
        if any(file.path == SEARCH_FILE for file in client.list_artifacts(parent.info.run_id)):
            client.download_artifacts(parent.info.run_id, SEARCH_FILE, str(folder))
        for run in runs:
            child = run.data.tags.get("run")
            if child is not None and run.data.tags.get("mlflow.parentRunId") == parent.info.run_id:
                if Path(child).name != child or child.startswith("."):
                    raise StoreUnavailable(f"MLflow run {run.info.run_id} has no run's name: {child[:80]!r}")
                _download_run(client, run, child, folder)
    return load_study(folder)


def _download_run(client: MlflowClient, run: MlflowRun, name: str, folder: Path) -> None:
    """Put a finished run's files, or what is known of a failed attempt, where a study's folder has them."""
    target = folder / RUNS_FOLDER / name
    tags = run.data.tags
    if run.info.status == "FINISHED" and not target.exists():
        target.mkdir(parents=True)
        client.download_artifacts(run.info.run_id, "", str(target))
    elif run.info.status == "FAILED":
        failure = Failure(
            name, tags["cell"], tags["arm"], int(tags["seed"]), int(tags["attempt"]), tags.get("reason", "")
        )
        (folder / FAILURES_FOLDER).mkdir(exist_ok=True)
        write_json(folder / FAILURES_FOLDER / f"{name}.json", asdict(failure))


def _is_parent(run: MlflowRun) -> bool:
    return bool(run.data.tags.get(PARENT_TAG) == PARENT)


def experiment_page(name: str, uri: str) -> str:
    """Return where an MLflow UI shows an experiment, after its host: by default it opens for language models."""
    with _store_errors(uri):
        experiment = MlflowClient(tracking_uri=uri).get_experiment_by_name(name)
    return f"#/experiments/{experiment.experiment_id}/runs?workflowType=machine_learning"


@contextmanager
def _store_errors(uri: str) -> Iterator[None]:
    """Name the store in whatever goes wrong with it."""
    try:
        yield
    except (BadInput, StoreUnavailable):
        raise
    except Exception as error:
        raise StoreUnavailable(f"MLflow cannot use {redact(uri)}: {explain(error)}") from error


def _search(client: MlflowClient, experiment_id: str) -> Iterator[MlflowRun]:
    token: str | None = None
    while True:
        page = client.search_runs([experiment_id], "", ViewType.ACTIVE_ONLY, PAGE, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _touch(url: str) -> None:
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)  # it tells of every table it makes
    MlflowClient(tracking_uri=url).search_experiments(max_results=1)


def _who(cell: str, arm: str, seed: int, trial: int | None) -> dict[str, str]:
    """Return the tags that tell a run from others; a search's are marked, so that they can be filtered out."""
    search = {} if trial is None else {"phase": "search", "trial": str(trial)}
    return {"cell": cell, "arm": arm, "seed": str(seed), **search}


def _source_tags(provenance: Mapping[str, Any]) -> dict[str, str]:
    """Return the tags MLflow's fluent calls would have set, and ours."""
    tags = {
        "mlflow.source.name": str(provenance["command"]),
        "mlflow.source.type": "LOCAL",
        "git_commit": str(provenance["commit"]),
        "git_dirty": str(provenance["dirty"]).lower(),
    }
    if provenance["commit"]:
        tags["mlflow.source.git.commit"] = str(provenance["commit"])
    return tags


def _params(config: Mapping[str, Any]) -> list[Param]:
    """Return settings as MLflow params; what is longer than it takes stands in the config artifact."""
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in config.items()}
    return [Param(key, text if len(text) <= MAX_PARAM_LENGTH else "see config.json") for key, text in texts.items()]


def _thinned(curve: list[tuple[int, float]]) -> list[tuple[int, float]]:
    """Return at most ``CURVE_POINTS`` of a curve's points, evenly spread, its ends among them."""
    if len(curve) <= CURVE_POINTS:
        return curve
    last = len(curve) - 1
    return [curve[i * last // (CURVE_POINTS - 1)] for i in range(CURVE_POINTS)]


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1000)
