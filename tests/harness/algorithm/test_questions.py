"""What a config is asked, and what it means that it does not answer."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from harness import BadInput
from harness.algorithm import questions
from harness.algorithm.traits import TRAITS, MetricTraits


class Silent(BaseModel):
    """Answers nothing."""

    rate: float = 0.5


class Older(Silent):
    """Says of its metrics only which way is better."""

    def lower_is_better(self) -> frozenset[str]:
        return frozenset({"cost"})


class Telling(Older):
    """Answers in plain data."""

    def metric_traits(self) -> dict[str, Any]:
        return {"cost": {"lower_is_better": True, "worst": 9.0}, "gain": {"best": 1}}


class Mistaken(Silent):
    """Misspells a trait."""

    def metric_traits(self) -> dict[str, Any]:
        return {"cost": {"lower_is_beter": True}}


def test_every_question_has_a_default() -> None:
    config = Silent()
    assert questions.preset_of(Silent) is None
    assert questions.seed_of(config) == 0
    assert questions.effective_settings(config) == {"rate": 0.5}
    assert questions.labels(config) == questions.metric_traits(config) == {}
    assert questions.metric_names(config) is None
    assert questions.problems(config) == []
    assert questions.problems_key(config) != questions.problems_key(Silent())


def test_traits_may_be_plain_data_and_direction_alone_the_older_way() -> None:
    assert questions.metric_traits(Older()) == {"cost": MetricTraits(lower_is_better=True)}
    traits = questions.metric_traits(Telling())
    assert traits == {"cost": MetricTraits(lower_is_better=True, worst=9.0), "gain": MetricTraits(best=1.0)}


def test_what_are_no_traits_is_bad_input() -> None:
    with pytest.raises(BadInput, match=r"metric_traits\.cost\.lower_is_beter"):
        questions.metric_traits(Mistaken())


def test_traits_survive_being_kept() -> None:
    traits = {
        "scored": MetricTraits(
            worst=0.0, where=("solved", "scale"), units={"scale": "{} to 1"}, otherwise=MetricTraits(chance="random")
        ),
        "time": MetricTraits(lower_is_better=True, worst=("steps", "episodes"), reached_by="solved"),
    }
    assert TRAITS.validate_json(TRAITS.dump_json(traits, exclude_defaults=True)) == traits
