"""Studies read back: the plan as it was last run, every finished run, every failure."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import BadInput, DamagedRecord, Problem, StudyConflict
from harness.record.run import SCHEMA, RunRecord, finished_runs, read_as, read_record, verify_record, write_json
from harness.record.search import ArmSearch, read_searches
from harness.study.design import Alias, Cell, Design, label, slug
from harness.study.spec import StudySpec, parse_spec

if TYPE_CHECKING:
    import pandas as pd

PLAN_FILE = "study.json"
IDENTITY_FILE = "identity.json"
RUNS_FOLDER = "runs"
FAILURES_FOLDER = "failures"


@dataclass(frozen=True)
class Failure:
    """A run that raised, timed out or died, at its last attempt.

    Attributes:
        run: its id.
        cell: the id of its cell.
        arm: the compared level, as text.
        seed: its seed.
        attempt: which try this was.
        reason: one line.
        detail: the traceback, where there is one.
        trial: in search mode the proposal it tried.
    """

    run: str
    cell: str
    arm: str
    seed: int
    attempt: int
    reason: str
    detail: str = ""
    trial: int | None = None

    @classmethod
    def of(cls, data: Any) -> Failure:
        """Make a failure of what was written of it.

        Raises:
            TypeError: if that is none.
        """
        return cls(**data)


@dataclass(frozen=True)
class Revision:
    """A change to what a study declares, made when results could already be seen.

    Attributes:
        changes: what was declared before and what since, a clause each.
        finished: how many of its runs had finished by then.
    """

    changes: tuple[str, ...]
    finished: int


@dataclass(frozen=True)
class Study:
    """Everything a report needs, from disk or from MLflow's artifacts.

    Attributes:
        spec: the study as last run.
        arms: compared levels as text, the baseline first.
        cells: the planned cells.
        aliases: combinations another cell stands for.
        planned: ids of the runs asked for so far: of a study with looks those of the looks begun.
        records: the finished planned runs, in planned order.
        failures: planned runs whose last attempt failed.
        searches: in search mode the tuning of each arm in each cell, else empty.
        lost_tries: runs of the search that failed; each counts as the worst score in its trial.
        damaged: what cannot be read of its records; continuing the study sets it aside and computes it again.
        revisions: changes to its seeds, looks and rules after runs had finished.
        provenance: commit, versions and machine of the last command.
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
    lost_tries: tuple[Failure, ...] = ()
    damaged: tuple[str, ...] = ()


def write_plan(
    folder: Path,
    design: Design,
    provenance: Mapping[str, Any],
    planned: Sequence[str] | None = None,
) -> None:
    """Write what is to be run, so that reports need neither the study file nor the algorithm.

    Args:
        folder: the study's.
        design: the study planned whole.
        provenance: of this command.
        planned: ids of the runs asked for so far; None: all.
    """
    write_json(
        folder / PLAN_FILE,
        {
            "revisions": [asdict(revision) for revision in _revisions(folder, design)],
            "schema": SCHEMA,
            "identity": study_identity(folder),
            "spec": design.spec.to_toml_data(),
            "arms": list(design.arms),
            "cells": [asdict(cell) for cell in design.cells],
            "aliases": [asdict(alias) for alias in design.aliases],
            "planned": [run.id for run in design.runs] if planned is None else list(planned),
            "provenance": dict(provenance),
        },
    )


def asked_before(folder: Path) -> set[str]:
    """Return the ids of the runs that earlier commands asked for."""
    return set((read_plan(folder) or {"planned": ()})["planned"])


def _revisions(folder: Path, design: Design) -> list[Revision]:
    """Return the revisions noted before, and what this plan changes now that results can be seen."""
    if (plan := read_plan(folder)) is None:
        return []
    noted = _read_revisions(plan)
    finished = len(set(finished_runs(folder / RUNS_FOLDER)) & set(plan["planned"]))
    before, now = _declared(parse_spec(plan["spec"])), _declared(design.spec)
    changes = [f"{name} was {before[name]}, is {now[name]}" for name in now if before[name] != now[name]]
    cells, kept = [cell["id"] for cell in plan["cells"]], {cell.id for cell in design.cells}
    if gone := [cell for cell in cells if cell not in kept]:
        changes.append(f"{len(gone)} of {len(cells)} cells left out: {', '.join(gone[:3])}")
    if new := kept - {*cells}:
        changes.append(f"cells added to {len(cells)}: {', '.join(sorted(new)[:3])}")
    return [*noted, Revision(tuple(changes), finished)] if finished and changes else noted


