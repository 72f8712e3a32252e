"""Studies from Python, as the docstring of the package shows it; and the smoke study from end to end."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from harness import BadInput, Study, StudySpec, parse_spec
from harness.mirrors.databases import sqlite_url
from harness.mirrors.mlflow.download import download_study
from reports import write_report
from studies import load_results, run_study
from studies.catalogue import find_spec
from tests.harness.lab import DATABASES, without_time
from tests.sharing import copy_place
from tests.studies.command import THREE_SEEDS, TINY, draw_nothing
from tests.studies.test_cli_run import page_text

pytestmark = DATABASES


def smoke() -> StudySpec:
    """The smoke study on an even smaller budget."""
    data = find_spec("smoke").to_toml_data()
    data["base"] |= {"total_steps": 600, "evaluations": 2, "evaluation_episodes": 2}
    data["study"]["seeds"] = [0]
    return parse_spec(data)


@pytest.fixture(scope="session")
def smoked(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """The smoke study, run in a folder that was empty."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("smoke"))
        draw_nothing(patch)
        return run_study(smoke(), jobs=2, out=Path("out").absolute(), report=lambda study: [write_report(study)])


def test_the_smoke_study_ends_with_results_and_a_page(smoked: Study) -> None:
    assert not smoked.failures
    assert len(smoked.records) == len(smoked.planned) > 8
    assert {path.name for path in smoked.folder.parents[1].iterdir()} == {"mlartifacts", "mlflow.db", "out"}
    text = page_text(smoked.folder / "report.html")
    assert smoked.spec.study.question in text
    for arm in smoked.arms:
        assert arm in text


def test_the_smoke_study_is_read_back_from_mlflow(smoked: Study, tmp_path: Path) -> None:
    uri = sqlite_url(smoked.folder.parents[1] / "mlflow.db")
    found = download_study("smoke", uri, tmp_path)
    assert load_results(found).equals(load_results(smoked))


def test_whole_episodes_are_bit_identical_between_the_arms(smoked: Study) -> None:
    """Where nothing is bootstrapped the targets are the same, and so is every bit of what was learnt."""
    runs = {(record.cell, record.seed, record.arm): record for record in smoked.records}
    compared = 0
    for (cell, seed, arm), record in runs.items():
        other = runs[cell, seed, smoked.arms[0]]
        if record.levels["regime"] == "episode" and arm != smoked.arms[0]:
            ours, theirs = record.arrays("parameters"), other.arrays("parameters")
            assert all(ours[name].tobytes() == theirs[name].tobytes() for name in theirs)
            assert record.table("episodes").equals(other.table("episodes"))
            assert record.metrics["auc"] == other.metrics["auc"]
            compared += 1
    assert compared >= 4


def test_cut_rollouts_differ_between_the_arms(smoked: Study) -> None:
    runs = {(record.cell, record.seed, record.arm): record for record in smoked.records}
    for (cell, seed, arm), record in runs.items():
        if record.levels["regime"] != "episode" and arm != smoked.arms[0]:
            other = runs[cell, seed, smoked.arms[0]]
            assert (
                record.arrays("parameters")["parameters"].tobytes()
                != other.arrays("parameters")["parameters"].tobytes()
            )


def test_a_study_is_given_as_file_tables_or_spec(
    tiny_place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy_place(tiny_place, tmp_path)
    monkeypatch.chdir(tmp_path)
    path, tables = tmp_path / "tiny.toml", tomllib.loads(THREE_SEEDS)
    table = load_results("tiny")
    assert len(table) == 18
    for form in (path, str(path), tables, parse_spec(tables)):
        again = run_study(form, executor="inline")
        assert load_results(again).equals(table), "the same study: nothing is run again"
    more = run_study(path, executor="inline", seeds=4, tracking_uri=sqlite_url(tmp_path / "mlflow.db"))
    assert load_results(more).head(18).equals(table)
    assert len(more.records) == 24


def test_the_same_study_elsewhere_gives_the_same_figures(tiny_place: Path, workplace: Path) -> None:
    stores = {"storage": "memory:", "tracking_uri": "memory:"}
    elsewhere = load_results(run_study(tomllib.loads(TINY), executor="inline", out="elsewhere", **stores))
    assert len(elsewhere) == 6
    assert without_time(load_results("tiny", tiny_place / "out").head(6)).equals(without_time(elsewhere))


def test_a_name_that_is_no_study_is_bad_input() -> None:
    with pytest.raises(BadInput, match="did you mean 'smoke'"):
        run_study("smokee")
