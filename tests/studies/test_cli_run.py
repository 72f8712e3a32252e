"""One small study of the real algorithm through the command line, then every command that looks at it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

import pytest

from harness import Study, load_results
from harness.compute.executor import InlineExecutor
from harness.record.folder import DAMAGED_FOLDER, DRAFT_PREFIX
from reports.comparison.calibration import CALIBRATION_FILE
from studies.cli import run
from tests.harness.lab import DATABASES, ROOT
from tests.sharing import copy_place
from tests.studies.command import ANSWER, THREE_SEEDS, draw_nothing, leave_pictures_blank

pytestmark = DATABASES


@dataclass(frozen=True)
class Answer:
    """What the command answered, and a copy of where it ran."""

    place: Path
    code: int
    out: str
    errors: str


@pytest.fixture(scope="module")
def answer(tmp_path_factory: pytest.TempPathFactory, tiny_place: Path) -> Answer:
    place = tmp_path_factory.mktemp("place")
    copy_place(tiny_place, place)
    return Answer(place, *json.loads((place / ANSWER).read_text(encoding="utf-8")))


@pytest.fixture(autouse=True)
def _in_place(answer: Answer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(answer.place)


@pytest.fixture
def little_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages are written with blank pictures, and films are made in this process."""
    leave_pictures_blank(monkeypatch)
    monkeypatch.setattr("studies.film.acting.ProcessExecutor", lambda slots: InlineExecutor())


def page_text(page: Path) -> str:
    """The text of a page, which must be whole."""

    class Reader(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.texts: list[str] = []

        def handle_data(self, data: str) -> None:
            self.texts.append(data)

    reader = Reader()
    html = page.read_text(encoding="utf-8")
    assert html.rstrip().endswith("</html>")
    reader.feed(html)
    reader.close()
    return " ".join(" ".join(reader.texts).split())


def test_the_command_succeeds_and_says_where_everything_is(answer: Answer) -> None:
    assert (answer.code, answer.errors) == (0, "")
    lines = answer.out.splitlines()
    assert lines[0] == "tiny: 18 runs (3 cells × 2 arms × 3 seeds), 1 at a time"
    assert "18 of 18 runs finished" in lines
    last = lines[-4:]
    assert last[0].split(maxsplit=1) == ["report:", "out/tiny/report.html"]
    assert last[1].startswith("runs: ")
    assert last[1].endswith("mlflow ui")
    assert "localhost:5000/#/experiments/" in last[2]
    assert last[3].startswith("continue: ")
    assert "run tiny.toml --jobs 1" in last[3]
    assert "Traceback" not in answer.out


def documented() -> set[str]:
    """The files that docs/record.md lists, as patterns."""
    rows = (ROOT / "docs" / "record.md").read_text(encoding="utf-8").splitlines()
    return {row.split("`")[1] for row in rows if row.startswith("| `")}


def test_docs_list_every_file_of_a_study_and_no_other(answer: Answer) -> None:
    left = files_in(answer.place / "out" / "tiny")
    assert {path for path in left if not any(path.match(name) for name in documented())} == set()
    recorded = ROOT / "tests" / "data" / "before"  # search mode, MLflow away, files of the version before
    found = left | files_in(recorded / "begun") | files_in(recorded / "searched")
    rare = {CALIBRATION_FILE, f"{DAMAGED_FOLDER}/*", f"{DRAFT_PREFIX}*"}  # only after another command, or a fault
    assert {name for name in documented() if not any(path.match(name) for path in found)} == rare


def files_in(folder: Path) -> set[Path]:
    return {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}


def test_outputs_land_where_they_belong(answer: Answer) -> None:
    names = {path.name for path in answer.place.iterdir()}
    assert names - {"elsewhere"} == {"mlartifacts", "mlflow.db", "out", "tiny.toml", ANSWER}
    assert {path.name for path in (answer.place / "out").iterdir()} - {"train"} == {"tiny"}


def test_the_report_tells_the_study(answer: Answer) -> None:
    text = page_text(answer.place / "out" / "tiny" / "report.html")
    assert "Does it <b>run</b>?" in text
    assert "missing_as_zero" in text
    assert "max_terms" in text


def test_whole_episodes_are_identical_between_the_arms(answer: Answer) -> None:
    table = load_results("tiny")
    table = table[table["rollout_length"] == "episode"].sort_values(["cell", "seed"])
    apart = {"run", "arm", "target", "differing_target_share", "mean_target_shift"}
    shared = [name for name in table.columns if name not in apart and not name.startswith("time/")]
    first, second = (group[shared].reset_index(drop=True) for _, group in table.groupby("arm"))
    assert len(first) == 6
    assert first.equals(second)


def test_status_tells_how_far_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["status", "tiny"]) == 0
    text = capsys.readouterr().out
    assert "tiny: 18 of 18 runs finished" in text
    assert "missing_as_zero: 9" in text
    assert "report: out/tiny/report.html" in text


