"""One table of many runs, parsed together: one by one, ten thousand small files spend their time being opened."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from harness.record.run import RunRecord

if TYPE_CHECKING:
    import pandas as pd

_BATCH = 500  # files in memory at a time
_NOT_A_LINE_A_ROW = re.compile(rb'"|\n\r?\n')


def read_tables(
    records: Sequence[RunRecord], name: str, required: Sequence[str], optional: Sequence[str] = ()
) -> Iterator[pd.DataFrame]:
    """Read some columns of the same table of every run that has it, some hundred runs at a time.

    Runs without the file, without a row or without a required column (a run without evaluations, say) are passed over.

    Args:
        records: the runs.
        name: the table, as for :meth:`~harness.record.run.RunRecord.table`.
        required: columns to read.
        optional: columns to read where a file has them.

    Yields:
        Rows as they stand in the files, with ``record`` in front: the position of their run in ``records``.
    """
    for start in range(0, len(records), _BATCH):
        batch = dict(enumerate(records[start : start + _BATCH], start))
        for (header, _), bodies in _alike(batch, name).items():
            columns = next(csv.reader([header.decode()]), [])
            if set(required) <= set(columns):
                yield _parse(header, bodies, [*required, *(column for column in optional if column in columns)])


def _alike(records: Mapping[int, RunRecord], name: str) -> dict[tuple[bytes, int], dict[int, bytes]]:
    """Return by header what stands below it in each run's file.

    A file in which a line may not be a row stays alone, under the number of its run.
    """
    alike: dict[tuple[bytes, int], dict[int, bytes]] = {}
    for number, record in records.items():
        try:
            text = (record.folder / f"{name}.csv").read_bytes()
        except FileNotFoundError:
            continue
        header, _, body = text.partition(b"\n")
        if body:
            alone = number if _NOT_A_LINE_A_ROW.search(text) else -1
            alike.setdefault((header.strip(), alone), {})[number] = body if body.endswith(b"\n") else body + b"\n"
    return alike


def _parse(header: bytes, bodies: Mapping[int, bytes], columns: list[str]) -> pd.DataFrame:
    import numpy as np
    import pandas as pd

    text = io.BytesIO(b"\n".join([header, b"".join(bodies.values())]))
    table = pd.read_csv(text, usecols=columns, low_memory=False)[columns]
    lengths = [body.count(b"\n") for body in bodies.values()] if len(bodies) > 1 else [len(table)]
    table.insert(0, "record", np.repeat(list(bodies), lengths))
    return table
