"""MLflow as the mirror of a study: one parent run, reused by every command, and a child run for each attempt."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

from harness.mirrors.databases import sqlite_path
from harness.mirrors.mlflow.client import Run, RunInfo, RunTag, asked, store_errors, upload
from harness.mirrors.mlflow.experiment import MLflowExperiment
from harness.mirrors.mlflow.payload import who
from harness.record.attempt import AttemptKey
from harness.record.search import ArmSearch
from harness.study.design import PlannedRun

PARENT_TAG, PARENT = "role", "study"
OWNER_TAG = "folder"


class MLflowMirror(MLflowExperiment):
    """The store behind a :class:`~harness.mirrors.patient.PatientMirror`: the MLflow experiment of one study.

    Args:
        uri: see :class:`~harness.mirrors.mlflow.experiment.MLflowExperiment`, as the next three.
        experiment: the study's name.
        artifacts: folder for artifacts.
        provenance: of this command.
        owner: identity of the study's folder, which has one parent run in the experiment, whatever other folders have.
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
        owner: str,
        waiting: Callable[[Path], None] = lambda path: None,
    ) -> None:
        super().__init__(uri, experiment, artifacts, provenance, waiting)
        self._owner = owner
        with store_errors(uri):
            self._parent = self._ensure_parent()
        self._common["mlflow.parentRunId"] = self._parent.run_id

    def started(self, run: PlannedRun, attempt: int) -> None:
        """See :class:`~harness.mirrors.mirror.Mirror`."""
        if run.id not in self._complete and (run.id, attempt) not in self._failed:
            self._left.pop((run.id, attempt), None)  # of a number that was lost and is given again: not this attempt
            self._begin((run.id, attempt), who(run.cell.id, run.arm, run.seed, run.trial))

    def searched(self, arms: Sequence[ArmSearch]) -> None:
        """See :class:`~harness.mirrors.mirror.Mirror`; what was tried are runs like any other here."""

    def attach(self, paths: Sequence[Path]) -> None:
        """See :class:`~harness.mirrors.mirror.Mirror`; artifacts of the parent run, replaced if already there."""
        upload(self._parent, paths, self._uri)

    def close(self, status: str) -> None:
        """See :class:`~harness.mirrors.mirror.Mirror`."""
        self.cut_short()
        if sqlite_path(self._uri) is None:
            self._remove_ghosts()
        self._terminate(self._parent, status)

    def _remove_ghosts(self) -> None:
        """Put aside the twins of runs whose making was asked for again because the first answer was lost."""
        for run in self._runs("attributes.status = 'RUNNING'"):
            twin_of_parent = self._is_parent(run) and run.info.run_id != self._parent.run_id
            if twin_of_parent or self._is_child(run):
                self._put_aside(run.info)

    def _is_ours(self, run: Run, on_disk: Set[str], failed: Set[AttemptKey]) -> bool:
        return self._is_child(run)

    def _is_child(self, run: Run) -> bool:
        return bool(run.data.tags.get("mlflow.parentRunId") == self._parent.run_id)

    def _is_parent(self, run: Run) -> bool:
        return is_parent(run) and run.data.tags.get(OWNER_TAG) == self._owner

    def _ensure_parent(self) -> RunInfo:
        tags = {**self._source, **self._common, PARENT_TAG: PARENT, OWNER_TAG: self._owner}
        parents, children = self._family()
        if not parents:
            asked(self._client.create_run, self._experiment.experiment_id, tags=tags, run_name=self._name)
            parents, children = self._family()
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

    def _family(self) -> tuple[list[Run], Mapping[str, list[str]]]:
        """Return the runs that stand for the study, and by the id of each those of its children."""
        parents: list[Run] = []
        children: defaultdict[str, list[str]] = defaultdict(list)
        for run in self._runs():
            if self._is_parent(run):
                parents.append(run)
            elif (parent := run.data.tags.get("mlflow.parentRunId")) is not None:
                children[parent].append(run.info.run_id)
        return parents, children


def is_parent(run: Run) -> bool:
    """Return whether a run stands for a study as a whole."""
    return bool(run.data.tags.get(PARENT_TAG) == PARENT)
