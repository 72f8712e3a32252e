"""What a study asks: the study file, read and checked.

A study file is TOML with four tables::

    [study]    name, question, seeds (a number, a list, or { looks = [10, 20, 40] }), time_limit
    [base]     any config field, or preset
    [sweep]    any config field = [levels]; or [sweep.NAME] with named levels that set several fields
    [compare]  factor, baseline, candidates, metric, margin, level, primary, failed

and, in search mode, a fifth, ``[search]``: see :mod:`harness.study.search_space`.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

import pydantic
from pydantic import Field

from harness.algorithm.problems import problems_of
from harness.errors import BadInput, Problem
from harness.study.file import implausible, read_tables
from harness.study.search_space import Choices, Range, SearchSection, Section

MAX_SEEDS = 100_000
VIEWS = "settings"  # the factor of search mode: arms at shared settings, and each at its best
SHARED, TUNED = "shared", "tuned"

Settings = dict[str, Any]


def _seed_list(value: object) -> object:
    """Accept ``seeds = 5`` for ``[0, 1, 2, 3, 4]``."""
    if isinstance(value, int) and not isinstance(value, bool):
        if not 1 <= value <= MAX_SEEDS:
            raise ValueError(f"must be from 1 to {MAX_SEEDS}, or a list of seeds")
        return tuple(range(value))
    if not isinstance(value, list | tuple):
        raise ValueError("must be a number of seeds or a list of them")
    if len(set(map(repr, value))) != len(value):
        raise ValueError("must not name a seed twice")
    return tuple(value)


RESERVED = {"train": "single runs", "bench": "benchmarks"}  # experiments and folders that are no study's


def _not_reserved(name: str) -> str:
    if name in RESERVED:
        raise ValueError(f"is where {RESERVED[name]} are kept: choose another")
    return name


class StudySection(Section):
    """``[study]``: what it is called, what it asks, over which seeds.

    ``seeds = { looks = [10, 20, 40] }`` plans 40 seeds in stages: all cells get ten, and those still undecided then
    get the next ten, and so on.
    """

    name: Annotated[str, Field(min_length=1, max_length=200), pydantic.AfterValidator(_not_reserved)]
    question: str = ""
    seeds: Annotated[
        tuple[Annotated[int, Field(ge=0, lt=2**31)], ...],
        pydantic.BeforeValidator(_seed_list),
        Field(min_length=1, max_length=MAX_SEEDS),
    ]
    looks: Annotated[
        tuple[int, ...],
        pydantic.BeforeValidator(lambda v: tuple(v) if isinstance(v, list) else v),
        Field(max_length=20, description="how many of the seeds each look takes in; empty: one look, at all of them"),
    ] = ()
    time_limit: Annotated[float, Field(gt=0, le=7 * 24 * 3600, description="seconds one run may take")] = 1800.0

    @pydantic.model_validator(mode="before")
    @classmethod
    def _looks_in_seeds(cls, data: Any) -> Any:
        """Read ``seeds = { looks = [...] }`` as so many seeds, looked at in stages."""
        if not isinstance(data, Mapping) or not isinstance(data.get("seeds"), Mapping):
            return data
        given = data["seeds"]
        looks = given.get("looks")
        if given.keys() != {"looks"} or "looks" in data or not isinstance(looks, list | tuple) or not looks:
            raise ValueError("seeds: must be a number, a list, or { looks = [numbers of seeds] }")
        if not all(type(look) is int and look >= 1 for look in looks) or list(looks) != sorted(set(looks)):
            raise ValueError("seeds: looks must be numbers of seeds that rise from 1 or more")
        return {**data, "seeds": max(looks), "looks": looks}

    @pydantic.model_validator(mode="after")
    def _rising_looks(self) -> Self:
        rising = all(a < b for a, b in itertools.pairwise(self.looks))
        if self.looks and not (rising and self.looks[0] >= 1 and self.looks[-1] == len(self.seeds)):
            raise ValueError("looks: must rise from 1 or more to the number of seeds")
        return self

    @property
    def stages(self) -> tuple[int, ...]:
        """How many of the seeds each look takes in, the last look all of them."""
        return self.looks or (len(self.seeds),)


class CompareSection(Section):
    """``[compare]``: which factor's levels are the arms, and how they are judged."""

    factor: str
    baseline: Any
    candidates: Annotated[tuple[Any, ...], pydantic.BeforeValidator(lambda v: tuple(v) if isinstance(v, list) else v)]
    metric: str = "auc"
    higher_is_better: bool = True
    diverged_score: Annotated[float | None, Field(description="what a diverged run counts as; None: the worst")] = None
    failed: Annotated[
        Literal["worst", "missing"],
        Field(description="a failed run counts as a diverged one does, or its pair is left out"),
    ] = "worst"
    margin: Annotated[float, Field(gt=0, description="a difference smaller than this does not matter")] = 0.1
    level: Annotated[float, Field(ge=0.5, lt=1, description="confidence level")] = 0.95
    primary: Annotated[
        tuple[dict[str, Any], ...], pydantic.BeforeValidator(lambda v: tuple(v) if isinstance(v, list) else v)
    ] = ()


