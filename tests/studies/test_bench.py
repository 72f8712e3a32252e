"""`bench`: who is measured, what measurements come to, what is written; never how fast anything is."""

from __future__ import annotations

import itertools
import json
import os
import signal
from collections import Counter
from collections.abc import Sequence
from dataclasses import astuple
from pathlib import Path

import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from rich.console import Console

from a3c import TrainConfig
from a3c.engines.choice import ENGINES
from harness.commands.single import RunFailed
from harness.compute.executor import InlineExecutor
from harness.errors import BadInput, Interrupted
from studies.bench import contestants
from studies.bench.contestants import ENVIRONMENT, PAIR, PEER, all_contestants, choose, training
from studies.bench.display import show
from studies.bench.measure import PARTS, Measurement, Timing, measure, split_of_time
from studies.bench.record import write_bench
from studies.bench.runner import Bench, Options, Watcher, run_bench
from studies.bench.summary import PairRow, Row, Spread, Summary, headlines, summarise
from studies.cli import run
from tests.harness.lab import DATABASES, children_of, wait_for
from tests.studies.command import PATIENCE, start

pytestmark = DATABASES

FAST = training("compiled", 4, 20, "round_robin")
FREE = training("compiled", 4, 20, "free")
SLOW = training("autograd", 4, 20, "round_robin")
SHARES = {"env": 0.5, "act": 0.25, "gradients": 0.125, "push_pull": 0.0625, "rest": 0.0625}
ROWS = [  # the environment alone makes 100 steps a second on the mean of before and after, at half speed in round 2
    Row(1, FAST.name, 160, 2.0, 90.0, 110.0, SHARES),
    Row(2, FAST.name, 60, 2.0, 45.0, 55.0),
    Row(3, FAST.name, 70, 1.0, 100.0, 100.0),
    Row(1, SLOW.name, 10, 1.0, 100.0, 100.0, SHARES),
    Row(2, SLOW.name, 5, 1.0, 50.0, 50.0),
    Row(3, SLOW.name, 20, 1.0, 100.0, 100.0),
    Row(1, PEER.name, 20, 1.0, 100.0, 100.0),
    Row(2, PEER.name, 5, 1.0, 50.0, 50.0),
    Row(3, PEER.name, 10, 1.0, 100.0, 100.0),
]
PAIRS = [PairRow(1, 90.0, 190.0, 110.0), PairRow(2, 100.0, 180.0, 100.0), PairRow(3, 50.0, 99.0, 60.0)]


def test_every_combination_is_a_contestant_and_no_two_are_the_same() -> None:
    everybody = all_contestants()
    assert Counter(one.kind for one in everybody) == {
        "environment": 1, "peer": 1, "a3c": len(ENGINES) * 3 * 3 * 2, "pair": 1,
    }  # fmt: skip
    fields = ("engine", "workers", "rollout_length", "schedule")
    wanted = itertools.product(ENGINES, (1, 4, 16), (5, 20, "episode"), ("round_robin", "free"))
    runs = [one for one in everybody if one.kind == "a3c"]
    assert {tuple(one.changes[field] for field in fields) for one in runs} == set(wanted)
    assert len({json.dumps(TrainConfig(**one.changes).effective(), sort_keys=True) for one in runs}) == len(runs)
    assert len({one.name for one in everybody}) == len(everybody)


def test_contestants_are_chosen_by_any_part_of_their_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contestants, "usable_cores", lambda: [0, 1])
    assert choose([])[0] == all_contestants()
    assert choose(["compiled w4 t20", "alone"])[0] == (ENVIRONMENT, FAST, FREE)
    assert choose(["two"])[0] == (PAIR,)


def test_who_cannot_be_measured_is_left_out_with_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contestants, "PEER_PACKAGE", "no_such_package")
    monkeypatch.setattr(contestants, "usable_cores", lambda: [0])
    chosen, left_out = choose([])
    assert {one.kind for one in chosen} == {"environment", "a3c"}
    assert left_out == (
        "SB3 A2C is left out: Stable-Baselines3 is not installed (pip install 'a3c-bench[peers]')",
        "two processes is left out: this process may use one core only",
    )
    with pytest.raises(BadInput, match=r"only = 'SB3': .*a3c-bench\[peers\]"):
        choose(["SB3"])


