"""Every field of every table, found by walking the models: a wrong type, a bound overstepped, a slip of the pen."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, Any, get_args, get_origin

import annotated_types
import pydantic
import pytest

from a3c import TrainConfig
from harness import BadInput, expand
from harness.study.checks import read_study
from harness.study.search_space import Choices, Range, SearchSection
from harness.study.spec import CompareSection, StudySection
from studies import A3C

pytestmark = pytest.mark.fault(13, "study files: a wrong type, a bound overstepped and a misspelling in each field")

NO_TYPE = {"x": [[1]]}  # what no field takes, but those that take a table
OTHERS = ([], {}, "", True, 1.5, [1.5] * 9, "x" * 301, ["x"])  # what few fields take
FOREIGN = ("tuple", "dictionary", "instance", "validation", " should ", "string", "valid integer", "None", "'int'")
OPEN = {"compare.baseline", "search.space"}  # any value may be a level; a table of any names
SECTIONS: dict[str, type[pydantic.BaseModel]] = {
    "study": StudySection,
    "compare": CompareSection,
    "search": SearchSection,
    "search.space.gamma": Range,
    "search.space.activation": Choices,
}


def data() -> dict[str, Any]:
    """A study with every table."""
    return {
        "study": {"name": "whole", "question": "?", "seeds": 2, "time_limit": 60.0},
        "base": {},
        "sweep": {"target": ["missing_as_zero", "max_terms"], "workers": [1, 2]},
        "compare": {"factor": "target", "baseline": "max_terms"},
        "search": {
            "trials": 4,
            "space": {"gamma": {"low": 0.5, "high": 0.9}, "activation": {"choices": ["relu", "tanh"]}},
        },
    }


def changed(path: str, value: Any) -> dict[str, Any]:
    """The study with one field set."""
    tables = data()
    *heads, field = path.split(".")
    place = tables
    for head in heads:
        place = place[head]
    place[field] = value
    tables["sweep"].pop(field if heads == ["base"] else "", None)  # what is in [base] is not swept
    tables["search"]["space"].pop(field if heads in (["base"], ["sweep"]) else "", None)
    return tables


def told(tables: dict[str, Any]) -> dict[str, str]:
    """What is wrong with a study, if anything is: field → its line."""
    try:
        expand(read_study(tables, A3C), A3C)
    except BadInput as error:
        return {problem.field: str(problem) for problem in error.problems}
    return {}


def problems(tables: dict[str, Any]) -> dict[str, str]:
    """What is wrong with a study: field → its line."""
    with pytest.raises(BadInput) as caught:
        expand(read_study(tables, A3C), A3C)
    return {problem.field: str(problem) for problem in caught.value.problems}


def parts(annotation: Any) -> Iterator[Any]:
    """An annotation and all that it is made of."""
    yield annotation
    for part in get_args(annotation):
        yield from parts(part)


def whole(field: pydantic.fields.FieldInfo) -> Any:
    """A field's annotation, its outer constraints included."""
    return Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation


def accepts_table(field: pydantic.fields.FieldInfo) -> bool:
    return any(get_origin(part) is dict for part in parts(field.annotation))


def numeric(field: pydantic.fields.FieldInfo) -> bool:
    """Whether a field is a number, or none."""
    found = list(parts(whole(field)))
    kinds = {part for part in found if isinstance(part, type) and part is not type(None)}
    return bool(kinds) and kinds <= {int, float} and tuple not in map(get_origin, found)


def beyond(field: pydantic.fields.FieldInfo) -> Iterator[float]:
    """Numbers just past a field's own bounds."""
    for part in parts(whole(field)):
        for mark in (m for m in getattr(part, "__metadata__", ()) for m in getattr(m, "metadata", [m])):
            if isinstance(mark, annotated_types.Ge):
                yield mark.ge - 1
            elif isinstance(mark, annotated_types.Gt):
                yield mark.gt
            elif isinstance(mark, annotated_types.Le):
                yield mark.le + 1
            elif isinstance(mark, annotated_types.Lt):
                yield mark.lt


