"""What a run leaves on disk: whole or not at all, read back as it was."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from harness.algorithm.output import PlainResult, RunOutput
from harness.errors import DamagedRecord, StudyConflict
from harness.record.files import remove_drafts
from harness.record.json_file import read_as, to_json, write_json
from harness.record.run import RunRecord, finished_runs, read_record, write_record
from tests.harness.lab import NOBODY, ROOT, read_json, wait_for


def record_of(folder: Path, **changes: Any) -> RunRecord:
    fields: dict[str, Any] = {
        "run": "n-1__a__seed-0", "cell": "n-1", "arm": "a", "seed": 0, "levels": {"n": 1, "arm": "a"}, "attempt": 1,
        "outcome": "complete", "metrics": {"score": 0.5}, "timings": {"wall": 1.5}, "started": 1.75e9, "seconds": 2.5,
        "config": {"n": 1, "sizes": [64, 64], "nothing": None},
        "provenance": {"commit": "c", "versions": {"numpy": "2"}},
    }  # fmt: skip
    fields |= changes
    return RunRecord(**fields, folder=folder / fields["run"])


def output_of(**changes: Any) -> RunOutput:
    fields: dict[str, Any] = {
        "outcome": "complete", "metrics": {}, "timings": {}, "curves": {"learning": [(10, 0.1), (20, 0.2)]},
        "tables": {"episodes": pd.DataFrame({"step": [1, 2], "return": [0.1, 0.2]})},
        "arrays": {"parameters": {"parameters": np.arange(3, dtype=np.float32)}},
    }  # fmt: skip
    return RunOutput.of(PlainResult(**{**fields, **changes}))


def test_a_record_is_read_back_equal(tmp_path: Path) -> None:
    record = record_of(tmp_path)
    written = write_record(tmp_path, record, output_of())
    assert written == record
    assert read_record(record.folder) == record
    assert sorted(path.name for path in record.folder.iterdir()) == [
        "config.json", "curves.csv", "episodes.csv", "parameters.npz", "record.json",
    ]  # fmt: skip
    assert finished_runs(tmp_path) == [record.run]


def test_curves_tables_and_arrays_are_read_back(tmp_path: Path) -> None:
    record = write_record(tmp_path, record_of(tmp_path), output_of())
    assert list(record.curves().itertuples(index=False, name=None)) == [("learning", 10, 0.1), ("learning", 20, 0.2)]
    pd.testing.assert_frame_equal(record.table("episodes"), pd.DataFrame({"step": [1, 2], "return": [0.1, 0.2]}))
    (parameters,) = record.arrays("parameters").values()
    assert parameters.dtype == np.float32
    assert parameters.tolist() == [0, 1, 2]


any_float = st.floats(allow_nan=True, allow_infinity=True)


@given(
    metrics=st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), any_float, max_size=4),
    curve=st.lists(st.tuples(st.integers(0, 10**12), any_float), max_size=5),
    array=st.lists(any_float, max_size=4),
    levels=st.dictionaries(
        st.sampled_from(["n", "x", "text"]),
        st.one_of(
            st.integers(), any_float, st.text(st.characters(exclude_categories=["Cs"]), max_size=4), st.booleans()
        ),
    ),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_figures_are_read_back_to_the_bit(
    tmp_path: Path,
    metrics: dict[str, float],
    curve: list[tuple[int, float]],
    array: list[float],
    levels: dict[str, Any],
) -> None:
    runs = tmp_path / os.urandom(8).hex()
    record = record_of(runs, metrics=metrics, levels=levels)
    output = output_of(
        curves={"learning": curve} if curve else {}, arrays={"values": {"values": np.array(array)}}, tables={}
    )
    read = write_record(runs, record, output)
    assert bits(read.metrics) == bits(metrics)
    assert bits(read.levels) == bits(levels)
    table = read.curves()
    assert [*table["step"]] == [step for step, _ in curve]
    assert bits([float(value) for value in table["value"]]) == bits([value for _, value in curve])
    assert bits(read.arrays("values")["values"].tolist()) == bits(array)


cells = st.one_of(st.none(), st.booleans(), st.integers(), any_float, st.text(st.characters(exclude_categories=["Cs"])))


@given(
    names=st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), min_size=1, max_size=3),
    rows=st.lists(st.tuples(any_float, st.integers(-(2**63), 2**63 - 1), cells), max_size=5),
)
@example(
    names=['näme, "quoted"', "line\nbreak"], rows=[(math.nan, 1, "a,b"), (math.inf, 2, None), (-math.inf, 3, "=1")]
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_tables_are_written_as_pandas_writes_them(tmp_path: Path, names: list[str], rows: list[Any]) -> None:
    columns = [pd.Series([row[i] for row in rows], dtype=kind) for i, kind in enumerate(["float64", "int64", "object"])]
    table = pd.concat(columns[: len(names)], axis=1)
    table.columns = pd.Index(names)
    runs = tmp_path / os.urandom(8).hex()
    record = write_record(runs, record_of(runs), output_of(tables={"episodes": table}))
    table.to_csv(tmp_path / "expected.csv", index=False, lineterminator="\n")
    assert (record.folder / "episodes.csv").read_bytes() == (tmp_path / "expected.csv").read_bytes()


def test_columns_of_every_kind_are_read_back(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {
            "half": np.array([0.1, np.inf], dtype=np.float32),
            "maybe": pd.array([1, None], dtype="Int64"),
            "flag": [True, False],
            "name": ["a,b", "\N{SNOWMAN}"],
            "kind": pd.Categorical(["x", None]),
        }
    )
    read = write_record(tmp_path, record_of(tmp_path), output_of(tables={"episodes": table})).table("episodes")
    assert [*read["half"].astype(np.float32)] == [*table["half"]]
    assert [*read["flag"]] == [True, False]
    assert [*read["name"]] == [*table["name"]]
    assert [*read["maybe"].isna()] == [*read["kind"].isna()] == [False, True]


def test_arrays_of_every_shape_are_read_back(tmp_path: Path) -> None:
    arrays = {
        "flat": np.arange(5000, dtype=np.uint16),
        "none": np.zeros(0),
        "one": np.array(1.5),
        "grid": np.eye(3) > 0,
    }
    read = write_record(tmp_path, record_of(tmp_path), output_of(arrays={"all": arrays})).arrays("all")
    assert {*read} == {*arrays}
    for name, array in arrays.items():
        assert read[name].dtype == array.dtype
        np.testing.assert_array_equal(read[name], array)


def test_curves_come_by_metric_too(tmp_path: Path) -> None:
    curves = {"a, b": [(1, 0.1), (2, math.inf)], "c": [(7, -1e-300)], "gone": [(3, math.nan)]}
    points = write_record(tmp_path, record_of(tmp_path), output_of(curves=curves)).curve_points()
    assert bits(points) == bits(curves)


def bits(data: Any) -> str:
    """Floats by their exact digits, with NaN equal to itself."""
    return repr(data)


def test_json_on_disk_is_strict(tmp_path: Path) -> None:
    record = write_record(
        tmp_path, record_of(tmp_path, metrics={"a": math.nan, "b": math.inf, "c": -math.inf}), output_of()
    )

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    json.loads((record.folder / "record.json").read_text(encoding="utf-8"), parse_constant=refuse)
    assert read_record(record.folder).metrics["b"] == math.inf


text = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
    st.sampled_from(["NaN", "x: NaN,\n", '{"float": "NaN"}', '\\"-Infinity', "a\u2028Infinity", "NaN\r\n"]),
)
any_json = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), any_float, text),
    lambda parts: st.one_of(st.lists(parts, max_size=3), st.dictionaries(text, parts, max_size=3)),
    max_leaves=8,
)


def read_as_before(data: Any) -> Any:
    """Data as the version before took what the ``json`` module gave it."""
    if isinstance(data, dict):
        numbers = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
        if data.keys() == {"float"} and data["float"] in numbers:
            return numbers[data["float"]]
        return {key: read_as_before(value) for key, value in data.items()}
    return [read_as_before(value) for value in data] if isinstance(data, list) else data


@given(data=any_json)
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_json_is_read_back_by_this_version_and_the_one_before(tmp_path: Path, data: Any) -> None:
    path = tmp_path / "data.json"
    path.write_bytes(to_json({"data": data}))  # no drafts, no syncs
    assert bits(read_json(path)) == bits({"data": data})
    assert bits(read_as(path, TypeAdapter(dict[str, Any]))) == bits({"data": data})
    assert bits(read_as_before(json.loads(path.read_text(encoding="utf-8")))) == bits({"data": data})


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"seed": "0"}, "seed: Input should be a valid integer"),
        ({"metrics": {"score": "high"}}, "metrics: score: Input should be a valid number"),
        ({"attempt": None}, "attempt: Input should be a valid integer"),
        ({"files": {"config.json": 5}}, "files: config.json: Input should be a valid array"),
    ],
)
def test_a_value_of_another_type_is_damage_that_names_it(tmp_path: Path, change: dict[str, Any], why: str) -> None:
    path = write_record(tmp_path, record_of(tmp_path), output_of()).folder / "record.json"
    write_json(path, {**read_json(path), **change})
    with pytest.raises(DamagedRecord, match=why):
        read_record(path.parent)


def test_keys_of_a_later_version_are_left_out(tmp_path: Path) -> None:
    record = write_record(tmp_path, record_of(tmp_path), output_of())
    path = record.folder / "record.json"
    write_json(path, {**read_json(path), "later": 1})
    assert read_record(record.folder) == record


def test_a_finished_run_is_never_replaced(tmp_path: Path) -> None:
    first = write_record(tmp_path, record_of(tmp_path), output_of())
    before = {path.name: path.read_bytes() for path in first.folder.iterdir()}
    second = write_record(tmp_path, record_of(tmp_path, metrics={"score": 99.0}, attempt=2), output_of(tables={}))
    assert second == first
    assert {path.name: path.read_bytes() for path in first.folder.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == [first.run]


def test_nothing_is_left_of_a_record_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        write_record(tmp_path, record_of(tmp_path, config={"x": object()}), output_of())
    assert list(tmp_path.iterdir()) == []


def test_pickled_arrays_are_never_read(tmp_path: Path) -> None:
    record = write_record(tmp_path, record_of(tmp_path), output_of())
    np.savez(record.folder / "parameters.npz", parameters=np.array([{"a": 1}], dtype=object))
    with pytest.raises(DamagedRecord, match="not plain arrays"):
        record.arrays("parameters")


def test_arrays_that_would_be_pickled_are_never_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"pickle|object"):
        write_record(tmp_path, record_of(tmp_path), output_of(arrays={"bad": {"bad": np.array([{}], dtype=object)}}))
    assert list(tmp_path.iterdir()) == []


def test_a_record_of_another_version_is_refused(tmp_path: Path) -> None:
    record = write_record(tmp_path, record_of(tmp_path), output_of())
    body = read_json(record.folder / "record.json")
    write_json(record.folder / "record.json", {**body, "schema": 99})
    with pytest.raises(StudyConflict, match="schema"):
        read_record(record.folder)


@pytest.mark.fault(10, "a record's file nested so deeply that no reader gets to its end")
@pytest.mark.parametrize("name", ["record.json", "config.json"])
def test_json_without_end_is_damage(tmp_path: Path, name: str) -> None:
    folder = write_record(tmp_path, record_of(tmp_path), output_of()).folder
    size = (folder / name).stat().st_size
    (folder / name).write_text(("[" * 100_000)[: None if name == "record.json" else size], encoding="utf-8")
    with pytest.raises(DamagedRecord, match="n-1__a__seed-0"):
        read_record(folder)


def test_drafts_count_as_nothing_and_are_removed(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    write_record(runs, record_of(runs), output_of())
    (draft := runs / f".draft-{NOBODY}-0123").mkdir()
    (draft / "record.json").write_text("{", encoding="utf-8")
    (half := tmp_path / f".draft-{NOBODY}-4567").write_text("{", encoding="utf-8")
    (others := tmp_path / f".draft-{os.getppid()}-89ab").write_text("<html>", encoding="utf-8")
    assert finished_runs(runs) == ["n-1__a__seed-0"]
    remove_drafts(tmp_path)
    assert not draft.exists()
    assert not half.exists()
    assert others.exists(), "its writer lives: reports need no lock"
    assert finished_runs(runs) == ["n-1__a__seed-0"]


def test_json_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "study.json"
    write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert read_json(path) == {"a": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["study.json"]


WRITER = """
import sys
from pathlib import Path
import numpy as np
from harness.record.run import write_record
from tests.harness.record.test_records import output_of, record_of
folder = Path(sys.argv[1])
output = output_of(arrays={"parameters": {"parameters": np.arange(300_000.0)}})
for number in range(10_000):
    write_record(folder, record_of(folder, run=f"run-{number}"), output)
"""


def test_a_writer_killed_at_any_moment_leaves_whole_records(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    for wanted in (1, 3):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(runs)], cwd=ROOT)
        try:
            wait_for(lambda wanted=wanted: len(finished_runs(runs)) >= wanted, f"{wanted} records")
        finally:
            writer.send_signal(signal.SIGKILL)
            writer.wait()
        for run in finished_runs(runs):
            record = read_record(runs / run)
            assert record.run == run
            assert len(record.arrays("parameters")["parameters"]) == 300_000
            assert len(record.table("episodes")) == len(record.curves()) == 2
    remove_drafts(tmp_path)
    assert not list(runs.glob(".*"))