def _read_revisions(plan: Mapping[str, Any]) -> list[Revision]:
    return [Revision(tuple(noted["changes"]), noted["finished"]) for noted in plan.get("revisions", ())]


def _declared(spec: StudySpec) -> dict[str, str]:
    """Return what the error rates of a study's verdicts rest on, and so what must be declared before it runs."""
    rules = spec.compare.model_dump(mode="json")
    stages = " then ".join(map(str, spec.study.stages))
    counted = spec.study.seeds == tuple(range(len(spec.study.seeds)))
    seeds = stages if counted else f"{stages} ({label(list(spec.study.seeds))})"
    return {"seeds": seeds, **{name: label(value) for name, value in rules.items()}}


def study_folder(name: str, out: Path) -> Path:
    """Return the folder of the study called ``name`` under ``out``."""
    return out / slug(name)


def study_identity(folder: Path) -> str:
    """Return what tells the study in this folder from one of the same name elsewhere; made when first asked for.

    Raises:
        DamagedRecord: if it cannot be read.
    """
    path = folder / IDENTITY_FILE
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        plan = read_plan(folder) or {}
        write_json(path, plan.get("identity", uuid.uuid4().hex))
    return read_as(path, _text)


def _text(data: object) -> str:
    if not isinstance(data, str):
        raise TypeError("must be text")
    return data


def read_plan(folder: Path) -> dict[str, Any] | None:
    """Read what a study was when it was last run; None if it never was.

    Raises:
        DamagedRecord: if it cannot be read.
        StudyConflict: if it was written by another version of this format.
    """
    path = folder / PLAN_FILE
    if not path.is_file():
        return None
    plan = read_as(path, _as_plan)
    if plan["schema"] != SCHEMA:
        raise StudyConflict(f"{path}: schema {plan['schema']!r}, must be {SCHEMA}: another version wrote it")
    try:
        parse_spec(plan["spec"])
    except BadInput as error:  # whole, but not what is taken today
        what = str(error.problems[0])
        raise StudyConflict(f"{path}: another version wrote it, which took what this one does not: {what}") from error
    return plan


def _as_plan(data: Any) -> dict[str, Any]:
    if not {"schema", "spec", "planned", "arms", "cells", "aliases", "provenance"} <= data.keys():
        raise KeyError("not a plan")
    return dict(data)


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
    planned = tuple(plan["planned"])
    finished = set(finished_runs(folder / RUNS_FOLDER))
    failed = {path.stem: path for path in sorted((folder / FAILURES_FOLDER).glob("*.json"))}
    records, damaged = read_records(folder, [run for run in planned if run in finished], verify)
    failures, torn = _read_failures(path for run, path in failed.items() if run not in finished)
    return Study(
        spec=parse_spec(plan["spec"]).with_views(),
        arms=tuple(plan["arms"]),
        cells=tuple(Cell(**cell) for cell in plan["cells"]),
        aliases=tuple(Alias(**alias) for alias in plan["aliases"]),
        planned=planned,
        records=records,
        failures=tuple(failures[run] for run in planned if run in failures),
        provenance=plan["provenance"],
        folder=folder,
        searches=read_searches(folder),
        revisions=tuple(_read_revisions(plan)),
        lost_tries=tuple(f for run, f in failures.items() if run not in planned and f.trial is not None),
        damaged=(*damaged, *torn),
    )


def _read_failures(paths: Iterable[Path]) -> tuple[dict[str, Failure], tuple[str, ...]]:
    """Return those failures that can be read, by run, and what is wrong with the others."""
    failures, damaged = {}, []
    for path in paths:
        try:
            failures[path.stem] = read_as(path, Failure.of)
        except DamagedRecord as error:
            damaged.append(str(error))
        except FileNotFoundError:  # tried again meanwhile, with success
            continue
    return failures, tuple(damaged)


def read_records(
    folder: Path, runs: Iterable[str], verify: bool = False
) -> tuple[tuple[RunRecord, ...], tuple[str, ...]]:
    """Return those records that can be read, and what is wrong with the others."""
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