def test_ratios_are_to_the_mean_of_the_environment_before_and_after() -> None:
    assert [row.speed for row in ROWS[:3]] == [80.0, 30.0, 70.0]
    assert [row.ratio for row in ROWS[:3]] == [0.8, 0.6, 0.7]
    assert [pair.ratio for pair in PAIRS] == [1.9, 1.8, 1.8]


def test_a_summary_is_medians_over_rounds() -> None:
    fast, slow, peer = summarise([ENVIRONMENT, FAST, SLOW, PEER, PAIR], ROWS)
    assert (fast.contestant, fast.rounds, fast.speed) == (FAST, 3, 70.0)
    assert fast.ratio == Spread(0.7, 0.6, 0.8)
    assert fast.shares == SHARES
    assert fast.to_peer is not None
    assert astuple(fast.to_peer) == pytest.approx((6, 4, 7))  # 0.8 / 0.2, 0.6 / 0.1, 0.7 / 0.1: paired by round
    assert (slow.speed, slow.ratio) == (10.0, Spread(0.1, 0.1, 0.2))
    assert (peer.to_peer, peer.shares) == (Spread(1.0, 1.0, 1.0), {})
    assert summarise([FAST], ROWS[:3])[0].to_peer is None


PEER_AS_IT_COMES = "Stable-Baselines3's A2C as it comes (8 environments, 5 steps, two layers of 64)"


def test_headlines_compare_what_was_measured() -> None:
    free = [Row(number, FREE.name, 40, 1.0, 100.0, 100.0) for number in (1, 2, 3)]
    assert headlines([*ROWS, *free], PAIRS) == [
        "compiled, 4 workers, rollouts of 20 steps: 6.00 [4.00, 7.00] × " + PEER_AS_IT_COMES,
        "compiled, 4 workers, rollouts of 20 steps: 6.00 [3.50, 8.00] × the autograd engine",
        "autograd, 4 workers, rollouts of 20 steps: 1.00 [0.50, 2.00] × " + PEER_AS_IT_COMES,
        "compiled, rollouts of 20 steps: free is 0.57 (w4) × round_robin",
        "two processes on two cores, 4 workers each, rollouts of 20 steps: 1.80 [1.80, 1.90] × one",
    ]
    assert headlines(ROWS[:3], []) == []


def test_the_split_of_time_adds_up() -> None:
    phases = {"collect": 6.0, "learn": 1.0, "push": 0.5, "worker": 8.0, "other": 100.0}
    timings = {f"{phase}_cpu_seconds": seconds for phase, seconds in phases.items()}
    assert split_of_time(timings, environment_seconds=4.0) == SHARES


def test_a_measurement_stands_between_two_of_the_environment() -> None:
    made = measure(Measurement(kind="a3c", changes=FAST.changes, steps=200, seconds=0.01, split=True), print)
    assert {*made.timings} == {"environment_before", "steps", "seconds", "environment_after", *PARTS}
    assert made.timings["steps"] >= 200
    assert sum(made.timings[part] for part in PARTS) == pytest.approx(1)
    bare = measure(Measurement(kind="environment", steps=100, seconds=0, beside_environment=False), print)
    assert {*bare.timings} == {"steps", "seconds"}
    assert Timing(100, 0.5).speed == 200.0


def test_the_peer_learns_in_eight_environments() -> None:
    made = measure(Measurement(kind="peer", steps=50, seconds=0, beside_environment=False), print)
    assert made.timings["steps"] == 80  # its rollouts are 5 steps of each


def written(folder: Path, name: str, rows: Sequence[Row] = ROWS, pairs: Sequence[PairRow] = PAIRS) -> list[Summary]:
    folder.mkdir(exist_ok=True)
    summaries = summarise([FAST, SLOW, PEER], rows)
    write_bench(folder, name, 0.0, {"rounds": 3}, {"commit": None, "versions": {}}, summaries, rows, pairs)
    return summaries


