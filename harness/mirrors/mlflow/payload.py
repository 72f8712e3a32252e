"""The content of MLflow runs, made whole from a record before any request is made.

So a record that cannot be reported is known by itself, and never taken for a store that is away.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.algorithm.output import CURVES_FILE
from harness.algorithm.traits import STEPS
from harness.errors import DamagedRecord
from harness.mirrors.mlflow.client import Metric, Param, RunTag
from harness.record.folder import CONFIG_FILE, RECORD_FILE
from harness.record.run import RunRecord
from harness.study.names import slug

MAX_PARAM_LENGTH, MAX_TAG_LENGTH = 6000, 5000  # MLflow's
CURVE_POINTS = 100  # of one metric of one run in MLflow: a row costs 60 µs, and a chart shows no more
_MAX_INTEGER = 2**63 - 1  # its databases hold no larger one


@dataclass(frozen=True)
class FinishedRun:
    """The content of a finished run in MLflow.

    Attributes:
        who: the tags that distinguish it from others, and those of where it was computed.
        started: milliseconds since the epoch.
        ended: likewise.
        params: its settings.
        metrics: its figures, and points of its curves.
        tags: what is known since it ended.
    """

    who: Mapping[str, str]
    started: int
    ended: int
    params: list[Param]
    metrics: list[Metric]
    tags: list[RunTag]

    @classmethod
    def of(cls, record: RunRecord) -> FinishedRun:
        """Make it of a record.

        Raises:
            DamagedRecord: if something in it is nothing MLflow could hold, or cannot be read.
        """
        with _blamed(record.folder / CURVES_FILE):
            curves = [
                (f"curve/{name}", value, _integer(step))  # the prefix gives them a section of their own in the UI
                for name, curve in record.curve_points().items()
                for step, value in _thinned(curve)
            ]
        with _blamed(record.folder / CONFIG_FILE):
            params = _params(record.config)
        with _blamed(record.folder / RECORD_FILE):
            finals = {**record.metrics, **{f"time/{name}": value for name, value in record.timings.items()}}
            points = [*((name, value, _last_step(record.metrics)) for name, value in finals.items()), *curves]
            ended = milliseconds(record.started + record.seconds)
            return cls(
                who={**source_tags(record.provenance), **who(record.cell, record.arm, record.seed, record.trial)},
                started=milliseconds(record.started),
                ended=ended,
                params=params,
                metrics=[Metric(name, value, ended, step) for name, value, step in points if not math.isinf(value)],
                tags=_tags(record, sorted({name for name, value, _ in points if math.isinf(value)})),
            )


@contextmanager
def _blamed(path: Path) -> Iterator[None]:
    """Raise whatever goes wrong as damage of a file."""
    try:
        yield
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, csv.Error, OSError) as error:
        raise DamagedRecord(path, f"{type(error).__name__}: {error}") from error


def _tags(record: RunRecord, infinite: list[str]) -> list[RunTag]:
    tags = [RunTag("outcome", record.outcome)]
    tags += [RunTag(f"label/{slug(name)}", text[:MAX_TAG_LENGTH]) for name, text in record.labels.items()]
    if infinite:  # MLflow would show 1.8e308
        tags.append(RunTag("infinite", ", ".join(infinite)[:MAX_TAG_LENGTH]))
    return tags


def who(cell: str, arm: str, seed: int, trial: int | None) -> dict[str, str]:
    """Return the tags that distinguish a run; a search's are marked, so that they can be filtered out."""
    place = {name: text for name, text in (("cell", cell), ("arm", arm)) if text}  # a single run has none
    search = {} if trial is None else {"phase": "search", "trial": str(trial)}
    return {**place, "seed": str(seed), **search}


def source_tags(provenance: Mapping[str, Any]) -> dict[str, str]:
    """Return the tags of where a run was computed: those MLflow's fluent calls would have set, and ours."""
    tags = {
        "mlflow.source.name": str(provenance["command"]),
        "mlflow.source.type": "LOCAL",
        "git_commit": str(provenance["commit"]),
        "git_dirty": str(provenance["dirty"]).lower(),
    }
    if provenance["commit"]:
        tags["mlflow.source.git.commit"] = str(provenance["commit"])
    return tags


def milliseconds(seconds: float) -> int:
    """Return seconds since the epoch as MLflow counts them.

    Raises:
        ValueError, OverflowError: if they are more than it can count.
    """
    return _integer(int(seconds * 1000))


def countable(seconds: float | None) -> int | None:
    """Return seconds since the epoch as MLflow counts them; None where they are unknown, or more than it can count."""
    try:
        return None if seconds is None else milliseconds(seconds)
    except (ValueError, OverflowError):
        return None


def _integer(number: int) -> int:
    if abs(number) > _MAX_INTEGER:
        raise OverflowError(f"{number:.3g} is too large")
    return number


def _last_step(metrics: Mapping[str, float]) -> int:
    """Return the step of the final figures: the run's last, or 0 if it does not count them."""
    steps = metrics.get(STEPS, 0)
    return int(steps) if abs(steps) < _MAX_INTEGER else 0  # nor if that is not a number


def _params(config: Mapping[str, Any]) -> list[Param]:
    """Return settings as MLflow params; what is longer than it takes stands in the config artifact."""
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in config.items()}
    return [Param(key, text if len(text) <= MAX_PARAM_LENGTH else "see config.json") for key, text in texts.items()]


def _thinned(curve: list[tuple[int, float]]) -> list[tuple[int, float]]:
    """Return at most ``CURVE_POINTS`` of a curve's points, evenly spread, its ends among them."""
    if len(curve) <= CURVE_POINTS:
        return curve
    last = len(curve) - 1
    return [curve[i * last // (CURVE_POINTS - 1)] for i in range(CURVE_POINTS)]
