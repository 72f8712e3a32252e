"""`train`: one run, live and tracked; and what signals do to the command line."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from studies.cli import run
from tests.harness.lab import DATABASES, wait_for
from tests.studies.command import PATIENCE, TINY, start, start_afresh

pytestmark = DATABASES

SHORT = ["--total-steps", "200", "--evaluations", "2", "--evaluation-episodes", "2", "--hidden-sizes", "[8]"]


@pytest.fixture(autouse=True)
def place(workplace: Path) -> Path:
    return workplace


def tracked(place: Path, experiment: str = "train") -> list[Run]:
    client = MlflowClient(tracking_uri=f"sqlite:///{place}/mlflow.db")
    found = client.get_experiment_by_name(experiment)
    return [] if found is None else list(client.search_runs([found.experiment_id]))


def test_a_run_is_shown_tracked_and_kept(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", *SHORT, "--n-step", "3", "--seed", "4"]) == 0
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    (done,) = (line for line in lines if line.startswith("100%  2"))  # a slow machine shows others before it
    assert " steps, " in done
    assert "steps/s" in done
    assert any(line.split()[:1] == ["auc"] for line in lines)
    assert any(line.startswith("complete; files: out/train/runs/") for line in lines)
    assert any(line.endswith("mlflow ui") for line in lines)
    assert captured.err == ""
    (made,) = tracked(place)
    assert made.info.status == "FINISHED"
    assert (made.data.params["n_step"], made.data.params["seed"]) == ("3", "4")
    (folder,) = (place / "out" / "train" / "runs").iterdir()
    assert json.loads((folder / "config.json").read_text(encoding="utf-8"))["hidden_sizes"] == [8]


def test_any_field_is_an_option_with_dashes_or_underscores(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fields = {
        "n_step": "7", "rollout_length": "episode", "bootstrap_truncated": "false", "gamma": "0.5",
        "hidden_sizes": "[4, 4]", "critic_learning_rate": "null", "env_kwargs": '{"sutton_barto_reward": true}',
        "total_steps": "60", "evaluations": "1", "evaluation_episodes": "1", "workers": "1",
    }  # fmt: skip
    for style in (lambda name: name, lambda name: name.replace("_", "-")):
        arguments = [word for name, value in fields.items() for word in (f"--{style(name)}", value)]
        assert run(["train", *arguments]) == 0
    one, two = (made.data.params for made in tracked(place))
    assert one == two
    assert {name: one[name] for name in fields} == fields
    capsys.readouterr()


def test_a_preset_is_a_starting_point(place: Path) -> None:
    assert run(["train", *SHORT, "--preset", "mnih2016", "--workers", "2"]) == 0
    (made,) = tracked(place)
    assert (made.data.params["optimizer"], made.data.params["workers"]) == ("rmsprop", "2")


def test_the_same_settings_give_the_same_figures(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        assert run(["train", *SHORT]) == 0
    capsys.readouterr()
    one, two = (
        {name: value for name, value in made.data.metrics.items() if not name.startswith("time/")}
        for made in tracked(place)
    )
    assert one == two
    assert len(one) > 10


def test_a_stopped_run_is_killed_in_mlflow(place: Path) -> None:
    process = start("train", "--total-steps", "100000000", "--evaluations", "0", cwd=place)
    begun = place / "out" / "train" / "attempts"
    wait_for(lambda: process.poll() is not None or begun.is_dir(), "the run to begin", PATIENCE)
    assert tracked(place) == [], "MLflow is told of a run when it has ended"
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 143, errors
    assert "Traceback" not in errors
    assert [made.info.status for made in tracked(place)] == ["KILLED"]


def test_a_stopped_study_says_how_to_continue(place: Path) -> None:
    text = TINY.replace("total_steps = 300", "total_steps = 100_000_000").replace("evaluations = 2", "evaluations = 0")
    (place / "long.toml").write_text(text + 'metric = "training_return_last_100"\n', encoding="utf-8")
    process = start("run", "long.toml", "--jobs", "1", "--out", "there", cwd=place)
    runs = place / "there" / "tiny" / "attempts"
    wait_for(lambda: process.poll() is not None or (runs.is_dir() and [*runs.iterdir()]), "a run to begin", PATIENCE)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert "run long.toml --jobs 1 --out there" in errors
    assert {made.info.status for made in tracked(place, "tiny")} == {"KILLED"}


def test_a_signal_before_anything_runs_is_heeded(place: Path) -> None:
    (place / "tiny.toml").write_text(TINY, encoding="utf-8")
    process = start_afresh("run", "tiny.toml", "--jobs", "1", cwd=place)
    maps = Path(f"/proc/{process.pid}/maps")
    wait_for(lambda: process.poll() is not None or "numpy" in maps.read_text(encoding="utf-8"), "an import", PATIENCE)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert "run tiny.toml --jobs 1" in errors
    assert tracked(place, "tiny") == []
