"""Write and read the plan of a study as it was last run: ``study.json``."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import PlainValidator, TypeAdapter

from harness.algorithm.traits import TRAITS, MetricTraits
from harness.errors import BadInput, StudyConflict
from harness.record.folder import IDENTITY_FILE, PLAN_FILE, RUNS_FOLDER
from harness.record.json_file import SCHEMA, read_as, read_versioned, write_json
from harness.record.run import finished_runs
from harness.study.checks import parse_spec
from harness.study.design import Alias, Cell, Design
from harness.study.names import label
from harness.study.spec import StudySpec

_BEFORE: Path = Path(__file__).parent / "metrics_before.json"  # for plans of the first version, which have none


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
class Plan:
    """A study's plan: reports need neither the study file nor the algorithm beside it.

    Attributes:
        schema: version of the format.
        spec: the study.
        arms: compared levels as text, the baseline first.
        cells: the planned cells.
        aliases: combinations another cell stands for.
        planned: ids of the runs asked for so far.
        provenance: of the command that wrote it.
        revisions: changes to what is declared after runs had finished.
        identity: of the study, as :func:`study_identity` returns it.
        metrics: traits of its metrics and of columns of its tables, by name; a plan of the first version, which had one
            algorithm, has those of that.
    """

    schema: Literal[1]
    spec: Annotated[StudySpec, PlainValidator(parse_spec)]
    arms: tuple[str, ...]
    cells: tuple[Cell, ...]
    aliases: tuple[Alias, ...]
    planned: tuple[str, ...]
    provenance: Mapping[str, Any]
    revisions: tuple[Revision, ...] = ()
    identity: str | None = None
    metrics: Mapping[str, MetricTraits] = field(default_factory=lambda: TRAITS.validate_json(_BEFORE.read_bytes()))


_PLAN = TypeAdapter(Plan)
_TEXT = TypeAdapter(str)


def write_plan(
    folder: Path,
    design: Design,
    provenance: Mapping[str, Any],
    planned: Sequence[str] | None = None,
) -> None:
    """Write the plan of a study.

    Args:
        folder: the study's.
        design: the study planned whole.
        provenance: of this command.
        planned: ids of the runs asked for so far; None: all.
    """
    plan = Plan(
        schema=SCHEMA,
        spec=design.spec,
        arms=design.arms,
        cells=design.cells,
        aliases=design.aliases,
        planned=tuple(run.id for run in design.runs) if planned is None else tuple(planned),
        provenance=provenance,
        revisions=_revisions(folder, design),
        identity=study_identity(folder),
        metrics=design.metrics,
    )
    metrics = TRAITS.dump_python(dict(plan.metrics), mode="json", exclude_defaults=True)
    write_json(folder / PLAN_FILE, {**vars(plan), "spec": plan.spec.to_toml_data(), "metrics": metrics})


def read_plan(folder: Path) -> Plan | None:
    """Read the plan of a study as it was last run; None if it never was.

    Raises:
        DamagedRecord: if it cannot be read.
        StudyConflict: if it was written by another version of this format.
    """
    path = folder / PLAN_FILE
    if not path.is_file():
        return None
    try:
        return read_versioned(path, _PLAN)
    except BadInput as error:  # whole, but not what is taken today
        what = str(error.problems[0])
        raise StudyConflict(f"{path}: another version wrote it, which took what this one does not: {what}") from error


def asked_before(folder: Path) -> set[str]:
    """Return the ids of the runs that earlier commands asked for."""
    return set() if (plan := read_plan(folder)) is None else set(plan.planned)


def _revisions(folder: Path, design: Design) -> tuple[Revision, ...]:
    """Return the revisions so far, and one more if this plan changes the last one after runs have finished."""
    if (plan := read_plan(folder)) is None:
        return ()
    finished = len({*finished_runs(folder / RUNS_FOLDER)} & {*plan.planned})
    before, now = _declared(plan.spec), _declared(design.spec)
    changes = [f"{name} was {before[name]}, is {now[name]}" for name in now if before[name] != now[name]]
    cells, kept = [cell.id for cell in plan.cells], {cell.id for cell in design.cells}
    if gone := [cell for cell in cells if cell not in kept]:
        changes.append(f"{len(gone)} of {len(cells)} cells left out: {', '.join(gone[:3])}")
    if new := kept - {*cells}:
        changes.append(f"cells added to {len(cells)}: {', '.join(sorted(new)[:3])}")
    return (*plan.revisions, Revision(tuple(changes), finished)) if finished and changes else plan.revisions


def _declared(spec: StudySpec) -> dict[str, str]:
    """Return the settings that the error rates of a study's verdicts rest on, as text; declared before it runs."""
    rules = spec.compare.model_dump(mode="json")
    stages = " then ".join(map(str, spec.study.stages))
    counted = spec.study.seeds == tuple(range(len(spec.study.seeds)))
    seeds = stages if counted else f"{stages} ({label(list(spec.study.seeds))})"
    return {"seeds": seeds, **{name: label(value) for name, value in rules.items()}}


def study_identity(folder: Path) -> str:
    """Return the identity of a study's folder, which others of the same name do not share; make it if there is none.

    Raises:
        DamagedRecord: if it cannot be read.
    """
    path = folder / IDENTITY_FILE
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        plan = read_plan(folder)
        write_json(path, (plan and plan.identity) or uuid.uuid4().hex)
    return read_as(path, _TEXT)