class Factor(Section):
    """One swept factor.

    Attributes:
        name: a config field, or the name of a composite factor.
        levels: per level its value as shown and recorded, and the config fields it sets.
    """

    name: str
    levels: tuple[tuple[Any, Settings], ...]

    @property
    def values(self) -> tuple[Any, ...]:
        """The levels as they are shown: field values, or names of a composite's levels."""
        return tuple(value for value, _ in self.levels)

    @property
    def fields(self) -> frozenset[str]:
        """The config fields this factor sets."""
        return frozenset(field for _, settings in self.levels for field in settings)


class StudySpec(Section):
    """One study, as declared. Built by :func:`read_spec`, :func:`parse_spec`, or directly in Python."""

    study: StudySection
    base: Settings = Field(default_factory=dict)
    sweep: tuple[Factor, ...]
    compare: CompareSection
    search: SearchSection | None = None

    @property
    def name(self) -> str:
        """The study's name, as written."""
        return self.study.name

    def factor(self, name: str) -> Factor:
        """Return the swept factor of that name."""
        return next(factor for factor in self.sweep if factor.name == name)

    def with_views(self) -> StudySpec:
        """Return this study with search mode's own factor: every cell at shared settings and with each arm tuned."""
        if self.search is None or any(factor.name == VIEWS for factor in self.sweep):
            return self
        views = Factor(name=VIEWS, levels=((SHARED, {}), (TUNED, {})))
        return self.model_copy(update={"sweep": (*self.sweep, views)})

    def with_seeds(self, count: int) -> StudySpec:
        """Return this study over ``count`` seeds: its first ones, continued upwards if it has fewer.

        Looks before ``count`` stay as they are, and the last is at ``count``.

        Raises:
            BadInput: unless ``count`` is from 1 to 100000.
        """
        if not 1 <= count <= MAX_SEEDS:
            raise BadInput([Problem("seeds", count, f"must be from 1 to {MAX_SEEDS}")])
        own = set(self.study.seeds)
        kept = self.study.seeds[:count]
        further = (seed for seed in itertools.count() if seed not in own)
        seeds = (*kept, *itertools.islice(further, count - len(kept)))
        looks = (*(look for look in self.study.looks if look < count), count) if self.study.looks else ()
        return self.model_copy(update={"study": self.study.model_copy(update={"seeds": seeds, "looks": looks})})

    def to_toml_data(self) -> dict[str, Any]:
        """Return the study as plain data that :func:`parse_spec` reads back to an equal study."""
        sweep: dict[str, Any] = {}
        for factor in self.sweep:
            if factor.name == VIEWS and self.search is not None:
                continue  # not the user's own: `with_views` adds it
            if _is_composite(factor):
                sweep[factor.name] = {str(value): settings for value, settings in factor.levels}
            else:
                sweep[factor.name] = list(factor.values)
        unset = {"search"} if self.search is None else set()
        data = self.model_dump(mode="json", exclude={"sweep", *unset})
        return {**data, "sweep": sweep}


@dataclass(frozen=True)
class Tables:
    """What of a study file is as it must be, table by table, so that all that is wrong is told at once.

    Attributes:
        study: ``[study]``; None where it is not as it must be.
        base: ``[base]``, empty where it is no table.
        sweep: the factors of ``[sweep]`` that are as they must be.
        swept: the names of all of them.
        compare: ``[compare]``, or None.
        search: ``[search]``, or None.
    """

    study: StudySection | None
    base: Settings
    sweep: tuple[Factor, ...]
    swept: frozenset[str]
    compare: CompareSection | None
    search: SearchSection | None

    @classmethod
    def of(cls, data: object) -> Tables:
        """Take what can be taken of data in which nothing is implausible."""
        tables = data if isinstance(data, Mapping) else {}
        base, sweep = (given if isinstance(given := tables.get(name), Mapping) else {} for name in ("base", "sweep"))
        factors, _ = _read_sweep(sweep)
        return cls(
            study=_valid(StudySection, tables.get("study")),
            base={name: value for name, value in base.items() if isinstance(name, str)},
            sweep=factors,
            swept=frozenset(map(str, sweep)),
            compare=_valid(CompareSection, _with_candidates(tables.get("compare"), factors)),
            search=_valid(SearchSection, tables.get("search")),
        )


