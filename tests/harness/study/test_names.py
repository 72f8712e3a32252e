"""Names that were not chosen kindly: safe on disk, whole in the stores."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import load_results
from harness.mirrors.addresses import MEMORY
from harness.mirrors.mlflow.download import download_study
from tests.harness.lab import Lab, databases, study_data
from tests.harness.study.test_design import NASTY

STUDIES = [
    "../../x",
    "<script>alert(1)</script>",
    "a\0b",
    "🙂/\u202e",
    "x" * 200,
    "=cmd()",
    ".",
    "CON",
    "a\n'\"b",
    "/etc/x",
]


@databases
@pytest.mark.fault(17, "levels that hold paths, markup, NUL, right-to-left marks, emoji, 10 kB: run, stored, read back")
def test_nasty_levels_run_and_are_read_back(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> None:
    data = study_data(seeds=1, cells=1)
    data["sweep"] = {"arm": NASTY}
    data["compare"] = {"factor": "arm", "baseline": NASTY[0], "metric": "score"}
    study = lab.run(data)
    assert [record.arm for record in study.records] == NASTY
    lab.assert_invariant(study)
    assert_within(lab.folder, lab.out / "tiny")
    found = download_study("tiny", lab.tracking_uri, tmp_path_factory.mktemp("download"))
    assert load_results(found).equals(load_results(study))


@databases
def test_long_names_are_read_back(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> None:
    data = study_data(seeds=1, cells=1)
    data["sweep"] = {"text": ["t" * 90, "u"], "arm": ["a" * 90, "b"]}
    data["compare"] = {"factor": "arm", "baseline": "b", "metric": "score"}
    study = lab.run(data)
    found = download_study("tiny", lab.tracking_uri, tmp_path_factory.mktemp("download"))
    assert [record.run for record in found.records] == [record.run for record in study.records]


@databases
@pytest.mark.fault(17, "levels and seeds as long as they may be: a run's name fills a file's")
def test_names_as_long_as_can_be_run_fail_and_are_set_aside(lab: Lab) -> None:
    data = study_data(seeds=1, cells=1, mode="raise", until=str(lab.folder / "mended"))
    data["study"]["seeds"] = [2**31 - 1]
    data["sweep"] = {"text": ["t" * 200, "u"], "arm": ["a" * 200, "b" * 150]}
    data["compare"] = {"factor": "arm", "baseline": "b" * 150, "metric": "score"}
    assert len(lab.run(data).failures) == 4
    for kept in (lab.out / "tiny" / "attempts").glob("*/1.json"):
        kept.write_text("torn", encoding="utf-8")
    (lab.folder / "mended").touch()
    study = lab.run(data)
    lab.assert_invariant(study)
    assert max(len(record.run) for record in study.records) > 230


@pytest.mark.fault(
    17, "study names that hold paths, markup, NUL, right-to-left marks, quotes, or are devices on Windows"
)
@databases
@pytest.mark.parametrize("name", STUDIES)
def test_nasty_study_names_stay_in_the_output_folder(lab: Lab, name: str) -> None:
    study = lab.run(study_data(name=name, seeds=1, cells=1))
    lab.assert_invariant(study)
    assert study.folder.parent == lab.out
    assert_within(lab.folder, study.folder)
    assert load_results(name, lab.out).equals(load_results(study))


@pytest.mark.fault(17, "study names that differ only in what a file name cannot hold")
def test_study_names_that_look_the_same_in_a_file_name_have_folders_of_their_own(lab: Lab) -> None:
    names = ["a/b", "a b", "a-b", "a\\b", "a?b", "a\u00e9b", "ae\u0301b"]
    stores = {"storage": MEMORY, "tracking_uri": MEMORY}
    folders = {lab.run(study_data(name=name, seeds=1, cells=1), **stores).folder for name in names}
    assert len(folders) == len(names)
    for name in names:
        assert len(load_results(name, lab.out)) == 2


@databases
def test_a_working_directory_of_any_name_will_do(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = "with space, ünï, 100% a#b=c&d"
    place = lab.folder / folder
    place.mkdir()
    monkeypatch.chdir(place)
    inner = Lab(place, lab.blank)
    (place / "mlflow.db").write_bytes((lab.blank / "mlflow.db").read_bytes())
    study = inner.run(study_data(seeds=1, cells=1))
    inner.assert_invariant(study)
    assert sorted(path.name for path in place.iterdir()) == ["mlartifacts", "mlflow.db", "optuna.db", "out"]
    assert {path.name for path in lab.folder.iterdir()} == {folder, "mlflow.db", "optuna.db"}


def assert_within(place: Path, folder: Path) -> None:
    """Nothing was written beside the study's folder and the stores."""
    assert {path.name for path in place.iterdir()} == {"out", "mlartifacts", "mlflow.db", "optuna.db"}
    assert [path.name for path in (place / "out").iterdir()] == [folder.name]
    assert len([*(place / "mlartifacts").iterdir()]) == 1
