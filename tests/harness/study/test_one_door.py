"""A setting passes the checks once on its way from the tables to the design."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from harness import Algorithm, BadInput, expand, parse_spec
from harness.study.checks import read_study
from tests.harness import fake_algorithm
from tests.harness.lab import study_data

ASKED: Counter[str] = Counter()
COUNTING = Algorithm(f"{__name__}:Counting", "tests.harness.fake_algorithm:train")


class Counting(fake_algorithm.Config):
    """Counts what it is asked; an ``n`` of 7 takes long to find fault with."""

    def metric_names(self) -> frozenset[str]:
        ASKED["metric_names"] += 1
        return super().metric_names()

    def problems_key(self) -> int:
        return self.n

    def problems(self) -> list[tuple[str, object, str]]:
        ASKED["problems"] += 1
        return [("n", 7, "must not be seven")] if self.n == 7 else []

    def model_post_init(self, context: Any) -> None:
        ASKED["built"] += 1


@pytest.fixture(autouse=True)
def _count_anew() -> None:
    ASKED.clear()


def wide() -> dict[str, Any]:
    """Four factors of three levels, one of two arms."""
    data = study_data(cells=3)
    data["sweep"] |= {"x": [0.1, 0.2, 0.3], "text": ["t", "u", "v"], "at_most": [10, 20, 30]}
    return data


def test_the_door_tries_each_level_and_makes_no_environment() -> None:
    read_study(wide(), COUNTING)
    assert ASKED["problems"] == 0
    assert ASKED["metric_names"] == 1
    assert ASKED["built"] <= 4 * 3 + 2


@pytest.mark.parametrize("checked", [True, False])
def test_a_design_asks_each_slow_question_once_whoever_made_the_spec(checked: bool) -> None:
    spec = read_study(wide(), COUNTING) if checked else parse_spec(wide())
    ASKED.clear()
    design = expand(spec, COUNTING)
    assert ASKED["problems"] == 3, "as many as there are keys"
    assert ASKED["built"] == 3**4 * 2, "each config once, and no level tried before"
    assert len(design.runs) + 2 * 2 * len(design.aliases) == 3**4 * 2 * 2


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        (lambda d: d["base"].update(seconds="long", nn=1), {"base.seconds", "base.nn"}),
        (lambda d: d["sweep"].update(n=[0, 1], x=[0.5, 2.0]), {"sweep.n", "sweep.x"}),
        (lambda d: d["compare"].update(metric="scor"), {"compare.metric"}),
        (lambda d: d.update(search={"space": {"seconds": {"choices": [1.0, "x"]}}}), {"search.space.seconds"}),
    ],
    ids=["base", "levels", "metric", "search"],
)
def test_a_spec_that_came_by_no_door_is_checked_before_environments_are_made(change: Any, fields: set[str]) -> None:
    data = wide()
    change(data)
    with pytest.raises(BadInput) as at_the_door:
        read_study(data, COUNTING)
    with pytest.raises(BadInput) as later:
        expand(parse_spec(data), COUNTING)
    for found in (at_the_door, later):
        assert {problem.field for problem in found.value.problems} == fields


def test_all_that_is_wrong_is_in_one_answer_each_once() -> None:
    data = wide()
    data["study"]["sede"] = 1
    data["base"] |= {"seconds": "long"}
    data["sweep"] |= {"n": [7, 0]}
    data["compare"] |= {"metric": "scor", "baseline": "z"}
    with pytest.raises(BadInput) as caught:
        read_study(data, COUNTING)
    fields = [problem.field for problem in caught.value.problems]
    assert {"study.sede", "base.seconds", "sweep.n", "compare.metric", "compare.baseline"} == set(fields)
    lines = str(caught.value).splitlines()
    assert len(lines) == len(set(lines))
    assert any("must not be seven" in line for line in lines)
