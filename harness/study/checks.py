"""Check the tables of a study file, and return a spec or every problem found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pydantic

from harness.algorithm.problems import problems_of
from harness.algorithm.protocol import Algorithm
from harness.algorithm.questions import default_metric
from harness.errors import BadInput, Problem
from harness.study.file import implausible, read_tables
from harness.study.search_space import Choices, Range, SearchSection, Section
from harness.study.settings import settings_problems
from harness.study.spec import TUNING_FACTOR, CompareSection, Factor, Settings, StudySection, StudySpec


def read_study(study: Path | Mapping[str, Any], algorithm: Algorithm) -> StudySpec:
    """Read a study file, or take the tables of one, and check it whole: structure, settings, metric and search.

    Args:
        study: the file, or its tables.
        algorithm: takes its settings, or does not.

    Raises:
        BadInput: naming every invalid field.
    """
    spec, parts, problems = _read(read_tables(study) if isinstance(study, Path) else study)
    if parts is not None:
        problems += settings_problems(parts, algorithm, refused=bool(problems))
    return _require_valid(spec, problems).with_metric(default_metric(algorithm.config_type()))


def read_spec(path: Path) -> StudySpec:
    """Read a study file and check its structure; its settings are checked once the algorithm is known.

    Raises:
        BadInput: naming every invalid field.
    """
    return parse_spec(read_tables(path))


def parse_spec(data: Mapping[str, Any]) -> StudySpec:
    """Check the structure of plain data with the tables of a study file.

    Raises:
        BadInput: naming every invalid field.
    """
    spec, _, problems = _read(data)
    return _require_valid(spec, problems)


def _require_valid(spec: StudySpec | None, problems: list[Problem]) -> StudySpec:
    if problems or spec is None:
        raise BadInput(problems)
    return spec


@dataclass(frozen=True)
class _ValidParts:
    """The valid tables of a study that is not valid as a whole, so that its other problems are found, too.

    Attributes:
        study: ``[study]``, or None.
        base: ``[base]``, empty where it is no table.
        sweep: the valid factors of ``[sweep]``.
        swept: the names of all factors.
        compare: ``[compare]``, or None.
        search: ``[search]``, or None.
    """

    study: StudySection | None
    base: Settings
    sweep: tuple[Factor, ...]
    swept: frozenset[str]
    compare: CompareSection | None
    search: SearchSection | None


def _read(data: object) -> tuple[StudySpec | None, StudySpec | _ValidParts | None, list[Problem]]:
    """Return the study if each table is valid by itself, what of it is valid, and every problem of its structure."""
    if not isinstance(data, Mapping):
        return None, None, [Problem("study", data, "must be a table of [study], [base], [sweep] and [compare]")]
    if problems := implausible(data):
        return None, None, problems
    tables = dict(data)
    factors: tuple[Factor, ...] = ()
    if "sweep" in tables:
        factors, problems = _read_sweep(tables["sweep"])
        tables["sweep"] = factors
        if "compare" in tables:
            tables["compare"] = _with_candidates(tables["compare"], factors)
    try:
        spec = StudySpec.model_validate(tables)
    except pydantic.ValidationError as error:
        known = dict.fromkeys(name for model in _MODELS for name in model.model_fields)
        problems += problems_of(error, known)
        spec = None
    swept = frozenset(map(str, sweep)) if isinstance(sweep := data.get("sweep"), Mapping) else frozenset()
    if spec is not None:
        parts = _ValidParts(spec.study, spec.base, spec.sweep, swept, spec.compare, spec.search)
    else:
        parts = _valid_parts(tables, swept)
    problems += _contradictions(parts)
    return spec, parts if problems or spec is None else spec.compared_only(), problems


def _valid_parts(tables: Mapping[str, Any], swept: frozenset[str]) -> _ValidParts:
    """Return what can be taken of tables whose factors are read."""
    base = given if isinstance(given := tables.get("base"), Mapping) else {}
    return _ValidParts(
        study=_valid(StudySection, tables.get("study")),
        base={name: value for name, value in base.items() if isinstance(name, str)},
        sweep=tables.get("sweep", ()),
        swept=swept,
        compare=_valid(CompareSection, tables.get("compare")),
        search=_valid(SearchSection, tables.get("search")),
    )


_MODELS = (StudySpec, StudySection, CompareSection, SearchSection, Range, Choices)
_Section = TypeVar("_Section", bound=Section)


def _valid(model: type[_Section], table: object) -> _Section | None:
    try:
        return model.model_validate(table)
    except pydantic.ValidationError:
        return None


def _read_sweep(sweep: object) -> tuple[tuple[Factor, ...], list[Problem]]:
    """Turn ``[sweep]`` into factors: lists sweep one field, tables name levels of several fields."""
    if not isinstance(sweep, Mapping) or not sweep:
        return (), [Problem("sweep", sweep, "must be a table that sweeps at least the factor that is compared")]
    factors, problems = [], []
    for name, levels in sweep.items():
        if isinstance(levels, Mapping) and levels and all(isinstance(v, Mapping) and v for v in levels.values()):
            pairs = tuple((level, dict(settings)) for level, settings in levels.items())
        elif isinstance(levels, list | tuple) and levels:
            pairs = tuple((value, {name: value}) for value in levels)
        else:
            allowed = "must be a list of levels, or a table of named levels that each set fields"
            problems.append(Problem(f"sweep.{name}", levels, allowed))
            continue
        if len({_key(value) for value, _ in pairs}) != len(pairs):
            problems.append(Problem(f"sweep.{name}", levels, "must not name a level twice"))
        elif not all(isinstance(key, str) for key in (name, *(key for _, settings in pairs for key in settings))):
            problems.append(Problem(f"sweep.{name}", levels, "must have text as names"))
        else:
            factors.append(Factor(name=name, levels=pairs))
    return tuple(factors), problems


def _key(value: object) -> str:
    """Return a level's identity: 1, 1.0 and true are three levels."""
    return f"{type(value).__name__}:{value!r}"


