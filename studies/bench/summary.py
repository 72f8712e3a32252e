"""Summaries of a bench: medians of ratios, their spread, and headlines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from statistics import median

from a3c.engines.choice import ENGINES
from studies.bench.contestants import PEER, ROLLOUTS, SCHEDULES, WORKERS, Contestant, training
from studies.bench.measure import PARTS

REFERENCE = "autograd"


@dataclass(frozen=True)
class Row:
    """The measurement of one contestant in one round.

    Attributes:
        round: from 1.
        contestant: its name.
        steps: environment steps it made.
        seconds: they took.
        environment_before: steps a second of the environment alone, right before.
        environment_after: the same right after.
        shares: of its CPU time, by :data:`~studies.bench.measure.PARTS`; empty where it was not split.
    """

    round: int
    contestant: str
    steps: int
    seconds: float
    environment_before: float
    environment_after: float
    shares: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, number: int, contestant: Contestant, timings: Mapping[str, float]) -> Row:
        """Make the row of a measurement's timings in round ``number``."""
        return cls(
            number,
            contestant.name,
            int(timings["steps"]),
            timings["seconds"],
            timings["environment_before"],
            timings["environment_after"],
            {part: timings[part] for part in PARTS if part in timings},
        )

    @property
    def speed(self) -> float:
        """Environment steps a second."""
        return self.steps / self.seconds

    @property
    def ratio(self) -> float:
        """Its speed over the environment's alone."""
        return self.speed / ((self.environment_before + self.environment_after) / 2)


@dataclass(frozen=True)
class PairRow:
    """The measurement of one process against two, in one round, in environment steps a second.

    Attributes:
        round: from 1.
        one_before: one process by itself.
        two: both, added up.
        one_after: one process by itself again.
    """

    round: int
    one_before: float
    two: float
    one_after: float

    @property
    def ratio(self) -> float:
        """Two processes over one."""
        return self.two / ((self.one_before + self.one_after) / 2)


@dataclass(frozen=True)
class Spread:
    """The median over rounds, with the smallest and the largest value."""

    middle: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Summarise one value a round."""
        return cls(median(values), min(values), max(values))

    def __str__(self) -> str:
        digits = 3 if self.middle < 1 else 2
        return f"{self.middle:.{digits}f} [{self.low:.{digits}f}, {self.high:.{digits}f}]"


@dataclass(frozen=True)
class Summary:
    """The measurements of one contestant over all rounds.

    Attributes:
        contestant: measured.
        rounds: number of them.
        speed: environment steps a second, median.
        ratio: to the environment alone.
        to_peer: its ratio over the peer's, paired by round; None where the peer was not measured.
        shares: medians of :attr:`Row.shares`.
    """

    contestant: Contestant
    rounds: int
    speed: float
    ratio: Spread
    to_peer: Spread | None
    shares: Mapping[str, float]


def summarise(contestants: Sequence[Contestant], rows: Sequence[Row]) -> list[Summary]:
    """Summarise every contestant that was measured, in the given order."""
    by_name = _by_name(rows)
    summaries = []
    for contestant in contestants:
        if mine := by_name.get(contestant.name):
            split = [row.shares for row in mine if row.shares]
            shares = {part: median(its[part] for its in split) for part in PARTS if split}
            summaries.append(
                Summary(
                    contestant,
                    len(mine),
                    median(row.speed for row in mine),
                    Spread.of([row.ratio for row in mine]),
                    _paired(mine, by_name.get(PEER.name, [])),
                    shares,
                )
            )
    return summaries


def two_over_one(pairs: Sequence[PairRow]) -> Spread:
    """Return the speed of two processes over that of one."""
    return Spread.of([pair.ratio for pair in pairs])


def headlines(rows: Sequence[Row], pairs: Sequence[PairRow]) -> list[str]:
    """Return the main comparisons, a sentence each; those whose parts were not measured are absent."""
    by_name = _by_name(rows)
    found = []
    for engine in ENGINES:
        here = training(engine, 4, 20, "round_robin")
        there = [(PEER, "Stable-Baselines3's A2C as it comes (8 environments, 5 steps, two layers of 64)")]
        if engine != REFERENCE:
            there.append((training(REFERENCE, 4, 20, "round_robin"), f"the {REFERENCE} engine"))
        for other, name in there:
            if ratio := _paired(by_name.get(here.name, []), by_name.get(other.name, [])):
                found.append(f"{engine}, 4 workers, rollouts of 20 steps: {ratio} × {name}")
    for engine, schedule in product(ENGINES, SCHEDULES[1:]):
        for rollout in ROLLOUTS:
            found += _against_first_schedule(by_name, engine, schedule, rollout)
    if pairs:
        what = "two processes on two cores, 4 workers each, rollouts of 20 steps"
        found.append(f"{what}: {two_over_one(pairs)} × one")
    return found


def _against_first_schedule(
    by_name: Mapping[str, Sequence[Row]], engine: str, schedule: str, rollout: int | str
) -> list[str]:
    shown = []
    for workers in WORKERS:
        one, other = (training(engine, workers, rollout, name).name for name in (schedule, SCHEDULES[0]))
        if ratio := _paired(by_name.get(one, []), by_name.get(other, [])):
            shown.append(f"{ratio.middle:.2f} (w{workers})")
    length = "whole episodes" if rollout == "episode" else f"rollouts of {rollout} steps"
    return [f"{engine}, {length}: {schedule} is {', '.join(shown)} × {SCHEDULES[0]}"] if shown else []


def _by_name(rows: Sequence[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row.contestant, []).append(row)
    return found


def _paired(mine: Sequence[Row], theirs: Sequence[Row]) -> Spread | None:
    """Divide ratios to the environment alone, round by round: what slows a round down slows both."""
    other = {row.round: row.ratio for row in theirs}
    quotients = [row.ratio / other[row.round] for row in mine if row.round in other]
    return Spread.of(quotients) if quotients else None