def test_files_hold_every_measurement_and_the_summary(tmp_path: Path) -> None:
    written(tmp_path, "one")
    results, summary, pairs = (
        pd.read_csv(tmp_path / "latest" / f"{n}.csv") for n in ("results", "summary", "two_processes")
    )
    assert results["ratio_to_environment"].tolist() == [row.ratio for row in ROWS]
    assert results["round"].tolist() == [1, 2, 3] * 3
    assert summary["contestant"].tolist() == [FAST.name, SLOW.name, PEER.name]
    assert summary["workers"].tolist()[:2] == [4, 4]
    assert summary.loc[0, ["ratio_min", "ratio_to_environment", "ratio_max"]].tolist() == [0.6, 0.7, 0.8]
    assert pairs["ratio"].tolist() == [1.9, 1.8, 1.8]
    record = json.loads((tmp_path / "one" / "record.json").read_text(encoding="utf-8"))
    assert record["metrics"]["ratio_to_sb3/SB3 A2C"] == 1.0
    assert record["metrics"]["ratio_to_one_process/two processes"] == 1.8
    assert record["timings"][f"steps_per_second/{FAST.name}"] == 70.0


def test_an_earlier_bench_stays_and_latest_is_the_later(tmp_path: Path) -> None:
    written(tmp_path, "one")
    written(tmp_path, "two", rows=[], pairs=PAIRS[:1])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["latest", "one", "two"]
    assert (tmp_path / "latest").resolve() == (tmp_path / "two").resolve()
    assert not (tmp_path / "two" / "results.csv").exists()


