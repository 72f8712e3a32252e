"""What a run leaves on disk: the record every other store is a projection of.

``out/<study>/runs/<run id>/`` appears by one rename, whole or not at all::

    record.json       who (cell, arm, seed, attempt), outcome, metrics, timings, provenance
    config.json       the resolved config, every field
    curves.csv        metric, step, value: what is drawn over environment steps
    <table>.csv       the run's tables (episodes, evaluations)
    <arrays>.npz      the run's arrays (final parameters, update log), plain, never pickled
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
import shutil
import uuid
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.algorithm import RunResult

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = 1
RECORD_FILE = "record.json"
CONFIG_FILE = "config.json"
CURVES_FILE = "curves.csv"


@dataclass(frozen=True)
class RunOutput:
    """A :class:`~harness.algorithm.RunResult` as plain data that crosses process borders."""

    outcome: str
    metrics: dict[str, float]
    timings: dict[str, float]
    curves: dict[str, list[tuple[int, float]]]
    tables: dict[str, Any]
    arrays: dict[str, dict[str, Any]]
    labels: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, result: RunResult) -> RunOutput:
        """Copy what a train function returned."""
        return cls(
            outcome=result.outcome,
            metrics={name: float(value) for name, value in result.metrics.items()},
            timings={name: float(value) for name, value in result.timings.items()},
            curves={name: [(int(s), float(v)) for s, v in curve] for name, curve in result.curves.items()},
            tables=dict(result.tables),
            arrays={name: dict(arrays) for name, arrays in result.arrays.items()},
            labels=dict(getattr(result, "labels", {})),
        )


@dataclass(frozen=True)
class RunRecord:
    """One finished run, as read back.

    Attributes:
        run: its id.
        cell: the id of its cell.
        arm: the compared level, as text.
        seed: its seed.
        levels: factor name → level, the compared factor included.
        attempt: 1 for the first try; more after a crash or an interruption.
        outcome: ``complete`` or ``diverged``.
        metrics: figures that depend on config and seed alone.
        timings: figures that depend on the machine too.
        started: seconds since the epoch.
        seconds: how long the run took.
        config: every setting it trained with.
        provenance: commit, versions, machine.
        folder: where its files are.
        labels: what it was computed with, by name (``engine``).
        trial: in search mode the proposal it tried; None for a run the verdict rests on.
    """

    run: str
    cell: str
    arm: str
    seed: int
    levels: Mapping[str, Any]
    attempt: int
    outcome: str
    metrics: Mapping[str, float]
    timings: Mapping[str, float]
    started: float
    seconds: float
    config: Mapping[str, Any] = field(repr=False)
    provenance: Mapping[str, Any] = field(repr=False)
    folder: Path
    labels: Mapping[str, str] = field(default_factory=dict)
    trial: int | None = None

    @classmethod
    def of(cls, output: RunOutput, **who: Any) -> RunRecord:
        """Make the record of a run from what came out of it; its folder is set when it is written."""
        return cls(
            outcome=output.outcome,
            metrics=output.metrics,
            timings=output.timings,
            labels=output.labels,
            folder=Path(),
            **who,
        )

    def table(self, name: str) -> pd.DataFrame:
        """Read one of the run's tables (``episodes``, ``evaluations``)."""
        import pandas as pd

        return pd.read_csv(self.folder / f"{name}.csv")

    def curves(self) -> pd.DataFrame:
        """Read the run's curves: columns ``metric``, ``step``, ``value``."""
        import pandas as pd

        return pd.read_csv(self.folder / CURVES_FILE)

    def curve_points(self) -> dict[str, list[tuple[int, float]]]:
        """Read the run's curves as (step, value) by metric, without the price of a table."""
        found: dict[str, list[tuple[int, float]]] = {}
        with (self.folder / CURVES_FILE).open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                found.setdefault(row["metric"], []).append((int(row["step"]), float(row["value"] or math.nan)))
        return found

    def arrays(self, name: str) -> dict[str, Any]:
        """Read one of the run's array files (``parameters``, ``updates``); pickles are refused."""
        import numpy as np

        with np.load(self.folder / f"{name}.npz", allow_pickle=False) as archive:
            return {key: archive[key] for key in archive.files}


