"""What a study was when it was last run: ``study.json``."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import BadInput, StudyConflict
from harness.record.json_file import read_as, write_json
from harness.record.run import SCHEMA, finished_runs
from harness.study.design import Design
from harness.study.names import label
from harness.study.spec import StudySpec, parse_spec

if TYPE_CHECKING:
    pass
from harness.record.folder import IDENTITY_FILE, PLAN_FILE, RUNS_FOLDER


@dataclass(frozen=True)
class Revision:
    """A change to what a study declares, made when results could already be seen.

    Attributes:
        changes: what was declared before and what since, a clause each.
        finished: how many of its runs had finished by then.
    """

    changes: tuple[str, ...]
    finished: int


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
