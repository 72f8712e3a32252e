"""What a run without a result counts as, and how far scores reach."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from harness.algorithm.traits import MetricTraits
from harness.record.run import RunRecord
from harness.record.scores import Scores
from harness.study.spec import CompareSection

PLAIN = MetricTraits(chance="random")
TRAITS = {
    "score": MetricTraits(worst=0.0, best=1.0, where=("solved", "scale"), otherwise=PLAIN),
    "profit": PLAIN,
    "time": MetricTraits(lower_is_better=True, worst=("steps", "episodes"), where=("solved",)),
    "cost": MetricTraits(lower_is_better=True),
}


def run(value: float | None, cell: str = "c", arm: str = "a", seed: int = 0, **more: Any) -> RunRecord:
    """A complete run with a value of every metric, or a diverged one; settings and metrics as they are named."""
    config = {name: more.pop(name) for name in ("scale", "steps", "episodes") if name in more}
    return RunRecord(
        run=f"{cell}-{arm}-{seed}",
        cell=cell,
        arm=arm,
        seed=seed,
        levels=more.pop("levels", {}),
        attempt=1,
        outcome="diverged" if value is None else "complete",
        metrics={**({} if value is None else dict.fromkeys(TRAITS, value)), **more},
        timings={},
        started=0.0,
        seconds=1.0,
        config=config,
        provenance={},
        folder=Path(),
    )


def scores(metric: str, *records: RunRecord, **compare: Any) -> Scores:
    given = {"factor": "x", "baseline": 1, "candidates": [2], "metric": metric, **compare}
    given.setdefault("higher_is_better", not TRAITS.get(metric, PLAIN).lower_is_better)
    return Scores(CompareSection.model_validate(given), TRAITS, records)


@pytest.mark.parametrize(("seen", "worst"), [(0.7, 0.0), (-0.2, -0.2)])
def test_a_scaled_score_falls_to_its_worst_or_what_was_seen(seen: float, worst: float) -> None:
    assert scores("score", run(seen, solved=1.0), run(0.9, solved=0.0)).of(run(None)) == worst
    assert scores("score", run(seen, scale=(0, 9))).of(run(None, scale=(0, 9))) == worst


@pytest.mark.parametrize(("seen", "worst"), [(-4.0, -36.0), (-50.0, -50.0), (3.0, -36.0)])
@pytest.mark.parametrize("metric", ["score", "profit"])
def test_a_plain_return_falls_to_chance_or_what_was_seen(metric: str, seen: float, worst: float) -> None:
    complete = run(seen, random=-36.0)
    for lost in (run(None), run(None, arm="b"), run(None, cell="d"), run(None, random=-36.0)):
        assert scores(metric, complete).of(lost) == worst
    assert scores(metric, complete).lost("c", "b", {}) == worst


def test_returns_of_different_environments_are_apart() -> None:
    known = [run(-4.0, "easy", random=-36.0), run(-900.0, "hard", random=-800.0), run(0.5, "scaled", solved=1.0)]
    found = {cell: scores("score", *known).of(run(None, cell, "b")) for cell in ("easy", "hard", "scaled")}
    assert found == {"easy": -36.0, "hard": -900.0, "scaled": 0.0}


def test_less_may_be_better_and_the_budget_the_worst() -> None:
    complete = run(40.0, solved=1.0, steps=100)
    assert scores("time", complete).of(run(None, steps=100)) == 100.0
    assert scores("time", run(4.0, solved=1.0, episodes=7)).of(run(None, episodes=7)) == 7.0
    assert scores("cost", run(2.0), run(5.0)).of(run(None)) == 5.0


def test_what_cannot_be_measured_is_not_invented() -> None:
    assert scores("time", run(3.0, steps=100)).of(run(None, steps=100)) is None, "nothing says what solved is"
    assert scores("cost").of(run(None)) is None
    assert scores("cost").of(run(math.nan)) is None


def test_what_a_study_declares_comes_first() -> None:
    declared = scores("score", run(-4.0, random=-36.0), diverged_score=-60.0)
    assert declared.of(run(None)) == declared.lost("c", "b", {}) == -60.0


def test_what_a_diverged_run_recorded_itself_does_not_count() -> None:
    assert scores("score", run(0.5, solved=1.0)).of(run(None, score=9.0)) == 0.0


def test_a_score_is_settled_once_a_run_has_shown_its_scale() -> None:
    one = scores("score")
    assert one.is_settled(run(0.5))
    assert one.is_settled(run(None, solved=0.0))
    assert not one.is_settled(run(None))
    one.note(run(None, random=-36.0))
    assert not one.is_settled(run(None)), "it may have been cut short before it was measured"
    one.note(run(-4.0, random=-36.0))
    assert one.is_settled(run(None))
    assert one.of(run(None)) == -36.0


@pytest.mark.parametrize(
    ("metric", "records", "span"),
    [
        ("score", [], 1.0),
        ("score", [run(0.6, solved=0.0)], 1.0),
        ("score", [run(1.2, solved=1.0), run(-0.3, solved=0.0)], 1.5),
        ("score", [run(-4.0, random=-36.0)], 32.0),
        ("score", [run(-4.0, "c", random=-36.0), run(0.5, "d", solved=1.0)], 32.0),
        ("time", [run(40.0, solved=1.0, steps=100)], 60.0),
        ("profit", [run(-4.0)], math.inf),
        ("cost", [run(2.0), run(5.0)], math.inf),
    ],
)
def test_the_span_is_that_of_the_widest_scale(metric: str, records: list[RunRecord], span: float) -> None:
    assert scores(metric, *records).span({}) == pytest.approx(span)