def write_record(runs: Path, record: RunRecord, output: RunOutput) -> RunRecord:
    """Write a finished run so that it is there whole or not at all; return it with its folder.

    A folder of that name that is already there wins: a finished run is never replaced.
    """
    runs.mkdir(parents=True, exist_ok=True)
    draft = runs / f".draft-{uuid.uuid4().hex}"
    draft.mkdir()
    try:
        for name, table in output.tables.items():
            columns = [_cells(column) for _, column in table.items()]
            _write(draft / f"{name}.csv", _csv(table.columns, zip(*columns, strict=True)))
        for name, arrays in output.arrays.items():
            _write(draft / f"{name}.npz", _npz(arrays))
        points = (
            (name, step, "" if math.isnan(value) else value)
            for name, curve in output.curves.items()
            for step, value in curve
        )
        _write(draft / CURVES_FILE, _csv(("metric", "step", "value"), points))
        _write(draft / CONFIG_FILE, _json(record.config))
        body = {key: value for key, value in asdict(record).items() if key not in ("config", "folder")}
        _write(draft / RECORD_FILE, _json({"schema": SCHEMA, **body}))
        _sync(draft)
        final = runs / record.run
        if not final.exists():
            draft.rename(final)
            _sync(runs)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return read_record(final)


def read_record(folder: Path) -> RunRecord:
    """Read one run's record.

    Raises:
        ValueError: if it was written by another version of this format.
    """
    body = read_json(folder / RECORD_FILE)
    if body.pop("schema") != SCHEMA:
        raise ValueError(f"{folder / RECORD_FILE}: schema must be {SCHEMA}")
    return RunRecord(**body, config=read_json(folder / CONFIG_FILE), folder=folder)


def finished_runs(runs: Path) -> list[str]:
    """Return the ids of the runs finished under a study's ``runs`` folder, in name order."""
    if not runs.is_dir():
        return []
    return sorted(entry.name for entry in os.scandir(runs) if entry.is_dir() and not entry.name.startswith("."))


def remove_drafts(runs: Path) -> None:
    """Remove what interrupted writes left behind; call it only while holding the study's lock."""
    for draft in runs.glob(".draft-*"):
        shutil.rmtree(draft, ignore_errors=True)


def write_json(path: Path, data: object) -> None:
    """Write JSON atomically; NaN and infinities are written as text, since JSON has none."""
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    _write(draft, _json(data))
    draft.replace(path)


def read_json(path: Path) -> Any:
    """Read what :func:`write_json` wrote."""
    return _floats(json.loads(path.read_text(encoding="utf-8")))


_NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def _finite(data: object) -> object:
    if isinstance(data, float) and not math.isfinite(data):
        return {"float": "NaN" if math.isnan(data) else "Infinity" if data > 0 else "-Infinity"}
    if isinstance(data, Mapping):
        return {str(key): _finite(value) for key, value in data.items()}
    if isinstance(data, Sequence) and not isinstance(data, str | bytes):
        return [_finite(value) for value in data]
    return data


def _floats(data: Any) -> Any:
    if isinstance(data, dict):
        if data.keys() == {"float"} and data["float"] in _NOT_FINITE:
            return _NOT_FINITE[data["float"]]
        return {key: _floats(value) for key, value in data.items()}
    if isinstance(data, list):
        return [_floats(value) for value in data]
    return data


def _json(data: object) -> bytes:
    return json.dumps(_finite(data), indent=1, allow_nan=False, ensure_ascii=False).encode()


def _csv(header: Iterable[object], rows: Iterable[Iterable[object]]) -> bytes:
    """Return what ``DataFrame.to_csv`` writes, in half its time: there is one of these for every table of every run."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue().encode()


def _cells(column: pd.Series[Any]) -> list[Any]:
    """Return a column's values, nothing for those that are missing, as pandas writes them."""
    values = column.tolist()
    if not column.hasnans:
        return values
    return ["" if missing else value for value, missing in zip(values, column.isna(), strict=True)]


def _npz(arrays: Mapping[str, Any]) -> bytes:
    """Return what ``np.savez_compressed`` writes, but at zlib's first level.

    Numpy's sixth level takes six times as long for an update log and makes it no smaller.
    """
    import numpy as np

    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.asanyarray(array), allow_pickle=False)
    return packed.getvalue()


def _write(path: Path, content: bytes) -> None:
    """Write a file and wait until it is on disk."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