def _with_candidates(compare: object, factors: tuple[Factor, ...]) -> object:
    """Return ``[compare]`` with candidates: where it names none, all levels but the baseline."""
    if not isinstance(compare, Mapping):
        return compare
    levels = next((factor.values for factor in factors if factor.name == compare.get("factor")), ())
    others = [level for level in levels if _key(level) != _key(compare.get("baseline"))]
    return {"candidates": others, **compare}


def _contradictions(parts: _ValidParts) -> list[Problem]:
    """Return the problems of tables that are each valid alone, but not together."""
    problems = []
    if parts.compare is not None:
        problems += _compare_contradictions(parts.compare, parts)
    setters: dict[str, str] = {}
    for factor in parts.sweep:
        for field in sorted(factor.fields):
            if field in setters:
                problems.append(Problem(f"sweep.{factor.name}", field, f"is already set by sweep.{setters[field]}"))
            setters[field] = factor.name
            if field in parts.base:
                allowed = f"is swept by sweep.{factor.name}: drop one"
                problems.append(Problem(f"base.{field}", parts.base[field], allowed))
            if field in ("seed", "preset"):
                problems.append(Problem(f"sweep.{factor.name}", field, "seeds stand in [study], a preset in [base]"))
    if "seed" in parts.base:
        problems.append(Problem("base.seed", parts.base["seed"], "seeds stand in [study] seeds"))
    return problems + (_search_contradictions(parts.search, parts) if parts.search is not None else [])


def _compare_contradictions(compare: CompareSection, parts: _ValidParts) -> list[Problem]:
    factors = {factor.name: factor for factor in parts.sweep}
    if compare.factor not in parts.swept:
        return [Problem("compare.factor", compare.factor, f"must be a swept factor: {', '.join(factors)}")]
    problems = []
    if compare.factor in factors:
        problems += _arm_contradictions(compare, factors[compare.factor].values)
    cell_factors = {name: factor.values for name, factor in factors.items() if name != compare.factor}
    for chosen in compare.primary:
        for name, value in chosen.items():
            if name == compare.factor or name not in parts.swept:
                allowed = f"must name swept factors other than the compared one: {', '.join(cell_factors) or 'none'}"
                problems.append(Problem("compare.primary", name, allowed))
            elif name in cell_factors and value not in cell_factors[name]:
                allowed = f"must be one of {_listed(cell_factors[name])}"
                problems.append(Problem(f"compare.primary.{name}", value, allowed))
    return problems


def _arm_contradictions(compare: CompareSection, arms: tuple[Any, ...]) -> list[Problem]:
    problems = []
    shown = _listed(arms)
    keys = {_key(arm) for arm in arms}
    if _key(compare.baseline) not in keys:
        problems.append(Problem("compare.baseline", compare.baseline, f"must be a level of it: {shown}"))
    candidates = [_key(candidate) for candidate in compare.candidates]
    for candidate, key in zip(compare.candidates, candidates, strict=True):
        if key not in keys or key == _key(compare.baseline):
            allowed = f"must be levels of it other than the baseline: {shown}"
            problems.append(Problem("compare.candidates", candidate, allowed))
    if not candidates or len(set(candidates)) != len(candidates):
        allowed = "must name at least one level besides the baseline, and none twice"
        problems.append(Problem("compare.candidates", compare.candidates, allowed))
    return problems


def _listed(levels: tuple[Any, ...]) -> str:
    return ", ".join(map(repr, levels[:20])) + (", ..." if len(levels) > 20 else "")


def _search_contradictions(search: SearchSection, parts: _ValidParts) -> list[Problem]:
    problems = []
    if parts.study is not None and (shared := search.shares_seeds(parts.study.seeds)):
        problems.append(Problem("search.seeds", shared, "must share none with the study's: verdicts need fresh seeds"))
    swept = {field: factor.name for factor in parts.sweep for field in factor.fields}
    for field, dimension in search.space.items():
        if field in swept:
            allowed = f"is swept by sweep.{swept[field]}: drop one"
            problems.append(Problem(f"search.space.{field}", dimension.model_dump(mode="json"), allowed))
        if field in ("seed", "preset"):
            problems.append(Problem(f"search.space.{field}", field, "cannot be searched"))
    if TUNING_FACTOR in parts.swept:
        problems.append(
            Problem(f"sweep.{TUNING_FACTOR}", TUNING_FACTOR, "is search mode's own factor: choose another name")
        )
    return problems
