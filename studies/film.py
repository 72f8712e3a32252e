"""A film of what was learnt: in one cell, each arm's trained policy acting in the environment, side by side."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from harness import RunRecord, Study
from reports.films import Film
from reports.frame import by_key, compared_values
from reports.text import arm_name, cell_name, count, listing, number
from reports.vacuity import compares_targets, is_vacuous
from studies.animation import Animation, Episode, animate, shrunk

if TYPE_CHECKING:
    import gymnasium as gym
    import numpy as np
    from numpy.typing import NDArray

LOG = logging.getLogger(__name__)
MOST_STEPS = 1000
MOST_ARMS = 8
START = 0  # the seed of the one start state that all policies act from
HOW_TO_INSTALL = "pip install 'a3c-bench[film]'"


class NoFilm(Exception):
    """There is nothing to show, or nothing to show it with; the message says why, in one line."""


def make_film(study: Study, cell: str | None = None) -> Film | None:
    """Film each arm's trained policy in one cell; None, and the reason logged, where that cannot be.

    Of each arm the run with the median compared value is taken. Its final network acts greedily in the environment it
    was evaluated in, all from the same start.

    Args:
        study: with runs that left their parameters.
        cell: id of the cell; None: of the primary cells whose arms' targets differ, the one whose arms' means do most.
    """
    try:
        return film(study, cell)
    except NoFilm as reason:
        LOG.info("no film: %s", reason)
        return None


def film(study: Study, cell: str | None = None) -> Film:
    """Do as :func:`make_film` does.

    Raises:
        NoFilm: where that cannot be.
    """
    chosen = cell if cell is not None else _most_different_cell(study)
    runs = _median_runs(study, chosen)
    episodes = [_played(record, arm_name(study.spec.compare.factor, arm)) for arm, record in runs.items()]
    animation = animate(episodes)
    if animation is None:
        raise NoFilm("its file would be too large")
    cells = {known.id: cell_name(known) for known in study.cells}
    alt, caption = _words(study, cells[chosen], runs, episodes, animation)
    return Film(chosen, animation.gif, alt, caption, animation.width, animation.height)


# Which runs


def _most_different_cell(study: Study) -> str:
    """Return the cell whose arms' means lie furthest apart: of the primary ones, where a difference can be."""
    values: dict[tuple[str, str], list[float]] = {}
    for (cell_id, arm, _), value in compared_values(study).items():
        values.setdefault((cell_id, arm), []).append(value)
    records: dict[str, list[RunRecord]] = {}
    for record in study.records:
        records.setdefault(record.cell, []).append(record)
    best: tuple[bool, float] | None = None
    chosen = ""
    for cell in study.cells:
        own = [found for arm in study.arms if (found := values.get((cell.id, arm)))]
        means = [sum(found) / len(found) for found in own]
        if len(means) < 2 or (compares_targets(study) and is_vacuous(records.get(cell.id, []))):
            continue
        rank = (cell.primary, max(means) - min(means))
        if best is None or rank > best:
            best, chosen = rank, cell.id
    if best is None:
        raise NoFilm("no cell has finished runs of two arms that could differ")
    return chosen


