"""Check the settings of a study against its algorithm; problems name the place in the study file that sets them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol

import pydantic

from harness.algorithm import questions
from harness.algorithm.problems import problems_of
from harness.algorithm.protocol import Algorithm, with_changes
from harness.errors import MAX_PROBLEMS, BadInput, Problem, did_you_mean
from harness.study.search_space import Choices, Range, SearchSection
from harness.study.spec import CompareSection, Factor, Settings, StudySection


class Parts(Protocol):
    """The tables of a study, or those of them that are valid."""

    @property
    def study(self) -> StudySection | None: ...  # noqa: D102
    @property
    def base(self) -> Settings: ...  # noqa: D102
    @property
    def sweep(self) -> Sequence[Factor]: ...  # noqa: D102
    @property
    def compare(self) -> CompareSection | None: ...  # noqa: D102
    @property
    def search(self) -> SearchSection | None: ...  # noqa: D102


def settings_problems(parts: Parts, algorithm: Algorithm, refused: bool = False) -> list[Problem]:
    """Try every level once, each factor's in turn while the others stand at their first.

    What takes time to find (environments are made) is asked only of a study that is refused anyway; else
    :func:`~harness.study.design.expand` asks it of all runs.

    Args:
        parts: the study.
        algorithm: takes the settings, or does not.
        refused: whether the study is refused anyway.
    """
    algorithm.config_type()
    setters = swept_fields(parts.sweep)
    found: list[Problem] = []
    for levels in _each_level(parts):
        failed = 0
        for settings in levels:
            try:
                algorithm.build(settings)
            except BadInput as error:
                found += located(error.problems, setters)
                failed += 1
            if failed > MAX_PROBLEMS:  # of one factor: there may be tens of thousands
                break
    firsts = itertools.islice(itertools.chain.from_iterable(_each_level(parts)), MAX_PROBLEMS)
    configs = (config for settings in firsts if (config := algorithm.build_tolerantly(settings)) is not None)
    for config in itertools.islice(configs, 1):
        found += quick_problems(parts, config)
        if found or refused:
            found += slow_problems(parts, [config, *configs])
    return found


def quick_problems(parts: Parts, config: pydantic.BaseModel) -> list[Problem]:
    """Check the compared metric and the searched fields against one config."""
    metric = [] if parts.compare is None else _metric_problems(parts.compare, config)
    return [*metric, *([] if parts.search is None else _search_problems(parts.search, config))]


def slow_problems(parts: Parts, configs: Iterable[pydantic.BaseModel]) -> list[Problem]:
    """Return the problems that take time to find, of searched choices too; each ``problems_key`` is asked once."""
    setters = swept_fields(parts.sweep)
    found: list[Problem] = []
    asked = set()
    space = {} if parts.search is None else parts.search.space
    choices = [(name, value) for name, d in space.items() if isinstance(d, Choices) for value in d.choices]
    for config in configs:
        for name, value in [(None, None), *choices]:
            try:
                tried = config if name is None else with_changes(config, {name: value})
            except pydantic.ValidationError:  # named by `_search_problems`
                continue
            if (question := questions.problems_key(tried)) in asked:
                continue
            asked.add(question)
            problems = questions.problems(tried)
            if name is None:
                found += located(problems, setters)
            else:
                found += [Problem(f"search.space.{name}", _plain(value), p.allowed) for p in problems]
    return found


def swept_fields(sweep: Iterable[Factor]) -> dict[str, str]:
    """Return for each config field that ``[sweep]`` sets the key below it that does."""
    setters = {}
    for factor in sweep:
        fields = factor.fields
        setters.update(
            {field: factor.name if fields == {factor.name} else f"{factor.name}.{field}" for field in fields}
        )
    return setters


def located(problems: Iterable[Problem], setters: Mapping[str, str]) -> list[Problem]:
    """Return problems of config fields as problems of the places that set them."""

    def place(field: str) -> str:
        head = field.split(".")[0]
        return f"sweep.{setters[head]}" if head in setters else f"base.{field}"

    return [Problem(place(p.field), _plain(p.value), p.allowed) for p in problems]


def _each_level(parts: Parts) -> Iterator[Iterator[Settings]]:
    """Return, factor by factor, the settings with each of its levels."""
    seed = {"seed": 0 if parts.study is None else parts.study.seeds[0]}
    firsts = [factor.levels[0][1] for factor in parts.sweep]

    def settings(place: int, level: Settings) -> Settings:
        chosen = (*firsts[:place], level, *firsts[place + 1 :])
        return {**parts.base, **{field: value for part in chosen for field, value in part.items()}, **seed}

    if not parts.sweep:
        yield iter([{**parts.base, **seed}])
    for place, factor in enumerate(parts.sweep):
        levels = factor.levels[1:] if place else factor.levels  # the others at their first: that was the first of all
        yield (settings(place, level) for _, level in levels)


def _plain(value: object) -> object:
    """Return a value as text or number, which problems can be compared by."""
    return value if isinstance(value, str | int | float | bool) else repr(value)


def _metric_problems(compare: CompareSection, config: pydantic.BaseModel) -> list[Problem]:
    """Check that a run will have the compared metric, and its direction, as far as the config type knows them."""
    metric = compare.metric or questions.default_metric(type(config))
    known = questions.metric_names(config)
    if known is not None and metric not in known:
        allowed = f"must be one of {', '.join(sorted(known))}{did_you_mean(metric, known)}"
        return [Problem("compare.metric", metric, allowed)]
    if not metric:
        return [Problem("compare.metric", metric, "must be the name of a metric: the algorithm has no default_metric")]
    traits = questions.metric_traits(config).get(metric)
    if traits is not None and traits.lower_is_better and compare.higher_is_better:
        return [Problem("compare.higher_is_better", True, f"must be false: of {metric} less is better")]
    return []


def _search_problems(search: SearchSection, config: pydantic.BaseModel) -> list[Problem]:
    """Check that every searched field may take the values at the ends of its range."""
    found = []
    for name, dimension in search.space.items():
        for value in dimension.samples:
            try:
                with_changes(config, {name: value})
            except pydantic.ValidationError as error:
                found += problems_of(error, type(config).model_fields, "search.space.")
        if isinstance(dimension, Range) and dimension.whole and _accepts(config, name, dimension.low + 0.5):
            allowed = "must be written with a point (0.0) for a field that takes fractions, or none is tried"
            found.append(Problem(f"search.space.{name}", dimension.low, allowed))
    return [Problem(problem.field, _plain(problem.value), problem.allowed) for problem in found]


def _accepts(config: pydantic.BaseModel, name: str, value: object) -> bool:
    try:
        with_changes(config, {name: value})
    except pydantic.ValidationError:
        return False
    return True
