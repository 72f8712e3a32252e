"""Mirror a study to Optuna: a trial for each attempt.

The design is planned whole, so Optuna proposes nothing here: a run's trial is made when it starts and finished when
its record is on disk. Both are single writes to the storage: ``Study.ask`` looks through all trials and commits every
parameter by itself, ``Study.tell`` reads the trial twice, which together cost three times as much.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from harness.algorithm.traits import MetricTraits
from harness.errors import StudyConflict
from harness.mirrors.databases import LOCK_SECONDS, ensure_database, explained, is_missing, sqlite_path
from harness.mirrors.optuna.proposals import mirror
from harness.record.attempt import AttemptKey, Failure
from harness.record.run import RunRecord
from harness.record.scores import Scores
from harness.record.search import ArmSearch
from harness.redaction import redact
from harness.study.design import PlannedRun
from harness.study.names import label
from harness.study.spec import StudySpec

RUN, ATTEMPT = "run", "attempt"  # the user attributes that name them
# set on failed trials of runs that finished without a figure: one diverged, say, and no worst value is known
WITHOUT_METRIC = "without metric"
_ENDED_BEFORE_BEGUN = sqlalchemy.text(
    "UPDATE trials SET datetime_complete = datetime_start"
    " WHERE study_id = :study AND datetime_complete < datetime_start"
)
DESCRIBED = "described"  # set on the study: metric, and the distribution of every factor


class OptunaMirror:
    """One Optuna study: a trial per attempt, its parameters the run's factor levels and seed.

    Args:
        url: any Optuna RDB URL.
        spec: the study, with search mode's own factor where it searches.
        owner: identity of the study's folder, so that a study of the same name from elsewhere is left alone.
        waiting: see :func:`~harness.mirrors.databases.ensure_database`.
        metrics: what is known of the study's metrics, by name.

    Raises:
        StoreUnavailable: if the storage cannot be used.
        StudyConflict: if it holds a study of this name that is not this folder's.
    """

    def __init__(
        self,
        url: str,
        spec: StudySpec,
        owner: str,
        waiting: Callable[[Path], None] = lambda path: None,
        metrics: Mapping[str, MetricTraits] | None = None,
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._compare = spec.compare
        self._search = spec.search
        self._distributions = _distributions(spec)
        self._levels = {factor.name: _levels(factor.values) for factor in spec.sweep}
        self._open: dict[AttemptKey, int] = {}
        self._known: set[AttemptKey] = set()
        self._complete: set[str] = set()
        self._scores = Scores(spec.compare, metrics or {})
        self._unsettled: list[RunRecord] = []
        with explained(f"Optuna cannot use {redact(url)}"):
            ensure_database(url, lambda draft: _close(optuna.storages.RDBStorage(draft)), waiting)
            patient = {"connect_args": {"timeout": LOCK_SECONDS}} if sqlite_path(url) is not None else None
            self._storage = optuna.storages.RDBStorage(url, engine_kwargs=patient)
            self._name, self._owner, self._url = spec.name, owner, url
            self._open_study()

    @property
    def address(self) -> str:
        """See :class:`~harness.mirrors.mirror.Mirror`."""
        return f"Optuna at {redact(self._url)}"

    def repair(self, records: Sequence[RunRecord], failures: Sequence[Failure], on_disk: Set[str]) -> int:
        """See :class:`~harness.mirrors.mirror.Mirror`; a search's trials have studies of their own."""
        trials = self._study.get_trials(deepcopy=False)
        complete = [trial.user_attrs.get(RUN) for trial in trials if trial.state == TrialState.COMPLETE]
        if len(set(complete)) < len(complete) or not on_disk >= set(complete):
            self._open_study(anew=True)  # a record was removed, and a trial cannot be
            trials = []
        self._known = {_attempt_of(trial) for trial in trials}
        self._complete = {run for run, _ in map(_attempt_of, filter(_is_complete, trials))}
        for trial in trials:
            if trial.state == TrialState.RUNNING:
                self._study.tell(trial.number, state=TrialState.FAIL)
        self._open.clear()
        judged = [record for record in records if record.trial is None]
        for record in judged:
            self._scores.note(record)
        missing = [record for record in judged if record.run not in self._complete]
        failed = [f for f in failures if f.trial is None and (f.run, f.attempt) not in self._known]
        for failure in failed:
            self.failed(failure)
        for record in missing:
            self._finish(record)
        return len(missing) + len(failed)

    def started(self, run: PlannedRun, attempt: int) -> None:
        """See :class:`~harness.mirrors.mirror.Mirror`."""
        if run.trial is not None or (run.id, attempt) in self._known:
            return
        trial = create_trial(
            state=TrialState.RUNNING,
            params=self._parameters(run.levels, run.seed),
            distributions=self._distributions,
            user_attrs={RUN: run.id, ATTEMPT: attempt},
        )
        self._open[run.id, attempt] = self._storage.create_new_trial(self._study_id, trial)
        self._known.add((run.id, attempt))

    def finished(self, record: RunRecord) -> None:
        """See :class:`~harness.mirrors.mirror.Mirror`."""
        if record.trial is not None or record.run in self._complete:
            return
        self._complete.add(record.run)
        self._scores.note(record)
        if self._scores.is_settled(record):
            self._finish(record)
        else:
            self._unsettled.append(record)  # runs still to come may show what the worst is here

    def _finish(self, record: RunRecord) -> None:
        trial = self._open.pop((record.run, record.attempt), None)
        value = self._value(record)
        if trial is None:
            self._add(record, value)
        elif value is None:
            self._storage.set_trial_user_attr(trial, WITHOUT_METRIC, True)
            self._storage.set_trial_state_values(trial, TrialState.FAIL)
        else:
            self._storage.set_trial_state_values(trial, TrialState.COMPLETE, [value])
        self._known.add((record.run, record.attempt))
        self._complete.add(record.run)

    def failed(self, failure: Failure) -> None:
        """See :class:`~harness.mirrors.mirror.Mirror`."""
        attempt = (failure.run, failure.attempt)
        if (trial := self._open.pop(attempt, None)) is not None:
            self._storage.set_trial_state_values(trial, TrialState.FAIL)
        elif failure.trial is None and attempt not in self._known:
            self._study.add_trial(
                create_trial(
                    state=TrialState.FAIL,
                    params={"seed": failure.seed},  # a failure does not hold its levels
                    distributions={"seed": self._distributions["seed"]},
                    user_attrs={RUN: failure.run, ATTEMPT: failure.attempt},
                )
            )
            self._known.add(attempt)

    def searched(self, arms: Sequence[ArmSearch]) -> None:
        """See :class:`~harness.mirrors.mirror.Mirror`; each arm of each cell has a study of its own."""
        if self._search is not None:
            for arm in arms:
                mirror(self._storage, self._name, self._owner, arm, self._search, self._compare.higher_is_better)

    def attach(self, paths: Sequence[Path]) -> None:
        """Optuna keeps no files."""

    def close(self, status: str) -> None:
        """See :class:`~harness.mirrors.mirror.Mirror`."""
        for record in self._unsettled:
            self._finish(record)
        self._unsettled.clear()
        for trial in self._open.values():
            self._storage.set_trial_state_values(trial, TrialState.FAIL)
        self._open.clear()
        with self._storage.engine.begin() as connection:  # the clock may have been set back during a run
            connection.execute(_ENDED_BEFORE_BEGUN, {"study": self._study_id})
        _close(self._storage)

    def _open_study(self, anew: bool = False) -> None:
        """Open the study, or make it anew where what it holds has changed: it is a mirror, not a source."""
        direction = "maximize" if self._compare.higher_is_better else "minimize"
        worst = self._compare.diverged_score
        described = {
            "owner": self._owner,
            "metric": f"{direction} {self._compare.metric}" + ("" if worst is None else f", {worst} if diverged"),
            **{key: optuna.distributions.distribution_to_json(value) for key, value in self._distributions.items()},
        }

        def make() -> optuna.Study:
            return optuna.create_study(
                study_name=self._name,
                storage=self._storage,
                direction=direction,
                load_if_exists=True,
                sampler=optuna.samplers.RandomSampler(seed=0),
            )

        study = make()
        before = study.user_attrs.get(DESCRIBED)
        foreign = bool(study.get_trials(deepcopy=False)) if before is None else before["owner"] != self._owner
        if foreign:
            where = redact(self._url)
            raise StudyConflict(f"{where} holds another study named {self._name!r}: choose another name or --storage")
        if anew or before not in (None, described):
            optuna.delete_study(study_name=self._name, storage=self._storage)
            study, before = make(), None
        if before is None:
            study.set_user_attr(DESCRIBED, described)
        self._study = study
        self._study_id = self._storage.get_study_id_from_name(self._name)

    def _add(self, record: RunRecord, value: float | None) -> None:
        trial: FrozenTrial = create_trial(
            state=TrialState.COMPLETE if value is not None else TrialState.FAIL,
            value=value,
            params=self._parameters(record.levels, record.seed),
            distributions=self._distributions,
            user_attrs={
                RUN: record.run,
                ATTEMPT: record.attempt,
                **({} if value is not None else {WITHOUT_METRIC: True}),
            },
        )
        self._study.add_trial(trial)

    def _parameters(self, levels: Mapping[str, Any], seed: int) -> dict[str, Any]:
        return {**{name: self._levels[name][label(level)] for name, level in levels.items()}, "seed": seed}

    def _value(self, record: RunRecord) -> float | None:
        """Return a run's score whatever others came to: a trial cannot change when more of them are known."""
        return self._scores.of(record) if self._scores.is_settled(record) else None


