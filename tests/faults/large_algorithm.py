"""An algorithm that reports more of everything than MLflow takes at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import pydantic

from harness import Algorithm
from tests.harness.fake_algorithm import Config, Result, score

SETTINGS, METRICS, POINTS, LONG = 150, 1500, 5000, 10_000
MANY_FIELDS: dict[str, Any] = {f"setting_{i:03}": (int, i) for i in range(SETTINGS)}
LargeConfig = pydantic.create_model("LargeConfig", __base__=Config, **MANY_FIELDS)
LARGE = Algorithm(f"{__name__}:LargeConfig", f"{__name__}:train_large")
FAILING = Algorithm(f"{__name__}:LargeConfig", f"{__name__}:train_at_length")
REASON = "because " * 2000


class LabelledResult(Result):
    """A result with a label as long as a book's page."""

    labels: ClassVar[dict[str, str]] = {"engine": "label " * 2000, "än " + "e" * 300: "short"}


def metrics(config: Config) -> dict[str, float]:
    """More figures than one request to MLflow may hold."""
    return {"score": score(config), "steps": 7.0, **{f"figure_{i:04}": score(config) + i for i in range(METRICS)}}


def curve(config: Config) -> list[tuple[int, float]]:
    """More points than a chart shows."""
    return [(step, score(config) * step) for step in range(POINTS)]


def train_large(config: Config, emit: Callable[[Any], None] | None = None) -> Result:
    """Return a great deal."""
    return LabelledResult("complete", metrics(config), curves={"one": curve(config), "other": curve(config)})


def train_at_length(config: Config, emit: Callable[[Any], None] | None = None) -> Result:
    """Fail, and say much about it."""
    raise RuntimeError(f"{REASON}the end\nof it")
