"""Any commands and faults in any order: a study's record is what a dictionary says it must be.

The dictionary knows for each run whether its result is on disk, whether it failed last, and how often it was computed.
After every step the disk must agree with it, figure by figure; after every command that ended well both stores must.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import sqlite3
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

import harness.commands.dispatcher
import harness.mirrors.patient
import harness.record.files
import harness.record.run
from harness import Interrupted, Observer, RunRecord, Study, StudyChanged, StudyLocked, expand, parse_spec
from harness.commands.damage import damaged_files
from harness.commands.doctor import examine_study, repair_study
from harness.commands.sync import sync_study
from harness.errors import DamagedRecord, Undelivered
from harness.mirrors.databases import sqlite_path
from harness.record.attempt import Failure
from harness.record.run import finished_runs, verify_record
from harness.study.design import PlannedRun
from tests.faults.clocks import HOUR, Clock
from tests.faults.locks import shorten_mlflows_patience
from tests.harness.fake_algorithm import Config, score
from tests.harness.lab import DATABASES, FAKE, Lab, study_data

pytestmark = DATABASES

Thing = TypeVar("Thing")

WHICH = st.integers(0, 99)
SEEDS, KINDS = 3, ("plain", "failing", "diverging")  # as far as a study can grow
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.truncate"}


class Killed(BaseException):
    """Stands for a SIGKILL: from the write it is raised at, nothing is written any more."""


class Death:
    """Ends the n-th durable write of this process and all that follow, until it is called off.

    Writes are files opened for it, what changes a folder, the content of a run's file (torn in half) and commits.
    """

    _armed: Death | None = None
    _heard = False

    def __init__(self, folder: Path, write: int) -> None:
        self._folder = folder
        self._left = write
        self.came = False

    def __enter__(self) -> Death:
        if not Death._heard:  # an audit hook stays for good
            sys.addaudithook(Death._hear)
            Death._heard = True
        Death._armed = self
        return self

    def __exit__(self, *error: object) -> None:
        Death._armed = None

    def reach(self, act: Callable[[], object] = lambda: None) -> None:
        """Pass a write, or die at it, or be dead already."""
        self._left -= 1
        if self._left == 0:
            self.came = True
            act()
        if self._left <= 0:
            raise Killed

    @staticmethod
    def _hear(event: str, arguments: tuple[Any, ...]) -> None:
        death = Death._armed
        if death is None or not (event in CHANGES or (event == "open" and (arguments[2] or 0) & WRITING)):
            return
        path = arguments[0]
        if isinstance(path, str | bytes | os.PathLike):
            where = Path.cwd() / os.fsdecode(path)
            if where.is_relative_to(death._folder) and not (event == "os.mkdir" and where.is_dir()):
                death.reach()

    @staticmethod
    def watch_writes(patch: pytest.MonkeyPatch) -> None:
        """Count what happens without a name: contents and commits."""
        from sqlalchemy.engine.default import DefaultDialect

        write, commit = harness.record.files.write_synced, DefaultDialect.do_commit

        def tearing(path: Path, content: bytes) -> None:
            write(path, content)
            if Death._armed is not None:
                Death._armed.reach(lambda: os.truncate(os.open(path, os.O_RDWR), len(content) // 2))

        def committing(dialect: Any, connection: Any) -> None:
            writes = Death._armed is not None and connection.in_transaction
            if writes:
                Death._armed.reach()
            commit(dialect, connection)
            if writes:
                Death._armed.reach()

        for module in (harness.record.files, harness.record.run):
            patch.setattr(module, "write_synced", tearing)
        patch.setattr(DefaultDialect, "do_commit", committing)


class Script(Observer):
    """Does what it is given when so many runs have finished or failed in this command."""

    def __init__(self, acts: dict[int, Callable[[], None]]) -> None:
        self._acts = acts
        self._settled = 0
        self.warnings: list[str] = []

    def warned(self, what: str) -> None:
        self.warnings.append(what)

    def finished(self, record: RunRecord) -> None:
        self._settle()

    def failed(self, failure: Failure, will_retry: bool) -> None:
        self._settle()

    def _settle(self) -> None:
        self._settled += 1
        self._acts.get(self._settled, lambda: None)()


@dataclass(frozen=True)
class Known:
    """What the dictionary says of a run: whether its result is on disk, or it failed, and how often it was computed."""

    state: Literal["missing", "finished", "failed"] = "missing"
    computed: int = 0


class Record(RuleBasedStateMachine):
    """One study, under everything that may happen to it."""

    blank: Path
    home: Path
    place: Iterator[int]
    clock: Clock

    @initialize()
    def prepare(self) -> None:
        self.folder = self.home / str(next(self.place))
        self.folder.mkdir()
        os.chdir(self.folder)
        shutil.copy(self.blank / "mlflow.db", self.folder)
        self.lab = Lab(self.folder, self.blank)
        self.study = self.lab.out / "tiny"
        self.mended = self.folder / "mended"
        self.lab.marks()
        self.seeds, self.kinds = 1, 1
        self.model: dict[str, Known] = {}
        self.files: dict[str, dict[str, str]] = {}  # digests of a run's files, by run
        self.damaged: set[str] = set()  # runs
        self.torn = False  # one of the small files
        self.stale = True  # whether the stores may not know all that is on disk

    def teardown(self) -> None:
        os.chdir(self.home)
        shutil.rmtree(self.folder, ignore_errors=True)

    # what is run

    def data(self, **base: Any) -> dict[str, Any]:
        data = study_data(seeds=self.seeds, marks=str(self.folder / "marks"), until=str(self.mended), **base)
        kinds = {
            "plain": {"mode": "ok"},
            "failing": {"n": 2, "mode": "raise"},
            "diverging": {"n": 3, "mode": "diverge"},
        }
        data["sweep"] = {"kind": {kind: kinds[kind] for kind in KINDS[: self.kinds]}, "arm": ["a", "b"]}
        data["compare"]["diverged_score"] = -0.5
        return data

    def planned(self) -> dict[str, PlannedRun]:
        return {run.id: run for run in expand(parse_spec(self.data()), FAKE).runs}

    def command(self, acts: dict[int, Callable[[], None]] | None = None, **base: Any) -> tuple[Study, Script]:
        script = Script(acts or {})
        return self.lab.run(self.data(**base), tracking_uri=self.lab.tracking_uri, observer=script), script

    def outcome(self, run: PlannedRun) -> Literal["finished", "failed"]:
        return "failed" if run.config.mode == "raise" and not self.mended.exists() else "finished"

    def foresee(self, runs: int | None = None) -> int:
        """Compute what is missing in the dictionary, or so many runs of it; return how many there were."""
        missing = [run for run in self.planned().values() if self.known(run.id).state != "finished"]
        for run in missing[:runs]:
            self.model[run.id] = Known(self.outcome(run), self.known(run.id).computed + 1)
        self.damaged -= {run.id for run in self.planned().values()}
        self.torn = False
        return len(missing)

    def known(self, run: str) -> Known:
        return self.model.get(run, Known())

    # what may happen

    @rule()
    def run_to_the_end(self) -> None:
        damage = bool(self.damaged or self.torn)
        self.foresee()
        study, script = self.command()
        assert bool(script.warnings) == damage, script.warnings
        self.assert_mirrored(study)

    @rule(runs=st.integers(1, 6))
    def stop_after(self, runs: int) -> None:
        def stop() -> None:
            raise Interrupted(2)

        if self.foresee(runs) < runs:
            self.command({runs: stop})
        else:
            self.stale = True
            with pytest.raises(Interrupted):
                self.command({runs: stop})
            assert not [run for run in self.lab.mlflow_runs() if run.info.status == "RUNNING"]
            assert not self.lab.trials(state="RUNNING")

    @rule(write=st.integers(1, 120))
    def die_at(self, write: int) -> None:
        before = dict(self.model)
        with Death(self.folder, write) as death, contextlib.suppress(Killed):
            self.command()
        if death.came:
            self.stale = True
            self.learn(before)
        else:
            self.foresee()

    @precondition(lambda self: self.model)
    @rule(when=st.integers(1, 3), what=st.sampled_from(["run", "sync", "doctor"]))
    def come_second(self, when: int, what: str) -> None:
        stores = self.lab.storage, self.lab.tracking_uri
        second: dict[str, Callable[[], object]] = {
            "run": self.command,
            "sync": lambda: sync_study(self.study, *stores),
            "doctor": lambda: examine_study(self.study, *stores),
        }

        def try_it() -> None:
            before = self.everything()
            with pytest.raises(StudyLocked, match=f"process {os.getpid()} on "):
                second[what]()
            assert self.everything() == before

        self.foresee()
        study, _ = self.command({when: try_it})
        self.assert_mirrored(study)

    @precondition(lambda self: any(known.state == "finished" for known in self.model.values()) and not self.dirty())
    @rule()
    def change_settings(self) -> None:
        before = self.everything()
        with pytest.raises(StudyChanged, match=r"x was 0\.5, is 0\.25"):
            self.command(x=0.25)
        assert self.everything() == before

    @rule(more=st.sampled_from(["seeds", "kinds"]))
    def grow(self, more: str) -> None:
        self.seeds = min(self.seeds + (more == "seeds"), SEEDS)
        self.kinds = min(self.kinds + (more == "kinds"), len(KINDS))
        self.stale = True

    @rule()
    def mend_or_break_the_algorithm(self) -> None:
        if self.mended.exists():
            self.mended.unlink()
        else:
            self.mended.touch()

    @precondition(lambda self: self.kept())
    @rule(which=WHICH)
    def delete_a_record(self, which: int) -> None:
        run = nth(self.kept(), which)
        shutil.rmtree(self.study / "runs" / run)
        self.lose(run)

    @precondition(lambda self: self.kept())
    @rule(which=WHICH, file=WHICH, keep=st.floats(0, 0.99))
    def damage_a_record(self, which: int, file: int, keep: float) -> None:
        run = nth(self.kept(), which)
        truncate(nth(sorted((self.study / "runs" / run).iterdir()), file), keep)
        self.lose(run)
        self.damaged.add(run)

    @precondition(lambda self: self.small_files() and not self.torn)
    @rule(which=WHICH, keep=st.floats(0, 0.9))
    def damage_a_small_file(self, which: int, keep: float) -> None:
        path = nth(self.small_files(), which)
        if truncate(path, keep):
            self.torn = True
            if (run := path.parent.name) in self.model and not self.failed(run):
                self.model[run] = replace(self.model[run], state="missing")

    @rule(hours=st.sampled_from([-1, 1]), after=st.integers(0, 3))
    def let_the_clock_jump(self, hours: int, after: int) -> None:
        if after == 0:
            self.clock.jump(hours * HOUR)
            return
        self.foresee()
        study, _ = self.command({after: lambda: self.clock.jump(hours * HOUR)})
        self.assert_mirrored(study)

    @rule(away=st.integers(1, 3), back=st.integers(2, 5))
    def lose_the_tracking_store(self, away: int, back: int) -> None:
        path = sqlite_path(self.lab.tracking_uri)
        assert path is not None
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            acts = {
                away: lambda: other.execute("BEGIN EXCLUSIVE"),
                back: lambda: other.in_transaction and other.execute("ROLLBACK"),
            }
            missing = self.foresee()
            if away < back and away <= missing < back:  # it is away at the end
                self.stale = True
                with pytest.raises(Undelivered, match="is away"):
                    self.command(acts)
            else:
                study, _ = self.command(acts if away < back else None)
                self.assert_mirrored(study)

    @precondition(lambda self: (self.study / "study.json").exists() and not self.dirty())
    @rule()
    def deliver(self) -> None:
        synced = sync_study(self.study, self.lab.storage, self.lab.tracking_uri)
        self.assert_mirrored(synced.study, asked_for=not self.stale)

    @precondition(lambda self: (self.study / "study.json").exists())
    @rule()
    def look(self) -> None:
        before = self.everything()
        found = examine_study(self.study, self.lab.storage, self.lab.tracking_uri)
        assert self.everything() == before
        assert bool(found) or self.stale or not self.dirty(), found
        assert not found or self.stale or self.dirty(), found

    @precondition(lambda self: (self.study / "study.json").exists())
    @rule()
    def repair(self) -> None:
        said: list[str] = []
        repair_study(self.study, self.lab.storage, self.lab.tracking_uri, said.append)
        assert bool(said) == self.dirty(), said
        self.damaged.clear()
        self.torn = False
        self.stale = True
        if (self.study / "study.json").exists():
            assert examine_study(self.study, self.lab.storage, self.lab.tracking_uri) == []

    # what must hold

    @invariant()
    def the_disk_agrees_with_the_dictionary(self) -> None:
        kept = {run for run, known in self.model.items() if known.state == "finished"}
        assert {*finished_runs(self.study / "runs")} == kept | self.damaged
        planned = self.planned()
        for run in kept:
            record = verify_record(self.study / "runs" / run)
            assert record.run == run
            assert record.seconds >= 0
            self.assert_figures(record, planned[run].config)
            assert self.files.setdefault(run, digests(record.folder)) == digests(record.folder), run
        for run in self.damaged:
            with pytest.raises(DamagedRecord):
                verify_record(self.study / "runs" / run)
        marks = Counter(path.name.rpartition("-")[0] for path in (self.folder / "marks").iterdir())
        computed = {mark_of(planned[run].config): known.computed for run, known in self.model.items()}
        assert marks == Counter({mark: count for mark, count in computed.items() if count})

    def assert_figures(self, record: RunRecord, config: Config) -> None:
        if config.mode == "diverge" and record.outcome == "diverged":
            assert record.metrics == {"steps": 7.0}
            return
        value = score(config)
        assert record.outcome == "complete"
        assert record.metrics == {"score": value, "steps": 100.0}
        assert record.curve_points() == {"learning": [(50, value / 2), (100, value)]}

    def assert_mirrored(self, study: Study, asked_for: bool = True) -> None:
        """Both stores hold every finished run once, and nothing that is running; durations are not negative."""
        finished = tuple(record.run for record in study.records)
        if asked_for:
            assert {*study.planned} == {*self.planned()}
            assert {*finished} == {run for run, known in self.model.items() if known.state == "finished"}
            assert {f.run for f in study.failures} == {r for r, known in self.model.items() if known.state == "failed"}
            self.stale = False
        self.lab.assert_invariant(replace(study, planned=finished))
        for run in self.lab.mlflow_runs():
            assert run.info.end_time >= run.info.start_time
        for trial in self.lab.trials():
            assert trial.duration is not None
            assert trial.duration.total_seconds() >= 0

    # helpers

    def learn(self, before: dict[str, Known]) -> None:
        """Take over what a command that died left, as far as it may have done that."""
        planned = self.planned()
        runs = {*finished_runs(self.study / "runs")}
        marks = Counter(path.name.rpartition("-")[0] for path in (self.folder / "marks").iterdir())
        unrecorded = 0
        for run in planned:
            was = before.get(run, Known())
            computed = marks[mark_of(planned[run].config)]
            assert computed - was.computed in ((0,) if was.state == "finished" else (0, 1)), run
            if run in self.damaged and run in runs and computed == was.computed:
                try:
                    verify_record(self.study / "runs" / run)
                except DamagedRecord:
                    continue  # it was not looked at yet
            self.damaged.discard(run)
            state = "finished" if run in runs else "failed" if self.failed(run) else "missing"
            if was.state == "finished":
                assert state == "finished", run
            unrecorded += computed > was.computed and state == "missing"
            self.model[run] = Known(state, computed)  # type: ignore[arg-type]
        assert unrecorded <= 1
        if self.torn:  # it may have been mended by then
            self.torn = bool(damaged_files(self.study))

    def lose(self, run: str) -> None:
        self.model[run] = replace(self.model[run], state="missing")
        self.files.pop(run, None)
        self.stale = True

    def kept(self) -> Sequence[str]:
        return sorted(run for run, known in self.model.items() if known.state == "finished")

    def dirty(self) -> bool:
        return bool(self.damaged or self.torn)

    def failed(self, run: str) -> bool:
        """Whether the last attempt at a run of which something can be read failed."""
        attempts = sorted(self.study.glob(f"attempts/{run}/*.json"), key=lambda path: int(path.stem))
        for path in reversed(attempts):
            with contextlib.suppress(json.JSONDecodeError):
                attempt = json.loads(path.read_text(encoding="utf-8"))
                if "reason" in attempt or attempt["ended"] is not None:
                    return "reason" in attempt
        return False

    def small_files(self) -> list[Path]:
        """The plan and what tells the study from others are not both lost: neither is damaged while the other is gone.

        (A repair sets a damaged plan aside; only the next run declares it anew.) On the attempts at runs that are
        finished nothing depends.
        """
        attempts = [path for path in self.study.glob("attempts/*/*.json") if path.parent.name not in self.kept()]
        both = [self.study / "study.json", self.study / "identity.json"]
        return sorted([*attempts, *(both if all(path.exists() for path in both) else [])])

    def everything(self) -> dict[str, str]:
        """Digests of all files and of both databases; the lock is told apart by those who hold it."""
        found = digests(self.study, but=(".lock",))
        for path in (self.folder / "mlflow.db", self.folder / "optuna.db"):
            found[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
        return found


def mark_of(config: Config) -> str:
    return f"{config.arm}-{config.n}-{config.seed}"


def nth(things: Sequence[Thing], which: int) -> Thing:
    return things[which % len(things)]


def truncate(path: Path, keep: float) -> bool:
    """Cut off the end of a file; return whether there was one."""
    size = path.stat().st_size
    os.truncate(path, int(size * keep))
    return int(size * keep) < size


def digests(folder: Path, but: Sequence[str] = ()) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name not in but)
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(files)}


@pytest.fixture
def machine(blank_databases: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> type[Record]:
    """The model, with a place for its studies and hands on the clock and on every write."""
    Death.watch_writes(monkeypatch)
    monkeypatch.chdir(tmp_path)
    shorten_mlflows_patience(monkeypatch, 0.05)
    monkeypatch.setattr(harness.mirrors.patient, "FIRST_PAUSE", 0.0)
    origin = harness.commands.dispatcher.provenance.collect()
    monkeypatch.setattr(
        harness.commands.dispatcher.provenance, "collect", lambda: origin
    )  # others may commit meanwhile
    Record.blank, Record.home, Record.place = blank_databases, tmp_path, iter(range(10**9))
    Record.clock = Clock(monkeypatch)
    return Record


DEATHS = (9, 20, 24, 28, 32, 41, 55, 62)  # of the parent, at so many writes
BAD_DAY: Sequence[Callable[[Record], None]] = [
    lambda study: study.look(),
    lambda study: study.run_to_the_end(),
    lambda study: study.look(),
    lambda study: study.mend_or_break_the_algorithm(),
    lambda study: study.let_the_clock_jump(-1, 1),
    lambda study: study.grow("seeds"),
    lambda study: study.stop_after(1),
    lambda study: study.come_second(1, "run"),
    lambda study: study.change_settings(),
    lambda study: study.delete_a_record(0),
    lambda study: study.damage_a_record(1, 2, 0.5),
    lambda study: study.damage_a_small_file(0, 0.5),
    lambda study: study.run_to_the_end(),
    lambda study: study.grow("kinds"),
    lambda study: study.lose_the_tracking_store(1, 5),
    lambda study: study.look(),
    lambda study: study.deliver(),
    lambda study: study.damage_a_record(3, 0, 0.9),
    lambda study: study.repair(),
    lambda study: study.run_to_the_end(),
    lambda study: study.look(),
]


@pytest.mark.fault(2, "a bad day: deaths at writes, a stop, damage, an outage, a clock jump, a second runner")
@pytest.mark.slow
def test_the_record_is_what_a_dictionary_says_after_a_bad_day(machine: type[Record]) -> None:
    study = machine()
    study.prepare()
    study.grow("kinds")
    try:
        for write in DEATHS:
            study.die_at(write)
            study.the_disk_agrees_with_the_dictionary()
        for happen in BAD_DAY:
            happen(study)
            study.the_disk_agrees_with_the_dictionary()
    finally:
        study.teardown()


@pytest.mark.slow
@pytest.mark.fault(2, "any commands, deaths at any write, stops, growth, damage, outages and clock jumps, in any order")
def test_the_record_is_what_a_dictionary_says_in_any_order(machine: type[Record]) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=40,
            stateful_step_count=25,
            deadline=None,
            derandomize=True,
            database=None,
            print_blob=False,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate],  # shrinking takes hours
        ),
    )
