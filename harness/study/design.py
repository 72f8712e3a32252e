"""Plan a study whole: every cell, arm and seed as a run, with ids that never change.

A *cell* is one combination of all factor levels except the compared one's; an *arm* is a level of the compared
factor; a *run* is (cell, arm, seed). Runs are ordered with seeds outermost, so that an interrupted study is
balanced: every cell and arm has as many seeds as any other, give or take one.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pydantic

from harness.algorithm.protocol import Algorithm, with_changes
from harness.algorithm.questions import default_metric, effective_settings, metric_traits
from harness.algorithm.traits import MetricTraits
from harness.errors import MAX_PROBLEMS, BadInput, Problem, distinct
from harness.study.names import canonical, label, slug
from harness.study.settings import located, quick_problems, settings_problems, slow_problems, swept_fields
from harness.study.spec import TUNED, TUNING_FACTOR, Factor, Settings, StudySpec

MAX_RUNS = 200_000


@dataclass(frozen=True)
class Cell:
    """One combination of levels of the factors that are not compared.

    Attributes:
        id: names the cell in folders, tags and tables; depends on the levels alone.
        levels: factor name → level.
        primary: whether the study's verdict rests on it (else it is exploratory).
    """

    id: str
    levels: Mapping[str, Any]
    primary: bool


@dataclass(frozen=True)
class Alias:
    """A combination of levels whose effective settings equal those of a cell that is kept."""

    levels: Mapping[str, Any]
    cell: str


@dataclass(frozen=True)
class PlannedRun:
    """One run of the design.

    Attributes:
        id: names it everywhere; depends on its levels and seed alone.
        cell: its cell.
        arm: its level of the compared factor, as text.
        seed: its seed.
        levels: factor name → level, the compared factor included.
        config: the settings it trains with.
        trial: in search mode the number of the proposal it tries; None for runs of the comparison.
    """

    id: str
    cell: Cell
    arm: str
    seed: int
    levels: Mapping[str, Any]
    config: pydantic.BaseModel
    trial: int | None = None


@dataclass(frozen=True)
class Design:
    """A study planned whole.

    Attributes:
        spec: the study, with search mode's own factor where it searches.
        arms: the compared levels as text, the baseline first.
        cells: in the order of the sweep.
        aliases: the combinations left out, each with the cell that stands for it.
        runs: in the order they are to be computed: none yet in cells whose settings are still searched for.
        configs: cell → arm → its config, with the study's first seed; in tuned cells the one the search changes.
        metrics: what is known of its metrics, by name.
    """

    spec: StudySpec
    arms: tuple[str, ...]
    cells: tuple[Cell, ...]
    aliases: tuple[Alias, ...]
    runs: tuple[PlannedRun, ...]
    configs: Mapping[str, Mapping[str, pydantic.BaseModel]] = field(repr=False)
    metrics: Mapping[str, MetricTraits] = field(default_factory=dict, repr=False)

    def tuned(self, found: Mapping[tuple[str, str], Mapping[str, Any]]) -> Design:
        """Return the design with runs in the cells whose settings were found, by (cell, arm)."""
        configs = {
            cell: {arm: with_changes(config, found.get((cell, arm), {})) for arm, config in by_arm.items()}
            for cell, by_arm in self.configs.items()
        }
        ready = [cell for cell in self.cells if not is_tuned(cell) or all((cell.id, arm) in found for arm in self.arms)]
        return replace(self, runs=_runs(self.spec, ready, configs))


def is_tuned(cell: Cell) -> bool:
    """Return whether each arm of a cell trains with settings that were searched for it."""
    return cell.levels.get(TUNING_FACTOR) == TUNED


def expand(spec: StudySpec, algorithm: Algorithm) -> Design:
    """Plan a study: build every config, drop aliases, ask what takes time to find, order the runs.

    A spec that :func:`~harness.study.checks.read_study` has checked is not checked again: all that can still be wrong
    are levels that do not go together. Of any other, all that is wrong is found before environments are made.

    Raises:
        BadInput: naming every invalid field.
    """
    spec = spec.with_tuning_factor().with_metric(default_metric(algorithm.config_type()))
    compared = spec.compared_only()
    others = [factor for factor in spec.sweep if factor.name != spec.compare.factor]
    _require_few(spec, others)
    arms = {label(value): settings for value, settings in compared.factor(spec.compare.factor).levels}
    kept: dict[str, tuple[Cell, dict[str, pydantic.BaseModel]]] = {}
    aliases = []
    problems = _same_but_for_case(compared.sweep)
    refused: list[Problem] = []
    setters = swept_fields(spec.sweep)
    for combination in itertools.product(*(factor.levels for factor in others)):
        configs, errors = _configs(spec, algorithm, [settings for _, settings in combination], arms)
        found = located(errors, setters)
        if found and not refused and (alone := settings_problems(compared, algorithm)):
            raise BadInput([*problems, *alone])
        refused = distinct([*refused, *found])
        if len(refused) > MAX_PROBLEMS:
            break
        if found:
            continue
        levels = {factor.name: value for factor, (value, _) in zip(others, combination, strict=True)}
        cell = Cell(_cell_id(levels), levels, _is_primary(levels, spec))
        # where settings are still to be found, what makes no difference now may make one then
        effect = _settings if is_tuned(cell) else effective_settings
        identity = canonical([is_tuned(cell), {arm: effect(config) for arm, config in configs.items()}])
        if identity in kept:  # equal settings arm by arm: the same runs under another name
            aliases.append(Alias(levels, kept[identity][0].id))
        else:
            kept[identity] = (cell, configs)
    every = [config for _, by_arm in kept.values() for config in by_arm.values()]
    quick = distinct(problem for config in every for problem in quick_problems(spec, config))
    if problems := [*problems, *refused, *(quick or slow_problems(spec, every))]:
        raise BadInput(problems)
    cells = tuple(cell for cell, _ in kept.values())
    configs_of = {cell.id: by_arm for cell, by_arm in kept.values()}
    return Design(spec, tuple(arms), cells, tuple(aliases), (), configs_of, metric_traits(every[0])).tuned({})


def _configs(
    spec: StudySpec, algorithm: Algorithm, cell: Sequence[Settings], arms: Mapping[str, Settings]
) -> tuple[dict[str, pydantic.BaseModel], list[Problem]]:
    """Build each arm's config in a cell, with the study's first seed; return the problems of those that are invalid."""
    settings = {field: value for level in cell for field, value in level.items()}
    configs: dict[str, pydantic.BaseModel] = {}
    found: list[Problem] = []
    for arm, own in arms.items():
        try:
            configs[arm] = algorithm.build({**spec.base, **settings, **own, "seed": spec.study.seeds[0]})
        except BadInput as error:
            found += error.problems
    return configs, found


def _same_but_for_case(sweep: Sequence[Factor]) -> list[Problem]:
    """Return a problem for each level whose runs share a folder with another's on file systems that ignore case."""
    found = []
    for factor in sweep:
        seen: dict[str, Any] = {}
        for value in factor.values:
            other = seen.setdefault(slug(label(value)).casefold(), value)
            if other is not value:
                allowed = f"must differ from {other!r} by more than case, which not every file system tells apart"
                found.append(Problem(f"sweep.{factor.name}", value, allowed))
    return found


