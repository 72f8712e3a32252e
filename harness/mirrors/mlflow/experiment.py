"""An MLflow experiment, and attempts at runs written to it.

Nothing here uses MLflow's fluent calls, which keep their state per thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Set
from pathlib import Path
from typing import Any

from harness.errors import DamagedRecord
from harness.mirrors.databases import ensure_database
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
from harness.mirrors.mlflow.payload import MAX_TAG_LENGTH, FinishedRun, countable, milliseconds, source_tags, who
from harness.record.attempt import AttemptKey, Failure
from harness.record.run import RunRecord
from harness.redaction import redact
from harness.study.names import slug

TRACEBACK_FILE = "traceback.txt"


class MLflowExperiment:
    """An MLflow experiment: a run in it for each attempt, written once, however often it is reported.

    Args:
        uri: tracking URI; a ``sqlite:///`` one is created where it is missing.
        experiment: its name.
        artifacts: folder for the artifacts of a new experiment; servers use their own.
        provenance: see :mod:`harness.provenance`.
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
        waiting: Callable[[Path], None] = lambda path: None,
    ) -> None:
        self._name = experiment
        self._uri = uri
        self._source = source_tags(provenance)
        self._common = {"study": experiment}
        self._open: dict[AttemptKey, RunInfo] = {}  # begun by this command and not ended
        self._left: dict[AttemptKey, RunInfo] = {}  # begun by a process that died
        self._complete: set[str] = set()
        self._failed: set[AttemptKey] = set()
        with store_errors(uri):
            ensure_database(uri, _touch, waiting)
            self._client = MlflowClient(tracking_uri=uri)
            self.reach()
            self._experiment = self._ensure_experiment(not is_server(uri), artifacts)

    @property
    def address(self) -> str:
        """See :class:`~harness.mirrors.mirror.Mirror`."""
        return f"MLflow at {self.uri}"

    @property
    def uri(self) -> str:
        """Tracking URI, without passwords."""
        return redact(self._uri)

    def reach(self) -> None:
        """See :class:`~harness.mirrors.patient.Store`."""
        with impatient():
            asked(self._client.search_experiments, max_results=1)

    def refuses(self, error: Exception) -> bool:
        """See :class:`~harness.mirrors.patient.Store`."""
        return isinstance(error, DamagedRecord) or is_refusal(error)

    def settle(self, on_disk: Set[str], failed: Set[AttemptKey]) -> Set[str]:
        """See :class:`~harness.mirrors.patient.Store`."""
        self._complete, self._failed = set(), set()
        finished: set[AttemptKey] = set()
        unsettled: list[Run] = []
        for run in self._runs():
            if "run" not in run.data.tags or not self._is_ours(run, on_disk, failed):
                continue
            name, number = attempt_of(run)
            if run.info.status == "FINISHED" and name in on_disk and name not in self._complete:
                self._complete.add(name)
                finished.add((name, number))
            elif run.info.status == "FAILED":
                self._failed.add((name, number))
            else:
                unsettled.append(run)
        for run in unsettled:
            self._take_up(run, finished)
        return self._complete

    def _take_up(self, run: Run, finished: Set[AttemptKey]) -> None:
        """End a run that a process left open, and keep it in mind for what was not reported of its attempt."""
        attempt = attempt_of(run)
        if run.info.status == "RUNNING" and (attempt in finished or attempt in self._failed or attempt in self._left):
            self._put_aside(run.info)  # a twin
            return
        if run.info.status != "KILLED":
            self._terminate(run.info, "KILLED")
        self._left.setdefault(attempt, run.info)

    def finished(self, record: RunRecord) -> None:
        """See :class:`~harness.mirrors.mirror.Mirror`."""
        if record.run in self._complete:
            return
        found = FinishedRun.of(record)
        made = self._begin((record.run, record.attempt), found.who, found.started)
        asked(self._client.log_batch, made.run_id, found.metrics, found.params, found.tags)  # split where too long
        upload(made, sorted(record.folder.iterdir()), self._uri)
        self._terminate(made, "FINISHED", found.ended)
        self._complete.add(record.run)
        del self._open[record.run, record.attempt]  # only now: `cut_short` ends what is open

    def failed(self, failure: Failure) -> None:
        """See :class:`~harness.mirrors.mirror.Mirror`."""
        attempt = (failure.run, failure.attempt)
        if attempt in self._failed and attempt not in self._open:
            return
        tags = who(failure.cell, failure.arm, failure.seed, failure.trial)
        made = self._begin(attempt, tags, countable(failure.started))
        outcome = [RunTag("outcome", "failed"), RunTag("reason", failure.reason[:MAX_TAG_LENGTH])]
        asked(self._client.log_batch, made.run_id, tags=outcome)
        if failure.detail:
            upload_text(made, failure.detail, TRACEBACK_FILE, self._uri)
        self._terminate(made, "FAILED", countable(failure.ended))
        self._failed.add(attempt)
        del self._open[attempt]

    def interrupted(self, run: str, seed: int, started: float) -> None:
        """See :class:`~harness.mirrors.opening.SingleRuns`."""
        self._begin((run, 1), who("", "", seed, None), countable(started))

    def cut_short(self) -> None:
        """See :class:`~harness.mirrors.opening.SingleRuns`."""
        for attempt, made in list(self._open.items()):
            self._terminate(made, "KILLED")
            del self._open[attempt]

    def has_failed(self, failure: Failure) -> bool:
        """See :class:`~harness.mirrors.patient.Store`."""
        return (failure.run, failure.attempt) in self._failed

    def _begin(self, attempt: AttemptKey, tags: Mapping[str, str], started: int | None = None) -> RunInfo:
        """Create the run that stands for an attempt, or go on with the one that was begun before.

        Args:
            attempt: run and number.
            tags: what distinguishes it from others; where it is computed is this command's, if not among them.
            started: milliseconds since the epoch; None: now.
        """
        if (left := self._left.pop(attempt, None)) is not None:
            self._open.setdefault(attempt, left)
        if attempt not in self._open:
            run, number = attempt
            tags = {**self._source, **tags, **self._common, "run": run, "attempt": str(number)}
            home = self._experiment.experiment_id
            made = asked(self._client.create_run, home, start_time=started, tags=tags, run_name=run)
            self._open[attempt] = made.info
        return self._open[attempt]

    def _put_aside(self, run: RunInfo) -> None:
        self._terminate(run, "KILLED")
        asked(self._client.delete_run, run.run_id)

    def _terminate(self, run: RunInfo, status: str, ended: int | None = None) -> None:
        """End a run, never before it began: the clock may have been set back meanwhile."""
        ended = max(ended or milliseconds(time.time()), run.start_time)
        asked(self._client.set_terminated, run.run_id, status, end_time=ended)

    def _is_ours(self, run: Run, on_disk: Set[str], failed: Set[AttemptKey]) -> bool:
        """Return whether a run stands for one of these attempts: other folders may share the experiment."""
        return run.data.tags["run"] in on_disk or attempt_of(run) in failed

    def _runs(self, condition: str = "") -> Iterator[Run]:
        return search(self._client, self._experiment.experiment_id, condition)

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


def attempt_of(run: Run) -> AttemptKey:
    """Return the attempt a run stands for."""
    number = run.data.tags.get("attempt", "")
    return run.data.tags["run"], int(number) if number.isdecimal() else 0


def _touch(url: str) -> None:
    MlflowClient(tracking_uri=url).search_experiments(max_results=1)
