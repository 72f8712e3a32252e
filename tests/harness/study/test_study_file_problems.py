"""Study files that are not as they must be: one line a problem, naming the field, its value and what is allowed."""

from __future__ import annotations

import copy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import BadInput, parse_spec, read_spec
from harness.study.design import expand
from tests.harness.lab import FAKE, ROOT, study_data

pytestmark = pytest.mark.fault(
    13, "files that are empty, a list, no TOML, not UTF-8; keys missing, misspelt, given twice"
)


def changed(path: str, value: Any) -> dict[str, Any]:
    """The tiny study with one field set; ``path`` is dotted."""
    data = copy.deepcopy(study_data())
    *tables, field = path.split(".")
    place = data
    for table in tables:
        place = place[table]
    place[field] = value
    return data


def problems(data: Any) -> dict[str, str]:
    """What is wrong with a study: field → its line."""
    with pytest.raises(BadInput) as caught:
        expand(parse_spec(data), FAKE)
    lines = str(caught.value).splitlines()
    assert len(lines) == len(caught.value.problems)
    return {problem.field: line for problem, line in zip(caught.value.problems, lines, strict=True)}


WRONG = [
    # field, value, where it is reported (None: there), what the line says
    ("study.name", "", None, "must have at least 1 character"),
    ("study.name", "x" * 201, None, "at most 200"),
    ("study.name", 5, None, "must be text"),
    ("study.question", 5, None, "must be text"),
    ("study.seeds", 0, None, "from 1 to 100000"),
    ("study.seeds", -1, None, "from 1 to 100000"),
    ("study.seeds", 10**9, None, "from 1 to 100000"),
    ("study.seeds", True, None, "number of seeds or a list"),
    ("study.seeds", 1.5, None, "number of seeds or a list"),
    ("study.seeds", "3", None, "number of seeds or a list"),
    ("study.seeds", [], None, "must have at least 1 item"),
    ("study.seeds", [1, 1], None, "twice"),
    ("study.seeds", [-1], "study.seeds.0", "greater than or equal to 0"),
    ("study.seeds", [2**31], "study.seeds.0", "less than 2147483648"),
    ("study.seeds", [1, "2"], "study.seeds.1", "integer"),
    ("study.seeds", [0, True], "study.seeds.1", "integer"),
    ("study.time_limit", 0, None, "greater than 0"),
    ("study.time_limit", -1.0, None, "greater than 0"),
    ("study.time_limit", float("nan"), None, "finite"),
    ("study.time_limit", float("inf"), None, "finite"),
    ("study.time_limit", 10**9, None, "less than or equal to 604800"),
    ("study.time_limit", "1h", None, "number"),
    ("base.x", 1.5, None, "less than or equal to 1"),
    ("base.x", float("nan"), None, "finite"),
    ("base.x", "0.5", None, "number"),
    ("base.text", 5, None, "must be text"),
    ("base.txet", "t", None, "no such field, did you mean 'text'?"),
    ("base.preset", "third", None, "base.preset = 'third': must be one of half"),
    ("base.preset", 5, None, "must be one of half"),
    ("base.preset", ["half"], None, "must be one of half"),
    ("base.seed", 3, None, "[study] seeds"),
    ("base.n", 3, None, "swept by sweep.n"),
    ("sweep.n", [1, 0], "sweep.n", "greater than or equal to 1"),
    ("sweep.n", [1, "2"], "sweep.n", "integer"),
    ("sweep.n", 5, None, "list of levels"),
    ("sweep.n", "12", None, "list of levels"),
    ("sweep.n", [], None, "list of levels"),
    ("sweep.n", {}, None, "list of levels"),
    ("sweep.n", {"one": 1}, None, "list of levels"),
    ("sweep.n", {"one": {}}, None, "list of levels"),
    ("sweep.n", [1, 1], None, "twice"),
    ("sweep.arm", 5, None, "list of levels"),
    ("sweep.mdoe", ["ok", "slow"], None, "no such field, did you mean 'mode'?"),
    ("sweep.pace", {"p": {"mode": "fast"}, "q": {"mode": "ok"}}, "sweep.pace.mode", "'slow'"),
    ("sweep.pace", {"p": {"n": 1}, "q": {"n": 2}}, None, "already set by sweep.n"),
    ("sweep.seed", [1, 2], None, "[study]"),
    ("sweep.preset", ["half"], None, "[base]"),
    ("compare.factor", "armm", None, "must be a swept factor: n, arm"),
    ("compare.factor", 1, None, "must be text"),
    ("compare.factor", ["arm"], None, "must be text"),
    ("compare.factor", {"arm": 1}, None, "must be text"),
    ("compare.baseline", "c", None, "'a', 'b'"),
    ("compare.baseline", 1, None, "'a', 'b'"),
    ("compare.baseline", ["a"], None, "'a', 'b'"),
    ("compare.candidates", [], None, "at least one"),
    ("compare.candidates", ["c"], None, "'a', 'b'"),
    ("compare.candidates", ["a"], None, "other than the baseline"),
    ("compare.candidates", ["b", "b"], None, "twice"),
    ("compare.candidates", "b", None, "must be a list"),
    ("compare.metric", 5, None, "must be text"),
    ("compare.metric", "scoer", None, "must be one of score, steps, did you mean 'score'?"),
    ("compare.higher_is_better", "yes", None, "must be true or false"),
    ("compare.diverged_score", float("nan"), None, "finite"),
    ("compare.margin", 0, None, "greater than 0"),
    ("compare.margin", -1, None, "greater than 0"),
    ("compare.margin", float("inf"), None, "finite"),
    ("compare.level", 95, None, "less than 1"),
    ("compare.level", 0.1, None, "greater than or equal to 0.5"),
    ("compare.primary", [{"arm": "a"}], None, "other than the compared one"),
    ("compare.primary", [{"m": 1}], None, "must name swept factors"),
    ("compare.primary", [{"n": 3}], "compare.primary.n", "must be one of 1, 2"),
    ("compare.primary", [1], "compare.primary.0", "must be a table"),
    ("compare.primary", 5, None, "must be a list"),
]  # fmt: skip