SETTINGS = TrainConfig.model_fields
NUMBERS = sorted(name for name, field in SETTINGS.items() if numeric(field) and name != "seed")
FIELDS = [(f"base.{name}", field) for name, field in SETTINGS.items() if name != "seed"]
FIELDS += [
    (f"{table}.{name}", field) for table, model in SECTIONS.items() for name, field in model.model_fields.items()
]
FIELDS = [(path, field) for path, field in FIELDS if path not in OPEN]


def test_the_walk_finds_what_there_is() -> None:
    assert len(FIELDS) > 50
    assert {"workers", "gamma", "learning_rate", "total_steps", "n_step"} <= {*NUMBERS}
    assert list(beyond(SETTINGS["workers"])) == [0, 257]
    assert list(beyond(SETTINGS["total_steps"])) == [0, 10**12 + 1]


@pytest.mark.parametrize(("path", "field"), FIELDS, ids=[path for path, _ in FIELDS])
def test_a_wrong_type_is_named_with_what_is_allowed(path: str, field: pydantic.fields.FieldInfo) -> None:
    value = 5 if accepts_table(field) else NO_TYPE
    found = problems(changed(path, value))
    lines = [line for name, line in found.items() if name == path or name.startswith(f"{path}.")]
    assert lines, found
    assert " = " in lines[0]
    assert len(lines[0].partition(": ")[2]) > 5


@pytest.mark.parametrize(("path", "field"), FIELDS, ids=[path for path, _ in FIELDS])
def test_what_is_allowed_is_said_in_the_words_of_a_study_file(path: str, field: pydantic.fields.FieldInfo) -> None:
    for value in (5 if accepts_table(field) else NO_TYPE, *OTHERS):
        for name, line in told(changed(path, value)).items():
            allowed = line.partition(": ")[2]
            assert not any(word in allowed for word in FOREIGN), line
            assert not {"int", "float"} & {*name.split(".")}, line


def test_a_number_of_either_kind_is_asked_for_once() -> None:
    tables = data()
    tables["search"]["space"]["gamma"] = {"low": "x", "high": math.nan}
    assert problems(tables) == {
        "search.space.gamma.low": "search.space.gamma.low = 'x': must be a number",
        "search.space.gamma.high": "search.space.gamma.high = nan: must be a finite number",
    }


@pytest.mark.parametrize("path", ["study.int", "base.float", "search.space.gamma.int", "search.space.float"])
def test_a_key_named_like_a_kind_of_number_is_named(path: str) -> None:
    assert path in problems(changed(path, 1))


@pytest.mark.parametrize("value", [[], [1.0]])
def test_a_list_that_is_too_short_is_named_with_its_length(value: list[float]) -> None:
    (line,) = problems(changed("base.evaluation_scale", value)).values()
    assert line.endswith(": must have at least 2 items")


@pytest.mark.parametrize("path", [path for path, field in FIELDS if list(beyond(field))])
def test_a_bound_overstepped_is_named_with_the_bound(path: str) -> None:
    field = dict(FIELDS)[path]
    for value in beyond(field):
        given = [value] if get_origin(field.annotation) is tuple else value
        found = problems(changed(path, given))
        lines = [line for name, line in found.items() if name == path or name.startswith(f"{path}.")]
        assert lines, (value, found)
        assert str(value)[:5] in lines[0]


@pytest.mark.parametrize("field", NUMBERS)
@pytest.mark.parametrize("table", ["base", "sweep"])
def test_a_number_is_a_number_finite_and_not_negative(table: str, field: str) -> None:
    path = f"{table}.{field}"
    for value in (math.nan, math.inf, -math.inf, -1, True, "1", [1], 2**63, -(2**63) - 1):
        found = problems(changed(path, value if table == "base" else [value, 1]))
        assert any(name.startswith(path) for name in found), (value, found)


