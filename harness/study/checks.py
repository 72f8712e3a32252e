"""Whether an algorithm takes a study's settings: each that it does not take is named where the study file sets it.

A study file whose tables are wrong, too, is told of both at once: :func:`parse_study` checks what settings it has.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pydantic

from harness.algorithm import questions
from harness.algorithm.problems import problems_of
from harness.algorithm.protocol import Algorithm, with_changes
from harness.errors import MAX_PROBLEMS, BadInput, Problem, did_you_mean
from harness.study.file import implausible, read_tables
from harness.study.search_space import Choices, Range, SearchSection
from harness.study.spec import CompareSection, Factor, Settings, StudySpec, Tables, parse_spec


def read_study(path: Path, algorithm: Algorithm) -> StudySpec:
    """Read and check a study file, its settings included.

    Raises:
        BadInput: naming every field that is not as it must be.
    """
    return parse_study(read_tables(path), algorithm)


def parse_study(data: Mapping[str, Any], algorithm: Algorithm) -> StudySpec:
    """Check plain data with the tables of a study file; where they are wrong, what settings there are, too.

    Raises:
        BadInput: naming every field that is not as it must be.
    """
    try:
        return parse_spec(data)
    except BadInput as error:
        if implausible(data):
            raise
        found = [*error.problems, *settings_problems(Tables.of(data), algorithm, failing=True)]
        raise BadInput(list({str(problem): problem for problem in found}.values())) from None


def settings_problems(tables: Tables, algorithm: Algorithm, failing: bool = False) -> list[Problem]:
    """Try every level once, each factor's in turn while the others stand at their first.

    Args:
        tables: what of the study is as it must be.
        algorithm: what takes the settings, or does not.
        failing: whether the study is refused anyway: then what takes time to find is looked for at once.
    """
    algorithm.config_type()
    homes = homes_of(tables.sweep)
    found: dict[Problem, None] = {}
    for levels in _each_level(tables):
        refused = 0
        for settings in levels:
            try:
                algorithm.build(settings)
            except BadInput as error:
                found.update(dict.fromkeys(located(error.problems, homes)))
                refused += 1
            if refused > MAX_PROBLEMS:  # of one factor: there may be tens of thousands
                break
    if not (found or failing):
        return []
    firsts = itertools.islice(itertools.chain.from_iterable(_each_level(tables)), MAX_PROBLEMS)
    configs = [config for settings in firsts if (config := algorithm.build_tolerantly(settings)) is not None]
    for config in configs[:1]:
        found.update(dict.fromkeys(metric_problems(tables.compare, config) if tables.compare is not None else []))
        found.update(dict.fromkeys(search_problems(tables.search, config) if tables.search is not None else []))
    found.update(dict.fromkeys(slow_settings_problems(tables.search, homes, configs)))
    return list(found)


def _each_level(tables: Tables) -> Iterator[Iterator[Settings]]:
    """Return, factor by factor, the settings with each of its levels."""
    seed = {"seed": 0 if tables.study is None else tables.study.seeds[0]}
    firsts = [factor.levels[0][1] for factor in tables.sweep]

    def settings(place: int, level: Settings) -> Settings:
        chosen = (*firsts[:place], level, *firsts[place + 1 :])
        return {**tables.base, **{field: value for part in chosen for field, value in part.items()}, **seed}

    if not tables.sweep:
        yield iter([{**tables.base, **seed}])
    for place, factor in enumerate(tables.sweep):
        levels = factor.levels[1:] if place else factor.levels  # the others at their first: that was the first of all
        yield (settings(place, level) for _, level in levels)


def homes_of(sweep: Iterable[Factor]) -> dict[str, str]:
    """Return where ``[sweep]`` sets each config field that it sets."""
    homes = {}
    for factor in sweep:
        fields = factor.fields
        homes.update({field: factor.name if fields == {factor.name} else f"{factor.name}.{field}" for field in fields})
    return homes


def located(problems: Iterable[Problem], homes: Mapping[str, str]) -> list[Problem]:
    """Say where in the study file a bad config field was set."""

    def place(field: str) -> str:
        head = field.split(".")[0]
        return f"sweep.{homes[head]}" if head in homes else f"base.{field}"

    return [Problem(place(p.field), _plain(p.value), p.allowed) for p in problems]


def _plain(value: object) -> object:
    """Return a value as problems hold it: they are told apart by it."""
    return value if isinstance(value, str | int | float | bool) else repr(value)


def metric_problems(compare: CompareSection, config: pydantic.BaseModel) -> list[Problem]:
    """Check that a run will measure what is compared, where the config type can tell."""
    metric = compare.metric
    known = questions.metric_names(config)
    if known is not None and metric not in known:
        allowed = f"must be one of {', '.join(sorted(known))}{did_you_mean(metric, known)}"
        return [Problem("compare.metric", metric, allowed)]
    traits = questions.metric_traits(config).get(metric)
    if traits is not None and traits.lower_is_better and compare.higher_is_better:
        return [Problem("compare.higher_is_better", True, f"must be false: of {metric} less is better")]
    return []


def search_problems(search: SearchSection, config: pydantic.BaseModel) -> list[Problem]:
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


def slow_settings_problems(
    search: SearchSection | None, homes: Mapping[str, str], configs: Iterable[pydantic.BaseModel]
) -> list[Problem]:
    """Ask the configs, those of every searched choice too, for problems that take time to find: each question once."""
    found: list[Problem] = []
    asked = set()
    space = search.space if search is not None else {}
    choices = [(name, value) for name, d in space.items() if isinstance(d, Choices) for value in d.choices]
    for config in configs:
        for name, value in [(None, None), *choices]:
            try:
                tried = config if name is None else with_changes(config, {name: value})
            except pydantic.ValidationError:  # named by `search_problems`
                continue
            question = questions.problems_key(tried)
            if question not in asked:
                asked.add(question)
                problems = questions.problems(tried)
                if name is not None:
                    found += [Problem(f"search.space.{name}", _plain(value), p.allowed) for p in problems]
                else:
                    found += located(problems, homes)
    return found