def read_spec(path: Path) -> StudySpec:
    """Read and check a study file.

    Raises:
        BadInput: naming every field that is not as it must be.
    """
    return parse_spec(read_tables(path))


def parse_spec(data: Mapping[str, Any]) -> StudySpec:
    """Check plain data with the tables of a study file.

    Raises:
        BadInput: naming every field that is not as it must be.
    """
    if not isinstance(data, Mapping):
        raise BadInput([Problem("study", data, "must be a table of [study], [base], [sweep] and [compare]")])
    if problems := implausible(data):
        raise BadInput(problems)
    known = dict.fromkeys(name for model in _MODELS for name in model.model_fields)
    tables = dict(data)
    if "sweep" in tables:
        tables["sweep"], problems = _read_sweep(tables["sweep"])
        if "compare" in tables:
            tables["compare"] = _with_candidates(tables["compare"], tables["sweep"])
    spec = None
    try:
        spec = StudySpec.model_validate(tables)
    except pydantic.ValidationError as error:
        problems += problems_of(error, known)
    problems += _contradictions(Tables.of(data))
    if problems or spec is None:
        raise BadInput(problems)
    return spec


_MODELS = (StudySpec, StudySection, CompareSection, SearchSection, Range, Choices)
_Section = TypeVar("_Section", bound=Section)


def _valid(model: type[_Section], table: object) -> _Section | None:
    try:
        return model.model_validate(table)
    except pydantic.ValidationError:
        return None


def _is_composite(factor: Factor) -> bool:
    return any(settings != {factor.name: value} for value, settings in factor.levels)


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
    """A level's identity: 1, 1.0 and true are three levels."""
    return f"{type(value).__name__}:{value!r}"


def _with_candidates(compare: object, factors: tuple[Factor, ...]) -> object:
    """Where ``[compare]`` names no candidates, they are all levels but the baseline."""
    if not isinstance(compare, Mapping):
        return compare
    levels = next((factor.values for factor in factors if factor.name == compare.get("factor")), ())
    others = [level for level in levels if _key(level) != _key(compare.get("baseline"))]
    return {"candidates": others, **compare}


def _contradictions(tables: Tables) -> list[Problem]:
    """What each table allows alone but the study as a whole does not."""
    problems = []
    if tables.compare is not None:
        problems += _compare_contradictions(tables.compare, tables)
    setters: dict[str, str] = {}
    for factor in tables.sweep:
        for field in sorted(factor.fields):
            if field in setters:
                problems.append(Problem(f"sweep.{factor.name}", field, f"is already set by sweep.{setters[field]}"))
            setters[field] = factor.name
            if field in tables.base:
                allowed = f"is swept by sweep.{factor.name}: drop one"
                problems.append(Problem(f"base.{field}", tables.base[field], allowed))
            if field in ("seed", "preset"):
                problems.append(Problem(f"sweep.{factor.name}", field, "seeds stand in [study], a preset in [base]"))
    if "seed" in tables.base:
        problems.append(Problem("base.seed", tables.base["seed"], "seeds stand in [study] seeds"))
    return problems + (_search_contradictions(tables.search, tables) if tables.search is not None else [])


def _compare_contradictions(compare: CompareSection, tables: Tables) -> list[Problem]:
    factors = {factor.name: factor for factor in tables.sweep}
    if compare.factor not in tables.swept:
        return [Problem("compare.factor", compare.factor, f"must be a swept factor: {', '.join(factors)}")]
    problems = []
    if compare.factor in factors:
        problems += _arm_contradictions(compare, factors[compare.factor].values)
    cell_factors = {name: factor.values for name, factor in factors.items() if name != compare.factor}
    for chosen in compare.primary:
        for name, value in chosen.items():
            if name == compare.factor or name not in tables.swept:
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


def _search_contradictions(search: SearchSection, tables: Tables) -> list[Problem]:
    problems = []
    if tables.study is not None and (shared := search.shares_seeds(tables.study.seeds)):
        problems.append(Problem("search.seeds", shared, "must share none with the study's: verdicts need fresh seeds"))
    swept = {field: factor.name for factor in tables.sweep for field in factor.fields}
    for field, dimension in search.space.items():
        if field in swept:
            allowed = f"is swept by sweep.{swept[field]}: drop one"
            problems.append(Problem(f"search.space.{field}", dimension.model_dump(mode="json"), allowed))
        if field in ("seed", "preset"):
            problems.append(Problem(f"search.space.{field}", field, "cannot be searched"))
    if VIEWS in tables.swept:
        problems.append(Problem(f"sweep.{VIEWS}", VIEWS, "is search mode's own factor: choose another name"))
    return problems