@pytest.mark.parametrize(("field", "value", "reported", "says"), WRONG, ids=[f"{w[0]}-{w[1]!r:.30}" for w in WRONG])
def test_a_wrong_field_is_named_with_what_is_allowed(field: str, value: Any, reported: str | None, says: str) -> None:
    found = problems(changed(field, value))
    where = reported or field
    assert where in found, found
    assert says in found[where]
    assert found[where].startswith(f"{where} = ")


@pytest.mark.parametrize("field", ["compare.factor", "sweep.arm"])
@pytest.mark.parametrize("value", [5, ["x"], {"x": 1}, "x", True, 1.5])
def test_candidates_left_out_hide_no_other_problem(field: str, value: Any) -> None:
    data = changed(field, value)
    del data["compare"]["candidates"]
    if field == "sweep.arm" and value == ["x"]:
        field = "compare.baseline"
    assert any(name.startswith(field) for name in problems(data))


@pytest.mark.parametrize(("levels", "baseline"), [([1, 2], 1.0), ([1, 2], True), ([0.5, 1], 1.0)])
def test_a_baseline_of_another_type_is_no_level(levels: list[float], baseline: Any) -> None:
    field = "n" if levels == [1, 2] else "x"
    data = {
        **study_data(),
        "sweep": {field: levels},
        "compare": {"factor": field, "baseline": baseline, "metric": "score"},
    }
    assert "compare.baseline" in problems(data)


@pytest.mark.parametrize(
    ("path", "near"),
    [("studdy", "study"), ("study.nmae", "name"), ("study.sedes", "seeds"), ("compare.margn", "margin")],
)
def test_a_misspelt_key_is_answered_with_the_nearest(path: str, near: str) -> None:
    assert f"no such field, did you mean {near!r}?" in problems(changed(path, 1))[path]


@pytest.mark.parametrize("path", ["study.name", "study.seeds", "compare.factor", "compare.baseline"])
def test_what_must_be_given_is_missed(path: str) -> None:
    data = study_data()
    table, field = path.split(".")
    del data[table][field]
    assert "must be given" in problems(data)[path]


@pytest.mark.parametrize("table", ["study", "sweep", "compare"])
def test_a_missing_table_is_missed(table: str) -> None:
    data = study_data()
    del data[table]
    assert "must be given" in problems(data)[table]


@pytest.mark.parametrize("table", ["study", "base", "sweep", "compare"])
@pytest.mark.parametrize("value", [[1], "text", 5, True])
def test_a_table_that_is_none_is_named(table: str, value: Any) -> None:
    assert "must be a table" in problems({**study_data(), table: value})[table]


