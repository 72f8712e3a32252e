"""A fuzzer of study files: whatever is in one, the answer is a design or a few plain lines, and nothing is written."""

from __future__ import annotations

import contextlib
import datetime
import io
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from studies.catalogue import named_studies
from studies.cli import run
from tests.studies.command import TINY

FAST = 100
LONG = 1500
SECONDS = 5.0  # of this process's time, for one example
VALID = [path.read_bytes() for path in named_studies().values()] + [TINY.encode()]
ENVIRONMENTS = ["CartPole-v1", "Acrobot-v1", "Nowhere-v0", "CartPole-v9", "", "a/b/c", "x" * 1000, "\0", "../x", "v1"]
TARGETS = ["max_terms", "drop", "max_trems", "", ":", "no_such_module:rule", "\0:\0"]


@pytest.fixture(scope="module", autouse=True)
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A working directory that holds nothing but the study file."""
    with contextlib.chdir(tmp_path_factory.mktemp("fuzz")):
        assert call(TINY.encode()) == 0  # imports what has to be
        yield Path.cwd()


def call(content: bytes) -> int:
    """Check a study file as the command line does; return the exit code."""
    Path("study.toml").write_bytes(content)
    out, errors = io.StringIO(), io.StringIO()
    began = time.process_time()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        code = run(["run", "study.toml", "--dry-run"])
    assert time.process_time() - began < SECONDS
    assert code in (0, 2)
    lines = errors.getvalue().splitlines()
    assert bool(lines) == (code == 2)
    assert (out.getvalue() == "") == (code == 2)
    for line in lines:
        assert line.startswith("a3c-bench: ")
        assert line.isprintable()
        assert len(line) < 1500
    assert [path.name for path in Path().iterdir()] == ["study.toml"]
    return code


# --- data of the right shape, changed ---------------------------------------------------------------------------

texts = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    st.sampled_from(
        ["none", "episode", "auc", "\0", "\u202e", "<script>", "../../x", "=cmd()", "a" * 10_000, "1", "true"]
    ),
)
numbers = st.one_of(
    st.integers(-(2**70), 2**70),
    st.sampled_from([0, -1, 1, 10**9, 2**31, 2**63 - 1, 2**63, 16**3500]),
    st.floats(),
    st.sampled_from([0.0, -0.0, 1.5, 5e-324, 1.8e308, 1e-300]),
)
scalars = st.one_of(st.booleans(), numbers, texts, st.dates(), st.datetimes(), st.times())
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=3), max_leaves=8
)
deep = st.integers(1, 200).map(lambda depth: _nested(depth))


def _nested(depth: int) -> Any:
    value: Any = 1
    for level in range(depth):
        value = [value] if level % 2 else {"a": value}
    return value


def places(data: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of everything in a study."""
    inner = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [path for key, value in inner for path in ((*here, key), *places(value, (*here, key)))]


@st.composite
def mutated(draw: st.DrawFn) -> dict[str, Any]:
    """A valid study with a few things dropped, doubled, renamed, retyped or made extreme."""
    data = tomllib.loads(draw(st.sampled_from(VALID)).decode())
    for _ in range(draw(st.integers(1, 4))):
        paths = places(data)
        if not paths:
            break
        *heads, key = draw(st.sampled_from(paths))
        holder = data
        for head in heads:
            holder = holder[head]
        action = draw(st.sampled_from(["drop", "replace", "double", "rename", "wrap", "move", "add"]))
        if action == "drop":
            del holder[key]
        elif action == "replace":
            holder[key] = draw(values | deep)
        elif action == "double" and isinstance(holder, list):
            holder.insert(key, holder[key])
        elif action == "rename" and isinstance(holder, dict):
            holder[draw(texts)] = holder.pop(key)
        elif action == "wrap":
            holder[key] = draw(st.sampled_from([[holder[key]], {"x": holder[key]}, {"choices": [holder[key], 1]}]))
        elif action == "move" and isinstance(holder, dict):
            data[draw(st.sampled_from(["study", "base", "sweep", "compare", "search"]))] = holder[key]
        elif action == "add" and isinstance(holder, dict):
            holder[draw(texts | st.sampled_from(["env_id", "target", "preset", "seed", "env_kwargs"]))] = draw(values)
    return _tame(data, draw)


