"""Decide from the record which runs to compute next: an interrupted study goes on as if it had not been.

Three things make a study grow while it runs: search mode, whose proposals depend on scores; the cells that wait for the
settings it finds; and interim looks, after which only undecided cells get more seeds. Each waits until all that was
asked for before is settled, so that what is asked next depends on no run's speed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydantic

from harness.algorithm.questions import labels
from harness.commands.tuning import Tuning
from harness.errors import DamagedRecord, StudyChanged
from harness.record.files import set_aside
from harness.record.folder import RUNS_FOLDER
from harness.record.plan import asked_before, write_plan
from harness.record.run import RunRecord, finished_runs, read_record
from harness.record.search import ArmSearch
from harness.record.study import Study, load_study
from harness.study.design import Design, PlannedRun

Judge = Callable[[Study], Mapping[str, int]]


@dataclass(frozen=True)
class Batch:
    """A batch of runs to compute together.

    Attributes:
        runs: those that are missing, in order.
        total: how many runs the study asks for so far, finished ones included.
        why: the reason for them, as a phrase; empty for the first.
    """

    runs: Sequence[PlannedRun]
    total: int
    why: str = ""


class Agenda:
    """A study's runs as they become due.

    Args:
        design: the study planned whole.
        folder: its folder; the caller holds the study's lock.
        provenance: of this command.
        judge: returns how many of a study's seeds each cell needs by now; required where there are looks.
        warn: called with a sentence for each damaged record: it is set aside, and its run is computed again.

    Attributes:
        records: the runs found finished, by id, and all of a search.

    Raises:
        StudyChanged: if finished runs were made with other settings.
    """

    def __init__(
        self,
        design: Design,
        folder: Path,
        provenance: Mapping[str, Any],
        judge: Judge | None,
        warn: Callable[[str], None] = lambda what: None,
    ) -> None:
        self._folder = folder
        self._provenance = provenance
        self._judge = judge
        self._warn = warn
        search = design.spec.search
        self._tuning = None if search is None else Tuning(design, search, folder)
        self._design = design if self._tuning is None else design.tuned(self._tuning.found)
        trials = [] if self._tuning is None else self._tuning.runs
        self.records: dict[str, RunRecord] = {}
        self._done: set[str] = set()
        self._read([*trials, *self._design.runs])
        self._asked = asked_before(folder) & self._done  # the rest is asked for again when it is due
        self._ask_for_the_first_look()
        self._first = True

    @property
    def searches(self) -> tuple[ArmSearch, ...]:
        """The tuning of each arm, as far as it has come."""
        return () if self._tuning is None else self._tuning.arms

    @property
    def open_ended(self) -> bool:
        """Whether more may be asked for than :meth:`more` returns at first."""
        return self._tuning is not None or len(self._design.spec.study.stages) > 1

    def more(self, lost: Set[str] = frozenset()) -> Batch:
        """Return the runs to compute next; none when the study is done.

        Args:
            lost: runs that failed for good in this command; the next command tries them again.
        """
        why = ""
        if self._tuning is not None and not self._tuning.found:
            while runs := self._tuning.more(self.records, lost):
                if not self._read(runs):  # else its proposals were lost, but not what came of them
                    return self._batch(runs, f"trial {1 + max(run.trial or 0 for run in runs)} of each arm")
            self._design = self._design.tuned(self._tuning.found)
            self._read(self._design.runs)
            self._ask_for_the_first_look()
            why = "the arms at the settings found"
        if not (missing := self._missing(lost)) and self._judge is not None and self.open_ended:
            self._ask(self._judge(load_study(self._folder)))
            missing = self._missing(lost)
            cells = len({run.cell.id for run in missing})
            why = "1 undecided cell goes on" if cells == 1 else f"{cells} undecided cells go on"
        return self._batch(missing, why)

    def finished(self, record: RunRecord) -> None:
        """Note a run's record; it is kept only where proposals rest on it: there may be tens of thousands."""
        self._done.add(record.run)
        if record.trial is not None:
            self.records[record.run] = record

    def _read(self, runs: Sequence[PlannedRun]) -> int:
        """Read the records of runs that are finished though it was not known; return how many."""
        found = _finished(self._folder, [run for run in runs if run.id not in self._done], self._warn)
        self.records |= {record.run: record for record in found}
        self._done |= {record.run for record in found}
        return len(found)

    def _batch(self, runs: Sequence[PlannedRun], why: str) -> Batch:
        tuning = self._tuning.planned if self._tuning is not None else 0
        batch = Batch(runs, tuning + len(self._planned()), "" if self._first else why)
        self._first = False
        return batch

    def _ask(self, seeds: Mapping[str, int]) -> None:
        """Ask for the first so many of the study's seeds in each cell, and write the plan before any of them runs."""
        order = {seed: place for place, seed in enumerate(self._design.spec.study.seeds)}
        self._asked |= {r.id for r in self._design.runs if order[r.seed] < seeds.get(r.cell.id, 0)}
        planned = [run.id for run in self._planned()]
        write_plan(self._folder, self._design, self._provenance, planned)

    def _ask_for_the_first_look(self) -> None:
        self._ask(dict.fromkeys((cell.id for cell in self._design.cells), self._design.spec.study.stages[0]))

    def _planned(self) -> list[PlannedRun]:
        return [run for run in self._design.runs if run.id in self._asked]

    def _missing(self, lost: Set[str]) -> list[PlannedRun]:
        return [run for run in self._planned() if run.id not in self._done and run.id not in lost]


def _finished(folder: Path, runs: Iterable[PlannedRun], warn: Callable[[str], None]) -> list[RunRecord]:
    """Return the records of runs that are finished; refuse to mix them with runs of other settings or labels."""
    present = set(finished_runs(folder / RUNS_FOLDER))
    records = []
    for run in runs:
        if run.id not in present:
            continue
        try:
            record = read_record(folder / RUNS_FOLDER / run.id)
        except DamagedRecord as error:
            kept = set_aside(folder / RUNS_FOLDER / run.id, folder)
            warn(f"{error}; kept as {kept}, the run is computed again")
            continue
        now, then = run.config.model_dump(mode="json"), _as_read_now(record.config, run.config)
        if here := labels(run.config):
            now, then = {**now, **_taken(here)}, {**then, **_taken({**here, **record.labels})}
        differing = [key for key in sorted({*now, *then}) if now.get(key) != then.get(key)]
        if differing:
            changes = ", ".join(f"{key} was {then.get(key)!r}, is {now.get(key)!r}" for key in differing)
            raise StudyChanged(
                f"{folder} holds runs with other settings ({run.id}: {changes}); "
                "give the study another name or --out another folder"
            )
        records.append(record)
    return records


def _taken(labels: Mapping[str, str]) -> dict[str, str]:
    """Return labels under names that no setting has: ``engine`` may be both."""
    return {f"{name} taken": text for name, text in labels.items()}


def _as_read_now(recorded: Mapping[str, Any], config: pydantic.BaseModel) -> Mapping[str, Any]:
    """Return recorded settings with the defaults of fields that came to the config type since."""
    try:
        return type(config).model_validate(dict(recorded)).model_dump(mode="json")
    except pydantic.ValidationError:
        return recorded
