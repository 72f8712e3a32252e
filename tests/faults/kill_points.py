"""Death at the k-th write, for any k: a program that forks a study for each point, kills it there, and resumes it.

Write points are all that changes something durable: opening a file to write, every write to it (which is cut in
half), fsync, rename, link, unlink, mkdir, rmdir, and every SQL transaction that wrote, before and after its commit.

``python -m tests.faults.kill_points FOLDER BLANK DEATHS...`` prints a line of JSON for each study that was killed:
what was about to happen, and what was wrong after the resume. ``DEATHS`` is one of

    SERIES:K        dies at the K-th write
    SERIES:K+J      dies at the K-th write, another at the (K+J)-th, another at the (K+2J)-th, to the last
    SERIES:K/L      dies at the K-th write, and again at the L-th write of the resume
    SERIES:K/L+J    the same at the L-th, the (L+J)-th, ... write of the resume, to the last

The program imports everything once and forks; it has one thread, so nothing is lost by that.
"""

from __future__ import annotations

import builtins
import gc
import hashlib
import io
import json
import os
import shutil
import signal
import sqlite3
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import harness.compute.choice
from harness import Study, load_results
from harness.compute.executor import InlineExecutor
from harness.compute.task import Event, Failed
from harness.mirrors.databases import sqlite_path
from harness.record.files import write_text
from harness.record.study import load_study
from tests.harness.lab import Lab, study_data, without_time

CHANGES = ("os.rename", "os.link", "os.remove", "os.mkdir", "os.rmdir", "os.truncate")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
COMMANDS = 3  # after which a study must be finished