def test_the_table_fits_a_terminal(tmp_path: Path) -> None:
    console = Console(width=80, record=True, file=(tmp_path / "screen").open("w", encoding="utf-8"))
    show(Bench(summarise([ENVIRONMENT, FAST, SLOW, PEER], ROWS), ["a headline"], tmp_path), console)
    console.file.close()
    lines = console.export_text().splitlines()
    assert lines[0].split() == ["steps/s", "×", "environment", "×", "SB3", "env", "act", "grad", "push", "rest"]
    assert "20 steps, round_robin" in [line.strip() for line in lines]
    assert "compiled w4 70 0.700 [0.600, 0.800] 6.00 50 25 12 6 6" in [" ".join(line.split()) for line in lines]
    assert lines[-1] == "a headline"
    assert "…" not in "".join(lines)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--rounds", "0"], "rounds = 0: must be from 1 to 1000"),
        (["--seconds", "nan"], "seconds = nan: must be from 0.01 to 600"),
        (["--steps", "1"], "steps = 1: must be from 100 to 10000000"),
        (["--only", "compild"], "only = 'compild': must occur in a contestant's name"),
        (["--rounds", "many"], "--rounds"),
        (["--out", "file"], "out = 'file': must be a folder"),
    ],
)
def test_bad_options_are_one_line(
    workplace: Path, capsys: pytest.CaptureFixture[str], options: list[str], says: str
) -> None:
    (workplace / "file").touch()
    before = sorted(workplace.iterdir())
    assert run(["bench", *options]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert says in line
    assert sorted(workplace.iterdir()) == before


def tracked(place: Path) -> list[Run]:
    client = MlflowClient(tracking_uri=f"sqlite:///{place}/mlflow.db")
    found = client.get_experiment_by_name("bench")
    return [] if found is None else list(client.search_runs([found.experiment_id]))


def test_a_tiny_bench_from_end_to_end(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["bench", "--rounds", "1", "--seconds", "0.05", "--steps", "200", "--only", FAST.name]) == 0
    out, errors = capsys.readouterr()
    assert errors == ""
    assert "compiled w4" in out
    assert "SB3's A2C" not in out
    (made,) = tracked(workplace)
    assert made.info.status == "FINISHED"
    folder = workplace / "out" / "bench" / made.info.run_name
    assert (workplace / "out" / "bench" / "latest").resolve() == folder.resolve()
    assert f"out/bench/{folder.name}" in out
    (row,) = pd.read_csv(folder / "results.csv").itertuples()
    assert row.contestant == FAST.name
    assert made.data.metrics[f"ratio_to_environment/{FAST.name}"] == pytest.approx(row.ratio_to_environment)
    assert made.data.params["steps"] == "200"
    assert {"git_commit", "mlflow.source.name"} <= {*made.data.tags}
    client = MlflowClient(tracking_uri=f"sqlite:///{workplace}/mlflow.db")
    kept = {file.path for file in client.list_artifacts(made.info.run_id)}
    assert {"results.csv", "summary.csv", "record.json", "config.json"} <= kept


def measuring(pid: int) -> bool:
    """Whether a bench has a process that measures."""
    commands = [Path(f"/proc/{child}/cmdline") for child in children_of(pid)]
    return any(b"harness.compute.child" in command.read_bytes() for command in commands if command.exists())


def test_an_interrupted_bench_leaves_no_results(workplace: Path) -> None:
    process = start("bench", "--only", FAST.name, "--seconds", "600", cwd=workplace)
    wait_for(lambda: process.poll() is not None or measuring(process.pid), "the bench to begin", PATIENCE)
    assert tracked(workplace) == [], "MLflow is told of a bench when it has ended"
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert "leaves no results" in errors
    assert [*(workplace / "out" / "bench").iterdir()] == []
    assert [made.info.status for made in tracked(workplace)] == ["KILLED"]


BROKEN = contestants.Contestant("a3c", "broken", {"engine": "no such engine"})


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measured in this process, which takes no time to start and stays on its cores."""
    monkeypatch.setattr("studies.bench.runner.ProcessExecutor", lambda slots: InlineExecutor())
    monkeypatch.delattr(os, "sched_setaffinity", raising=False)


def test_a_contestant_that_fails_leaves_the_others_results(
    workplace: Path, here: None, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(contestants, "all_contestants", lambda: (contestants.ENVIRONMENT, BROKEN, FAST))
        assert run(["bench", "--rounds", "2", "--seconds", "0.01", "--steps", "200"]) == 1
    assert "failed: broken: ValidationError: " in capsys.readouterr().out
    (folder,) = (path for path in (workplace / "out" / "bench").iterdir() if not path.is_symlink())
    rows = pd.read_csv(folder / "results.csv")
    assert sorted(rows.contestant) == sorted(2 * [contestants.ENVIRONMENT.name, FAST.name])
    assert [made.info.status for made in tracked(workplace)] == ["FINISHED"]


def test_a_bench_in_which_everybody_fails_has_failed(
    workplace: Path, here: None, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = BROKEN
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(contestants, "all_contestants", lambda: (broken, broken, broken))
        assert run(["bench"]) == 1
    assert capsys.readouterr().err.startswith("a3c-bench: broken: ValidationError: ")
    (made,) = tracked(workplace)
    assert (made.info.status, made.data.tags["outcome"]) == ("FAILED", "failed")
    assert [*(workplace / "out" / "bench").iterdir()] == []


class Disturber(Watcher):
    """Takes MLflow's database away when measuring begins; nothing can be made anew in its place."""

    def __init__(self, interrupts: bool) -> None:
        self._interrupts = interrupts

    def measuring(self, number: int, contestant: str) -> None:
        """Disturb it."""
        if not Path("away.db").exists():
            Path("mlflow.db").rename("away.db")
            Path("mlflow.db").mkdir()
        if self._interrupts:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.fault(7, "MLflow's store gone while a bench is measured that then fails, or is interrupted")
@pytest.mark.parametrize("interrupts", [False, True])
def test_what_ended_a_bench_is_told_though_mlflow_is_away(
    workplace: Path, here: None, monkeypatch: pytest.MonkeyPatch, interrupts: bool
) -> None:
    monkeypatch.setattr(contestants, "all_contestants", lambda: 3 * (BROKEN,))
    with pytest.raises(Interrupted if interrupts else RunFailed) as caught:
        run_bench(Options(rounds=1), out=workplace / "out", tracking_uri=None, watcher=Disturber(interrupts))
    if isinstance(caught.value, RunFailed):
        first, *_, last = str(caught.value).splitlines()
        assert first.startswith("broken: ValidationError: ")
        assert last.startswith("MLflow could not be told: ")
        assert "Traceback" in caught.value.detail
    else:
        assert caught.value.exit_code == 130
    assert [*(workplace / "out" / "bench").iterdir()] == []