def _median_runs(study: Study, cell: str) -> dict[str, RunRecord]:
    """Return of each arm the run with the median compared value among those with parameters, the lower of two."""
    values, records = compared_values(study), by_key(study)
    found = {}
    for arm in study.arms[:MOST_ARMS]:
        ranked = sorted(
            (values[key], key[2])
            for key, record in records.items()
            if key[:2] == (cell, arm) and key in values and (record.folder / "parameters.npz").is_file()
        )
        if ranked:
            found[arm] = records[cell, arm, ranked[(len(ranked) - 1) // 2][1]]
    if not found:
        raise NoFilm(f"no run of the cell {cell} left its parameters")
    return found


# What they do


def _played(record: RunRecord, title: str) -> Episode:
    """Play one episode greedily with a run's final network."""
    import numpy as np

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is out of date", category=DeprecationWarning)
        environment = _environment(record.config)
    try:
        policy = _greedy(record, environment)
        observation, _ = environment.reset(seed=START)
        frames = [shrunk(np.asarray(environment.render()))]
        rewards: list[float] = []
        terminated = truncated = False
        while not (terminated or truncated) and len(rewards) < MOST_STEPS:
            observation, reward, terminated, truncated, _ = environment.step(policy(observation))
            rewards.append(float(reward))
            frames.append(shrunk(np.asarray(environment.render())))
    except NoFilm:
        raise
    except Exception as error:  # whatever an environment does
        raise NoFilm(_reason(record.config["env_id"], error)) from error
    finally:
        environment.close()
    ending = "ended" if terminated else "time limit" if truncated else "cut"
    return Episode(title, frames, rewards, ending)


def _environment(config: Mapping[str, Any]) -> gym.Env[Any, Any]:
    """Make the environment a run was evaluated in, so that it draws into memory: no display is needed."""
    import gymnasium as gym

    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    env_id, kwargs = config["env_id"], config["evaluation_env_kwargs"]
    kwargs = config["env_kwargs"] if kwargs is None else kwargs
    try:
        plain = gym.make(env_id, **kwargs)
        modes = plain.metadata.get("render_modes") or ()
        plain.close()
        if "rgb_array" not in modes:
            raise NoFilm(f"{env_id} draws no rgb frames")
        return gym.make(env_id, **{**kwargs, "render_mode": "rgb_array"})
    except NoFilm:
        raise
    except Exception as error:  # whatever an environment does
        raise NoFilm(_reason(env_id, error)) from error


def _greedy(record: RunRecord, environment: gym.Env[Any, Any]) -> Callable[[Any], int]:
    """Return the policy that takes the likeliest action of a run's final network."""
    import numpy as np

    from a3c.environment import spaces_of
    from a3c.evaluate import forward
    from a3c.parameters import Layout

    spaces = spaces_of(environment, record.config["env_id"])
    layout = Layout(spaces.observation_size, spaces.actions, tuple(record.config["hidden_sizes"]))
    parameters: NDArray[np.float32] = record.arrays("parameters")["parameters"]
    if parameters.shape != (layout.size,):
        raise NoFilm(f"the run {record.run} left {parameters.shape} parameters, its network has {layout.size}")
    layers = layout.layers(parameters[None], "actor")

    def policy(observation: Any) -> int:
        batch = np.asarray(observation, dtype=np.float32).reshape(1, 1, -1)
        logits = forward(layers, record.config["activation"], batch)
        return int(logits.argmax()) + spaces.first_action

    return policy


def _reason(env_id: str, error: Exception) -> str:
    import gymnasium as gym

    if isinstance(error, gym.error.DependencyNotInstalled):
        return f"drawing {env_id} needs a package that is not installed: {HOW_TO_INSTALL}"
    return f"{env_id} could not be filmed ({type(error).__name__}: {' '.join(str(error).split())})"


# In words


def _words(
    study: Study, where: str, runs: Mapping[str, RunRecord], episodes: list[Episode], animation: Animation
) -> tuple[str, str]:
    """Return the alt text and the caption."""
    env_id = next(iter(runs.values())).config["env_id"]
    ends = [
        f"{episode.title} {_how(episode)} after {count(episode.steps, 'step')} with return {sum(episode.rewards):.6g}"
        for episode in episodes
    ]
    alt = f"Animation: the trained policies of the arms act in {env_id} from the same start. {'; '.join(ends)}."
    values = compared_values(study)
    scores = [
        f"{episode.title} {number(values[record.cell, record.arm, record.seed])} (seed {record.seed})"
        for episode, record in zip(episodes, runs.values(), strict=True)
    ]
    pace = "" if animation.stride == 1 else f" Every {_ordinal(animation.stride)} step is shown."
    metric = study.spec.compare.metric
    caption = (
        f"{where}: of each arm the run with the median {metric}, {listing(scores)}. Their final networks take the "
        f"likeliest action, all from one start.{pace} One episode each is an illustration, not evidence."
    )
    return alt, caption


def _how(episode: Episode) -> str:
    return {"ended": "ends", "time limit": "reaches the time limit", "cut": "is cut off"}[episode.ending]


def _ordinal(stride: int) -> str:
    return {2: "second", 3: "third"}.get(stride, f"{stride}th")
