"""A study of an algorithm with metrics of its own: costs, negative returns, no scale, a unit that is its own."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import pytest
from pydantic import BaseModel, ConfigDict

from harness import Algorithm, BadInput, Study, load_study, parse_spec, run_study
from harness.algorithm.output import PlainResult
from harness.mirrors.addresses import MEMORY
from reports import compare_cells, paired_differences, write_report
from reports.statistics.verdicts import Verdict
from tests.reports.drawn import draw_only
from tests.reports.page.test_report import Page

ROUTER = Algorithm(f"{__name__}:Config", f"{__name__}:train")
DEADLINE, CHANCE = 90.0, -75.0


class Config(BaseModel):
    """A planner of routes; ``wild`` never comes to an end."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = 0
    planner: Literal["plain", "greedy", "wild"] = "plain"
    deadline: float = DEADLINE

    def metric_names(self) -> frozenset[str]:
        return frozenset({"latency", "profit", "random_profit"})

    def metric_traits(self) -> dict[str, dict[str, Any]]:
        latency = {"lower_is_better": True, "worst": ("deadline",), "unit": "milliseconds"}
        return {
            "latency": {**latency, "words": ("answers sooner", "answers later")},
            "profit": {"chance": "random_profit", "unit": "euros a day"},
            "evaluations.return": latency,
        }


class Endless(Exception):
    """A run that diverged."""

    result = PlainResult("diverged", {}, tables={"evaluations": pd.DataFrame({"grid": [1], "return": [50.0]})})


def train(config: Config, emit: Callable[[Any], None] | None = None) -> PlainResult:
    """Plan in no time; ``greedy`` is 10 ms and 10 euros better."""
    if config.planner == "wild":
        raise Endless
    noise = int.from_bytes(hashlib.sha256(f"{config.planner}{config.seed}".encode()).digest()[:4], "big") / 2**32
    latency = 40 + 4 * noise - 10 * (config.planner == "greedy")
    table = pd.DataFrame({"grid": [1, 2], "return": [latency + 5, latency]})
    metrics = {"latency": latency, "profit": -latency, "random_profit": CHANCE}
    return PlainResult(metrics=metrics, tables={"evaluations": table})


def routes(metric: str = "latency", **compare: Any) -> dict[str, Any]:
    return {
        "study": {"name": "routes", "question": "Which planner?", "seeds": 10},
        "sweep": {"planner": ["plain", "greedy", "wild"]},
        "compare": {"factor": "planner", "baseline": "plain", "metric": metric, "margin": 1.0, **compare},
    }


@pytest.fixture(scope="module")
def routed(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """The study, run by latency; what its plan and records hold is enough to ask for profit, too."""
    spec, out = parse_spec(routes(higher_is_better=False)), tmp_path_factory.mktemp("routes")
    return run_study(spec, ROUTER, out=out, storage=MEMORY, tracking_uri=MEMORY, executor="inline")


def by_profit(study: Study) -> Study:
    return replace(study, spec=parse_spec(routes("profit")))


@pytest.mark.parametrize(
    ("study", "worst"), [(lambda s: s, DEADLINE), (by_profit, CHANCE)], ids=["cost", "negative return"]
)
def test_better_and_worse_are_as_the_algorithm_states(
    routed: Study, study: Callable[[Study], Study], worst: float
) -> None:
    asked = study(routed)
    verdicts = {c.candidate: (c.verdict, c.better, c.worse) for c in compare_cells(asked)}
    assert verdicts == {"greedy": (Verdict.DIFFERENT, True, False), "wild": (Verdict.DIFFERENT, False, True)}
    pairs = paired_differences(asked)
    assert set(pairs[pairs["candidate"] == "wild"]["candidate_value"]) == {worst}


def test_the_page_names_the_units_that_are_stated(routed: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    draw_only(monkeypatch)
    page = Page(write_report(routed))
    assert "by latency (milliseconds), lower is better" in page.text
    assert "answers sooner" in page.text
    assert "answers later" in page.text
    assert "scaled" not in page.text
    curves = pd.read_csv(routed.folder / "tables" / "curves.csv")
    filled = curves[curves["filled"]]
    assert set(filled["arm"]) == {"wild"}
    assert set(filled["return"]) == {DEADLINE}, "the worst latency, which is the highest"
    assert "by profit (euros a day)" in Page(write_report(by_profit(routed))).text


def test_traits_are_read_back_from_the_plan(routed: Study) -> None:
    again = load_study(routed.folder)
    assert again.metrics == routed.metrics
    assert again.metrics["latency"].worst == ("deadline",)
    assert again.metrics["profit"].chance == "random_profit"


def test_a_direction_against_the_algorithm_is_a_problem(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="of latency less is better"):
        run_study(parse_spec(routes()), ROUTER, out=tmp_path)
