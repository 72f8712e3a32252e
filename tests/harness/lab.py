"""What the tests of the harness share: small studies of the fake algorithm, and a look into both databases."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pytest
from pydantic import TypeAdapter

from harness import Algorithm, Study, load_results, load_study, parse_spec, run_study
from harness.mirrors.addresses import MEMORY
from harness.mirrors.databases import sqlite_url
from harness.mirrors.memory import MemoryMirror
from harness.record.json_file import read_as
from tests.processes import Running

if TYPE_CHECKING:
    import optuna
    import pandas as pd
    from mlflow.entities import Run

Test = TypeVar("Test", bound=Callable[..., Any])
ROOT = Path(__file__).parents[2]
NOBODY = 2**22 + 1  # the number of no process: Linux counts to 2**22
FAKE = Algorithm("tests.harness.fake_algorithm:Config", "tests.harness.fake_algorithm:train")
# Modules whose tests touch the databases start with `pytestmark = DATABASES`; single tests are marked with `databases`.
DATABASES = [
    pytest.mark.stores,
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy"),  # MLflow on SQLAlchemy 2.1
]
PATIENCE = 60.0  # seconds after which something that should have happened has not


def databases(test: Test) -> Test:
    """Mark a test as one that touches the databases."""
    for mark in DATABASES:
        test = mark(test)
    return test


def study_data(name: str = "tiny", seeds: Any = 2, cells: int = 2, **base: Any) -> dict[str, Any]:
    """A study of two arms and a few cells; keyword arguments are settings all runs share."""
    return {
        "study": {"name": name, "question": "Does it matter?", "seeds": seeds, "time_limit": 60},
        "base": base,
        "sweep": {"n": list(range(1, cells + 1)), "arm": ["a", "b"]},
        "compare": {"factor": "arm", "baseline": "a", "candidates": ["b"], "metric": "score"},
    }


def read_json(path: Path) -> Any:
    """A JSON file of a study, untyped."""
    return read_as(path, TypeAdapter(Any))


def decide_by_name(study: Study) -> Mapping[str, int]:
    """Cell n-1 is decided at its first look, n-2 at its second, n-3 never; a look needs all of its runs."""
    settled = {(r.cell, r.arm, r.seed) for r in study.records} | {(f.cell, f.arm, f.seed) for f in study.failures}
    wanted = {}
    for cell in study.cells:
        last = {"n-1": 2, "n-2": 3}.get(cell.id, 5)
        for look in study.spec.study.stages:
            wanted[cell.id] = look
            if look == last or not {(cell.id, arm, seed) for arm in study.arms for seed in range(look)} <= settled:
                break
    return wanted


def wait_for(condition: Callable[[], object], what: str, patience: float = PATIENCE) -> None:
    """Poll until a condition holds; one that is dear to check, as by asking a database, is checked less often."""
    deadline = time.monotonic() + patience
    began = time.monotonic()
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {patience:g} s for {what}")
        time.sleep(max(0.005, 5 * (time.monotonic() - began)))
        began = time.monotonic()


def without_time(table: pd.DataFrame) -> pd.DataFrame:
    """A results table without the columns that depend on the machine."""
    return table[[name for name in table.columns if not name.startswith("time/")]]


def alive(pid: int) -> bool:
    """Whether a process still runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def children_of(pid: int) -> list[int]:
    """The processes a process has started."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.append(int(stat.parent.name))
    return found


class Lab:
    """Studies in one folder: ``out/``, ``mlflow.db`` and one Optuna database, all real.

    Without blank databases to begin with, the mirrors of all its studies are kept in memory.
    """

    def __init__(self, folder: Path, blank: Path | None = None) -> None:
        self.folder = folder
        self.out = folder / "out"
        self._blank = blank
        self._in_memory: dict[str, MemoryMirror] = {}
        self.storage, self.tracking_uri = MEMORY, MEMORY
        if blank is not None:
            self.storage = sqlite_url(folder / "optuna.db")
            self.tracking_uri = sqlite_url(folder / "mlflow.db")
            shutil.copy(blank / "optuna.db", folder)

    @property
    def has_stores(self) -> bool:
        """Whether there are databases, rather than mirrors in memory."""
        return self._blank is not None

    @property
    def blank(self) -> Path:
        """Where empty databases are."""
        assert self._blank is not None, "mark the test with `databases`"
        return self._blank

    def memory(self, name: str) -> MemoryMirror:
        """What stands in for a store, the same for every command: a test without databases runs but one study."""
        return self._in_memory.setdefault(name, MemoryMirror(name))

    def run(self, data: Mapping[str, Any], algorithm: Algorithm = FAKE, **options: Any) -> Study:
        """Run a study in this process, or continue it."""
        options = {"out": self.out, "storage": self.storage, "executor": "inline", **options}
        if not self.has_stores:
            options.setdefault("tracking_uri", MEMORY)
        return run_study(parse_spec(data), algorithm, **options)

    def study(self, name: str = "tiny") -> Study:
        """Read a study as it stands on disk."""
        return load_study(self.out / name)

    def start(self, data: Mapping[str, Any], **options: Any) -> Running:
        """Run a study in a process of its own."""
        options = {"out": str(self.out), "storage": self.storage, "jobs": 2, **options}
        if not self.has_stores:
            options.setdefault("tracking_uri", MEMORY)
        arguments = [json.dumps(data), json.dumps(options)]
        return Running("tests.harness.study_program", arguments, self.folder, {**os.environ, "PYTHONPATH": str(ROOT)})

    def finish(self, process: Running | subprocess.Popen[str], send: signal.Signals | None = None) -> tuple[int, str]:
        """Send a signal, wait for the end, return the exit code as a shell shows it and standard error."""
        if send is not None:
            process.send_signal(send)
        _, errors = process.communicate(timeout=PATIENCE)
        code = process.returncode
        return (code if code >= 0 else 128 - code), errors

    def table(self, name: str = "tiny") -> pd.DataFrame:
        """The study's results on disk, without what depends on the machine."""
        return without_time(load_results(name, self.out))

    def marks(self) -> Path:
        """A folder for runs to leave their marks in."""
        folder = self.folder / "marks"
        folder.mkdir(exist_ok=True)
        return folder

    def attempts(self, status: str, name: str = "tiny") -> list[tuple[str, int]]:
        """Run and number of the attempts that are of this status in MLflow, or in memory."""
        if self.has_stores:
            found = [run.data.tags for run in self.children(name, status)]
            return [(tags["run"], int(tags["attempt"])) for tags in found]
        return [attempt for attempt, now in self.memory("MLflow").attempts.items() if now == status]

    def ended(self) -> str | None:
        """How the study's last command ended, as MLflow has it, or as it stands in memory."""
        return str(self.parent().info.status) if self.has_stores else self.memory("MLflow").status

    def mlflow_runs(self, name: str = "tiny") -> list[Run]:
        """Every run of the study's experiment."""
        from mlflow import MlflowClient

        assert self.tracking_uri != MEMORY, "mark the test with `databases`"
        client = MlflowClient(tracking_uri=self.tracking_uri)
        experiment = client.get_experiment_by_name(name)
        return [] if experiment is None else list(client.search_runs([experiment.experiment_id], max_results=1000))

    def children(self, name: str = "tiny", status: str | None = None) -> list[Run]:
        """The runs of the study's experiment that stand for attempts."""
        found = [run for run in self.mlflow_runs(name) if "run" in run.data.tags]
        return [run for run in found if status is None or run.info.status == status]

    def parent(self, name: str = "tiny") -> Run:
        """The one run that stands for the study."""
        (parent,) = [run for run in self.mlflow_runs(name) if "run" not in run.data.tags]
        return parent

    def trials(self, name: str = "tiny", state: str | None = None) -> list[optuna.trial.FrozenTrial]:
        """Optuna's trials."""
        import optuna

        storage = optuna.storages.RDBStorage(self.storage)
        found = optuna.load_study(study_name=name, storage=storage).trials
        storage.remove_session()
        storage.engine.dispose()
        return [trial for trial in found if state is None or trial.state.name == state]

    def assert_invariant(self, study: Study) -> None:
        """Every planned run has one result on disk, in Optuna and in MLflow; nothing is left running.

        The runs of a search stand once on disk and in MLflow, too; they are no trials of the comparison.
        """
        planned, metric = sorted(study.planned), study.spec.compare.metric
        assert sorted(record.run for record in study.records) == planned
        assert not list(study.folder.rglob(".draft-*"))
        assert not list(self.folder.rglob("*.creating-*"))
        if not self.has_stores:
            self._assert_memory_holds(planned)
            return
        by_run = {record.run: record for record in study.records}
        runs = self.mlflow_runs(study.spec.name)
        assert {run.info.status for run in runs} <= {"FINISHED", "FAILED", "KILLED"}
        finished = [run for run in runs if "run" in run.data.tags and run.info.status == "FINISHED"]
        tries = Counter(run.data.tags["run"] for run in finished if "phase" in run.data.tags)
        assert tries == Counter(tries.keys())
        assert Counter(run.data.tags["run"] for run in finished) - tries == Counter(planned)
        for run in finished:
            record = by_run.get(run.data.tags["run"])
            assert record is None or run.data.metrics.get(metric) == record.metrics.get(metric)
        trials = self.trials(study.spec.name)
        assert {trial.state.name for trial in trials} <= {"COMPLETE", "FAIL"}
        complete = [trial for trial in trials if trial.state.name == "COMPLETE"]
        assert sorted(trial.user_attrs["run"] for trial in complete) == planned
        worst = study.spec.compare.diverged_score
        values = {run: record.metrics.get(metric, worst) for run, record in by_run.items()}
        assert {trial.user_attrs["run"]: trial.value for trial in complete} == values

    def _assert_memory_holds(self, planned: list[str]) -> None:
        for mirror in self._in_memory.values():
            assert "RUNNING" not in mirror.attempts.values()
            finished = [run for (run, _), status in mirror.attempts.items() if status == "FINISHED"]
            assert sorted(run for run in finished if "__trial-" not in run) == planned


def make_lab(request: pytest.FixtureRequest, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """A lab in a folder of the test's own, which is the working directory.

    What a study's stores hold is kept in memory, where the test has no marker ``stores``.
    """
    if request.node.get_closest_marker("stores"):
        return Lab(request.getfixturevalue("workplace"), request.getfixturevalue("blank_databases"))
    monkeypatch.chdir(folder)
    lab = Lab(folder)
    monkeypatch.setattr("harness.mirrors.opening.MemoryMirror", lab.memory)
    return lab
