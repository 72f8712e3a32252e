"""The result of a run as plain data: figures and the bytes of its files, encoded where it was computed.

So nothing crosses from a child to the dispatcher that is unpickled or executed, and encoding costs the child's core.
"""

from __future__ import annotations

import csv
import io
import math
import re
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from harness.algorithm.protocol import RunResult

if TYPE_CHECKING:
    import pandas as pd

CURVES_FILE = "curves.csv"
OUTCOMES = ("complete", "diverged")
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}\.(csv|npz)")


@dataclass(frozen=True)
class PlainResult:
    """A :class:`~harness.algorithm.protocol.RunResult` for train functions without a class of their own."""

    outcome: str = "complete"
    metrics: Mapping[str, float] = field(default_factory=dict)
    timings: Mapping[str, float] = field(default_factory=dict)
    curves: Mapping[str, Sequence[tuple[int, float]]] = field(default_factory=dict)
    tables: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class RunOutput:
    """A :class:`~harness.algorithm.protocol.RunResult` as plain data.

    Attributes:
        outcome: ``complete`` or ``diverged``.
        metrics: figures that depend on config and seed alone.
        timings: figures that depend on the machine too.
        labels: what it was computed with, by name.
        files: name → content: ``curves.csv``, a CSV for every table, an ``.npz`` for every group of arrays.

    Raises:
        ValueError: if a file is named otherwise (what a child sends must stay in the run's folder), there is no such
            outcome, or a name cannot be written as UTF-8.
    """

    outcome: str
    metrics: Mapping[str, float] = field(default_factory=dict)
    timings: Mapping[str, float] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        for name in self.files:
            if not _FILE.fullmatch(name):
                raise ValueError(f"a table or group of arrays cannot be kept as {name!r}")
        if self.outcome not in OUTCOMES:
            raise ValueError(f"the outcome is {self.outcome!r}, must be one of {', '.join(OUTCOMES)}")
        for text in (*self.metrics, *self.timings, *self.labels, *self.labels.values()):
            text.encode()

    @classmethod
    def of(cls, result: RunResult) -> RunOutput:
        """Encode the result of a train function.

        Raises:
            ValueError: if something in it cannot be kept: an array of objects, a table named like a path.
        """
        points = (
            (name, int(step), "" if math.isnan(value) else float(value))
            for name, curve in result.curves.items()
            for step, value in curve
        )
        files = {CURVES_FILE: _csv(("metric", "step", "value"), points)}
        if "curves" in result.tables:
            raise ValueError("a table cannot be kept as 'curves': the run's curves are")
        for name, table in result.tables.items():
            columns = [_cells(column) for _, column in table.items()]
            files[f"{name}.csv"] = _csv(table.columns, zip(*columns, strict=True))
        for name, arrays in result.arrays.items():
            files[f"{name}.npz"] = _npz(arrays)
        return cls(
            outcome=str(result.outcome),
            metrics={name: float(value) for name, value in result.metrics.items()},
            timings={name: float(value) for name, value in result.timings.items()},
            labels=dict(getattr(result, "labels", {})),
            files=files,
        )


def _csv(header: Iterable[object], rows: Iterable[Iterable[object]]) -> bytes:
    """Encode rows as ``DataFrame.to_csv`` does, in half its time: every table of every run is encoded."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue().encode()


def _cells(column: pd.Series[Any]) -> list[Any]:
    """Return a column's values, missing ones as empty text, as pandas writes them."""
    values = column.tolist()
    if not column.hasnans:
        return values
    return ["" if missing else value for value, missing in zip(values, column.isna(), strict=True)]


def _npz(arrays: Mapping[str, Any]) -> bytes:
    """Encode arrays as ``np.savez_compressed`` does, but at zlib's first level.

    Numpy's sixth level takes six times as long for an update log and makes it no smaller.
    """
    import numpy as np

    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.asanyarray(array), allow_pickle=False)
    return packed.getvalue()
