"""From a study to its runs: what is planned, in which order, under which names."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict

from harness import Algorithm, BadInput, Design, expand, parse_spec
from harness.study.checks import read_study
from harness.study.names import slug
from harness.study.spec import StudySpec
from studies.algorithms.names import A3C
from tests.harness.lab import FAKE, study_data


def plan(data: dict[str, Any]) -> Design:
    return expand(parse_spec(data), FAKE)


def test_runs_are_cells_by_arms_by_seeds_with_seeds_outermost() -> None:
    design = plan(study_data(seeds=[5, 3]))
    assert design.arms == ("a", "b")
    assert [cell.levels for cell in design.cells] == [{"n": 1}, {"n": 2}]
    assert [(run.seed, run.cell.levels["n"], run.arm) for run in design.runs] == [
        (5, 1, "a"), (5, 1, "b"), (5, 2, "a"), (5, 2, "b"),
        (3, 1, "a"), (3, 1, "b"), (3, 2, "a"), (3, 2, "b"),
    ]  # fmt: skip


def test_a_run_trains_with_base_levels_and_seed() -> None:
    run = plan(study_data(seeds=[9], x=0.25)).runs[-1]
    assert run.levels == {"n": 2, "arm": "b"}
    assert run.config.model_dump(include={"n", "arm", "x", "seed", "text"}) == {
        "n": 2, "arm": "b", "x": 0.25, "seed": 9, "text": "",
    }  # fmt: skip


def test_ids_are_as_they_always_were() -> None:
    assert [run.id for run in plan(study_data(seeds=1)).runs] == [
        "n-1__a__seed-0", "n-1__b__seed-0", "n-2__a__seed-0", "n-2__b__seed-0",
    ]  # fmt: skip


def test_the_baseline_is_the_first_arm_wherever_it_stands_in_the_sweep() -> None:
    data = study_data()
    data["sweep"]["arm"] = ["c", "b", "a"]
    data["compare"]["candidates"] = ["b", "c"]
    assert plan(data).arms == ("a", "b", "c")


def test_levels_that_are_not_compared_are_not_run() -> None:
    data = study_data()
    data["sweep"]["arm"] = ["a", "b", "c"]
    assert {run.arm for run in plan(data).runs} == {"a", "b"}


def test_a_study_of_one_factor_has_one_cell() -> None:
    data = study_data(seeds=3)
    del data["sweep"]["n"]
    design = plan(data)
    assert len(design.cells) == 1
    assert len(design.runs) == 2 * 3


def test_a_number_can_be_compared() -> None:
    data = study_data(seeds=1)
    data["sweep"] = {"x": [0.25, 0.5, 1], "arm": ["a", "b"]}
    data["compare"] = {"factor": "x", "baseline": 0.5, "candidates": [1, 0.25], "metric": "score"}
    design = plan(data)
    assert design.arms == ("0.5", "1", "0.25")
    assert [run.config.model_dump()["x"] for run in design.runs[:3]] == [0.5, 1, 0.25]


def test_a_composite_factor_can_be_compared() -> None:
    data = study_data(seeds=1)
    data["sweep"]["regime"] = {"plain": {"text": "p", "x": 0.1}, "other": {"text": "o"}}
    data["compare"] = {"factor": "regime", "baseline": "plain", "metric": "score"}
    design = plan(data)
    assert design.arms == ("plain", "other")
    assert len(design.cells) == 4
    assert [(run.levels["regime"], run.config.model_dump()["text"]) for run in design.runs[:2]] == [
        ("plain", "p"),
        ("other", "o"),
    ]


def test_a_composite_factor_can_make_cells() -> None:
    data = study_data(seeds=1)
    data["sweep"]["n"] = {"few": {"n": 1, "x": 0.1}, "many": {"n": 9, "x": 0.9}}
    design = plan(data)
    assert [cell.levels for cell in design.cells] == [{"n": "few"}, {"n": "many"}]
    assert [run.config.model_dump()["n"] for run in design.runs] == [1, 1, 9, 9]


def test_a_preset_is_a_starting_point() -> None:
    assert plan(study_data(preset="half", text="t")).runs[0].config.model_dump()["x"] == 0.5


def test_cells_that_come_to_the_same_are_kept_once_and_told() -> None:
    data = study_data(seeds=2, at_most=2)
    data["sweep"]["n"] = [1, 2, 3, 4]
    design = plan(data)
    assert [cell.levels["n"] for cell in design.cells] == [1, 2]
    assert [(alias.levels, alias.cell) for alias in design.aliases] == [({"n": 3}, "n-2"), ({"n": 4}, "n-2")]
    assert len(design.runs) == 2 * 2 * 2


def test_aliases_of_the_real_algorithm() -> None:
    data = {
        "study": {"name": "s", "seeds": 1},
        "base": {"total_steps": 100},
        "sweep": {"n_step": [5, 20, 40], "rollout_length": [10, "episode"], "target": ["missing_as_zero", "max_terms"]},
        "compare": {"factor": "target", "baseline": "missing_as_zero"},
    }
    design = expand(parse_spec(data), A3C)
    assert [(cell.levels["n_step"], cell.levels["rollout_length"]) for cell in design.cells] == [
        (5, 10), (5, "episode"), (20, 10), (20, "episode"), (40, "episode"),
    ]  # fmt: skip
    (alias,) = design.aliases
    assert alias.levels == {"n_step": 40, "rollout_length": 10}
    assert alias.cell == next(cell.id for cell in design.cells if cell.levels == {"n_step": 20, "rollout_length": 10})


class Silent(BaseModel):
    """Settings of an algorithm that answers no question."""

    model_config = ConfigDict(frozen=True)

    seed: int = 0
    arm: str = "a"
    n: int = 1


class NoMetric(Silent):
    @staticmethod
    def default_metric() -> int:
        return 3


class Unbound(Silent):
    def default_metric(self) -> str:
        return "score"


@pytest.mark.parametrize("read", [lambda data, by: expand(parse_spec(data), by).spec, read_study])
def test_a_study_that_names_no_metric_compares_by_the_algorithms(read: Callable[..., StudySpec]) -> None:
    data = study_data()
    del data["compare"]["metric"]
    a3c = {
        **data,
        "sweep": {"n_step": [5, 20], "target": ["missing_as_zero", "max_terms"]},
        "base": {"total_steps": 100},
    }
    a3c["compare"] = {"factor": "target", "baseline": "max_terms"}
    assert read(a3c, A3C).compare.metric == "auc"
    refused = {
        FAKE: "compare.metric = '': must be one of score, steps",
        Algorithm(f"{__name__}:Silent", FAKE.train): "compare.metric = '': must be the name of a metric: the algorithm",
        Algorithm(f"{__name__}:NoMetric", FAKE.train): "default_metric = 3: must be the name of a metric",
        Algorithm(f"{__name__}:Unbound", FAKE.train): "default_metric = .*: must be a static method without arguments",
    }
    for algorithm, message in refused.items():
        with pytest.raises(BadInput, match=f"^{message}"):
            read(data, algorithm)


def test_cells_differ_where_only_one_arm_does() -> None:
    data = study_data(seeds=1)
    data["sweep"] = {"n": [1, 2], "cap": {"low": {"at_most": 1}, "high": {"at_most": 9}}}
    data["compare"] = {"factor": "cap", "baseline": "low", "metric": "score"}
    design = plan(data)
    assert len(design.cells) == 2
    assert not design.aliases


def test_cells_are_primary_where_an_entry_matches_all_its_levels() -> None:
    data = study_data(seeds=1)
    data["sweep"]["x"] = [0.1, 0.2]
    assert all(cell.primary for cell in plan(data).cells)
    data["compare"]["primary"] = [{"n": 1, "x": 0.2}, {"n": 2}]
    assert [(cell.levels["n"], cell.levels["x"]) for cell in plan(data).cells if cell.primary] == [
        (1, 0.2), (2, 0.1), (2, 0.2),
    ]  # fmt: skip


def test_a_setting_that_only_one_arm_makes_wrong_is_told() -> None:
    data = study_data(seeds=1)
    data["sweep"]["pace"] = {"good": {"x": 0.5}, "bad": {"x": 7.0}}
    data["compare"] = {"factor": "pace", "baseline": "good", "metric": "score"}
    with pytest.raises(BadInput) as caught:
        plan(data)
    assert [problem.field for problem in caught.value.problems] == ["sweep.pace.x"]


def test_the_algorithm_must_be_importable() -> None:
    for config in ("nowhere:Config", "tests.harness.fake_algorithm:Nothing", "no colon", ""):
        with pytest.raises(BadInput, match="importable module:name"):
            expand(parse_spec(study_data()), Algorithm(config, FAKE.train))


numbers = st.lists(st.integers(1, 50), min_size=1, max_size=5, unique=True)
seed_lists = st.lists(st.integers(0, 99), min_size=1, max_size=5, unique=True)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@given(n=numbers, seeds=seed_lists, more_n=numbers, more_seeds=seed_lists)
def test_ids_stay_when_levels_and_seeds_are_added(
    n: list[int], seeds: list[int], more_n: list[int], more_seeds: list[int]
) -> None:
    small, large = study_data(seeds=seeds), study_data(seeds=list(dict.fromkeys(more_seeds + seeds)))
    small["sweep"]["n"], large["sweep"]["n"] = n, list(dict.fromkeys(more_n + n))
    large["sweep"]["arm"] = ["c", "b", "a"]
    large["compare"]["candidates"] = ["c", "b"]

    def who(design: Design) -> dict[str, tuple[Any, ...]]:
        return {run.id: (run.seed, run.levels["n"], run.arm, run.config) for run in design.runs}

    before, after = who(plan(small)), who(plan(large))
    assert before == {run: after[run] for run in before}


@given(
    arms=st.lists(texts, min_size=2, max_size=6, unique_by=str.casefold),
    cells=st.lists(texts, min_size=1, max_size=4, unique_by=str.casefold),
)
def test_ids_are_unique_safe_file_names_whatever_the_levels(arms: list[str], cells: list[str]) -> None:
    data = study_data(seeds=2)
    data["sweep"] = {"text": cells, "arm": arms}
    data["compare"] = {"factor": "arm", "baseline": arms[0], "metric": "score"}
    design = plan(data)
    assert Counter(run.id for run in design.runs).most_common(1)[0][1] == 1
    assert len({cell.id for cell in design.cells}) == len(cells)
    for run in design.runs:
        assert_safe(run.id)


def test_cells_of_two_factors_never_share_a_name() -> None:
    data = study_data(seeds=1)
    data["sweep"] = {
        "one": {"x": {"text": "1"}, "x_two-y": {"text": "2"}},
        "two": {"y_two-z": {"x": 0.1}, "z": {"x": 0.2}},
        "arm": ["a", "b"],
    }
    design = plan(data)
    assert len({cell.id for cell in design.cells}) == len(design.cells) == 4


@pytest.mark.parametrize("levels", [[1, "1"], [True, "true"], [1.5, "1.5"], [[1], "[1]"]])
@pytest.mark.parametrize("compared", ["anything", "arm"])
def test_levels_that_look_the_same_as_text_are_told_apart_or_refused(levels: list[Any], compared: str) -> None:
    data = study_data(seeds=1)
    data["sweep"] = {"anything": levels, "arm": ["a", "b"]}
    data["compare"] = {"factor": compared, "baseline": data["sweep"][compared][0], "metric": "score"}
    try:
        design = plan(data)
    except BadInput as error:
        assert "sweep.anything" in str(error)  # noqa: PT017 - either will do
        return
    assert len(design.arms) == len(design.cells) == 2
    assert len({run.id for run in design.runs}) == 4


@pytest.mark.fault(17, "levels that differ in upper and lower case alone")
@pytest.mark.parametrize("factor", ["arm", "text"])
def test_levels_that_differ_in_case_alone_are_refused(factor: str) -> None:
    data = study_data(seeds=1)
    data["sweep"] = {"text": ["t"], "arm": ["a", "b"]} | {factor: ["Max", "mAX", "max-", "MAX-"]}
    data["compare"] |= {"baseline": data["sweep"]["arm"][0], "candidates": data["sweep"]["arm"][1:]}
    with pytest.raises(BadInput) as caught:
        plan(data)
    (problem,) = caught.value.problems
    assert (problem.field, problem.value) == (f"sweep.{factor}", "mAX")
    assert "'Max'" in problem.allowed


@pytest.mark.fault(17, "names that are devices on Windows")
@pytest.mark.parametrize("name", ["CON", "nul", "aux.txt", "COM1", "lpt9.tar.gz", "Prn."])
def test_no_name_is_a_device(name: str) -> None:
    assert re.fullmatch(r"[0-9a-f]{8}", slug(name))
    assert slug(name) != slug(name.swapcase())


@pytest.mark.parametrize("name", ["console", "auxiliary", "null", "com", "COM10", "CartPole-v1", "a.b"])
def test_a_name_like_a_device_stays(name: str) -> None:
    assert slug(name) == name


NASTY = [
    "../../x", "/etc/passwd", "<script>alert(1)</script>", "a\0b", "🙂", "🙃", "\u202egnp.exe", "=cmd()", "a/b", "a\\b",
    ".", "..", "", " ", "  ", "-rf", "CON", "a" * 10_000, "a" * 9_999 + "b", '"', "'", "\n", "\u00e9", "e\u0301",
]  # fmt: skip


@pytest.mark.fault(17, "levels that hold paths, markup, NUL, right-to-left marks, emoji, 10 kB")
def test_nasty_levels_become_safe_names_that_differ() -> None:
    data = study_data(seeds=1)
    data["sweep"]["arm"] = NASTY
    data["compare"] = {"factor": "arm", "baseline": NASTY[0], "metric": "score"}
    design = plan(data)
    assert design.arms == tuple(NASTY)
    assert len({run.id for run in design.runs}) == 2 * len(NASTY)
    for run in design.runs:
        assert_safe(run.id)


def assert_safe(name: str) -> None:
    assert name.isascii()
    assert name.isprintable()
    assert not {*name} & {*"/\\:*?\"'<>| \0"}
    assert not name.startswith((".", "-"))
    assert 0 < len(name) < 240  # with room for an ending under the usual limit of 255
