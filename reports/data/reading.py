"""The files of a study's runs, each read at most once.

Tables of many runs are parsed together: one by one, ten thousand small files spend their time being opened.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from harness.record.folder import CONFIG_FILE
from harness.record.run import RunRecord, read_arrays

if TYPE_CHECKING:
    import pandas as pd

_BATCH = 500  # files in memory at a time
_NOT_A_LINE_A_ROW = re.compile(rb'"|\n\r?\n')


class RunFiles:
    """Reader of the runs' tables and arrays; of a file once read it keeps a digest, never the content.

    Args:
        records: of the runs.
        verify: whether to compare what is read with the digests in the records; what differs is raised as
            :class:`~harness.errors.DamagedRecord`.
    """

    def __init__(self, records: Sequence[RunRecord], verify: bool = False) -> None:
        self._records = records
        self._verify = verify
        self._digests: dict[tuple[str, str], bytes | None] = {}

    def tables(self, name: str, required: Sequence[str], optional: Sequence[str] = ()) -> Iterator[pd.DataFrame]:
        """Read some columns of the same table of every run that has it, some hundred runs at a time.

        Runs without the file, without a row or without a required column (a run without evaluations, say) are passed
        over.

        Args:
            name: the table, as for :meth:`~harness.record.run.RunRecord.table`.
            required: columns to read.
            optional: columns to read where a file has them.

        Yields:
            Rows as they stand in the files, with ``record`` in front: the position of their run among the records.
        """
        for start in range(0, len(self._records), _BATCH):
            batch = dict(enumerate(self._records[start : start + _BATCH], start))
            for (header, _), bodies in self._alike(batch, f"{name}.csv").items():
                columns = next(csv.reader([header.decode()]), [])
                if set(required) <= set(columns):
                    yield _parse(header, bodies, [*required, *(column for column in optional if column in columns)])

    def evaluations(self, record: RunRecord) -> bytes | None:
        """Return a digest of a run's evaluations as written, every digit of them; None without any."""
        key = record.run, "evaluations.csv"
        if key not in self._digests:
            self._read(record, "evaluations.csv")
        return self._digests[key]

    def parameters(self, record: RunRecord) -> bytes | None:
        """Return a digest of a run's final parameters, to the bit; None where it left none."""
        key = record.run, "parameters.npz"
        if key not in self._digests and (content := self._read(record, "parameters.npz")) is not None:
            array = read_arrays(record.folder / "parameters.npz", content)["parameters"]
            self._digests[key] = _digest(f"{array.dtype} {array.shape} ".encode() + array.tobytes())
        return self._digests[key]

    def verify_unread(self) -> None:
        """Read the files of all runs that were not read so far, and compare them with the digests in the records.

        Raises:
            DamagedRecord: if one is not what was written.
        """
        for record in self._records:
            for file in record.files:
                if (record.run, file) not in self._digests and file != CONFIG_FILE:  # which the record was read with
                    record.check(file, (record.folder / file).read_bytes())

    def _read(self, record: RunRecord, file: str) -> bytes | None:
        try:
            content = (record.folder / file).read_bytes()
        except FileNotFoundError:
            content = None
        if self._verify and content is not None:
            record.check(file, content)
        self._digests[record.run, file] = None if content is None else _digest(content)
        return content

    def _alike(self, records: Mapping[int, RunRecord], file: str) -> dict[tuple[bytes, int], dict[int, bytes]]:
        """Return by header what stands below it in each run's file.

        A file in which a line may not be a row stays alone, under the number of its run.
        """
        alike: dict[tuple[bytes, int], dict[int, bytes]] = {}
        for number, record in records.items():
            text = self._read(record, file) or b""
            header, _, body = text.partition(b"\n")
            if body:
                alone = number if _NOT_A_LINE_A_ROW.search(text) else -1
                alike.setdefault((header.strip(), alone), {})[number] = body if body.endswith(b"\n") else body + b"\n"
        return alike


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=16).digest()


def _parse(header: bytes, bodies: Mapping[int, bytes], columns: list[str]) -> pd.DataFrame:
    import numpy as np
    import pandas as pd

    text = io.BytesIO(b"\n".join([header, b"".join(bodies.values())]))
    table = pd.read_csv(text, usecols=columns, low_memory=False)[columns]
    lengths = [body.count(b"\n") for body in bodies.values()] if len(bodies) > 1 else [len(table)]
    table.insert(0, "record", np.repeat(list(bodies), lengths))
    return table
