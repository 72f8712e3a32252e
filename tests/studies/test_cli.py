"""Commands that train nothing: help, list, dry run, and everything that is refused."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from studies.catalogue import named_studies
from studies.cli import run
from tests.harness.lab import DATABASES
from tests.studies.command import TINY

pytestmark = DATABASES


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


def refused(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 2) -> list[str]:
    """The lines a command is refused with."""
    assert run(arguments) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert lines
    assert all(line.startswith("a3c-bench: ") for line in lines)
    return [line.removeprefix("a3c-bench: ") for line in lines]


COMMANDS = ("run", "status", "report", "compare", "calibrate", "list", "train", "bench", "doctor")


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    text = capsys.readouterr().out
    for command in COMMANDS:
        assert f" {command} " in text


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(capsys: pytest.CaptureFixture[str], command: str) -> None:
    assert run([command, "--help"]) == 0
    assert "Usage" in capsys.readouterr().out


def test_help_of_train_tells_every_field(capsys: pytest.CaptureFixture[str]) -> None:
    from a3c import TrainConfig

    assert run(["train", "--help"]) == 0
    text = capsys.readouterr().out
    for field in [*TrainConfig.model_fields, "preset"]:
        assert f"--{field.replace('_', '-')}" in text


def test_a_process_can_run_more_than_one_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "--help"]) == run(["train", "--help"]) == 0
    assert "Usage" in capsys.readouterr().out


def test_no_command_shows_help(capsys: pytest.CaptureFixture[str]) -> None:
    run([])
    captured = capsys.readouterr()
    assert "Usage" in captured.out + captured.err


def test_list_before_anything_was_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["list"]) == 0
    text = capsys.readouterr().out
    for name in ("missing_vs_max", "smoke"):
        assert name in text
    assert "none yet" in text
    assert "a3c-bench run smoke" in text


def test_a_dry_run_shows_the_design_and_writes_nothing(capsys: pytest.CaptureFixture[str], place: Path) -> None:
    (place / "tiny.toml").write_text(TINY, encoding="utf-8")
    assert run(["run", "tiny.toml", "--dry-run"]) == 0
    text = capsys.readouterr().out
    assert "compared: target: missing_as_zero vs max_terms, by auc" in text
    assert text.count("\n  cell ") == 3
    assert "rollout_length=10, n_step=20" in text
    assert "comes to the same as" in text
    assert "6 runs (3 cells × 2 arms × 1 seed)" in text
    assert [path.name for path in place.iterdir()] == ["tiny.toml"]


def test_a_dry_run_tells_of_looks_and_of_a_search(capsys: pytest.CaptureFixture[str], place: Path) -> None:
    assert run(["run", "missing_vs_max", "--dry-run"]) == 0
    assert "× 10 seeds, in undecided cells then 20, 30, 40)" in capsys.readouterr().out
    assert run(["run", "learning_rates", "--dry-run"]) == 0
    assert "20 trials × 3 seeds to tune each arm)" in capsys.readouterr().out


def test_a_dry_run_counts_the_seeds_asked_for(capsys: pytest.CaptureFixture[str], place: Path) -> None:
    assert run(["run", "smoke", "--dry-run", "--seeds", "7"]) == 0
    assert "× 7 seeds" in capsys.readouterr().out
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("name", sorted(named_studies()))
def test_every_study_that_comes_with_the_project_can_be_run(capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert run(["run", name, "--dry-run"]) == 0
    assert " runs (" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["run", "smok"], "did you mean 'smoke'?"),
        (["run", "nowhere.toml"], "nowhere.toml"),
        (["run", "smoke", "--seeds", "0"], "seeds = 0: must be from 1 to 100000"),
        (["run", "smoke", "--seeds", "many"], "--seeds = 'many': must be an integer"),
        (["bench", "--seconds", ""], "--seconds = '': must be a number"),
        (["calibrate", "smoke", "--replicates", "5"], "--replicates = 5: must be an integer from 100 to 1000000"),
        (["calibrate", "smoke", "--replicates", "x"], "--replicates = 'x': must be an integer from 100 to 1000000"),
        (["calibrate", "smoke", "--seed", "-1"], "--seed = -1: must be an integer of at least 0"),
        (["run", "smoke", "--jobs", "http://bob:secret@host"], "--jobs = 'http://***@host': must be an integer"),
        (["run", "smoke", "--jobs", "0"], "jobs = 0: must be from 1 to 1024"),
        (["run", "smoke", "--jbos", "2"], "--jbos"),
        (["run"], "STUDY"),
        (["rnu"], "rnu"),
        (["status", "smoke"], "must have been run"),
        (["status", "smok"], "must have been run"),
        (["report", "smoke"], "must have been run"),
        (["report", "smoke", "--tracking-uri", "sqlite:///nowhere.db"], "must be a store that exists"),
        (["train", "--n-step", "0"], "n_step = 0"),
        (["train", "--target", "max_trems"], "did you mean 'max_terms'?"),
        (["train", "--gamma", "1.5"], "gamma = 1.5"),
        (["train", "--workers", "many"], "workers = 'many'"),
        (["train", "--learning-rate", "NaN"], "learning_rate = nan"),
        (["train", "--total-steps", "10", "--total-episodes", "10"], "one budget"),
        (["train", "--preset", "fast"], "preset = 'fast': must be one of default, seed, mnih2016"),
        (["train", "--preset", "sed"], "mnih2016, did you mean 'seed'?"),
        (["train", "--preset", "[1]"], "preset = [1]: must be one of default"),
        (["train", "--env-id", "Nowhere-v0"], "env_id = 'Nowhere-v0'"),
        (["train", "--no-such-field", "1"], "--no-such-field"),
    ],
)
def test_bad_arguments_are_one_line_on_standard_error(
    capsys: pytest.CaptureFixture[str], place: Path, arguments: list[str], says: str
) -> None:
    (line,) = refused(capsys, *arguments)
    assert says in line
    assert list(place.iterdir()) == []


def test_a_wrong_preset_hides_nothing_else_that_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    lines = refused(capsys, "train", "--learning-rate", "0", "--gamma", "1.5", "--preset", "foo")
    assert lines == [
        "preset = 'foo': must be one of default, seed, mnih2016",
        "gamma = 1.5: must be less than or equal to 1",
        "learning_rate = 0: must be greater than 0",
    ]


LONG, HUGE = "x" * 5000, "9" * 5000
RUN = ["run", "smoke"]
NONSENSE = ["htp://x", "sqlite://", "sqlite:///", "/dev/null", "ftp://x", "http://", "http://[::1", "a\x01b"]
OPTIONS = [
    *([*RUN, "--jobs", value] for value in ("0", "-1", "99999999", "1e3", "many", "", HUGE)),
    *([*RUN, "--seeds", value] for value in ("0", "-1", "100001", "0.5", "", HUGE)),
    *([command, "x", "--out", value] for command in ("status", "report", "calibrate") for value in (LONG, "a\0b")),
    *([command, value] for command in ("run", "status", "report", "calibrate") for value in (LONG, "a\0b", "")),
    ["compare", "a\0b", LONG], ["compare", "", ""], ["run", "a\0b.toml"], ["run", LONG + ".toml"], ["run", "."],
    ["calibrate", "smoke", "--replicates", "0"], ["calibrate", "smoke", "--replicates", HUGE],
    ["calibrate", "smoke", "--seed", "-1"],
    *(["bench", "--rounds", value] for value in ("0", "-1", "1000000000", HUGE)),
    *(["bench", "--seconds", value] for value in ("0", "-1", "nan", "inf", "1e9")),
    *(["bench", "--steps", value] for value in ("0", "-1", "1000000000000")), ["bench", "--only", "nothing like it"],
    ["train", "--workers", HUGE], ["train", "--workers", "0x10"], ["train", "--seed", HUGE],
    ["train", "--n-step", LONG], ["train", "--env-kwargs", "[" * 5000], ["train", "--env-kwargs", "{" * 5000],
    ["train", "--env-id", "a\0b"], [*RUN, LONG], [*RUN, "--" + LONG], [LONG], ["calibrate", "smoke", "--seed", HUGE],
    ["train", "--hidden-sizes", "[" + HUGE + "]"], ["train", "--gamma", "1e999"], ["train", "--env-id", ""],
]  # fmt: skip


@pytest.mark.fault(13, "options out of range, far too long, with NUL or no value at all, for every command")
@pytest.mark.parametrize("arguments", OPTIONS, ids=lambda arguments: " ".join(arguments).replace("\0", "NUL")[:60])
def test_an_option_that_is_not_as_it_must_be_is_one_short_printable_line(
    capsys: pytest.CaptureFixture[str], place: Path, arguments: list[str]
) -> None:
    (line,) = refused(capsys, *arguments)
    assert line.isprintable()
    assert len(line) < 1500
    assert list(place.iterdir()) == []


@pytest.mark.fault(13, "a tracking or storage URI that is none")
@pytest.mark.parametrize("uri", NONSENSE)
@pytest.mark.parametrize(
    "arguments",
    [[*RUN, "--tracking-uri"], [*RUN, "--storage"], ["report", "smoke", "--tracking-uri"], ["train", "--tracking-uri"]],
    ids=lambda arguments: "".join(arguments),
)
def test_a_uri_that_is_none_is_refused_before_anything_is_written(
    capsys: pytest.CaptureFixture[str], place: Path, arguments: list[str], uri: str
) -> None:
    (line,) = refused(capsys, *arguments, uri)
    assert line.isprintable()
    assert "URI" in line or "URL" in line
    assert list(place.iterdir()) == []


@pytest.mark.fault(13, "a file in place of the folder for results")
@pytest.mark.parametrize("arguments", [["run", "smoke"], ["train", "--total-steps", "100"], ["bench", "--quick"]])
@pytest.mark.parametrize("out", ["file", "file/x", "/dev/null", LONG])
def test_a_folder_for_results_that_cannot_be_is_told_before_anything_runs(
    capsys: pytest.CaptureFixture[str], place: Path, arguments: list[str], out: str
) -> None:
    (place / "file").touch()
    code = run([*arguments, "--out", out])
    (line,) = capsys.readouterr().err.splitlines()
    assert code in (2, 3)
    assert line.startswith("a3c-bench: ")
    assert line.isprintable()
    assert [path.name for path in place.iterdir()] == ["file"]


def test_every_problem_of_a_study_file_is_a_line(capsys: pytest.CaptureFixture[str], place: Path) -> None:
    text = (
        TINY.replace("total_steps", "total_stepz").replace("workers = 2", "workers = 0").replace("[10, 20]", "[0, 20]")
    )
    (place / "bad.toml").write_text(text, encoding="utf-8")
    lines = refused(capsys, "run", "bad.toml")
    assert {line.split(" = ")[0] for line in lines} == {"base.total_stepz", "base.workers", "sweep.n_step"}
    assert "did you mean 'total_steps'?" in "\n".join(lines)
    assert [path.name for path in place.iterdir()] == ["bad.toml"]


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("preset = ['seed']", "base.preset = "), ("preset = 'sed'", "must be one of default, seed, mnih2016"),
        ("env_id = 'Nowhere-v0'", "base.env_id = 'Nowhere-v0'"), ("env_kwargs = { colour = 1 }", "base.env_kwargs"),
        ("env_id = 'MountainCarContinuous-v0'", "base.env_id"), ("total_episodes = 5", "one budget"),
    ],
)  # fmt: skip
def test_settings_that_cannot_train_are_refused_before_anything_runs(
    capsys: pytest.CaptureFixture[str], place: Path, setting: str, says: str
) -> None:
    (place / "bad.toml").write_text(TINY.replace("[base]", f"[base]\n{setting}"), encoding="utf-8")
    assert says in "\n".join(refused(capsys, "run", "bad.toml"))
    assert [path.name for path in place.iterdir()] == ["bad.toml"]


def test_a_metric_that_runs_will_not_have_is_refused(capsys: pytest.CaptureFixture[str], place: Path) -> None:
    (place / "bad.toml").write_text(TINY.replace("evaluations = 2", "evaluations = 0"), encoding="utf-8")
    (line,) = refused(capsys, "run", "bad.toml")
    assert line.startswith("compare.metric = 'auc': must be one of ")


def test_a_traceback_only_with_debug(capsys: pytest.CaptureFixture[str]) -> None:
    (line,) = refused(capsys, "run", "nowhere.toml")
    assert "Traceback" not in line
    assert run(["run", "nowhere.toml", "--debug"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_doctor_finds_this_machine_healthy(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor"]) == 0
    text = capsys.readouterr().out
    for what in ("Python", "torch", "mlflow", "optuna", "cores", "disk", "CartPole-v1"):
        assert f" {what}: " in text
    assert "MISSING" not in text


def test_doctor_says_what_is_missing(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "seaborn", None)
    with contextlib.suppress(KeyError):
        monkeypatch.delitem(sys.modules, "seaborn.objects")
    assert run(["doctor"]) == 1
    assert "MISSING seaborn: " in capsys.readouterr().out


def test_a_store_that_cannot_be_used_is_code_3(capsys: pytest.CaptureFixture[str], place: Path) -> None:
    (place / "tiny.toml").write_text(TINY, encoding="utf-8")
    (place / "broken.db").write_bytes(b"this is no database, whatever its name says")
    assert run(["run", "tiny.toml", "--tracking-uri", f"sqlite:///{place}/broken.db"]) == 3
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("a3c-bench: MLflow cannot use ")
    assert "broken.db" in line