@pytest.mark.parametrize("field", sorted({*SETTINGS} - {"seed"}))
def test_a_misspelt_setting_is_answered_with_the_nearest(field: str) -> None:
    misspelt = field[:2] + field[3:] + field[2]
    for path, value in ((f"base.{misspelt}", 1), (f"sweep.{misspelt}", [1])):
        assert f"no such field, did you mean {field!r}?" in problems(changed(path, value))[path]


@pytest.mark.parametrize(
    "path", [f"{table}.{name}" for table, model in SECTIONS.items() for name in model.model_fields]
)
def test_a_misspelt_key_is_answered_with_the_nearest(path: str) -> None:
    table, _, field = path.rpartition(".")
    misspelt = f"{table}.{field}{field[-1]}"
    found = problems(changed(misspelt, 1))
    assert f"no such field, did you mean {field!r}?" in found[misspelt]


def test_all_that_is_wrong_in_all_tables_is_told_at_once() -> None:
    tables = data()
    tables["study"] |= {"name": 5, "seeds": "many", "sede": 1}
    tables["base"] |= {"gamma": 1.5, "learning_rate": math.nan, "leraning_rate": 1, "n_step": 0, "env_id": "Nowhere-v0"}
    tables["sweep"] |= {"workers": [1, 10**9], "rollout_length": ["week", 5], "activation": [], "optimizer": "adam"}
    tables["compare"] |= {"margin": -1, "metric": 5, "primary": [1]}
    tables["search"] |= {"trials": 0, "smapler": "tpe"}
    tables["serach"] = {}
    assert {
        "study.name", "study.seeds", "study.sede", "base.gamma", "base.learning_rate", "base.leraning_rate",
        "base.n_step", "base.env_id", "sweep.workers", "sweep.rollout_length", "sweep.activation", "sweep.optimizer",
        "compare.margin", "compare.metric", "compare.primary.0", "search.trials", "search.smapler", "serach",
    } <= {*problems(tables)}  # fmt: skip


def test_what_contradicts_is_told_beside_what_is_wrong_alone() -> None:
    tables = data()
    tables["study"]["name"] = ""
    tables["base"] |= {"workers": 3, "gamma": 2, "seed": 1}
    tables["compare"] |= {"baseline": "mx_terms", "metric": "acu"}
    tables["search"]["space"]["learning_rate"] = {"low": 1e-3, "high": 99.0}
    assert {
        "study.name", "base.workers", "base.gamma", "base.seed", "compare.baseline", "compare.metric",
        "search.space.learning_rate",
    } <= {*problems(tables)}  # fmt: skip


def test_a_preset_that_is_none_hides_no_other_setting() -> None:
    tables = data()
    tables["base"] = {"preset": "sede", "env_id": "Nowhere-v0", "gamma": 2, "n_setp": 1}
    found = problems(tables)
    assert {*found} == {"base.preset", "base.env_id", "base.gamma", "base.n_setp"}
    allowed = "must be one of default, seed, mnih2016, did you mean 'seed'?"
    assert found["base.preset"] == f"base.preset = 'sede': {allowed}"


def test_levels_of_a_factor_that_is_wrong_blame_no_comparison() -> None:
    tables = data()
    tables["sweep"]["target"] = "max_terms"
    assert {*problems(tables)} == {"sweep.target"}


def test_settings_that_only_together_are_wrong_are_told() -> None:
    tables = data()
    tables["sweep"] = {
        "target": ["missing_as_zero", "max_terms"],
        "budget": {"steps": {"total_steps": 100}, "default": {"workers": 1}},
        "more": {"none": {"entropy_coef": 0.1}, "episodes": {"total_episodes": 3}},
    }
    (line,) = problems(tables).values()
    assert "one budget" in line