def test_an_empty_sweep_is_refused() -> None:
    assert "at least the factor that is compared" in problems({**study_data(), "sweep": {}})["sweep"]


@pytest.mark.parametrize("data", [[], [1], "text", None, 5])
def test_a_study_that_is_no_table_is_bad_input(data: Any) -> None:
    assert problems(data)


def test_all_problems_of_a_file_are_told_at_once() -> None:
    data = study_data()
    data["study"].update(name="", seeds="many", sede=1)
    data["sweep"].update(n=[1, 1], x=[])
    data["compare"].update(margin=-1, levle=0.9)
    found = problems(data)
    assert {"study.name", "study.seeds", "study.sede", "sweep.n", "sweep.x", "compare.margin", "compare.levle"} <= {
        *found
    }


def test_all_contradictions_are_told_at_once() -> None:
    data = study_data(seed=1, n=3)
    data["compare"].update(baseline="z", primary=[{"q": 1}])
    assert {*problems(data)} == {"base.seed", "base.n", "compare.baseline", "compare.primary"}


def test_all_bad_settings_are_told_at_once() -> None:
    data = study_data(x=7.0, txet=1)
    data["sweep"]["n"] = [0, -1, 1]
    found = problems(data)
    assert {*found} == {"base.x", "base.txet", "sweep.n"}


def test_every_line_is_short_whatever_the_value() -> None:
    for line in problems(changed("study.seeds", "x" * 10_000)).values():
        assert len(line) < 300


BYTES = {
    "empty": b"",
    "not TOML": b"[study\n",
    "a list": b"[1, 2]",
    "a key twice": b"[study]\nname = 'a'\nname = 'b'\n",
    "not UTF-8": b"[study]\nname = '\xff'\n",
    "UTF-16": "[study]\n".encode("utf-16"),
    "NUL": b"\0\0\0",
    "deeply nested": b"x = " + b"[" * 100_000,
    "a number too long to read": b"x = " + b"9" * 5_000,
    "larger than a megabyte": b"#" * 1_000_001,
}


@pytest.mark.parametrize("content", BYTES.values(), ids=BYTES.keys())
def test_a_file_that_is_no_study_is_bad_input(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "s.toml"
    path.write_bytes(content)
    with pytest.raises(BadInput) as caught:
        read_spec(path)
    assert content == b"" or "s.toml" in str(caught.value)


def test_a_folder_is_no_study_file(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="readable file"):
        read_spec(tmp_path)


KEYS = ["study", "base", "sweep", "compare", "name", "seeds", "factor", "baseline", "arm", "n"]
PLACES = [
    "study", "base", "sweep", "compare", "sweep.n", "sweep.arm", "compare.factor", "compare.baseline",
    "compare.candidates", "compare.primary", "study.seeds",
]  # fmt: skip
scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3))
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=12,
)


@given(value=anything, where=st.sampled_from(PLACES))
def test_no_data_does_worse_than_bad_input(value: Any, where: str) -> None:
    data = changed(where, value)
    if where in ("sweep.arm", "compare.factor", "compare.baseline"):
        data["compare"].pop("candidates", None)
    try:
        expand(parse_spec(data), FAKE)
    except BadInput as error:
        assert error.problems  # noqa: PT017 - it may also be a study


TOO_MANY = {
    "levels": "data['sweep'] |= {f'f{i}': list(range(100)) for i in range(5)}",
    "seeds": "data['sweep']['n'] = list(range(1, 10_001)); data['study']['seeds'] = 100_000",
    "more seeds": "more = 1_000_000_000",
}


@pytest.mark.parametrize("change", TOO_MANY.values(), ids=TOO_MANY.keys())
def test_too_many_runs_are_refused_at_once(change: str) -> None:
    program = f"""
from harness import BadInput, expand, parse_spec
from tests.harness.lab import FAKE, study_data
data, more = study_data(), None
{change}
try:
    spec = parse_spec(data)
    expand(spec.with_seeds(more) if more else spec, FAKE)
except BadInput as error:
    print(error)
"""
    command = [sys.executable, "-c", program]  # in a process of its own: what does not stop can be stopped
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=20, check=True)
    assert "at most" in answer.stdout or "from 1 to" in answer.stdout


@pytest.mark.parametrize("count", [0, -1])
def test_a_study_has_at_least_one_seed(count: int) -> None:
    with pytest.raises(BadInput, match="seeds"):
        parse_spec(study_data()).with_seeds(count)
