"""The files of a bench: ``out/bench/<time>/``, whole or not at all, and ``out/bench/latest`` pointing to it.

The folder holds the files of any run (:mod:`harness.record.run`), and in it ``results.csv``, every measurement;
``summary.csv``, a line a contestant; ``two_processes.csv``. ``record.json`` names the machine and the versions.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.algorithm.output import PlainResult, RunOutput
from harness.errors import BadInput, Problem
from harness.provenance import versions
from harness.record.run import RunRecord, write_record
from studies.bench.measure import PARTS
from studies.bench.summary import PairRow, Row, Summary, two_over_one

if TYPE_CHECKING:
    import pandas as pd

EXPERIMENT = "bench"
LATEST = "latest"
PEERS = ("stable-baselines3",)  # packages whose version matters here, too


def make_folder(out: Path) -> Path:
    """Make the folder of benches, before minutes are spent on one.

    Raises:
        BadInput: if it cannot be made.
    """
    folder = out / EXPERIMENT
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput([Problem("out", str(out), f"must be a folder, or one that can be made ({error})")]) from None
    return folder


def write_bench(
    folder: Path,
    name: str,
    started: float,
    config: Mapping[str, Any],
    provenance: Mapping[str, Any],
    summaries: Sequence[Summary],
    rows: Sequence[Row],
    pairs: Sequence[PairRow],
) -> RunRecord:
    """Write a bench as the record of a run, and point ``latest`` to it.

    Args:
        folder: where benches are kept.
        name: the bench's own folder in it.
        started: seconds since the epoch.
        config: its options.
        provenance: see :mod:`harness.provenance`.
        summaries: one a contestant.
        rows: every measurement.
        pairs: those of two processes.
    """
    result = PlainResult(
        metrics=_metrics(summaries, pairs),
        timings={f"steps_per_second/{one.contestant.name}": one.speed for one in summaries},
        curves=_curves(rows),
        tables=_tables(summaries, rows, pairs),
    )
    output = RunOutput.of(result)
    record = RunRecord.of(
        output,
        name,
        config,
        started=started,
        seconds=time.time() - started,
        provenance={**provenance, "versions": {**provenance["versions"], **versions(PEERS)}},
    )
    record = write_record(folder, record, output)
    draft = folder / f".{LATEST}-{uuid.uuid4().hex}"
    draft.symlink_to(name, target_is_directory=True)
    draft.replace(folder / LATEST)
    return record


def _metrics(summaries: Sequence[Summary], pairs: Sequence[PairRow]) -> dict[str, float]:
    metrics = {}
    for one in summaries:
        name = one.contestant.name
        metrics[f"ratio_to_environment/{name}"] = one.ratio.middle
        if one.to_peer is not None:
            metrics[f"ratio_to_sb3/{name}"] = one.to_peer.middle
        metrics |= {f"share_{part}/{name}": share for part, share in one.shares.items()}
    if pairs:
        metrics["ratio_to_one_process/two processes"] = two_over_one(pairs).middle
    return metrics


def _curves(rows: Sequence[Row]) -> dict[str, list[tuple[int, float]]]:
    """Return each contestant's ratio over rounds: MLflow shows whether something drifted."""
    curves: dict[str, list[tuple[int, float]]] = {}
    for row in rows:
        curves.setdefault(f"ratio_to_environment/{row.contestant}", []).append((row.round, row.ratio))
    return curves


def _tables(summaries: Sequence[Summary], rows: Sequence[Row], pairs: Sequence[PairRow]) -> dict[str, pd.DataFrame]:
    tables = {"results": _results(rows), "summary": _summary(summaries)} if rows else {}
    return tables | ({"two_processes": _two_processes(pairs)} if pairs else {})


def _results(rows: Sequence[Row]) -> pd.DataFrame:
    import pandas as pd

    columns = ("round", "contestant", "steps", "seconds", "environment_before", "environment_after")
    table = [
        {
            **{name: getattr(row, name) for name in columns},
            "steps_per_second": row.speed,
            "ratio_to_environment": row.ratio,
            **_shares(row.shares),
        }
        for row in rows
    ]
    return pd.DataFrame(table)


def _summary(summaries: Sequence[Summary]) -> pd.DataFrame:
    import pandas as pd

    fields = ("engine", "workers", "rollout_length", "schedule")
    table = [
        {
            "contestant": one.contestant.name,
            **{name: str(one.contestant.changes.get(name, "")) for name in fields},
            "rounds": one.rounds,
            "steps_per_second": one.speed,
            "ratio_to_environment": one.ratio.middle,
            "ratio_min": one.ratio.low,
            "ratio_max": one.ratio.high,
            "ratio_to_sb3": None if one.to_peer is None else one.to_peer.middle,
            **_shares(one.shares),
        }
        for one in summaries
    ]
    return pd.DataFrame(table)


def _two_processes(pairs: Sequence[PairRow]) -> pd.DataFrame:
    import pandas as pd

    columns = ["round", "one_before", "two", "one_after", "ratio"]
    return pd.DataFrame([[getattr(pair, name) for name in columns] for pair in pairs], columns=columns)


def _shares(shares: Mapping[str, float]) -> dict[str, float | None]:
    return {part: shares.get(part) for part in PARTS}