def _require_few(spec: StudySpec, cell_factors: list[Factor]) -> None:
    arms = math.prod(len(factor.levels) for factor in cell_factors) * (1 + len(spec.compare.candidates))
    tries = 0 if spec.search is None else spec.search.trials * len(spec.search.seeds)
    count = arms * (len(spec.study.seeds) + tries)
    if count > MAX_RUNS:
        raise BadInput([Problem("sweep", f"{count} runs", f"must come to at most {MAX_RUNS} runs")])


def _runs(
    spec: StudySpec, cells: Sequence[Cell], configs: Mapping[str, Mapping[str, pydantic.BaseModel]]
) -> tuple[PlannedRun, ...]:
    factor = spec.factor(spec.compare.factor)
    levels = {label(value): value for value in factor.values}
    return tuple(
        PlannedRun(
            id=f"{cell.id}__{slug(arm)}__seed-{seed}",
            cell=cell,
            arm=arm,
            seed=seed,
            levels={**cell.levels, factor.name: levels[arm]},
            config=config.model_copy(update={"seed": seed}),
        )
        for seed in spec.study.seeds
        for cell in cells
        for arm, config in configs[cell.id].items()
    )


def _cell_id(levels: Mapping[str, Any]) -> str:
    if not levels:
        return "all"
    text = "_".join(f"{name}-{slug(label(value))}" for name, value in levels.items())
    ambiguous = any(f"_{name}-" in label(value) for name in levels for value in levels.values())
    return slug(text + (f" {canonical(levels)}" if ambiguous else ""))  # then a hash makes it unique


def _is_primary(levels: Mapping[str, Any], spec: StudySpec) -> bool:
    """Return whether a ``primary`` entry matches a cell; without entries all cells are primary."""
    chosen = spec.compare.primary
    return not chosen or any(all(levels[name] == value for name, value in entry.items()) for entry in chosen)


def _settings(config: pydantic.BaseModel) -> object:
    return config.model_dump(mode="json")
