"""Study files that are as they must be: every table, every field, and what is read from them."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import BadInput, StudySpec, parse_spec, read_spec

EVERY_FIELD = """
[study]
name = "everything"
question = "Does γ matter?"
seeds = [3, 1, 4]
time_limit = 90

[base]
preset = "half"
at_most = 10

[sweep]
n = [1, 2]
x = [0.1, 0.5, 0.9]

[sweep.regime]
plain = { mode = "ok", text = "p" }
slow = { mode = "slow", text = "s" }

[compare]
factor = "x"
baseline = 0.5
candidates = [0.9]
metric = "score"
higher_is_better = false
diverged_score = 1.0
margin = 0.25
level = 0.9
primary = [{ n = 2, regime = "plain" }]
"""

SMALLEST = """
[study]
name = "s"
seeds = 1
[sweep]
arm = ["a", "b"]
[compare]
factor = "arm"
baseline = "a"
"""


def spec_of(text: str) -> StudySpec:
    return parse_spec(tomllib.loads(text))


def test_every_table_and_field() -> None:
    spec = spec_of(EVERY_FIELD)
    assert spec.name == spec.study.name == "everything"
    assert spec.study.question == "Does γ matter?"
    assert spec.study.seeds == (3, 1, 4)
    assert spec.study.time_limit == 90.0
    assert spec.base == {"preset": "half", "at_most": 10}
    assert [factor.name for factor in spec.sweep] == ["n", "x", "regime"]
    assert spec.factor("n").levels == ((1, {"n": 1}), (2, {"n": 2}))
    assert spec.factor("x").values == (0.1, 0.5, 0.9)
    regime = spec.factor("regime")
    assert regime.values == ("plain", "slow")
    assert regime.levels[1] == ("slow", {"mode": "slow", "text": "s"})
    assert regime.fields == {"mode", "text"}
    compare = spec.compare
    assert (compare.factor, compare.baseline, compare.candidates) == ("x", 0.5, (0.9,))
    assert (compare.metric, compare.higher_is_better, compare.diverged_score) == ("score", False, 1.0)
    assert (compare.margin, compare.level) == (0.25, 0.9)
    assert compare.primary == ({"n": 2, "regime": "plain"},)


def test_what_may_be_left_out_has_defaults() -> None:
    spec = spec_of(SMALLEST)
    assert spec.study.question == ""
    assert spec.study.seeds == (0,)
    assert spec.study.time_limit == 1800.0
    assert spec.base == {}
    assert spec.compare.candidates == ("b",)
    assert spec.compare.metric == ""
    assert spec.compare.higher_is_better
    assert spec.compare.level == 0.95
    assert spec.compare.primary == ()


def test_candidates_default_to_every_other_level_in_order() -> None:
    spec = spec_of(SMALLEST.replace('["a", "b"]', '["c", "a", "b", "d"]'))
    assert spec.compare.candidates == ("c", "b", "d")


def test_candidates_of_a_composite_factor_default_to_its_other_levels() -> None:
    spec = spec_of(
        """
        [study]
        name = "s"
        seeds = 1
        [sweep.regime]
        fast = { n = 1, x = 0.1 }
        slow = { n = 2, x = 0.2 }
        [compare]
        factor = "regime"
        baseline = "slow"
        """
    )
    assert spec.compare.candidates == ("fast",)


@pytest.mark.parametrize(
    ("given", "seeds"), [("1", (0,)), ("4", (0, 1, 2, 3)), ("[7]", (7,)), ("[5, 0, 2147483647]", (5, 0, 2**31 - 1))]
)
def test_seeds_are_a_count_or_a_list(given: str, seeds: tuple[int, ...]) -> None:
    assert spec_of(SMALLEST.replace("seeds = 1", f"seeds = {given}")).study.seeds == seeds


@pytest.mark.parametrize("text", [EVERY_FIELD, SMALLEST])
def test_data_written_is_read_back_equal(text: str) -> None:
    spec = spec_of(text)
    assert parse_spec(spec.to_toml_data()) == spec


names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
levels = st.one_of(
    st.lists(st.integers(-(2**40), 2**40), min_size=2, max_size=4, unique=True),
    st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=2, max_size=4, unique=True),
    st.lists(st.text(max_size=6), min_size=2, max_size=4, unique=True),
    st.lists(st.lists(st.integers(1, 9), max_size=3), min_size=2, max_size=4, unique_by=str),
    st.just([False, True]),
    st.dictionaries(
        names, st.fixed_dictionaries({"x": st.floats(0, 1), "mode": st.text(max_size=4)}), min_size=2, max_size=4
    ),
)


INTEGERS = st.integers(-(2**63), 2**63 - 1)  # others are refused, which test_study_file_hazards asserts


@given(
    name=names,
    seeds=st.one_of(st.integers(1, 20), st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=5, unique=True)),
    base=st.dictionaries(st.sampled_from(["b1", "b2"]), st.one_of(INTEGERS, st.text(max_size=5), st.booleans())),
    compared=levels,
    other=levels.filter(lambda value: not isinstance(value, dict)),
    margin=st.floats(0.001, 10),
)
def test_any_study_survives_being_written_and_read(
    name: str, seeds: Any, base: dict[str, Any], compared: Any, other: Any, margin: float
) -> None:
    spec = parse_spec(
        {
            "study": {"name": name, "seeds": seeds},
            "base": base,
            "sweep": {"other": other, "f": compared},
            "compare": {"factor": "f", "baseline": next(iter(compared)), "margin": margin},
        }
    )
    assert parse_spec(spec.to_toml_data()) == spec


def test_fewer_seeds_are_the_first_and_more_continue_upwards() -> None:
    spec = spec_of(EVERY_FIELD)
    assert spec.with_seeds(2).study.seeds == (3, 1)
    assert spec.with_seeds(3) == spec
    assert spec.with_seeds(6).study.seeds == (3, 1, 4, 0, 2, 5)
    assert spec.study.seeds == (3, 1, 4)


@given(before=st.lists(st.integers(0, 30), min_size=1, max_size=8, unique=True), count=st.integers(1, 40))
def test_with_seeds_keeps_what_was_there(before: list[int], count: int) -> None:
    seeds = (
        parse_spec(
            {
                "study": {"name": "s", "seeds": before},
                "sweep": {"arm": ["a", "b"]},
                "compare": {"factor": "arm", "baseline": "a"},
            }
        )
        .with_seeds(count)
        .study.seeds
    )
    assert len(seeds) == len(set(seeds)) == count
    assert list(seeds[: len(before)]) == before[:count]


def test_a_spec_cannot_be_changed() -> None:
    spec = spec_of(SMALLEST)
    with pytest.raises(ValueError, match="frozen"):
        spec.study.name = "other"  # type: ignore[misc]


def test_a_file_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_bytes(b"\xef\xbb\xbf" + SMALLEST.encode())
    assert read_spec(path) == spec_of(SMALLEST)


def test_a_file_with_windows_line_ends_is_read(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_bytes(SMALLEST.replace("\n", "\r\n").encode())
    assert read_spec(path) == spec_of(SMALLEST)


def test_a_missing_file_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"study file = .*nowhere\.toml.*readable"):
        read_spec(tmp_path / "nowhere.toml")
