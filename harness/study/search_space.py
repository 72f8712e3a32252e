"""``[search]`` of a study file: the settings a search may try.

[search]
trials = 30                       # settings tried for each arm of each cell
seeds = 3                         # runs of each; a number, or a list that shares none with the study's
sampler = "tpe"                   # or "random"

[search.space]                    # config fields
learning_rate = { low = 1e-5, high = 1e-2, log = true }
n_step = { low = 1, high = 20 }                          # whole numbers at both ends: whole numbers in between
activation = { choices = ["relu", "tanh"] }
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping
from typing import Annotated, Any, Literal, Self

import pydantic
from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

MAX_TRIALS = 10_000
FIRST_TUNING_SEED = 1_000_000_000  # far from the seeds a study counts up from 0


class Section(BaseModel):
    """A table of a study file."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Range(Section):
    """Numbers from ``low`` to ``high``, both included; evenly spread, or evenly in their logarithm."""

    low: int | float
    high: int | float
    log: bool = False

    @pydantic.model_validator(mode="after")
    def _rises(self) -> Self:
        if not self.low < self.high:
            raise ValueError("high: must be greater than low")
        if self.log and self.low <= 0:
            raise ValueError("low: must be greater than 0 where log = true")
        return self

    @property
    def whole(self) -> bool:
        """Whether only whole numbers are tried."""
        return type(self.low) is int and type(self.high) is int

    @property
    def samples(self) -> tuple[Any, ...]:
        """The ends: where they are valid, so are all between."""
        return (self.low, self.high)


def as_tuple(value: object) -> object:
    """Return a list, which is all that TOML has, as a tuple; anything else as it is."""
    return tuple(value) if isinstance(value, list) else value


class Choices(Section):
    """One of several values."""

    choices: Annotated[tuple[Any, ...], pydantic.BeforeValidator(as_tuple), Field(min_length=2, max_length=1000)]

    @pydantic.field_validator("choices")
    @classmethod
    def _distinct(cls, choices: tuple[Any, ...]) -> tuple[Any, ...]:
        if len({repr(choice) for choice in choices}) < len(choices):
            raise ValueError("must not name a choice twice")
        return choices

    @property
    def samples(self) -> tuple[Any, ...]:
        """Every choice."""
        return self.choices


def _kind(value: Any) -> str:
    given = value if isinstance(value, Mapping) else vars(value) if isinstance(value, Section) else {}
    return "tagged-choices" if "choices" in given else "tagged-range"


Dimension = Annotated[
    Annotated[Range, Tag("tagged-range")] | Annotated[Choices, Tag("tagged-choices")], Discriminator(_kind)
]


def _seed_list(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool):
        if not 1 <= value <= 1000:
            raise ValueError("must be from 1 to 1000, or a list of seeds")
        return tuple(range(FIRST_TUNING_SEED, FIRST_TUNING_SEED + value))
    if not isinstance(value, list | tuple) or len(set(map(repr, value))) != len(value):
        raise ValueError("must be a number of seeds, or a list without repetition")
    return tuple(value)


class SearchSection(Section):
    """``[search]``: the trials of each arm before the arms are compared at their best settings."""

    trials: Annotated[int, Field(ge=2, le=MAX_TRIALS)] = 30
    seeds: Annotated[
        tuple[Annotated[int, Field(ge=0, lt=2**31)], ...],
        pydantic.BeforeValidator(_seed_list),
        Field(min_length=1, max_length=1000),
    ] = tuple(range(FIRST_TUNING_SEED, FIRST_TUNING_SEED + 3))
    sampler: Literal["tpe", "random"] = "tpe"
    batch: Annotated[int, Field(ge=1, le=1000, description="settings of one arm proposed together")] = 2
    space: Annotated[dict[str, Dimension], Field(min_length=1, max_length=100)]

    def shares_seeds(self, seeds: Collection[int]) -> list[int]:
        """Return the tuning seeds that are among ``seeds``."""
        known = set(seeds)
        return list(itertools.islice((seed for seed in self.seeds if seed in known), 3))