def attempts_in_optuna(url: str, name: str) -> dict[str, list[AttemptKey]]:
    """Return by state the attempts that the trials of a study stand for; those without a figure count as complete.

    Raises:
        StoreUnavailable: if the storage cannot be used.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    found: dict[str, list[AttemptKey]] = {}
    if is_missing(url):
        return found
    with explained(f"Optuna cannot use {redact(url)}"):
        storage = optuna.storages.RDBStorage(url)
        names = {summary.study_name for summary in optuna.get_all_study_summaries(storage)}
        trials = optuna.load_study(study_name=name, storage=storage).get_trials(False) if name in names else []
        _close(storage)
    for trial in trials:
        state = TrialState.COMPLETE if _is_complete(trial) else trial.state
        found.setdefault(state.name, []).append(_attempt_of(trial))
    return found


def _attempt_of(trial: FrozenTrial) -> AttemptKey:
    return str(trial.user_attrs.get(RUN, "")), int(trial.user_attrs.get(ATTEMPT, 0))


def _is_complete(trial: FrozenTrial) -> bool:
    """Return whether a trial stands for a finished run, with or without a figure."""
    return trial.state == TrialState.COMPLETE or WITHOUT_METRIC in trial.user_attrs


def _distributions(spec: StudySpec) -> Mapping[str, BaseDistribution]:
    """Describe factors and seed for Optuna: numbers as ranges, everything else as choices."""
    described: dict[str, BaseDistribution] = {}
    for factor in spec.sweep:
        levels = list(_levels(factor.values).values())
        if all(type(level) is int for level in levels):
            described[factor.name] = IntDistribution(min(levels), max(levels))
        elif all(type(level) in (int, float) for level in levels):
            described[factor.name] = FloatDistribution(min(levels), max(levels))
        else:
            described[factor.name] = CategoricalDistribution(levels)
    seeds = spec.study.seeds
    return {**described, "seed": IntDistribution(0, max(2**31 - 1, *seeds))}


def _levels(values: Sequence[object]) -> dict[str, Any]:
    """Return a factor's levels as Optuna can store them, by their text: as that where some are equal (1 and true)."""
    scalars = {label(value): _scalar(value) for value in values}
    return scalars if len({*scalars.values()}) == len(scalars) else {text: text for text in scalars}


def _scalar(value: object) -> bool | int | float | str | None:
    """Return a level as Optuna can store it: lists and tables as JSON text."""
    return value if value is None or isinstance(value, bool | int | float | str) else label(value)


def _close(storage: optuna.storages.RDBStorage) -> None:
    storage.remove_session()
    storage.engine.dispose()
