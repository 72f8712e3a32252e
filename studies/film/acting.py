"""Film policies in a child process, so that no failure of an environment ends a report."""

from __future__ import annotations

import io
import os
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pydantic

from harness.algorithm.output import PlainResult
from harness.algorithm.protocol import Algorithm
from harness.compute.processes import ProcessExecutor
from harness.compute.task import Failed, Finished, Task
from harness.record.run import read_arrays
from studies.film.animation import Episode, animate, shrunk

if TYPE_CHECKING:
    import gymnasium as gym
    import numpy as np
    from numpy.typing import NDArray

FILM = Algorithm(config="studies.film.acting:Cast", train="studies.film.acting:act")
FILM_SECONDS = 120.0  # a film that takes longer is not made
MOST_STEPS = 1000
START = 0  # the seed of the one start state that all policies act from
HOW_TO_INSTALL = "pip install 'a3c-bench[film]'"


class NoFilm(Exception):
    """There is nothing to show, or nothing to show it with; the message is the reason."""


class FilmFailed(NoFilm):
    """An environment failed while it was filmed."""


@dataclass(frozen=True)
class Part:
    """A policy that is to act.

    Attributes:
        title: what is written above it.
        parameters: file of its final network's.
        config: what it was trained with.
    """

    title: str
    parameters: str
    config: Mapping[str, Any]


class Cast(pydantic.BaseModel):
    """The policies of one film, as a task's config."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Ending:
    """The end of a part's episode: how it ended (as in :class:`Episode`), after how many steps, with what return."""

    how: str
    steps: int
    total: float


@dataclass(frozen=True)
class Footage:
    """A GIF, its size in pixels, how many steps lie between two of its frames, and how each part ended."""

    gif: bytes
    width: int
    height: int
    stride: int
    endings: Sequence[Ending]


def filmed(parts: Sequence[Part]) -> Footage:
    """Let policies act, each from the same start, in a child process.

    Raises:
        NoFilm: where there is nothing to see.
        FilmFailed: where the environment fails at it, hangs, or takes the process with it.
    """
    deadline = time.monotonic() + FILM_SECONDS  # the child's own counts from when it has imported what it needs
    with closing(ProcessExecutor(1)) as executor:
        executor.submit(Task("film", FILM, {"parts": [asdict(part) for part in parts]}, FILM_SECONDS))
        while (left := deadline - time.monotonic()) > 0:
            for event in executor.events(left):
                if isinstance(event, Finished):
                    return _footage(event.output.files["film.npz"])
                if isinstance(event, Failed):
                    raise _reported(event, parts[0].config["env_id"])
    raise FilmFailed(f"drawing it took longer than {FILM_SECONDS:g} s")


def _reported(failure: Failed, env_id: str) -> NoFilm:
    """Return what :func:`act` raised in a child, or an error about the child's end."""
    kind, _, why = failure.reason.partition(": ")
    known = {error.__name__: error for error in (NoFilm, FilmFailed)}
    return known[kind](why) if kind in known else FilmFailed(f"drawing {env_id}: {failure.reason}")


def act(cast: Cast, emit: Callable[[Any], None]) -> PlainResult:
    """Play and draw, as the train function of a task.

    Raises:
        NoFilm: where there is nothing to see, or nothing to draw it with.
        FilmFailed: of whatever an environment raises.
    """
    import numpy as np

    try:
        with warnings.catch_warnings(action="ignore"):
            episodes = [_played(part) for part in cast.parts]
    except NoFilm:
        raise
    except BaseException as error:  # whatever an environment does
        env_id = cast.parts[0].config["env_id"]
        if _lacks_package(error):
            raise NoFilm(f"drawing {env_id} needs a package that is not installed: {HOW_TO_INSTALL}") from error
        why = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise FilmFailed(f"{env_id} could not be filmed ({why})") from error
    animation = animate(episodes)
    if animation is None:
        raise NoFilm("its file would be too large")
    film = {
        "gif": np.frombuffer(animation.gif, np.uint8),
        "figures": [animation.width, animation.height, animation.stride],
        "how": [episode.ending for episode in episodes],
        "steps": [episode.steps for episode in episodes],
        "total": [sum(episode.rewards) for episode in episodes],
    }
    return PlainResult(arrays={"film": film})


def _footage(content: bytes) -> Footage:
    """Read the arrays that :func:`act` returned."""
    import numpy as np

    with np.load(io.BytesIO(content), allow_pickle=False) as film:
        endings = zip(*(film[name].tolist() for name in ("how", "steps", "total")), strict=True)
        width, height, stride = film["figures"].tolist()
        return Footage(film["gif"].tobytes(), width, height, stride, [Ending(*ending) for ending in endings])


def _lacks_package(error: BaseException | None) -> bool:
    import gymnasium as gym

    return error is not None and (
        isinstance(error, gym.error.DependencyNotInstalled) or _lacks_package(error.__cause__)
    )


def _played(part: Part) -> Episode:
    """Play one episode greedily with a run's final network."""
    import numpy as np

    environment = _environment(part.config)
    policy = _greedy(part, environment)
    observation, _ = environment.reset(seed=START)
    frames = [shrunk(np.asarray(environment.render()))]
    rewards: list[float] = []
    terminated = truncated = False
    while not (terminated or truncated) and len(rewards) < MOST_STEPS:
        observation, reward, terminated, truncated, _ = environment.step(policy(observation))
        rewards.append(float(reward))
        frames.append(shrunk(np.asarray(environment.render())))
    environment.close()
    return Episode(part.title, frames, rewards, "ended" if terminated else "time limit" if truncated else "cut")


def _environment(config: Mapping[str, Any]) -> gym.Env[Any, Any]:
    """Make the environment a run was evaluated in, so that it draws into memory: no display is needed."""
    from a3c.environments.making import make

    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    env_id, kwargs = config["env_id"], config["evaluation_env_kwargs"]
    kwargs = config["env_kwargs"] if kwargs is None else kwargs
    plain = make(env_id, kwargs)
    modes = plain.metadata.get("render_modes") or ()
    plain.close()
    if "rgb_array" not in modes:
        raise NoFilm(f"{env_id} draws no rgb frames")
    return make(env_id, {**kwargs, "render_mode": "rgb_array"})


def _greedy(part: Part, environment: gym.Env[Any, Any]) -> Callable[[Any], int]:
    """Return the policy that takes the likeliest action of a run's final network."""
    import numpy as np

    from a3c.environments.making import spaces_of
    from a3c.evaluation.play import forward
    from a3c.networks.layout import Layout

    spaces = spaces_of(environment, part.config["env_id"])
    layout = Layout(spaces.observation_size, spaces.actions, tuple(part.config["hidden_sizes"]))
    parameters: NDArray[np.float32] = read_arrays(Path(part.parameters))["parameters"]
    if parameters.shape != (layout.size,):
        raise NoFilm(f"{part.title} left {parameters.shape} parameters, its network has {layout.size}")
    layers = layout.layers(parameters[None], "actor")

    def policy(observation: Any) -> int:
        batch = np.asarray(observation, dtype=np.float32).reshape(1, 1, -1)
        logits = forward(layers, part.config["activation"], batch)
        return int(logits.argmax()) + spaces.first_action

    return policy