@pytest.mark.parametrize("study", ["tiny", "out/tiny", "tiny.toml"])
def test_a_study_is_found_by_name_folder_and_file(capsys: pytest.CaptureFixture[str], study: str) -> None:
    assert run(["status", study]) == 0
    assert "18 of 18" in capsys.readouterr().out


def test_a_misspelt_study_is_answered_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["status", "tinny"]) == 2
    assert "did you mean 'tiny'?" in capsys.readouterr().err


def test_list_shows_what_was_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["list"]) == 0
    assert any(
        line.split() == ["tiny", "18", "of", "18", "runs", "finished"] for line in capsys.readouterr().out.splitlines()
    )


def test_the_report_can_be_written_again(
    answer: Answer, little_is_drawn: None, capsys: pytest.CaptureFixture[str]
) -> None:
    page = answer.place / "out" / "tiny" / "report.html"
    before = page_text(page)
    page.unlink()
    assert run(["report", "tiny"]) == 0
    assert capsys.readouterr().out == "report: out/tiny/report.html\n"
    assert page_text(page) == before


def test_the_report_can_be_written_from_mlflow_alone(
    answer: Answer, little_is_drawn: None, capsys: pytest.CaptureFixture[str]
) -> None:
    uri = f"sqlite:///{answer.place}/mlflow.db"
    assert run(["report", "tiny", "--tracking-uri", uri, "--out", "elsewhere"]) == 0
    captured = capsys.readouterr()
    assert captured.out == "report: elsewhere/tiny/report.html\n"
    assert captured.err == ""
    page = answer.place / "elsewhere" / "tiny" / "report.html"
    assert page_text(page) == page_text(answer.place / "out" / "tiny" / "report.html")


def test_a_study_in_mlflow_is_named_by_its_file_too(
    answer: Answer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[tuple[Study, Path]] = []

    def write(study: Study, folder: Path, verify: bool) -> Path:
        written.append((study, folder))
        return folder / "report.html"

    monkeypatch.setattr("studies.cli._write_report", write)
    uri = f"sqlite:///{answer.place}/mlflow.db"
    assert run(["report", "tiny.toml", "--tracking-uri", uri, "--out", "elsewhere"]) == 0
    assert capsys.readouterr().out == "report: elsewhere/tiny/report.html\n"
    ((study, folder),) = written
    assert (len(study.records), folder) == (18, Path("elsewhere/tiny"))


def test_the_same_command_again_has_nothing_to_do(
    answer: Answer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    draw_nothing(monkeypatch)
    before = load_results("tiny")
    assert run(["run", "tiny.toml", "--jobs", "1"]) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert load_results("tiny").equals(before)


def test_other_settings_are_a_conflict(answer: Answer, capsys: pytest.CaptureFixture[str]) -> None:
    text = THREE_SEEDS.replace("hidden_sizes = [8]", "hidden_sizes = [9]")
    (answer.place / "tiny.toml").write_text(text, encoding="utf-8")
    try:
        assert run(["run", "tiny.toml"]) == 4
    finally:
        (answer.place / "tiny.toml").write_text(THREE_SEEDS, encoding="utf-8")
    captured = capsys.readouterr()
    (line,) = captured.err.splitlines()
    assert "hidden_sizes was [8], is [9]" in line
