"""Tune each arm apart, with the same budget, before the verdict's seeds are run: search mode.

Proposals stand in ``out/<study>/search.json`` before any of their runs begins; scores are read from the runs'
records. All arms of all cells are tuned side by side, a batch of proposals each, and a batch is proposed when the one
before it is settled, so that nothing depends on which run finishes first.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Mapping, Set
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.algorithm.protocol import with_changes
from harness.errors import StudyChanged
from harness.record.folder import SEARCH_FILE
from harness.record.json_file import write_json
from harness.record.run import RunRecord
from harness.record.scores import Scores
from harness.record.search import ArmSearch, Search, Trial, read_search
from harness.study.design import Design, PlannedRun, is_tuned
from harness.study.names import label, slug
from harness.study.search_space import SearchSection


class Tuning:
    """The search of one study, on disk.

    Args:
        design: the study's design.
        search: the settings to try.
        folder: the study's folder.

    Raises:
        StudyChanged: if earlier proposals were made under another ``[search]``.
    """

    def __init__(self, design: Design, search: SearchSection, folder: Path) -> None:
        self._design = design
        self._search = search
        self._path = folder / SEARCH_FILE
        self._cells = {cell.id: cell for cell in design.cells if is_tuned(cell)}
        before = read_search(folder)
        self.arms = before.arms
        if self.arms:
            self._require_same_search(before.search)
        else:
            self.arms = tuple(
                ArmSearch(cell.id, cell.levels, arm, (), None, {})
                for cell in self._cells.values()
                for arm in design.arms
            )

    @property
    def planned(self) -> int:
        """The number of runs the whole search takes."""
        return len(self.arms) * self._search.trials * len(self._search.seeds)

    @property
    def runs(self) -> list[PlannedRun]:
        """The runs of everything proposed so far, trial by trial, the arms in turn."""
        most = max((len(arm.trials) for arm in self.arms), default=0)
        return [
            run
            for number in range(most)
            for arm in self.arms
            if number < len(arm.trials)
            for run in self._runs_of(arm, arm.trials[number])
        ]

    @property
    def found(self) -> dict[tuple[str, str], Mapping[str, Any]]:
        """The settings found, by (cell, arm); empty before the search is complete."""
        best = {(a.cell, a.arm): a.trials[a.best].settings for a in self.arms if a.best is not None}
        return best if len(best) == len(self.arms) else {}

    def more(self, records: Mapping[str, RunRecord], lost: Set[str]) -> list[PlannedRun]:
        """Return the runs to compute next; none once the search is complete: what was lost by then stays lost.

        Args:
            records: finished runs by id.
            lost: runs that failed and are not to be tried again now.
        """
        while not self.found:
            waiting = [run for run in self.runs if run.id not in records and run.id not in lost]
            if waiting:
                return waiting
            self._score(records, lost)
            left = self._search.trials - min(len(arm.trials) for arm in self.arms)
            self.arms = tuple(self._proposed(arm, left) if left else self._chosen(arm) for arm in self.arms)
            self._write()
            if not left:
                break  # with nothing found where nothing could be measured
        return []

    def _runs_of(self, arm: ArmSearch, trial: Trial) -> Iterator[PlannedRun]:
        cell = self._cells[arm.cell]
        factor = self._design.spec.compare.factor
        level = next(value for value in self._design.spec.factor(factor).values if label(value) == arm.arm)
        config = with_changes(self._design.configs[arm.cell][arm.arm], dict(trial.settings))
        for seed in self._search.seeds:
            yield PlannedRun(
                id=f"{cell.id}__{slug(arm.arm)}__trial-{trial.number}__seed-{seed}",
                cell=cell,
                arm=arm.arm,
                seed=seed,
                levels={**cell.levels, factor: level},
                config=config.model_copy(update={"seed": seed}),
                trial=trial.number,
            )

    def _score(self, records: Mapping[str, RunRecord], lost: Set[str]) -> None:
        """Fill in the scores of settled trials; a run that is lost counts as the worst."""
        own = {run.id: records[run.id] for run in self.runs if run.id in records}
        scores = Scores(self._design.spec.compare, self._design.metrics, own.values())
        self.arms = tuple(
            replace(arm, trials=tuple(self._scored(arm, trial, own, scores) for trial in arm.trials))
            for arm in self.arms
        )

    def _scored(self, arm: ArmSearch, trial: Trial, records: Mapping[str, RunRecord], scores: Scores) -> Trial:
        runs = list(self._runs_of(arm, trial))
        values = [
            scores.of(records[run.id])
            if run.id in records
            else scores.lost(arm.cell, arm.arm, run.config.model_dump(mode="json"))
            for run in runs
        ]
        lost = sum(run.id not in records or records[run.id].outcome == "diverged" for run in runs)
        return replace(trial, scores=tuple(v for v in values if v is not None and math.isfinite(v)), lost=lost)

    def _proposed(self, arm: ArmSearch, left: int) -> ArmSearch:
        from harness.mirrors.optuna.proposals import propose

        # the arms of a cell share the seed, so they begin with the same settings
        seed = zlib.crc32(f"{arm.cell} {len(arm.trials)}".encode())
        count = min(self._search.batch, left)
        maximize = self._design.spec.compare.higher_is_better
        return replace(arm, trials=(*arm.trials, *propose(self._search, maximize, arm.trials, count, seed)))

    def _chosen(self, arm: ArmSearch) -> ArmSearch:
        from harness.mirrors.optuna.proposals import best_of, importances_of

        maximize = self._design.spec.compare.higher_is_better
        importances = importances_of(self._search, maximize, arm.trials)
        return replace(arm, best=best_of(arm.trials, maximize), importances=importances)

    def _write(self) -> None:
        write_json(self._path, Search(self._declared(), self.arms))

    def _declared(self) -> dict[str, Any]:
        """Return the settings a search rests on: its space and budget, and the metric that counts."""
        compare = self._design.spec.compare.model_dump(mode="json")
        aim = {name: compare[name] for name in ("metric", "higher_is_better", "diverged_score")}
        return {**self._search.model_dump(mode="json"), **aim}

    def _require_same_search(self, then: Mapping[str, Any]) -> None:
        now = self._declared()
        arms = [(cell, arm) for cell in self._cells for arm in self._design.arms]
        differing = [name for name in sorted({*now, *then}) if now.get(name) != then.get(name)]
        if [(a.cell, a.arm) for a in self.arms] != arms:
            differing.append("the cells and arms that are tuned")
        if differing:
            raise StudyChanged(
                f"{self._path} holds a search under other settings ({', '.join(differing)}); "
                "give the study another name or --out another folder"
            )
