"""Ask a config the optional questions of the protocol; each has a default answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pydantic
from pydantic import BaseModel

from harness.algorithm.traits import TRAITS, MetricTraits
from harness.errors import BadInput, Problem


def preset_of(config_type: type[BaseModel]) -> Callable[..., BaseModel] | None:
    """Return the function that makes a config from a preset and changes to it; None without presets."""
    preset: Callable[..., BaseModel] | None = getattr(config_type, "preset", None)
    return preset


def default_metric(config_type: type[BaseModel]) -> str:
    """Return the metric a study compares by that names none; empty: it has to name one.

    Raises:
        BadInput: if the answer is not a name.
    """
    ask: Callable[[], object] = getattr(config_type, "default_metric", str)
    try:
        metric = ask()
    except TypeError as error:
        raise BadInput(
            [Problem("default_metric", ask, f"must be a static method without arguments ({error})")]
        ) from None
    if not isinstance(metric, str):
        raise BadInput([Problem("default_metric", metric, "must be the name of a metric")])
    return metric


def seed_of(config: BaseModel) -> int:
    """Return the seed, 0 without such a field."""
    return int(getattr(config, "seed", 0))


def effective_settings(config: BaseModel) -> dict[str, Any]:
    """Return the settings that can make a difference; by default all."""
    return dict(_answer(config, "effective", lambda: config.model_dump(mode="json")))


def labels(config: BaseModel) -> dict[str, str]:
    """Return the labels a run would have on this machine; by default none."""
    return dict(_answer(config, "labels", dict))


def metric_names(config: BaseModel) -> frozenset[str] | None:
    """Return the names of the metrics a run will have; None if they are not known in advance."""
    names: frozenset[str] | None = _answer(config, "metric_names", lambda: None)
    return names


def metric_traits(config: BaseModel) -> dict[str, MetricTraits]:
    """Return the traits of metrics by name; ``lower_is_better()`` is the older way to state one of them.

    Raises:
        BadInput: if the answer is invalid.
    """
    lower = {name: MetricTraits(lower_is_better=True) for name in _answer(config, "lower_is_better", frozenset)}
    try:
        return {**lower, **TRAITS.validate_python(_answer(config, "metric_traits", dict))}
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(("metric_traits", *map(str, first["loc"])))
        raise BadInput([Problem(place, repr(first["input"]), first["msg"])]) from None


def problems(config: BaseModel) -> list[Problem]:
    """Return the problems that take time to find; by default none."""
    return [Problem(*problem) for problem in _answer(config, "problems", list)]


def problems_key(config: BaseModel) -> object:
    """Return a key that configs with the same :func:`problems` share; by default no two configs do."""
    return _answer(config, "problems_key", lambda: id(config))


def _answer(config: BaseModel, question: str, default: Callable[[], Any]) -> Any:
    """Call the method of that name, or what stands for it."""
    return getattr(config, question, default)()
