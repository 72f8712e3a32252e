"""Write and read the record of a run on disk; every other store mirrors it.

``out/<study>/runs/<run id>/`` appears by one rename, whole or not at all::

    record.json       who (cell, arm, seed, attempt), outcome, metrics, timings, provenance; size and digest of the rest
    config.json       the resolved config, every field
    curves.csv        metric, step, value: what is drawn over environment steps
    <table>.csv       the run's tables (episodes, evaluations)
    <arrays>.npz      the run's arrays (final parameters, update log), plain, never pickled
"""

from __future__ import annotations

import csv
import hashlib
import io
import math
import os
import shutil
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import TypeAdapter

from harness.algorithm.output import CURVES_FILE, RunOutput
from harness.errors import DamagedRecord
from harness.record.files import draft_of, sync_folder, write_synced
from harness.record.folder import CONFIG_FILE, RECORD_FILE
from harness.record.json_file import SCHEMA, parse_json, read_versioned, to_json

if TYPE_CHECKING:
    import pandas as pd

MAX_ARRAY_BYTES = 2_000_000_000


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
        provenance: commit, versions, machine.
        labels: what it was computed with, by name (``engine``).
        trial: in search mode the proposal it tried; None for a run the verdict rests on.
        config: every setting it trained with.
        folder: where its files are; set when it is written.
        files: size and SHA-256 of its other files, by name; set when it is read.
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
    provenance: Mapping[str, Any] = field(repr=False)
    labels: Mapping[str, str] = field(default_factory=dict)
    trial: int | None = None
    config: Mapping[str, Any] = field(default_factory=dict, repr=False)
    folder: Path = Path()
    files: Mapping[str, tuple[int, str]] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(
        cls,
        output: RunOutput,
        run: str,
        config: Mapping[str, Any],
        *,
        started: float,
        seconds: float,
        provenance: Mapping[str, Any],
        seed: int = 0,
        attempt: int = 1,
        cell: str = "",
        arm: str = "",
        levels: Mapping[str, Any] | None = None,
        trial: int | None = None,
    ) -> RunRecord:
        """Return the record of a run from its output; a run of no study has neither cell nor arm."""
        return cls(
            run=run,
            cell=cell,
            arm=arm,
            seed=seed,
            levels=levels or {},
            attempt=attempt,
            outcome=output.outcome,
            metrics=output.metrics,
            timings=output.timings,
            started=started,
            seconds=seconds,
            provenance=provenance,
            labels=output.labels,
            trial=trial,
            config=config,
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
        """Read one of the run's array files (``parameters``, ``updates``); nothing is unpickled.

        Raises:
            DamagedRecord: if it holds anything else, or would take more memory than any run's arrays.
        """
        return read_arrays(self.folder / f"{name}.npz")

    def check(self, name: str, content: bytes) -> None:
        """Compare the content of one of the run's files with its recorded digest.

        Raises:
            DamagedRecord: if it is not what was written.
        """
        if name in self.files and _digest(content) != self.files[name][1]:
            raise DamagedRecord(self.folder / name, "must be what was written")


def read_arrays(path: Path, content: bytes | None = None) -> dict[str, Any]:
    """Read a file of plain arrays; nothing is unpickled.

    Args:
        path: the file.
        content: its bytes, if they have been read.

    Raises:
        DamagedRecord: as :meth:`RunRecord.arrays`.
    """
    import numpy as np

    try:
        with zipfile.ZipFile(path if content is None else io.BytesIO(content)) as archive:
            if sum(member.file_size for member in archive.infolist()) > MAX_ARRAY_BYTES:
                raise ValueError(f"it unpacks to more than {MAX_ARRAY_BYTES} bytes")
            found = {}
            for member in archive.namelist():
                with archive.open(member) as file:
                    found[member.removesuffix(".npy")] = np.lib.format.read_array(file, allow_pickle=False)
            return found
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error, MemoryError) as error:
        raise DamagedRecord(path, f"not plain arrays ({error})") from error


def write_record(runs: Path, record: RunRecord, output: RunOutput) -> RunRecord:
    """Write a finished run, whole or not at all; return it with its folder.

    A folder of that name that is already there wins: a finished run is never replaced.
    """
    runs.mkdir(parents=True, exist_ok=True)
    draft = draft_of(runs / record.run)
    draft.mkdir()
    try:
        contents = {**output.files, CONFIG_FILE: to_json(record.config)}
        for name, content in contents.items():
            write_synced(draft / name, content)
        body = {key: value for key, value in vars(record).items() if key not in ("config", "folder", "files")}
        files = {name: (len(content), _digest(content)) for name, content in contents.items()}
        write_synced(draft / RECORD_FILE, to_json({"schema": SCHEMA, **body, "files": files}))
        sync_folder(draft)
        final = runs / record.run
        if not final.exists():
            draft.rename(final)
            sync_folder(runs)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return read_record(final)


def read_record(folder: Path) -> RunRecord:
    """Read one run's record, and compare the sizes of its files, and its config's digest.

    Raises:
        DamagedRecord: if something of it is missing, torn or truncated.
        StudyConflict: if it was written by another version of this format.
    """
    try:
        body = dict(vars(read_versioned(folder / RECORD_FILE, _RECORD)))
        del body["schema"]
        for name, (size, _) in body["files"].items():
            if (found := os.stat(f"{folder}/{name}").st_size) != size:  # noqa: PTH116 - one for every file there is
                raise DamagedRecord(folder / name, f"{found} bytes, must be {size}")
        config = (folder / CONFIG_FILE).read_bytes()
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:  # ValueError: a name no file can have
        raise DamagedRecord(folder, f"{type(error).__name__}: {error}") from error
    body["provenance"] = _PROVENANCES.setdefault(str(body["provenance"]), body["provenance"])
    body["config"] = parse_json(folder / CONFIG_FILE, config, _CONFIG)
    record = RunRecord(**{**body, "folder": folder})
    record.check(CONFIG_FILE, config)
    return record


def verify_record(folder: Path) -> RunRecord:
    """Read one run's record as :func:`read_record` does, and every byte of its files.

    Raises:
        DamagedRecord: if a file is not what was written.
        StudyConflict: if it was written by another version of this format.
    """
    record = read_record(folder)
    for name in record.files:
        if name != CONFIG_FILE:  # which is checked already
            record.check(name, (folder / name).read_bytes())
    return record


@dataclass(frozen=True, kw_only=True)
class _Recorded(RunRecord):
    """The content of a record's file."""

    schema: Literal[1]


_RECORD = TypeAdapter(_Recorded)
_CONFIG = TypeAdapter(dict[str, Any])
_PROVENANCES: dict[str, Mapping[str, Any]] = {}  # one object for all that is equal: thousands come from one place


def finished_runs(runs: Path) -> list[str]:
    """Return the ids of the runs finished under a study's ``runs`` folder, in name order."""
    if not runs.is_dir():
        return []
    return sorted(entry.name for entry in os.scandir(runs) if entry.is_dir() and not entry.name.startswith("."))


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
