"""Propose settings in search mode with Optuna, and mirror the trials to it.

Proposals and scores stand on disk (:mod:`harness.commands.tuning`); a proposal depends on them and on a
seed alone, so that a search which was interrupted goes on as if it had not been.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from harness.record.search import ArmSearch, Trial
from harness.study.names import label
from harness.study.search_space import Choices, Range, SearchSection

STARTUP_TRIALS = 10  # of TPE: tried at random before anything is modelled
OWNER = "owner"


def propose(search: SearchSection, maximize: bool, trials: Sequence[Trial], count: int, seed: int) -> list[Trial]:
    """Propose the next settings of one arm.

    Args:
        search: sampler and space.
        maximize: whether a higher score is better.
        trials: those before, all of them scored.
        count: how many to propose together: later ones keep away from earlier ones.
        seed: of the sampler.
    """
    study = _study(search, maximize, trials, seed)
    distributions = _distributions(search)
    first = len(trials)
    asked = [study.ask(distributions) for _ in range(count)]
    return [Trial(first + i, _settings(search, trial.params), ()) for i, trial in enumerate(asked)]


def best_of(trials: Sequence[Trial], maximize: bool) -> int | None:
    """Return the number of the best trial; of equals the one that lost the fewest runs, then the earliest.

    None where no trial has a run that came to something.
    """
    worked = [trial for trial in trials if trial.value is not None and trial.lost < len(trial.scores)]
    best = max(worked, key=lambda t: ((t.value or 0.0) * (1 if maximize else -1), -t.lost, -t.number), default=None)
    return None if best is None else best.number


def importances_of(search: SearchSection, maximize: bool, trials: Sequence[Trial]) -> dict[str, float]:
    """Return how much of the scores' variation each field explains, by Optuna's default evaluator; {} if unknown."""
    study = _study(search, maximize, trials, seed=0)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", category=UserWarning)  # "too few trials": the shares would be made up
            found = optuna.importance.get_param_importances(study)
    except (RuntimeError, ValueError, UserWarning):  # or all scores alike
        return {}
    return {name: float(share) for name, share in found.items()}


def mirror(
    storage: optuna.storages.RDBStorage,
    study: str,
    owner: str,
    searched: ArmSearch,
    search: SearchSection,
    maximize: bool,
) -> None:
    """Make an arm's own Optuna study hold its scored trials and no others, whatever it held before.

    Args:
        storage: Optuna's storage.
        study: name of the whole study.
        owner: identity of its folder.
        searched: the arm's trials.
        search: sampler and space.
        maximize: whether a higher score is better.
    """
    name = f"{study} / {searched.cell} / {searched.arm}"
    scored = [_frozen(search, trial) for trial in searched.trials if trial.value is not None]
    direction = "maximize" if maximize else "minimize"
    made = optuna.create_study(study_name=name, storage=storage, direction=direction, load_if_exists=True)
    there = made.get_trials(deepcopy=False)
    if made.user_attrs.get(OWNER, owner) != owner or [_content(t) for t in there] != [
        _content(t) for t in scored[: len(there)]
    ]:
        optuna.delete_study(study_name=name, storage=storage)
        made, there = optuna.create_study(study_name=name, storage=storage, direction=direction), []
    made.set_user_attr(OWNER, owner)
    made.add_trials(scored[len(there) :])


def _content(trial: FrozenTrial) -> tuple[TrialState, float | None, dict[str, Any]]:
    return trial.state, trial.value, trial.params


def _study(search: SearchSection, maximize: bool, trials: Sequence[Trial], seed: int) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize" if maximize else "minimize", sampler=_sampler(search, seed))
    study.add_trials([_frozen(search, trial) for trial in trials if trial.value is not None])
    return study


def _sampler(search: SearchSection, seed: int) -> optuna.samplers.BaseSampler:
    if search.sampler == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    return optuna.samplers.TPESampler(n_startup_trials=STARTUP_TRIALS, seed=seed)


def _frozen(search: SearchSection, trial: Trial) -> FrozenTrial:
    return create_trial(
        state=TrialState.COMPLETE,
        value=trial.value,
        params={name: _param(search, name, value) for name, value in trial.settings.items()},
        distributions=_distributions(search),
        user_attrs={"scores": list(trial.scores)},
    )


def _distributions(search: SearchSection) -> dict[str, BaseDistribution]:
    return {name: _distribution(dimension) for name, dimension in search.space.items()}


def _distribution(dimension: Range | Choices) -> BaseDistribution:
    if isinstance(dimension, Choices):
        return CategoricalDistribution([label(choice) for choice in dimension.choices])
    if dimension.whole:
        return IntDistribution(int(dimension.low), int(dimension.high), log=dimension.log)
    return FloatDistribution(dimension.low, dimension.high, log=dimension.log)


def _param(search: SearchSection, name: str, value: object) -> object:
    """Return a field's value as Optuna stores it: of choices, which may be lists or tables, the text."""
    return label(value) if isinstance(search.space[name], Choices) else value


def _settings(search: SearchSection, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return Optuna's proposal as config fields."""
    settings = {}
    for name, value in params.items():
        dimension = search.space[name]
        if isinstance(dimension, Choices):
            value = next(choice for choice in dimension.choices if label(choice) == value)
        settings[name] = value
    return settings
