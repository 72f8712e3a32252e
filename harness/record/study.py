"""Read studies back: the plan as it was last run, every finished run, every failure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.algorithm.traits import MetricTraits
from harness.errors import BadInput, DamagedRecord, Problem
from harness.record.attempt import Failure, last_failures
from harness.record.folder import PLAN_FILE, RUNS_FOLDER, study_folder
from harness.record.plan import Revision, read_plan
from harness.record.run import RunRecord, finished_runs, read_record, verify_record
from harness.record.search import ArmSearch, read_search
from harness.study.design import Alias, Cell
from harness.study.spec import StudySpec

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Study:
    """A study read from disk or from MLflow's artifacts: all that a report needs.

    Attributes:
        spec: the study as last run.
        arms: compared levels as text, the baseline first.
        cells: the planned cells.
        aliases: combinations another cell stands for.
        planned: ids of the runs asked for so far; in a study with interim looks, those of the looks begun.
        records: the finished planned runs, in planned order.
        failures: planned runs whose last attempt failed.
        searches: in search mode the tuning of each arm in each cell, else empty.
        failed_trials: runs of the search that failed; each counts as the worst score in its trial.
        damaged: what cannot be read of its records; continuing the study sets it aside and computes it again.
        revisions: changes to its seeds, looks and rules after runs had finished.
        provenance: commit, versions and machine of the last command.
        metrics: traits of its metrics and of columns of its tables, by name.
        folder: the study's folder, or where its files were downloaded to.
    """

    spec: StudySpec
    arms: tuple[str, ...]
    cells: tuple[Cell, ...]
    aliases: tuple[Alias, ...]
    planned: tuple[str, ...]
    records: tuple[RunRecord, ...]
    failures: tuple[Failure, ...]
    provenance: Mapping[str, Any]
    folder: Path
    searches: tuple[ArmSearch, ...] = ()
    revisions: tuple[Revision, ...] = ()
    failed_trials: tuple[Failure, ...] = ()
    damaged: tuple[str, ...] = ()
    metrics: Mapping[str, MetricTraits] = field(default_factory=dict)


def load_study(folder: Path, verify: bool = False) -> Study:
    """Read a study's folder.

    Args:
        folder: the study's.
        verify: whether to read every byte of its records, too, as is due before something is made of all of them.

    Raises:
        BadInput: if no study was run there.
        DamagedRecord: if its plan or its search cannot be read.
    """
    if (plan := read_plan(folder)) is None:
        kept = len(finished_runs(folder / RUNS_FOLDER))
        what = f"continue it, its {kept} finished runs are kept" if kept else "run the study first"
        raise BadInput([Problem("study", str(folder), f"must hold a {PLAN_FILE}: {what}")])
    asked, finished = set(plan.planned), set(finished_runs(folder / RUNS_FOLDER))
    records, damaged = read_records(folder, [run for run in plan.planned if run in finished], verify)
    failures, torn = last_failures(folder, but=finished)
    return Study(
        spec=plan.spec.with_tuning_factor(),
        arms=plan.arms,
        cells=plan.cells,
        aliases=plan.aliases,
        planned=plan.planned,
        records=records,
        failures=tuple(failures[run] for run in plan.planned if run in failures),
        provenance=plan.provenance,
        folder=folder,
        searches=read_search(folder).arms,
        revisions=plan.revisions,
        failed_trials=tuple(f for run, f in failures.items() if run not in asked and f.trial is not None),
        damaged=(*damaged, *torn),
        metrics=plan.metrics,
    )


def read_records(
    folder: Path, runs: Iterable[str], verify: bool = False
) -> tuple[tuple[RunRecord, ...], tuple[str, ...]]:
    """Return the records of runs, and a sentence for each that is damaged."""
    records, damaged = [], []
    read = verify_record if verify else read_record
    for run in runs:
        try:
            records.append(read(folder / RUNS_FOLDER / run))
        except DamagedRecord as error:
            damaged.append(str(error))
    return tuple(records), tuple(damaged)


def load_results(study: Study | str | Path, out: str | Path = "out") -> pd.DataFrame:
    """Return one row per finished run: ids, factor levels, outcome, metrics, timings.

    Args:
        study: a :class:`Study`, the folder of one, or the name of one under ``out``.
        out: where studies are kept.
    """
    import pandas as pd

    if not isinstance(study, Study):
        folder = Path(study)
        study = load_study(folder if (folder / PLAN_FILE).is_file() else study_folder(str(study), Path(out)))
    rows = [
        {
            "run": record.run,
            "cell": record.cell,
            "arm": record.arm,
            "seed": record.seed,
            **record.levels,
            "outcome": record.outcome,
            **record.metrics,
            **{f"time/{name}": value for name, value in record.timings.items()},
        }
        for record in study.records
    ]
    return pd.DataFrame(rows)
