"""From a study to its runs: every cell, arm and seed, planned whole, with ids that never move.

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
from harness.algorithm.questions import effective_settings, metric_traits
from harness.algorithm.traits import MetricTraits
from harness.errors import MAX_PROBLEMS, BadInput, Problem
from harness.study.checks import (
    homes_of,
    located,
    metric_problems,
    search_problems,
    settings_problems,
    slow_settings_problems,
)
from harness.study.names import _canonical, label, slug
from harness.study.spec import TUNED, VIEWS, Factor, Settings, StudySpec, Tables

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
    """A combination whose settings come to the same as a cell that is kept."""

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
        config: what it trains with.
        trial: in search mode the proposal it tries; None for the runs the verdict rests on.
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
        aliases: what was left out, and which cell stands for it.
        runs: in the order they are to be computed: none yet in cells whose settings are still searched for.
        configs: cell → arm → what it trains with, of the study's first seed; in cells to be tuned where it starts from.
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
    """Whether a cell's arms train with settings that are searched for, each with its own."""
    return cell.levels.get(VIEWS) == TUNED


def expand(spec: StudySpec, algorithm: Algorithm) -> Design:
    """Plan a study: build and check every config, drop aliases, order the runs.

    Raises:
        BadInput: naming every field that is not as it must be.
    """
    spec = spec.with_views()
    compared = spec.factor(spec.compare.factor)
    others = [factor for factor in spec.sweep if factor.name != compared.name]
    _require_few(spec, others)
    chosen = (spec.compare.baseline, *spec.compare.candidates)
    known = {label(value): (value, settings) for value, settings in compared.levels}
    arms = {label(value): known[label(value)] for value in chosen}
    kept: dict[str, tuple[Cell, dict[str, pydantic.BaseModel]]] = {}
    aliases = []
    problems: dict[Problem, None] = {}
    tables = _as_tables(spec, compared, [arms[arm] for arm in arms])
    if found := [*_same_but_for_case(tables.sweep), *settings_problems(tables, algorithm)]:
        raise BadInput(found)
    homes = homes_of(spec.sweep)
    for combination in itertools.product(*(factor.levels for factor in others)):
        levels = {factor.name: value for factor, (value, _) in zip(others, combination, strict=True)}
        cell_settings: Settings = {}
        for _, settings in combination:
            cell_settings.update(settings)
        configs = {}
        for arm, (_, arm_settings) in arms.items():
            swept = {**cell_settings, **arm_settings}
            try:
                configs[arm] = algorithm.build({**spec.base, **swept, "seed": spec.study.seeds[0]})
            except BadInput as error:  # levels that do not go together: each by itself is as it must be
                problems.update(dict.fromkeys(located(error.problems, homes)))
        if len(problems) > MAX_PROBLEMS:
            break
        if len(configs) < len(arms):
            continue
        cell = Cell(_cell_id(levels), levels, _is_primary(levels, spec))
        # where settings are still to be found, what makes no difference now may make one then
        effect = _settings if is_tuned(cell) else effective_settings
        identity = _canonical([is_tuned(cell), {arm: effect(config) for arm, config in configs.items()}])
        if identity in kept:  # equal settings arm by arm: the same runs under another name
            aliases.append(Alias(levels, kept[identity][0].id))
        else:
            kept[identity] = (cell, configs)
    problems.update(
        dict.fromkeys(_problems_of_all(spec, [c for _, configs in kept.values() for c in configs.values()]))
    )
    if problems:
        raise BadInput(list(problems))
    cells = tuple(cell for cell, _ in kept.values())
    configs_of = {cell.id: configs for cell, configs in kept.values()}
    traits = metric_traits(next(iter(configs_of[cells[0].id].values())))
    return Design(spec, tuple(arms), cells, tuple(aliases), (), configs_of, traits).tuned({})


def _as_tables(spec: StudySpec, compared: Factor, chosen: list[tuple[Any, Settings]]) -> Tables:
    """Return a study's tables without the levels that are not compared."""
    arms = compared.model_copy(update={"levels": tuple(chosen)})
    sweep = tuple(arms if factor.name == compared.name else factor for factor in spec.sweep)
    names = frozenset(factor.name for factor in sweep)
    return Tables(spec.study, spec.base, sweep, names, spec.compare, spec.search)


def _same_but_for_case(sweep: Sequence[Factor]) -> list[Problem]:
    """Name levels whose runs would share a folder where file systems take upper and lower case for the same."""
    found = []
    for factor in sweep:
        seen: dict[str, Any] = {}
        for value in factor.values:
            other = seen.setdefault(slug(label(value)).casefold(), value)
            if other is not value:
                allowed = f"must differ from {other!r} by more than case, which not every file system tells apart"
                found.append(Problem(f"sweep.{factor.name}", value, allowed))
    return found


def _problems_of_all(spec: StudySpec, configs: list[pydantic.BaseModel]) -> list[Problem]:
    """Return what is wrong with runs whose every setting is as it must be."""
    found = {}
    for config in configs:
        found.update(dict.fromkeys(metric_problems(spec.compare, config)))
        found.update(dict.fromkeys(search_problems(spec.search, config) if spec.search is not None else []))
    return list(found) or slow_settings_problems(spec.search, homes_of(spec.sweep), configs)


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
    return slug(text + (f" {_canonical(levels)}" if ambiguous else ""))  # then a hash tells it apart


def _is_primary(levels: Mapping[str, Any], spec: StudySpec) -> bool:
    """Cells are primary where a ``primary`` entry matches them; without entries all are."""
    chosen = spec.compare.primary
    return not chosen or any(all(levels[name] == value for name, value in entry.items()) for entry in chosen)


def _settings(config: pydantic.BaseModel) -> object:
    return config.model_dump(mode="json")
