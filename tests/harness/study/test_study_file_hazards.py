"""Study files that are no files, or far too much: refused quickly, in little memory, without a byte too many read."""

from __future__ import annotations

import math
import os
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness import BadInput, expand, read_spec
from harness.study.checks import read_study
from harness.study.file import MAX_DEPTH, implausible
from studies import A3C
from tests.harness.lab import FAKE, ROOT, study_data

SECONDS, BYTES = 1.0, 50_000_000


def refused(path: Path) -> str:
    with pytest.raises(BadInput) as caught:
        read_spec(path)
    (problem,) = caught.value.problems
    assert problem.value == str(path)
    return str(problem)


def frugally(read: Callable[[], Any]) -> BadInput:
    """What refuses, within a second of this process's time and a bounded amount of memory."""
    tracemalloc.start()
    try:
        with pytest.raises(BadInput) as caught:
            read()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    began = time.process_time()  # apart: tracing takes several times as long
    with pytest.raises(BadInput):
        read()
    spent = time.process_time() - began
    assert peak < BYTES
    assert spent < SECONDS
    return caught.value


@pytest.mark.fault(13, "a pipe, a device, a folder, a loop of links or nothing at all in place of the study file")
@pytest.mark.parametrize("kind", ["pipe", "device", "endless device", "folder", "loop", "nothing", "no such name"])
def test_what_is_no_regular_file_is_refused_unread(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "study.toml"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/null")
    elif kind == "endless device":
        path.symlink_to("/dev/zero")
    elif kind == "folder":
        path.mkdir()
    elif kind == "loop":
        path.symlink_to(tmp_path / "other.toml")
        (tmp_path / "other.toml").symlink_to(path)
    elif kind == "no such name":
        path = tmp_path / ("x" * 5000 + ".toml")
    assert "must be a readable file" in refused(path)


@pytest.mark.fault(13, "a study file that may not be read")
def test_a_file_that_may_not_be_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    path.touch(mode=0o000)
    was = os.geteuid()
    if was == 0:
        os.seteuid(65534)  # root reads everything
    try:
        assert "Permission denied" in refused(path)
    finally:
        os.seteuid(was)


@pytest.mark.fault(13, "a study file of 100 MB")
def test_a_file_far_too_large_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    with path.open("wb") as file:
        file.write(b"[study]\n")
        file.truncate(100_000_000)
    assert "must be smaller than 1000000 bytes" in str(frugally(lambda: read_study(path, A3C)))


def wide(levels: int, factors: int) -> dict[str, Any]:
    """A study of ``levels ** factors`` cells."""
    numbers = ["n_step", "evaluations", "evaluation_episodes", "total_steps", "workers", "rollout_length"]
    rates = ["gamma", "learning_rate", "critic_learning_rate", "entropy_coef", "adam_beta1"]
    sweep: dict[str, Any] = {name: list(range(1, levels + 1)) for name in numbers[:factors]}
    sweep |= {name: [i / 100 for i in range(1, levels + 1)] for name in rates[: factors - len(sweep)]}
    sweep["target"] = ["missing_as_zero", "max_terms"]
    return {
        "study": {"name": "wide", "seeds": 1},
        "sweep": sweep,
        "compare": {"factor": "target", "baseline": "max_terms"},
    }


@pytest.mark.fault(13, "ten million cells")
@pytest.mark.parametrize(("levels", "factors"), [(10, 7), (100, 9)])
def test_ten_million_cells_are_refused_at_once(levels: int, factors: int) -> None:
    error = frugally(lambda: expand(read_study(wide(levels, factors), A3C), A3C))
    assert "must come to at most 200000 runs" in str(error)


MANY = {
    "unknown settings": lambda d: d.update(base={f"setting_{i}": 1 for i in range(10_000)}),
    "unknown keys": lambda d: d["study"].update({f"key_{i}": 1 for i in range(10_000)}),
    "unknown factors": lambda d: d["sweep"].update({f"factor_{i}": [1] for i in range(3_000)}),
    "levels out of range": lambda d: d["sweep"].update(n_step=list(range(-20_000, 1))),
    "levels, each with the same wrong setting": lambda d: (
        d["sweep"].update(n_step=list(range(1, 20_001))),
        d.update(base={"gamma": 2}),
    ),
    "candidates that are none": lambda d: d["compare"].update(candidates=[f"c{i}" for i in range(10_000)]),
    "seeds that are none": lambda d: d["study"].update(seeds=[-i for i in range(1, 10_001)]),
    "numbers too large": lambda d: d["study"].update(seeds=[2**64 + i for i in range(10_000)]),
}


@pytest.mark.fault(13, "thousands of mistakes in one file")
@pytest.mark.parametrize("change", MANY.values(), ids=MANY.keys())
def test_of_thousands_of_mistakes_a_hundred_are_told(change: Callable[[dict[str, Any]], object]) -> None:
    data = wide(2, 1)
    change(data)
    error = frugally(lambda: expand(read_study(data, A3C), A3C))
    lines = str(error).splitlines()
    assert 1 <= len(lines) <= 101
    assert len(lines) == 1 or lines[-1] == "problems = '...': there are more than the 100 told"
    assert all(len(line) < 1400 for line in lines)


def nested(depth: int) -> list[Any]:
    return [nested(depth - 1)] if depth else []


ODD = {
    "a number of 5000 digits": (16**5000, "must fit in 64 bits"),
    "a number just past 64 bits": (2**63, "must fit in 64 bits"),
    "a list in a list in a list": (nested(MAX_DEPTH), "must not be nested deeper"),
    "half a character": ("\ud800", "UTF-8"),
    "a set": ({1}, "must be a number, text"),
}


@pytest.mark.fault(13, "numbers beyond 64 bits, lists nested a thousand deep, what is no data at all")
@pytest.mark.parametrize(("value", "says"), ODD.values(), ids=ODD.keys())
@pytest.mark.parametrize("table", ["study", "base", "compare", "sweep"])
def test_what_no_study_holds_is_named_wherever_it_stands(table: str, value: Any, says: str) -> None:
    data = study_data()
    data.setdefault(table, {})["text"] = value
    with pytest.raises(BadInput) as caught:
        read_study(data, FAKE)
    (line,) = str(caught.value).splitlines()
    assert line.startswith(f"{table}.text")
    assert says in line
    assert len(line) < 400


def test_what_studies_hold_is_plausible() -> None:
    assert implausible([2**63 - 1, -(2**63), math.nan, math.inf, True, None, "\U0001f642", {"a": ({},)}]) == []


@pytest.mark.fault(13, "a number of thousands of digits, in hexadecimal and in decimal; a thousand dots in a key")
@pytest.mark.parametrize("value", ["0x" + "f" * 5000, "9" * 5000, "1" + "_0" * 4000, "1e999999999", "-0b" + "1" * 9000])
@pytest.mark.parametrize("key", ["study.seeds", "base.workers", "base.gamma", "compare.margin", "sweep.n_step"])
def test_numbers_of_any_length_are_refused(tmp_path: Path, key: str, value: str) -> None:
    path = tmp_path / "study.toml"
    path.write_text(f"{key} = {value}\n", encoding="utf-8")
    with pytest.raises(BadInput) as caught:
        read_study(path, A3C)
    assert "study.toml" in str(caught.value) or key in str(caught.value)


@pytest.mark.parametrize("depth", [40, 500, 3000])
def test_a_key_of_many_dots_is_refused(tmp_path: Path, depth: int) -> None:
    path = tmp_path / "study.toml"
    path.write_text("base." + ".".join(["a"] * depth) + " = 1\n", encoding="utf-8")
    with pytest.raises(BadInput, match="nested deeper"):
        read_study(path, A3C)


@pytest.mark.fault(13, "keys of 10 kB, with line breaks, escape codes, right-to-left marks")
@pytest.mark.parametrize("key", ["k" * 10_000, "a\nb", "\x1b[2J", "\u202egnp", "\0", "", " ", "\u2028", "🙂"])
@pytest.mark.parametrize("table", ["study", "base", "sweep", "compare"])
def test_a_problem_is_one_printable_line_whatever_the_key(table: str, key: str) -> None:
    data = study_data()
    data.setdefault(table, {})[key] = [1]
    with pytest.raises(BadInput) as caught:
        expand(read_study(data, FAKE), FAKE)
    lines = str(caught.value).split("\n")
    assert len(lines) == len(caught.value.problems)
    for line in lines:
        assert line.isprintable()
        assert len(line) < 1400


def test_the_projects_own_studies_are_read_with_a_mark_of_byte_order(tmp_path: Path) -> None:
    for path in (ROOT / "studies").glob("*.toml"):
        marked = tmp_path / path.name
        marked.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
        assert read_study(marked, A3C) == read_study(path, A3C)