def _tame(data: Any, draw: st.DrawFn, key: object = "") -> Any:
    """Keep ids from importing modules, and budgets of cells to what can be looked through in a test."""
    if isinstance(data, dict):
        return {name: _tame(value, draw, name) for name, value in data.items()}
    if isinstance(data, list):
        return [_tame(value, draw, key) for value in data]
    if isinstance(data, str) and key == "env_id":
        return draw(st.sampled_from(ENVIRONMENTS))
    if isinstance(data, str) and ":" in data:
        return draw(st.sampled_from(TARGETS))
    return data


def toml(value: Any) -> str:
    """Write a value as TOML; tables within the top level as inline tables."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return hex(value) if value >= 10**300 else str(value)
    if isinstance(value, float):
        return repr(value) if "e" not in repr(value) or "." in repr(value) else repr(value).replace("e", ".0e")
    if isinstance(value, str):
        return '"' + "".join(c if c.isalnum() and c.isascii() else f"\\U{ord(c):08x}" for c in value) + '"'
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return "{" + ", ".join(f"{toml(key)} = {toml(inner)}" for key, inner in value.items()) + "}"


def written(data: dict[str, Any]) -> bytes:
    return "\n".join(f"{toml(key)} = {toml(value)}" for key, value in data.items()).encode()


def test_the_writer_writes_what_the_reader_reads() -> None:
    for content in VALID:
        data = tomllib.loads(content.decode())
        assert tomllib.loads(written(data).decode()) == data
        assert call(written(data)) == 0


# --- bytes, changed ---------------------------------------------------------------------------------------------

SPLINTERS = [b"\0", b"\xff", b"\xef\xbb\xbf", b"[", b"]", b"{", b"}", b'"', b"'", b'"""', b"=", b".", b",", b"#", b"\n"]
SPLINTERS += [
    b"\r\n",
    b"[[sweep]]\n",
    b"[study]\n",
    b"nan",
    b"-inf",
    b"0x" + b"f" * 4000,
    b"1e999",
    b"9" * 5000,
    b"[" * 900,
]
SPLINTERS += ["\u202e".encode(), b"1979-05-27", b"true", b"\\u0000", b"\\ud800", b"-0", b"_"]


@st.composite
def torn(draw: st.DrawFn) -> bytes:
    """The text of a valid study with pieces cut out, doubled, moved, put in or overwritten."""
    content = draw(st.sampled_from(VALID))
    for _ in range(draw(st.integers(1, 5))):
        one, other = sorted(draw(st.tuples(*[st.integers(0, len(content))] * 2)))
        other = min(other, one + 200)
        piece = draw(
            st.sampled_from([b"", content[one:other] * 2, content[one:other][::-1], *SPLINTERS]) | st.binary(max_size=8)
        )
        content = content[:one] + piece + content[other if draw(st.booleans()) else one :]
    return content.replace(b":", b";")  # no name is to make Gymnasium or the tail rules import a module


def few(examples: int) -> settings:
    return settings(
        max_examples=examples,
        deadline=None,  # time is taken in `call`, of the process alone
        derandomize=examples == FAST,
        phases=[Phase.explicit, Phase.generate, Phase.shrink],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    )


@pytest.mark.fault(13, "a valid study's values dropped, doubled, renamed, retyped or made extreme, by a fuzzer")
@few(FAST)
@given(mutated())
def test_no_mutated_study_does_worse_than_code_2(data: dict[str, Any]) -> None:
    call(written(data))


@pytest.mark.fault(13, "the bytes of a valid study file cut, doubled and overwritten, by a fuzzer")
@few(FAST)
@given(torn())
def test_no_torn_study_file_does_worse_than_code_2(content: bytes) -> None:
    call(content)


@pytest.mark.slow
@pytest.mark.fault(13, "thousands of mutated studies more")
@few(LONG)
@given(mutated())
def test_none_of_thousands_of_mutated_studies_does_worse_than_code_2(data: dict[str, Any]) -> None:
    call(written(data))


@pytest.mark.slow
@pytest.mark.fault(13, "thousands of torn study files more")
@few(LONG)
@given(torn())
def test_none_of_thousands_of_torn_study_files_does_worse_than_code_2(content: bytes) -> None:
    call(content)
