"""A study as declared: the tables of its file as immutable data.

A study file is TOML with four tables::

    [study]    name, question, seeds (a number, a list, or { looks = [10, 20, 40] }), time_limit
    [base]     any config field, or preset
    [sweep]    any config field = [levels]; or [sweep.NAME] with named levels that set several fields
    [compare]  factor, baseline, candidates, metric (by default the algorithm's choice), margin, level, primary, failed

and, in search mode, a fifth, ``[search]``: see :mod:`harness.study.search_space`. :mod:`harness.study.checks` reads it.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

import pydantic
from pydantic import Field

from harness.errors import BadInput, Problem
from harness.study.names import label
from harness.study.search_space import SearchSection, Section, as_tuple

MAX_SEEDS = 100_000
TUNING_FACTOR = "settings"  # search mode's own: arms at shared settings, and each at its best
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
    """``[study]``: name, question, seeds, time limit of a run.

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
        pydantic.BeforeValidator(as_tuple),
        Field(max_length=20, description="how many of the seeds each look takes in; empty: one look, at all of them"),
    ] = ()
    time_limit: Annotated[float, Field(gt=0, le=7 * 24 * 3600, description="seconds one run may take")] = 1800.0

    @pydantic.model_validator(mode="before")
    @classmethod
    def _looks_in_seeds(cls, data: Any) -> Any:
        """Read ``seeds = { looks = [...] }`` as a number of seeds and the looks at them."""
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
        """The number of seeds each look takes in; the last look takes all."""
        return self.looks or (len(self.seeds),)


class CompareSection(Section):
    """``[compare]``: the factor whose levels are the arms, and the rules of the verdict."""

    factor: str
    baseline: Any
    candidates: Annotated[tuple[Any, ...], pydantic.BeforeValidator(as_tuple)]
    metric: Annotated[str, Field(description="empty: the algorithm's choice")] = ""
    higher_is_better: bool = True
    diverged_score: Annotated[float | None, Field(description="what a diverged run counts as; None: the worst")] = None
    failed: Annotated[
        Literal["worst", "missing"],
        Field(description="a failed run counts as a diverged one does, or its pair is left out"),
    ] = "worst"
    margin: Annotated[float, Field(gt=0, description="a difference smaller than this does not matter")] = 0.1
    level: Annotated[float, Field(ge=0.5, lt=1, description="confidence level")] = 0.95
    primary: Annotated[tuple[dict[str, Any], ...], pydantic.BeforeValidator(as_tuple)] = ()


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

    @property
    def is_composite(self) -> bool:
        """Whether each level names several settings, rather than a value of the field the factor is named after."""
        return any(settings != {self.name: value} for value, settings in self.levels)


class StudySpec(Section):
    """One study, as declared. Built by :func:`~harness.study.checks.read_study`, or directly in Python."""

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

    def compared_only(self) -> StudySpec:
        """Return this study without the levels of the compared factor that are neither baseline nor candidate."""
        compared = self.factor(self.compare.factor)
        known = {label(value): (value, settings) for value, settings in compared.levels}
        levels = tuple(known[label(value)] for value in (self.compare.baseline, *self.compare.candidates))
        arms = compared.model_copy(update={"levels": levels})
        return self.model_copy(update={"sweep": tuple(arms if f.name == arms.name else f for f in self.sweep)})

    def with_tuning_factor(self) -> StudySpec:
        """Return this study with search mode's own factor: every cell at shared settings and with each arm tuned."""
        if self.search is None or any(factor.name == TUNING_FACTOR for factor in self.sweep):
            return self
        own = Factor(name=TUNING_FACTOR, levels=((SHARED, {}), (TUNED, {})))
        return self.model_copy(update={"sweep": (*self.sweep, own)})

    def with_metric(self, metric: str) -> StudySpec:
        """Return this study, which compares by that metric if it names none itself."""
        if self.compare.metric:
            return self
        return self.model_copy(update={"compare": self.compare.model_copy(update={"metric": metric})})

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
        """Return the study as plain data that :func:`~harness.study.checks.parse_spec` reads back to an equal study."""
        sweep: dict[str, Any] = {}
        for factor in self.sweep:
            if factor.name == TUNING_FACTOR and self.search is not None:
                continue  # not the user's own: `with_tuning_factor` adds it
            if factor.is_composite:
                sweep[factor.name] = {str(value): settings for value, settings in factor.levels}
            else:
                sweep[factor.name] = list(factor.values)
        unset = {"search"} if self.search is None else set()
        data = self.model_dump(mode="json", exclude={"sweep", *unset})
        return {**data, "sweep": sweep}
