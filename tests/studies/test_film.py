"""The film of each arm's policy: which runs it shows, that they act as they learnt to, and when there is none."""

from __future__ import annotations

import dataclasses
import io
import logging
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch
from PIL import Image

from harness import RunRecord, Study, load_study
from harness.compute.executor import InlineExecutor
from harness.compute.processes import ProcessExecutor
from studies.film.acting import START
from studies.film.animation import FRAME_MILLISECONDS, HOLD_MILLISECONDS, MOST_BYTES, SIZES, Episode, animate
from studies.film.choosing import film, make_film
from tests.a3c.oracles import torch_networks
from tests.environments import HELPER_SECONDS
from tests.harness.lab import DATABASES

pytest.importorskip("pygame")
pytestmark = DATABASES


@pytest.fixture(scope="module")
def trained(tiny_place: Path) -> Study:
    """Three seeds of a cell of cut rollouts, and of two of whole episodes, where nothing differs."""
    return load_study(tiny_place / "out" / "tiny")


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Played in this process, which takes no time to start, unless a test says otherwise."""
    monkeypatch.setattr("studies.film.acting.ProcessExecutor", lambda slots: InlineExecutor())


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch, here: None) -> None:
    """Played in a process of its own, as always but in these tests."""
    monkeypatch.setattr("studies.film.acting.ProcessExecutor", ProcessExecutor)


def scored(study: Study, scores: Mapping[tuple[str, str], list[float]]) -> Study:
    """The same runs, those of a (cell, arm) with these scores by seed."""
    records = [
        dataclasses.replace(record, metrics={**record.metrics, "auc": scores[record.cell, record.arm][record.seed]})
        if (record.cell, record.arm) in scores
        else record
        for record in study.records
    ]
    return dataclasses.replace(study, records=tuple(records))


def changed(study: Study, **config: object) -> Study:
    """The same runs, said to have been trained with other settings."""
    records = [dataclasses.replace(record, config={**record.config, **config}) for record in study.records]
    return dataclasses.replace(study, records=tuple(records))


def cut_cell(study: Study) -> str:
    return next(cell.id for cell in study.cells if cell.levels["rollout_length"] == 10)


# What is shown


def test_a_film_is_a_small_gif_of_at_most_six_seconds_the_same_every_time(
    trained: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make_film(trained)
    assert made is not None
    monkeypatch.setattr("studies.film.acting.ProcessExecutor", ProcessExecutor)
    assert made == make_film(trained)
    assert len(made.gif) <= MOST_BYTES
    picture = Image.open(io.BytesIO(made.gif))
    assert (picture.format, picture.size) == ("GIF", (made.width, made.height))
    assert picture.info["loop"] == 0
    durations = []
    for frame in range(picture.n_frames):
        picture.seek(frame)
        durations.append(picture.info["duration"])
    assert picture.n_frames > 5
    assert set(durations[:-1]) == {FRAME_MILLISECONDS}
    assert durations[-1] >= HOLD_MILLISECONDS
    assert sum(durations) <= 6000


def test_the_cell_is_the_primary_one_whose_arms_lie_furthest_apart_where_they_can_differ(trained: Study) -> None:
    cut = cut_cell(trained)
    candidate = trained.arms[1]
    vacuous = {(cell.id, arm): [0.0] * 3 for cell in trained.cells for arm in trained.arms if cell.id != cut}
    far_apart = vacuous | {(cell.id, candidate): [9.0] * 3 for cell in trained.cells if cell.id != cut}
    assert film(scored(trained, far_apart)).cell == cut
    only_vacuous = dataclasses.replace(trained, records=tuple(r for r in trained.records if r.cell != cut))
    assert make_film(only_vacuous) is None
    everywhere = changed_shares(scored(trained, far_apart))
    assert film(everywhere).cell != cut
    primary = [dataclasses.replace(cell, primary=cell.id == cut) for cell in trained.cells]
    assert film(dataclasses.replace(everywhere, cells=tuple(primary))).cell == cut


def changed_shares(study: Study) -> Study:
    """The same runs, as if targets had differed in all of them."""
    records = [
        dataclasses.replace(record, metrics={**record.metrics, "differing_target_share": 0.5})
        for record in study.records
    ]
    return dataclasses.replace(study, records=tuple(records))


def test_of_each_arm_the_run_with_the_median_score_is_shown(trained: Study) -> None:
    cell = cut_cell(trained)
    base, candidate = trained.arms
    scores = {(cell, base): [0.3, 0.1, 0.2], (cell, candidate): [0.5, 0.6, 0.9]}
    caption = film(scored(trained, scores), cell).caption
    assert f"{base} 0.200 (seed 2)" in caption
    assert f"{candidate} 0.600 (seed 1)" in caption
    assert caption.startswith("rollout_length 10")


def steps_of(record: RunRecord) -> int:
    """How long a run's final network, in float64 torch, balances the pole from the film's start."""
    actor, _ = torch_networks(record.arrays("parameters")["parameters"], 4, 2, (8,))
    environment = gym.make("CartPole-v1")
    observation, _ = environment.reset(seed=START)
    steps, over = 0, False
    while not over:
        with torch.no_grad():
            action = int(actor(torch.tensor(observation, dtype=torch.float64)).argmax())
        observation, _, terminated, truncated, _ = environment.step(action)
        steps, over = steps + 1, terminated or truncated
    environment.close()
    return steps


def test_policies_act_as_their_final_networks_do(trained: Study) -> None:
    cell = cut_cell(trained)
    alt = film(scored(trained, {(cell, arm): [0.0, 1.0, 2.0] for arm in trained.arms}), cell).alt
    for record in trained.records:
        if record.cell == cell and record.seed == 1:
            steps = steps_of(record)
            assert f"{record.arm} ends after {steps} steps with return {steps}" in alt


def test_the_environment_is_the_one_runs_were_evaluated_in(trained: Study) -> None:
    penalised = {"sutton_barto_reward": True}
    assert "with return -1" in film(changed(trained, env_kwargs=penalised)).alt
    assert "with return -1" not in film(changed(trained, env_kwargs=penalised, evaluation_env_kwargs={})).alt


# When there is none


def assert_none(study: Study, reason: str, caplog: pytest.LogCaptureFixture, level: str = "INFO") -> None:
    with caplog.at_level(logging.INFO, "studies.film.choosing"):
        assert make_film(study) is None
    assert reason in caplog.text
    assert [record.levelname for record in caplog.records] == [level]


def test_without_pygame_it_says_what_to_install(
    trained: Study, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "pygame", None)
    assert_none(trained, "pip install 'a3c-bench[film]'", caplog)


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"env_id": "tests.environments:Scripted-v0"}, "draws no rgb frames"),
        ({"env_id": "Acrobot-v1"}, "its network has"),
        ({"hidden_sizes": [9]}, "its network has"),
    ],
)
def test_what_cannot_be_filmed_is_said(
    config: dict[str, object], reason: str, trained: Study, caplog: pytest.LogCaptureFixture
) -> None:
    assert_none(changed(trained, **config), reason, caplog)


def drawn(study: Study, **kwargs: object) -> Study:
    """The same runs, said to have been trained in an environment that draws."""
    return changed(study, env_id="tests.environments:Drawing-v0", env_kwargs=kwargs)


@pytest.mark.parametrize("shape", [(40, 60), (40, 60, 4)], ids=["grey", "with opacity"])
def test_frames_need_not_be_rgb(shape: tuple[int, ...], trained: Study) -> None:
    assert film(drawn(trained, shape=shape)).gif


FAULTS = {  # of tests.environments:Drawing-v0: what the film says, and the fault in words
    "step": ("(RuntimeError: scripted failure in render)", "an environment raises when it is drawn for a film"),
    "exit": (
        "(SystemExit: scripted failure in render)",
        "an environment leaves the process when it is drawn for a film",
    ),
    "interrupt": (
        "(KeyboardInterrupt: scripted failure in render)",
        "KeyboardInterrupt when an environment is drawn for a film",
    ),
    "close_exit": (
        "(SystemExit: scripted failure in close)",
        "an environment that was drawn for a film leaves the process when closed",
    ),
    "segfault": ("was killed by signal 11 (SIGSEGV)", "an environment crashes when it is drawn for a film"),
    "hang": ("took longer than 3 s", "an environment hangs when it is drawn for a film"),
}
DEADLY = ("segfault", "hang")  # to the process; what others raise is caught in it


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.fault(16, words)) for name, (_, words) in FAULTS.items()]
)
def test_an_environment_that_fails_at_drawing_ends_no_report(
    name: str,
    trained: Study,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    if name in DEADLY:
        request.getfixturevalue("elsewhere")
    if name == "hang":
        monkeypatch.setattr("studies.film.acting.FILM_SECONDS", 3.0)
    assert_none(drawn(trained, fault=name), FAULTS[name][0], caplog, "WARNING")


@pytest.mark.fault(16, "an environment leaves processes behind when it is drawn for a film")
def test_what_an_environment_has_started_keeps_no_report_waiting(trained: Study, elsewhere: None) -> None:
    began = time.monotonic()
    assert film(drawn(trained, fault="helper", lengths=[2])).gif
    assert time.monotonic() - began < HELPER_SECONDS


def test_without_parameters_or_runs_there_is_nothing_to_show(
    trained: Study, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bare = [dataclasses.replace(record, folder=tmp_path) for record in trained.records]
    assert_none(dataclasses.replace(trained, records=tuple(bare)), "left its parameters", caplog)
    caplog.clear()
    assert_none(dataclasses.replace(trained, records=()), "no cell has finished runs of two arms", caplog)


# The picture


def episode(steps: int, colour: tuple[int, int, int], title: str = "an arm") -> Episode:
    return Episode(title, [Image.new("RGB", (300, 200), colour)] * (steps + 1), [1.0] * steps, "ended")


def middle_of(picture: Image.Image, panel: int) -> np.ndarray:
    x = 8 + panel * 308 + 150
    return np.array(picture.convert("RGB").getpixel((x, picture.height - 60)), dtype=int)


def test_an_episode_that_is_over_stays_and_fades_while_others_go_on() -> None:
    animation = animate([episode(10, (200, 0, 0)), episode(30, (0, 0, 200))])
    assert animation is not None
    picture = Image.open(io.BytesIO(animation.gif))
    assert picture.n_frames == 31
    shades = []
    for frame in (9, 10, 29, 30):
        picture.seek(frame)
        shades.append([bool(middle_of(picture, panel).min() > 100) for panel in (0, 1)])
    assert shades == [[False, False], [True, False], [True, False], [True, True]]


@pytest.mark.parametrize(("steps", "stride"), [(1, 1), (74, 1), (75, 2), (500, 7), (1000, 14)])
def test_whole_episodes_are_shown_at_an_even_pace(steps: int, stride: int) -> None:
    animation = animate([episode(steps, (200, 0, 0)), episode(1, (0, 0, 200))])
    assert animation is not None
    assert animation.stride == stride
    assert Image.open(io.BytesIO(animation.gif)).n_frames == -(-steps // stride) + 1


def test_many_arms_stand_in_rows_and_long_names_are_cut() -> None:
    animation = animate([episode(1, (200, 0, 0), title="x" * 1000 + str(arm)) for arm in range(6)])
    assert animation is not None
    assert animation.width == 4 * 308 + 8
    assert animation.height > 400


def noise(steps: int) -> Episode:
    random = np.random.default_rng(3)
    frames = [Image.fromarray(random.integers(0, 256, size=(200, 300, 3), dtype=np.uint8)) for _ in range(steps + 1)]
    return Episode("noise", frames, [1.0] * steps, "ended")


def test_what_does_not_compress_is_drawn_smaller_and_at_last_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    smaller = animate([noise(20)])
    assert smaller is not None
    assert len(smaller.gif) <= MOST_BYTES
    assert smaller.width < SIZES[0][0]
    monkeypatch.setattr("studies.film.animation.MOST_BYTES", 10_000)
    assert animate([noise(2)]) is None
