"""Row 10: whatever is torn in a study is told, kept as a backup, and made good with the same figures."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness import Observer, RunRecord, Study
from harness.record.attempt import Failure, write_failure
from harness.record.folder import DAMAGED_FOLDER
from harness.record.study import load_study
from studies.cli import run as command
from tests.harness.lab import Lab, databases, study_data
from tests.studies.command import TINY

SLOW = pytest.mark.slow
SMALL_FILES = ("study.json", "identity.json", "search.json", "stores.json")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


WAYS: dict[str, Callable[[Path], object]] = {
    "missing": Path.unlink,
    "empty": lambda path: path.write_bytes(b""),
    "truncated": cut,
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size + 1)),
    "garbage": lambda path: path.write_bytes(b"\xff\xfe{[\x00 garbage" * 9),
    "other JSON": lambda path: path.write_bytes(b'{"schema": 1}'),
}


class Listener(Observer):
    """Keeps the warnings; acts when the first run has finished."""

    def __init__(self, act: Callable[[], object] = lambda: None) -> None:
        self.warnings: list[str] = []
        self._act: Callable[[], object] = act

    def warned(self, what: str) -> None:
        self.warnings.append(what)

    def finished(self, record: RunRecord) -> None:
        self._act()
        self._act = lambda: None


def contents(study: Study) -> dict[str, str]:
    """Digests of the runs' files; a record itself tells when it was made."""
    runs = study.folder / "runs"
    files = (path for path in runs.rglob("*") if path.is_file() and path.name != "record.json")
    return {str(path.relative_to(runs)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def backups(study: Study) -> list[str]:
    return sorted(path.name.rpartition(".")[0] for path in (study.folder / DAMAGED_FOLDER).glob("*"))


@pytest.mark.fault(10, "a run's record, config, curves, tables or arrays: missing, empty, truncated, zeros, garbage")
@pytest.mark.parametrize(
    "name",
    [
        "record.json",
        *(pytest.param(name, marks=SLOW) for name in ("config.json", "curves.csv", "episodes.csv", "parameters.npz")),
    ],
)
def test_a_damaged_run_is_kept_and_computed_again(lab: Lab, name: str) -> None:
    data = study_data(marks=str(lab.marks()))
    study = lab.run(data)
    before, table = contents(study), lab.table()
    damaged = dict(zip(WAYS.items(), study.records, strict=False))
    for (_, damage), record in damaged.items():
        damage(record.folder / name)
    shown = load_study(study.folder)
    assert len(shown.damaged) == len(WAYS)
    assert len(shown.records) == len(study.records) - len(WAYS)
    listener = Listener()
    again = lab.run(data, observer=listener)
    assert len(listener.warnings) == len(WAYS)
    for record, warning in zip(damaged.values(), listener.warnings, strict=True):
        assert str(record.folder) in warning
        assert "is damaged" in warning
        assert "computed again" in warning
    assert backups(again) == sorted(record.run for record in damaged.values())
    assert contents(again) == before
    assert lab.table().equals(table)
    assert len([*lab.marks().iterdir()]) == len(study.records) + len(WAYS)
    lab.assert_invariant(again)


def searching(lab: Lab) -> dict[str, Any]:
    search = {"trials": 2, "seeds": 1, "batch": 1, "space": {"x": {"low": 0.0, "high": 1.0}}}
    return {**study_data(seeds=1, cells=1, marks=str(lab.marks())), "search": search}


@databases
@pytest.mark.fault(10, "a study's plan, identity, search, or note of its stores: missing, empty, truncated, garbage")
@pytest.mark.parametrize(
    "damages",
    [
        pytest.param([("study.json", "truncated"), ("search.json", "missing")], id="one way each"),
        *(pytest.param([(name, way) for way in WAYS], marks=SLOW, id=f"{name}, all ways") for name in SMALL_FILES),
    ],
)
def test_a_damaged_small_file_is_kept_and_made_anew(lab: Lab, damages: list[tuple[str, str]]) -> None:
    data = searching(lab)
    study = lab.run(data)
    before, table, computed = contents(study), lab.table(), len([*lab.marks().iterdir()])
    kept: list[str] = []
    for name, way in damages:
        path = sorted(study.folder.glob(name))[0]
        text = path.read_bytes()
        WAYS[way](path)
        listener = Listener()
        again = lab.run(data, observer=listener)
        if way != "missing":
            (warning,) = listener.warnings
            assert str(path) in warning
            kept.append(path.name)
            assert f"kept as {study.folder / DAMAGED_FOLDER}" in warning
        assert backups(again) == sorted(kept)
        if name in ("identity.json", "search.json", "stores.json"):
            assert path.read_bytes() == text
        lab.assert_invariant(again)
        if not path.exists():  # nothing was attempted since
            path.write_bytes(text)
    assert contents(again) == before
    assert lab.table().equals(table)
    assert len([*lab.marks().iterdir()]) == computed
    assert len({run.info.run_id for run in lab.mlflow_runs() if "run" not in run.data.tags}) == 1


@SLOW
@pytest.mark.fault(10, "the note of a failed run: missing, empty, truncated, garbage")
def test_a_damaged_failure_is_kept_and_the_run_tried_again(lab: Lab) -> None:
    mended = lab.folder / "mended"
    data = study_data(seeds=1, cells=1, mode="raise", until=str(mended))
    for damage in WAYS.values():
        study = lab.run(data)
        assert len(study.failures) == 2
        damage(sorted((study.folder / "attempts" / study.failures[0].run).iterdir())[-1])
        listener = Listener()
        lab.run(data, observer=listener)
    assert len(backups(study)) == len(WAYS) - 1
    mended.touch()
    lab.assert_invariant(lab.run(data))


# a damaged study is looked at


@pytest.fixture(scope="module")
def real_study(tmp_path_factory: pytest.TempPathFactory, blank_databases: Path) -> Path:
    """A folder where a small study of the real algorithm was run, and with it another."""
    folder = tmp_path_factory.mktemp("real")
    shutil.copy(blank_databases / "mlflow.db", folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name in ("tiny", "other"):
            Path(f"{name}.toml").write_text(TINY.replace('"tiny"', f'"{name}"'), encoding="utf-8")
            assert command(["run", f"{name}.toml", "--jobs", "2"]) == 0
    return folder


@pytest.fixture
def study(real_study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a study that may be damaged; the working directory is where it was run."""
    shutil.copytree(real_study / "out", tmp_path / "out")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "out" / "tiny"


def broken(study: Path, name: str, way: str) -> None:
    if name.startswith("attempts"):
        body = json.loads((sorted((study / "runs").iterdir())[0] / "record.json").read_text(encoding="utf-8"))
        write_failure(study, Failure(*(body[key] for key in ("run", "cell", "arm", "seed", "attempt")), "torn"))
        shutil.rmtree(study / "runs" / body["run"])
    elif name == "search.json":
        (study / name).write_text('{"arms": []}', encoding="utf-8")
    path = sorted(study.glob(name))[0]
    if way == "same size":
        content = path.read_bytes()
        path.write_bytes(content[:-40] + bytes(byte ^ 0x55 for byte in content[-40:]))
    else:
        WAYS[way](path)


FILES = [
    "study.json", "identity.json", "search.json", "attempts/*/*.json", "runs/*/record.json", "runs/*/config.json",
    "runs/*/curves.csv", "runs/*/evaluations.csv", "runs/*/parameters.npz",
]  # fmt: skip
LOOKS = ("status tiny", "list", "doctor tiny", "report tiny", "compare tiny other", "calibrate tiny --replicates 100")


def assert_no_traceback(looks: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """Every look ends well, or with a line that says what is wrong; what it raises otherwise fails the test."""
    for look in looks:
        code = command(look.split())
        errors = capsys.readouterr().err
        assert code in ((0, 1, 2) if look.startswith("doctor") else (0, 2, 3)), (look, errors)
        assert "Traceback" not in errors
        if code in (2, 3):
            assert errors.startswith("a3c-bench: "), errors


@databases
@pytest.mark.fault(10, "a damaged study is looked at: status, list, doctor")
def test_looks_at_a_damaged_study_end_without_a_traceback(
    two_runs: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in FILES:
        place = tmp_path_factory.mktemp("damaged")
        shutil.copytree(two_runs / "out", place / "out")
        monkeypatch.chdir(place)
        broken(place / "out" / "tiny", name.replace("evaluations", "episodes"), "truncated")
        assert_no_traceback(LOOKS[:3], capsys)


@databases
@pytest.mark.slow
@pytest.mark.fault(10, "a damaged study is looked at: report, compare, calibrate; every file in every way")
@pytest.mark.parametrize("way", [*WAYS, "same size"])
@pytest.mark.parametrize("name", FILES)
def test_pages_of_a_damaged_study_end_without_a_traceback(
    study: Path, name: str, way: str, capsys: pytest.CaptureFixture[str]
) -> None:
    broken(study, name, way)
    assert_no_traceback(LOOKS, capsys)