class WritePoints:
    """Numbers the writes of this process under a folder, and ends it at one of them.

    Args:
        folder: what lies elsewhere is not counted.
        die_at: number of the write, from 1, that this process does not survive; 0: it survives all.
    """

    def __init__(self, folder: Path, die_at: int = 0) -> None:
        self._folder = folder
        self._die_at = die_at
        self.passed: list[str] = []

    def install(self) -> None:
        """Watch everything this process does from now on; it cannot be undone."""
        from sqlalchemy.engine.default import DefaultDialect

        sys.addaudithook(self._hear)
        for home, name in ((builtins, "open"), (io, "open")):
            setattr(home, name, self._opening(getattr(home, name)))
        os.fsync = self._before("fsync", os.fsync)
        os.sendfile = self._copying(os.sendfile)
        DefaultDialect.do_commit = self._committing(DefaultDialect.do_commit)  # type: ignore[method-assign]

    def reach(self, what: str, last_act: Callable[[], object] = lambda: None) -> None:
        """Pass a point, or die there after a last act."""
        self.passed.append(what)
        if len(self.passed) == self._die_at:
            last_act()
            os.kill(os.getpid(), signal.SIGKILL)

    def watches(self, path: object) -> bool:
        """Whether a path lies in the folder; the working directory does."""
        if isinstance(path, int) or not isinstance(path, str | bytes | os.PathLike):
            return False
        return (Path.cwd() / os.fsdecode(path)).is_relative_to(self._folder)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            if flags & WRITING and self.watches(path):
                self.reach("open")
        elif event in CHANGES and self.watches(arguments[0]):
            if event == "os.mkdir" and Path(os.fsdecode(arguments[0])).is_dir():
                return  # it is there: nothing changes
            self.reach(event.removeprefix("os."))

    def _before(self, what: str, act: Callable[..., Any]) -> Callable[..., Any]:
        def acting(*arguments: Any) -> Any:
            self.reach(what)
            return act(*arguments)

        return acting

    def _opening(self, act: Callable[..., Any]) -> Callable[..., Any]:
        def opening(file: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
            opened = act(file, mode, *arguments, **options)
            writes = {*mode} & {*"wax+"} and self.watches(file)
            return TearableFile(opened, self) if writes else opened

        return opening

    def _copying(self, act: Callable[..., int]) -> Callable[..., int]:
        def copying(target: int, source: int, offset: int, count: int) -> int:
            size = os.fstat(source).st_size
            if self.watches(Path(f"/proc/self/fd/{target}").readlink()) and offset < size:
                self.reach("write", lambda: act(target, source, offset, (size - offset) // 2))
            return act(target, source, offset, count)

        return copying

    def _committing(self, act: Callable[..., None]) -> Callable[..., None]:
        def committing(dialect: Any, connection: Any) -> None:
            writes = getattr(connection, "in_transaction", True)
            if writes:
                self.reach("commit")
            act(dialect, connection)
            if writes:
                self.reach("committed")

        return committing


class TearableFile:
    """A file whose writes are points: a process that dies there has written half."""

    def __init__(self, file: Any, points: WritePoints) -> None:
        self._file, self._points = file, points

    def write(self, content: Any) -> Any:
        self._points.reach("write", lambda: (self._file.write(content[: len(content) // 2]), self._file.flush()))
        return self._file.write(content)

    def __enter__(self) -> TearableFile:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def __iter__(self) -> Iterator[Any]:
        return iter(self._file)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


class CrashingExecutor(InlineExecutor):
    """Computes here, but reports what a run raises as the death of its process: worth another try."""

    def events(self, timeout: float) -> list[Event]:
        return [replace(e, crashed=True) if isinstance(e, Failed) else e for e in super().events(timeout)]


@dataclass(frozen=True)
class Series:
    """A study that is killed.

    Attributes:
        data: the study, given the folder it runs in.
        executor: what computes its runs.
        judge: says which cells go on, where there are looks.
        from_nothing: without a database to begin with; points count until both are there.
    """

    data: Callable[[Path], dict[str, Any]]
    executor: type[InlineExecutor] = InlineExecutor
    judge: Callable[[Study], Mapping[str, int]] | None = None
    from_nothing: bool = False


def with_failure_and_divergence(folder: Path) -> dict[str, Any]:
    """A cell that is ordinary, one whose first run fails once, one that diverges."""
    data = study_data(seeds=1)
    failing = {"mode": "raise", "once": True, "until": str(folder / "failed")}
    data["sweep"] = {
        "arm": ["a", "b"],
        "kind": {"plain": {"mode": "ok"}, "failing": {"n": 2, **failing}, "diverging": {"n": 3, "mode": "diverge"}},
    }
    data["compare"]["diverged_score"] = -0.5
    return data


def with_looks(folder: Path) -> dict[str, Any]:
    """Two looks, the second for one of two cells; a run fails for the whole of the first command."""
    failing = {"mode": "raise", "once": True, "until": str(folder / "failed")}
    return study_data(seeds={"looks": [1, 2]}, cells=2, **failing)


def with_search(folder: Path) -> dict[str, Any]:
    """Two proposals for each arm, one after the other, then the runs at shared and at found settings."""
    search = {"trials": 2, "seeds": 1, "batch": 1, "space": {"x": {"low": 0.0, "high": 1.0}}}
    return {**study_data(seeds=1, cells=1), "search": search}


def first_cell_is_decided(study: Study) -> dict[str, int]:
    """Another look only at the cells after the first."""
    return {cell.id: 1 if cell.id == "n-1" else 2 for cell in study.cells}


SERIES = {
    "failure and divergence": Series(with_failure_and_divergence, CrashingExecutor),
    "looks": Series(with_looks, judge=first_cell_is_decided),
    "search": Series(with_search),
    "from nothing": Series(lambda folder: study_data(seeds=1, cells=1), from_nothing=True),
}


def prepare(series: Series, folder: Path, blank: Path) -> Lab:
    """Make a study's place, which becomes the working directory."""
    folder.mkdir(parents=True)
    lab = Lab(folder, blank)
    if series.from_nothing:
        (folder / "optuna.db").unlink()
    else:
        shutil.copy(blank / "mlflow.db", folder)
    return lab


def finish(lab: Lab, series: Series) -> Study:
    """Give the command until nothing is left to do."""
    os.chdir(lab.folder)
    harness.compute.choice.InlineExecutor = series.executor  # type: ignore[misc]
    for _ in range(COMMANDS):
        study = lab.run(series.data(lab.folder), judge=series.judge, report=write_report, tracking_uri=lab.tracking_uri)
        if not study.failures:
            return study
    raise AssertionError(f"still failing: {study.failures}")


def write_report(study: Study) -> list[Path]:
    """Write a page that says how many runs there are."""
    page = study.folder / "report.html"
    write_text(page, f"<html>{len(study.records)} runs</html>")
    return [page]


def results_of(study: Study) -> dict[str, Any]:
    """What must come out the same however often it was interrupted: the table, and every run's files but its record."""
    digests = {}
    for run in sorted(entry for entry in (study.folder / "runs").iterdir()):
        files = sorted(path for path in run.iterdir() if path.name != "record.json")
        digests[run.name] = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    table = without_time(load_results(study)).to_csv()
    searches = [[search.arm, search.best, [list(t.scores) for t in search.trials]] for search in study.searches]
    return {"table": table, "files": digests, "searches": searches}


def check(lab: Lab, undisturbed: dict[str, Any]) -> None:
    """Hold a resumed study against the invariant, and against the one nobody disturbed."""
    os.chdir(lab.folder)
    study = load_study(lab.out / "tiny")
    lab.assert_invariant(study)
    found = json.loads(json.dumps(results_of(study)))
    for run in found["files"]:
        digests, expected = found["files"][run], undisturbed["files"].get(run)
        assert_same_files(digests, expected, run)
    assert found["files"].keys() == undisturbed["files"].keys()
    assert found["table"] == undisturbed["table"]
    assert found["searches"] == undisturbed["searches"]
    hidden = [path.name for path in study.folder.rglob(".*") if path.name != ".lock"]
    assert not hidden, f"left behind: {hidden}"
    assert (study.folder / "report.html").read_text(encoding="utf-8") == f"<html>{len(study.records)} runs</html>"
    assert_mirrored_point_by_point(lab, study)
    assert_databases_sound(lab)


def assert_databases_sound(lab: Lab) -> None:
    """Those databases that are there pass SQLite's own check."""
    for path in map(sqlite_path, (lab.storage, lab.tracking_uri)):
        if path is not None and path.exists():
            with closing(sqlite3.connect(path)) as connection:
                assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)], path


def assert_same_files(digests: dict[str, str], expected: dict[str, str] | None, run: str) -> None:
    """Every file of a run is that of the undisturbed run; a config may name the folder it ran in."""
    assert expected is not None, f"{run} was not asked for"
    assert {k: v for k, v in digests.items() if k != "config.json"} == {
        k: v for k, v in expected.items() if k != "config.json"
    }, run


def assert_mirrored_point_by_point(lab: Lab, study: Study) -> None:
    """No metric point is missing or double in MLflow, and every artifact is the file on disk."""
    database = sqlite_path(lab.tracking_uri)
    assert database is not None
    with closing(sqlite3.connect(database)) as connection:
        rows = connection.execute("SELECT run_uuid, key, step, value FROM metrics").fetchall()
    for run in lab.children(study.spec.name, "FINISHED"):
        folder = study.folder / "runs" / run.data.tags["run"]
        record = next((r for r in study.records if r.folder == folder), None)
        artifacts = lab.folder / "mlartifacts" / study.spec.name / run.info.run_id / "artifacts"
        assert {p.name: p.read_bytes() for p in artifacts.iterdir()} == {
            p.name: p.read_bytes() for p in folder.iterdir()
        }
        if record is not None:
            points = [(f"curve/{name}", s, v) for name, curve in record.curve_points().items() for s, v in curve]
            last = int(record.metrics.get("steps", 0))
            points += [(name, last, value) for name, value in record.metrics.items()]
            points += [(f"time/{name}", last, value) for name, value in record.timings.items()]
            assert sorted(row[1:] for row in rows if row[0] == run.info.run_id) == sorted(points)


def forked(act: Callable[[], object]) -> tuple[int, str]:
    """Do something in a fork of this process; return its exit status, negative for a signal, and what it said."""
    assert len([*Path("/proc/self/task").iterdir()]) == 1, "a fork would lose threads"
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        try:
            said, code = json.dumps(act()), 0
        except BaseException:
            said, code = traceback.format_exc(), 1
        with os.fdopen(writing, "w", encoding="utf-8") as pipe:
            pipe.write(said)
        os._exit(code)
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as pipe:
        said = pipe.read()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), said


def run_counted(lab: Lab, series: Series, die_at: int = 0) -> list[str]:
    """Run the study's commands, dying at a point; return what every point was."""
    points = WritePoints(lab.folder, die_at)
    points.install()
    finish(lab, series)
    return points.passed


def undisturbed_study(series: Series, folder: Path, blank: Path) -> tuple[list[str], dict[str, Any]]:
    """Run the study in a fork; return its points and its results."""
    lab = prepare(series, folder, blank)
    code, said = forked(lambda: run_counted(lab, series))
    assert code == 0, said
    passed: list[str] = json.loads(said)
    if series.from_nothing:  # the databases appear by links, then their drafts are removed
        del passed[len(passed) - passed[::-1].index("link") + 1 :]
    code, said = forked(lambda: results_of(load_study(lab.out / "tiny")))
    assert code == 0, said
    return passed, json.loads(said)


class Survived(Exception):
    """A study came to its end before the write it was to die at."""


def killed_and_resumed(
    series: Series, folder: Path, blank: Path, deaths: Sequence[int], undisturbed: Mapping[str, Any]
) -> str | None:
    """Die at each of these points in turn, resume; return what is wrong, or None.

    Raises:
        Survived: if the study ended before it died.
    """
    lab = prepare(series, folder, blank)
    for point in deaths:
        code, said = forked(lambda point=point: run_counted(lab, series, point))
        if code == 0:
            shutil.rmtree(folder)
            raise Survived
        if code != -signal.SIGKILL:
            return said
    for act in (lambda: finish(lab, series) and None, lambda: check(lab, undisturbed)):
        code, said = forked(act)
        if code:
            return said
    shutil.rmtree(folder)
    return None


def deaths_of(choice: str, last: int) -> Iterator[tuple[int, ...]]:
    """Read what is to be died of: the points of each study, in turn. What follows a ``+`` goes on to the last."""
    first, _, again = choice.partition("/")
    if again:
        begin, _, step = again.partition("+")
        yield from ((int(first), second) for second in range(int(begin), last + 1, int(step or last)))
    else:
        begin, _, step = first.partition("+")
        yield from ((point,) for point in range(int(begin), last + 1, int(step or last)))


def main(place: str, blank: str, *choices: str) -> int:
    """Kill studies where they are told to die; a line of JSON for each."""
    warm_up(Path(place) / "warm", Path(blank))
    known: dict[str, tuple[list[str], dict[str, Any]]] = {}
    for choice in choices:
        name, _, points = choice.partition(":")
        series, folder = SERIES[name], Path(place) / name
        if name not in known:
            known[name] = undisturbed_study(series, folder / "undisturbed", Path(blank))
        passed, undisturbed = known[name]
        for deaths in deaths_of(points, len(passed)):
            where = "/".join(map(str, deaths))
            try:
                wrong = killed_and_resumed(series, folder / where.replace("/", "-"), Path(blank), deaths, undisturbed)
            except Survived:
                break
            told = {"died": f"{name}:{where}", "before": passed[deaths[0] - 1], "points": len(passed), "wrong": wrong}
            print(json.dumps(told), flush=True)
    return 0


def warm_up(folder: Path, blank: Path) -> None:
    """Run and read a study here: what it imports and what the stores' libraries work out once, forks need not."""
    lab = prepare(SERIES["search"], folder, blank)
    study = finish(lab, SERIES["search"])
    check(lab, json.loads(json.dumps(results_of(study))))
    gc.collect()
    gc.freeze()  # a collection in a fork would copy every page


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
