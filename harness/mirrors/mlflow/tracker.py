"""MLflow as the record of results.

One experiment per study; in it one parent run, reused by every command, and a child run per attempt. Nothing here
uses MLflow's fluent calls, which keep their state per thread.
"""

from __future__ import annotations

import os
import socket
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from harness.errors import DamagedRecord
from harness.machine import is_alive
from harness.mirrors.databases import ensure_database, sqlite_path
from harness.mirrors.mlflow.client import (
    Experiment,
    MlflowClient,
    RestException,
    Run,
    RunInfo,
    RunTag,
    asked,
    impatient,
    is_refusal,
    is_server,
    search,
    store_errors,
    upload,
    upload_text,
)
from harness.mirrors.mlflow.payload import MAX_TAG_LENGTH, FinishedRun, milliseconds, source_tags, who
from harness.record.attempt import Failure
from harness.record.run import RunRecord
from harness.record.search import ArmSearch
from harness.redaction import redact
from harness.study.design import PlannedRun
from harness.study.names import slug

PARENT_TAG, PARENT = "role", "study"
OWNER_TAG = "folder"
PROCESS_TAG = "process"
TRACEBACK_FILE = "traceback.txt"


class Tracker:
    """An MLflow experiment and the runs of one command in it.

    Args:
        uri: tracking URI; a ``sqlite:///`` one is created where it is missing.
        experiment: its name.
        artifacts: folder for the artifacts of a new experiment; servers use their own.
        provenance: see :mod:`harness.provenance`.
        owner: identity of the study's folder, which has one parent run in the experiment, whatever other folders
            have; None for an experiment of single runs.
        waiting: see :func:`~harness.mirrors.databases.ensure_database`.

    Raises:
        StoreUnavailable: if the store cannot be used.
    """

    def __init__(
        self,
        uri: str,
        experiment: str,
        artifacts: Path,
        provenance: Mapping[str, Any],
        owner: str | None = None,
        waiting: Callable[[Path], None] = lambda path: None,
    ) -> None:
        self._name = experiment
        self._provenance = provenance
        self._uri = uri
        self._owner = owner
        self._open: dict[str, RunInfo] = {}
        self._left: dict[tuple[str, str], RunInfo] = {}  # by run and attempt: begun by a process that died
        self._failed: set[tuple[str, str]] = set()
        self._parent: RunInfo | None = None
        with store_errors(uri):
            ensure_database(uri, _touch, waiting)
            self._client = MlflowClient(tracking_uri=uri)
            self.reach()
            self._experiment = self._ensure_experiment(not is_server(uri), artifacts)
            if owner is not None:
                self._parent = self._ensure_parent(owner)

    @property
    def address(self) -> str:
        """See :class:`~harness.mirrors.mirror.Projection`."""
        return f"MLflow at {self.uri}"

    @property
    def uri(self) -> str:
        """See :class:`~harness.mirrors.spool.Store`."""
        return redact(self._uri)

    def errors(self) -> AbstractContextManager[None]:
        """Name the store in whatever goes wrong with it in a ``with`` block."""
        return store_errors(self._uri)

    def reach(self) -> None:
        """See :class:`~harness.mirrors.spool.Store`."""
        with impatient():
            asked(self._client.search_experiments, max_results=1)

    def refuses(self, error: Exception) -> bool:
        """See :class:`~harness.mirrors.spool.Store`."""
        return isinstance(error, DamagedRecord) or is_refusal(error)

    def repair(self, records: Sequence[RunRecord], on_disk: Set[str]) -> None:
        """See :class:`~harness.mirrors.mirror.Projection`."""
        for record in self.settle(records, on_disk):
            self.finished(record)

    def settle(self, records: Sequence[RunRecord], on_disk: Set[str]) -> list[RunRecord]:
        """See :class:`~harness.mirrors.spool.Store`."""
        missing = {record.run: record for record in records}
        complete: set[str] = set()
        settled: set[tuple[str, str]] = set()
        unsettled: list[Run] = []
        for run in self._runs():
            name = run.data.tags.get("run")
            if name is None or not self._is_ours(run):
                continue
            if run.info.status == "FINISHED" and name in on_disk and name not in complete:
                complete.add(name)
                settled.add(_attempt_of(run))
                missing.pop(name, None)
            elif run.info.status == "FAILED":
                self._failed.add(_attempt_of(run))
            else:
                unsettled.append(run)
        for run in unsettled:
            self._settle(run, settled)
        return list(missing.values())

    def _settle(self, run: Run, settled: Set[tuple[str, str]]) -> None:
        """End a run that a process left open, and keep it in mind for what was not told of its attempt."""
        attempt = _attempt_of(run)
        if run.info.status == "RUNNING" and (attempt in settled or attempt in self._failed or attempt in self._left):
            self._put_aside(run.info)  # a twin
            return
        if run.info.status != "KILLED":
            self._terminate(run.info, "KILLED")
        self._left.setdefault(attempt, run.info)

    def told(self) -> set[str]:
        """Return the names of the runs that are finished here, or about to be, whoever made them.

        One that this process left open, or that was cut short, is neither: it is gone on with when its record is told.
        """
        names = set()
        for run in self._runs():
            if "run" not in run.data.tags or run.info.status == "FAILED":
                continue
            ours = run.data.tags.get(PROCESS_TAG) == _this_process()
            if run.info.status == "KILLED" or (run.info.status == "RUNNING" and ours):
                self._left.setdefault(_attempt_of(run), run.info)
            else:
                names.add(run.data.tags["run"])
        return names

    def started(self, run: PlannedRun, attempt: int) -> None:
        """See :class:`~harness.mirrors.mirror.Projection`."""
        self.start(run.id, who(run.cell.id, run.arm, run.seed, run.trial), attempt)

    def start(self, run: str, tags: Mapping[str, str], attempt: int, started: int | None = None) -> None:
        """Create a child run.

        Args:
            run: its name.
            tags: what tells it from others; where it is computed is this command's, if that is not among them.
            attempt: 1 for the first try.
            started: milliseconds since the epoch; None: now.
        """
        tags = {**source_tags(self._provenance), **tags, "study": self._name, "run": run, "attempt": str(attempt)}
        if self._parent is not None:
            tags["mlflow.parentRunId"] = self._parent.run_id
        else:
            tags[PROCESS_TAG] = _this_process()
        if (replaced := self._open.pop(run, None)) is not None:
            self._terminate(replaced, "KILLED")
        experiment = self._experiment.experiment_id
        made = asked(self._client.create_run, experiment, start_time=started, tags=tags, run_name=run)
        self._open[run] = made.info

    def finished(self, record: RunRecord) -> None:
        """See :class:`~harness.mirrors.mirror.Projection`; may be told again: nothing is doubled."""
        told = FinishedRun.of(record)
        self._take_up(record.run, record.attempt)
        if record.run not in self._open:
            self.start(record.run, told.who, record.attempt, told.started)
        made = self._open[record.run]
        asked(self._client.log_batch, made.run_id, told.metrics, told.params, told.tags)  # split where it is too long
        upload(made, sorted(record.folder.iterdir()), self._uri)
        self._terminate(made, "FINISHED", told.ended)
        del self._open[record.run]  # only now: `close` ends what is open

    def failed(self, failure: Failure) -> None:
        """See :class:`~harness.mirrors.mirror.Projection`; may be told again: nothing is doubled."""
        attempt = (failure.run, str(failure.attempt))
        if attempt in self._failed and failure.run not in self._open:
            return
        self._take_up(failure.run, failure.attempt)
        if failure.run not in self._open:
            self.start(failure.run, who(failure.cell, failure.arm, failure.seed, failure.trial), failure.attempt)
        made = self._open[failure.run]
        tags = [RunTag("outcome", "failed"), RunTag("reason", failure.reason[:MAX_TAG_LENGTH])]
        asked(self._client.log_batch, made.run_id, tags=tags)
        if failure.detail:
            upload_text(made, failure.detail, TRACEBACK_FILE, self._uri)
        self._terminate(made, "FAILED")
        self._failed.add(attempt)
        del self._open[failure.run]

    def _take_up(self, run: str, attempt: int) -> None:
        """Go on with what stands here of an attempt whose process died, if anything does."""
        if (left := self._left.pop((run, str(attempt)), None)) is not None:
            self._open.setdefault(run, left)

    def searched(self, arms: Sequence[ArmSearch]) -> None:
        """See :class:`~harness.mirrors.mirror.Projection`; what was tried are runs like any other here."""

    def attach(self, paths: Sequence[Path]) -> None:
        """See :class:`~harness.mirrors.mirror.Projection`; artifacts of the parent run, replaced if already there."""
        assert self._parent is not None  # noqa: S101 - a study has one
        upload(self._parent, paths, self._uri)

    def close(self, status: str) -> None:
        """See :class:`~harness.mirrors.mirror.Projection`."""
        for run, made in list(self._open.items()):
            self._terminate(made, "KILLED")
            del self._open[run]
        if self._parent is not None:
            if sqlite_path(self._uri) is None:
                self._remove_ghosts(self._parent)
            self._terminate(self._parent, status)

    def _remove_ghosts(self, parent: RunInfo) -> None:
        """Put aside the twins of runs whose making was asked for again because the first answer was lost."""
        for run in search(self._client, self._experiment.experiment_id, "attributes.status = 'RUNNING'"):
            if self._is_ours(run) and run.info.run_id != parent.run_id:
                self._put_aside(run.info)

    def _put_aside(self, run: RunInfo) -> None:
        self._terminate(run, "KILLED")
        asked(self._client.delete_run, run.run_id)

    def _terminate(self, run: RunInfo, status: str, ended: int | None = None) -> None:
        """End a run, never before it began: the clock may have been set back meanwhile."""
        ended = max(ended or milliseconds(time.time()), run.start_time)
        asked(self._client.set_terminated, run.run_id, status, end_time=ended)

    def _is_ours(self, run: Run) -> bool:
        """Whether a run is the study's own: a child of its parent run, or a twin of that."""
        if self._parent is None:
            return False
        tags = run.data.tags
        return tags.get("mlflow.parentRunId") == self._parent.run_id or (
            is_parent(run) and tags.get(OWNER_TAG) == self._owner
        )

    def close_abandoned(self) -> None:
        """End the runs of processes of this machine that no longer live: nothing else ever would."""
        for run in self._runs():
            process = run.data.tags.get(PROCESS_TAG, "")
            pid, _, host = process.partition("@")
            if run.info.status == "RUNNING" and host == socket.gethostname() and not is_alive(int(pid)):
                self._terminate(run.info, "KILLED")

    def _ensure_experiment(self, local: bool, artifacts: Path) -> Experiment:
        found = asked(self._client.get_experiment_by_name, self._name)
        if found is None:
            location = (artifacts / slug(self._name)).absolute().as_uri() if local else None
            # the tag makes the UI open on runs and curves instead of its view for language models
            tags = {"mlflow.experimentKind": "custom_model_development"}
            try:
                asked(self._client.create_experiment, self._name, artifact_location=location, tags=tags)
            except RestException:  # refused, but it may be there: asked for again, because the first answer was lost
                if (found := asked(self._client.get_experiment_by_name, self._name)) is None:
                    raise
            found = found or asked(self._client.get_experiment_by_name, self._name)
        elif found.lifecycle_stage != "active":
            asked(self._client.restore_experiment, found.experiment_id)
        return found

    def _ensure_parent(self, owner: str) -> RunInfo:
        experiment = self._experiment.experiment_id
        tags = {**source_tags(self._provenance), "study": self._name, PARENT_TAG: PARENT, OWNER_TAG: owner}
        parents, children = self._family(owner)
        if not parents:
            asked(self._client.create_run, experiment, tags=tags, run_name=self._name)
            parents, children = self._family(owner)
        kept = max(parents, key=lambda run: (len(children[run.info.run_id]), -run.info.start_time))
        for ghost in parents:  # a request made twice can have left a second, and an earlier command gone on with it
            if ghost is not kept:
                for child in children[ghost.info.run_id]:
                    asked(self._client.set_tag, child, "mlflow.parentRunId", kept.info.run_id)
                self._put_aside(ghost.info)
        asked(self._client.update_run, kept.info.run_id, status="RUNNING")
        as_tags = [RunTag(key, value) for key, value in tags.items()]
        asked(self._client.log_batch, kept.info.run_id, tags=as_tags)
        return kept.info

    def _family(self, owner: str) -> tuple[list[Run], Mapping[str, list[str]]]:
        """Return the runs that stand for the study, and by the id of each those of its children."""
        parents: list[Run] = []
        children: defaultdict[str, list[str]] = defaultdict(list)
        for run in self._runs():
            if is_parent(run) and run.data.tags.get(OWNER_TAG) == owner:
                parents.append(run)
            elif (parent := run.data.tags.get("mlflow.parentRunId")) is not None:
                children[parent].append(run.info.run_id)
        return parents, children

    def _runs(self) -> Iterator[Run]:
        return search(self._client, self._experiment.experiment_id)


def is_parent(run: Run) -> bool:
    """Whether a run stands for a study as a whole."""
    return bool(run.data.tags.get(PARENT_TAG) == PARENT)


def _this_process() -> str:
    return f"{os.getpid()}@{socket.gethostname()}"


def _attempt_of(run: Run) -> tuple[str, str]:
    return run.data.tags["run"], run.data.tags.get("attempt", "")


def _touch(url: str) -> None:
    MlflowClient(tracking_uri=url).search_experiments(max_results=1)
