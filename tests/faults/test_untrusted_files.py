"""Files and names that somebody else may have written: never unpickled, never unpacked without end, never let out."""

from __future__ import annotations

import io
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient

from harness import HarnessError, RunRecord, Study
from harness.errors import DamagedRecord
from harness.mirrors.mlflow.download import download_study
from tests.harness.lab import Lab, databases, study_data
from tests.sharing import copy_place


class Trap:
    """Whoever unpickles it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., None], tuple[Path]]:
        return Path.touch, (self.path,)


def zipped(name: str, content: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return packed.getvalue()


def object_array(trap: Trap) -> bytes:
    packed = io.BytesIO()
    np.save(packed, np.array([trap], dtype=object), allow_pickle=True)
    return packed.getvalue()


def enormous() -> bytes:
    """An array of 8 TB, by its header."""
    packed = io.BytesIO()
    np.lib.format.write_array_header_1_0(packed, {"descr": "<f8", "fortran_order": False, "shape": (10**12,)})
    return packed.getvalue() + b"\0" * 100


TRAPS: dict[str, Callable[[Trap], bytes]] = {
    "a pickle": lambda trap: pickle.dumps(trap),
    "an array of objects": object_array,
    "an archive of an array of objects": lambda trap: zipped("parameters.npy", object_array(trap)),
    "an archive of a pickle": lambda trap: zipped("parameters.npy", pickle.dumps(trap)),
    "an archive of a file that is no array": lambda trap: zipped("../../parameters", b"x"),
    "an archive of an array of 8 TB": lambda trap: zipped("parameters.npy", enormous()),
    "an archive that unpacks to 3 GB": lambda trap: zipped("parameters.npy", enormous()[:80] + b"\0" * 3_000_000_000),
    "nothing": lambda trap: b"",
    "text": lambda trap: b"cos\nsystem\n(S'touch x'\ntR.",
}


def test_the_trap_is_sprung_by_unpickling(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Trap(tmp_path / "sprung")))  # noqa: S301 - our own
    assert (tmp_path / "sprung").exists()
    np.load(io.BytesIO(object_array(Trap(tmp_path / "again"))), allow_pickle=True)
    assert (tmp_path / "again").exists()


@pytest.fixture
def study(lab: Lab, request: pytest.FixtureRequest) -> Study:
    if not lab.has_stores:
        return lab.run(study_data(seeds=1, cells=1))
    copy_place(request.getfixturevalue("two_runs"), lab.folder)
    return lab.study()


@pytest.mark.fault(18, "a pickle, an array of objects, an array of 8 TB in place of a run's parameters")
def test_parameters_that_are_no_plain_arrays_are_refused_unread(study: Study, tmp_path: Path) -> None:
    record: RunRecord = study.records[0]
    for name, make in TRAPS.items():
        if "3 GB" in name:
            continue  # takes its time: below
        (record.folder / "parameters.npz").write_bytes(make(Trap(tmp_path / "sprung")))
        with pytest.raises(DamagedRecord, match=r"parameters\.npz is damaged"):
            record.arrays("parameters")
        assert not (tmp_path / "sprung").exists(), name


@pytest.mark.slow
@pytest.mark.fault(18, "an archive of 3 MB that unpacks to 3 GB in place of a run's parameters")
def test_an_archive_that_unpacks_without_end_is_refused_unread(study: Study, tmp_path: Path) -> None:
    import resource

    (study.records[0].folder / "parameters.npz").write_bytes(TRAPS["an archive that unpacks to 3 GB"](Trap(tmp_path)))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(DamagedRecord, match="unpacks to more than"):
        study.records[0].arrays("parameters")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000


NAMES = ["../../evil", "/tmp/evil", "..", ".", "", ".hidden", "a/b", "a\\b/../c", "~/x", "x/", "a\nb/../../x"]  # noqa: S108


def outside(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if "mlartifacts" not in path.parts and path.suffix != ".db"}


@databases
@pytest.mark.fault(18, "artifacts under names such as ../../x, in a study read back from MLflow")
@pytest.mark.parametrize("status", ["FINISHED", "FAILED"])
def test_no_name_of_a_run_leads_out_of_the_folder(lab: Lab, study: Study, status: str) -> None:
    client = MlflowClient(lab.tracking_uri)
    run = lab.children()[0]
    client.set_terminated(run.info.run_id, status)
    for number, name in enumerate(NAMES):
        client.set_tag(run.info.run_id, "run", name)
        folder = lab.folder / "deep" / "down" / f"download-{number}"
        folder.mkdir(parents=True)
        before = outside(lab.folder)
        with pytest.raises(HarnessError):
            download_study("tiny", lab.tracking_uri, folder)
        assert all(path.is_relative_to(folder) for path in outside(lab.folder) - before), name


@databases
@pytest.mark.fault(18, "tags that do not say what an attempt was, in a study read back from MLflow")
@pytest.mark.parametrize("tag", ["seed", "attempt"])
def test_a_tag_that_is_no_number_is_told(lab: Lab, study: Study, tag: str) -> None:
    client = MlflowClient(lab.tracking_uri)
    run = lab.children()[0]
    client.set_tag(run.info.run_id, tag, "__import__('os')")
    client.set_terminated(run.info.run_id, "FAILED")
    with pytest.raises(HarnessError):
        download_study("tiny", lab.tracking_uri, lab.folder / "download")


@databases
@pytest.mark.fault(18, "artifacts that are links to files elsewhere, in a study read back from MLflow")
def test_no_artifact_is_a_link_to_elsewhere(lab: Lab, study: Study) -> None:
    (lab.folder / "private").mkdir()
    (lab.folder / "private" / "key").write_text("TOP SECRET", encoding="utf-8")
    (run, *_) = lab.children()
    (place,) = [path for path in (lab.folder / "mlartifacts").rglob("artifacts") if run.info.run_id in path.parts]
    for name in ("parameters.npz", "record.json", "config.json", "curves.csv", "new.csv", "folder"):
        was = (place / name).read_bytes() if (place / name).exists() else None
        (place / name).unlink(missing_ok=True)
        (place / name).symlink_to(lab.folder / "private" / ("" if name == "folder" else "key"))
        folder = lab.folder / f"download-{name}"
        folder.mkdir()
        with pytest.raises(HarnessError):
            download_study("tiny", lab.tracking_uri, folder)
        files = [path for path in folder.rglob("*") if path.is_file()]
        assert not [path for path in files if "TOP SECRET" in path.read_text(errors="replace")], name
        (place / name).unlink()
        if was is not None:
            (place / name).write_bytes(was)
    download_study("tiny", lab.tracking_uri, lab.folder / "whole")


@pytest.mark.fault(18, "a folder of runs among whose names some lead elsewhere")
def test_a_plan_that_names_runs_elsewhere_reads_none_of_them(lab: Lab, study: Study) -> None:
    from harness import load_study
    from harness.record.json_file import write_json
    from tests.harness.lab import read_json

    elsewhere = lab.folder / "elsewhere"
    shutil.copytree(study.records[0].folder, elsewhere)
    path = study.folder / "study.json"
    plan = read_json(path)
    plan["planned"] = ["../../../elsewhere", str(elsewhere), *plan["planned"]]
    write_json(path, plan)
    assert [record.run for record in load_study(study.folder).records] == [record.run for record in study.records]
