"""The protocol of an algorithm: two dotted names, and what a config type and a train function must offer.

The harness never imports an algorithm. It is handed ``module:name`` strings, because they cross to spawned
processes and clusters, and asks of them only what is written here.

The *config type* is a frozen pydantic model with a field ``seed``. It may also offer

* ``preset(name, **changes)``, a class method: what ``preset = "..."`` in a study file calls;
* ``default_metric() -> str``, a static method: the metric of a study that names none;
* ``effective() -> dict``: the settings that can make a difference. Two configs with equal effective settings
  train identically, so a design keeps one of them (an *alias*);
* ``labels() -> Mapping[str, str]``: what a run of it would be labelled with here (see below); a study that has runs
  with other labels is not continued;
* ``metric_names() -> frozenset[str]``: the metrics a run of this config will have, and ``metric_traits()`` what is
  known of them by name, as :class:`~harness.algorithm.traits.MetricTraits` or a dict of its fields: direction, worst,
  best, unit, chance (``lower_is_better()``, the names of those of which less is better, is the older way to state one
  of these);
* ``problems() -> list[tuple[field, value, allowed]]``: checks too slow for construction (making the
  environment once), asked before anything expensive starts, once per distinct ``problems_key() -> str``.

These questions are asked in :mod:`harness.algorithm.questions` alone.

The *train function* is called as ``train(config, emit)`` and returns a :class:`RunResult`. ``emit`` takes
progress events; the harness reads their ``fraction`` in [0, 1]. The result may have ``labels``, a mapping of text: what
it was computed with where its settings leave that open, kept as tags. A run that diverged raises an exception whose
``result`` is a :class:`RunResult` with ``outcome == "diverged"``: a result of its own kind, not a failure.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

import pydantic

from harness.algorithm import questions
from harness.algorithm.problems import problems_of
from harness.errors import BadInput, Problem

# pandas and numpy types, named but not imported: `--help` must not pay for them.
Table = Any
Array = Any


class RunResult(Protocol):
    """The result of one training run."""

    @property
    def outcome(self) -> str:
        """``complete`` or ``diverged``."""

    @property
    def metrics(self) -> Mapping[str, float]:
        """Final figures that depend on the config and the seed alone."""

    @property
    def timings(self) -> Mapping[str, float]:
        """Final figures that also depend on the machine: seconds, steps a second."""

    @property
    def curves(self) -> Mapping[str, Sequence[tuple[int, float]]]:
        """Per metric name (environment step, value), thin enough to plot."""

    @property
    def tables(self) -> Mapping[str, Table]:
        """Per file stem a pandas DataFrame, kept as CSV."""

    @property
    def arrays(self) -> Mapping[str, Mapping[str, Array]]:
        """Per file stem named numpy arrays, kept as plain ``.npz``."""


Train = Callable[[Any, Callable[[Any], None] | None], RunResult]


@dataclass(frozen=True)
class Algorithm:
    """The dotted names (``module:name``) of a config type and a train function."""

    config: str
    train: str

    def config_type(self) -> type[pydantic.BaseModel]:
        """Import and return the config type."""
        return cast(type[pydantic.BaseModel], load(self.config))

    def train_function(self) -> Train:
        """Import and return the train function."""
        return cast(Train, load(self.train))

    def build(self, settings: Mapping[str, Any]) -> pydantic.BaseModel:
        """Make one config; ``preset`` in the settings names the starting point.

        Raises:
            BadInput: with one problem per invalid field.
        """
        config_type = self.config_type()
        changes = dict(settings)
        name = changes.pop("preset", None)
        preset = questions.preset_of(config_type)
        try:
            if name is None:
                return config_type.model_validate(changes)
            if preset is None:
                raise ValueError(f"{self.config} has no presets")
            return preset(name, **changes)
        except pydantic.ValidationError as error:
            raise BadInput(problems_of(error, known=config_type.model_fields)) from None
        except ValueError as error:  # no such preset
            allowed = str(error).removeprefix(f"preset={name!r}: ")
            raise BadInput([Problem("preset", name, allowed), *self._problems_whatever_preset(changes)]) from None

    def _problems_whatever_preset(self, changes: Mapping[str, Any]) -> list[Problem]:
        """Return the problems of settings that change a preset, whichever it is."""
        config_type = self.config_type()
        try:
            config_type.model_validate(changes)
        except pydantic.ValidationError as error:
            found = problems_of(error, known=config_type.model_fields)
            return [problem for problem in found if re.split(r"[. ]", problem.field)[0] in changes]
        return []

    def build_tolerantly(self, settings: Mapping[str, Any]) -> pydantic.BaseModel | None:
        """Make a config of the valid settings alone, to ask it what can be asked all the same, or None."""
        known = {"preset", *self.config_type().model_fields}
        kept = {name: value for name, value in settings.items() if name in known}
        while True:
            try:
                return self.build(kept)
            except BadInput as error:
                heads = [problem.field.split(".")[0] for problem in error.problems]
                blamed = {name for head in heads for name in (head, head.split(" ")[0])} & kept.keys()
            if not blamed:
                return None
            kept = {name: value for name, value in kept.items() if name not in blamed}

    def build_checked(self, settings: Mapping[str, Any]) -> pydantic.BaseModel:
        """Make one config as :meth:`build` does, and ask it for problems that take time to find, too.

        Raises:
            BadInput: naming every invalid field.
        """
        config = self.build(settings)
        if found := questions.problems(config):
            raise BadInput(found)
        return config


def with_changes(config: pydantic.BaseModel, changes: Mapping[str, Any]) -> pydantic.BaseModel:
    """Return a config with some fields changed, checked like any other."""
    return type(config).model_validate({**config.model_dump(), **changes}) if changes else config


def load(dotted: str) -> Any:
    """Return the object named ``module:name``.

    Raises:
        BadInput: if there is no such module or name.
    """
    module_name, _, name = dotted.partition(":")
    try:
        return getattr(importlib.import_module(module_name), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise BadInput([Problem("algorithm", dotted, f"must be an importable module:name ({error})")]) from None
