"""The contestants of a bench, as data; :mod:`studies.bench.measure` runs them."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from a3c import TrainConfig
from a3c.engines.choice import ENGINES, choose_engine
from harness.errors import BadInput, Problem
from harness.machine import usable_cores

Kind = Literal["environment", "a3c", "peer", "pair"]

ENV_ID = "CartPole-v1"
WORKERS = (1, 4, 16)
ROLLOUTS: tuple[int | str, ...] = (5, 20, "episode")
SCHEDULES: tuple[str, ...] = get_args(TrainConfig.model_fields["schedule"].annotation)
FASTEST = ENGINES[0]
PEER_PACKAGE = "stable_baselines3"


@dataclass(frozen=True)
class Contestant:
    """A thing to measure.

    Attributes:
        kind: the environment alone, a training run, the peer, or the same training run in two processes at a time.
        name: unique; searched by ``--only``, and the name of its metrics.
        changes: fields of :class:`a3c.TrainConfig` that differ from their defaults.
    """

    kind: Kind
    name: str
    changes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def process(self) -> str:
        """Name of its process; an engine must not share one with libraries it would not have loaded."""
        return str(self.changes.get("engine", self.kind))


ENVIRONMENT = Contestant("environment", "environment alone")
PEER = Contestant("peer", "SB3 A2C")
PAIR = Contestant(
    "pair", "two processes", {"engine": "auto", "workers": 4, "rollout_length": 20, "schedule": "round_robin"}
)


def training(engine: str, workers: int, rollout: int | str, schedule: str) -> Contestant:
    """Return the contestant that trains with some settings, named like ``compiled w4 t20 round_robin``."""
    length = rollout if rollout == "episode" else f"t{rollout}"
    changes = {"engine": engine, "workers": workers, "rollout_length": rollout, "schedule": schedule}
    return Contestant("a3c", f"{engine} w{workers} {length} {schedule}", changes)


def all_contestants() -> tuple[Contestant, ...]:
    """Return all contestants: the environment, the peer, each engine × workers × rollout × schedule, the pair."""
    runs = [
        training(engine, workers, rollout, schedule)
        for rollout in ROLLOUTS
        for schedule in SCHEDULES
        for engine in ENGINES
        for workers in WORKERS
    ]
    return (ENVIRONMENT, PEER, *runs, PAIR)


def choose(only: Sequence[str]) -> tuple[tuple[Contestant, ...], tuple[str, ...]]:
    """Return the contestants to measure, and a sentence for each that cannot be measured here.

    Args:
        only: parts of names; a contestant is chosen if any of them occurs in its name. Empty: all are.

    Raises:
        BadInput: for each part that occurs in no name, and if no contestant is left.
    """
    everybody = all_contestants()
    names = [contestant.name for contestant in everybody]
    allowed = f"must occur in a contestant's name, like {names[2]!r}, {PEER.name!r} or {PAIR.name!r}"
    if unknown := [part for part in only if not any(part in name for name in names)]:
        raise BadInput([Problem("only", part, allowed) for part in unknown])
    chosen = [one for one in everybody if not only or any(part in one.name for part in only)]
    left_out = []
    if choose_engine(TrainConfig()) != FASTEST and any(one.changes.get("engine") == FASTEST for one in chosen):
        chosen = [one for one in chosen if one.changes.get("engine") != FASTEST]
        left_out.append(f"the {FASTEST} engine is left out: Numba cannot be used here")
    for contestant, missing in ((PEER, _peer_missing()), (PAIR, _cores_missing())):
        if contestant in chosen and missing:
            chosen.remove(contestant)
            left_out.append(f"{contestant.name} is left out: {missing}")
    if not chosen:
        raise BadInput([Problem("only", ", ".join(only), "; ".join(left_out))])
    return tuple(chosen), tuple(left_out)


def _peer_missing() -> str:
    installed = importlib.util.find_spec(PEER_PACKAGE) is not None
    return "" if installed else "Stable-Baselines3 is not installed (pip install 'a3c-bench[peers]')"


def _cores_missing() -> str:
    return "" if len(usable_cores()) > 1 else "this process may use one core only"
