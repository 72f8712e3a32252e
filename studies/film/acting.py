"""Policies acted out and drawn, in a process of its own: what an environment does there ends no report.

``python -m studies.film.acting FOLDER`` reads ``parts.json`` in FOLDER, plays and draws, and leaves ``film.gif`` and
``footage.json`` there; its last words on standard error say why, where it does not.
"""

from __future__ import annotations

import faulthandler
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.compute.program import command, environment
from harness.record.json_file import read_json, write_json
from harness.record.run import read_arrays
from studies.film.animation import Episode, animate, shrunk

if TYPE_CHECKING:
    import gymnasium as gym
    import numpy as np
    from numpy.typing import NDArray

FILM_SECONDS = 120.0  # a film that takes longer is not made
MOST_STEPS = 1000
START = 0  # the seed of the one start state that all policies act from
HOW_TO_INSTALL = "pip install 'a3c-bench[film]'"
PARTS_FILE, FOOTAGE_FILE, GIF_FILE, WORDS_FILE = "parts.json", "footage.json", "film.gif", "stderr.txt"
NOTHING_TO_SEE, FAILED = 103, 104  # exit codes: the environment cannot be drawn, which is no fault; it failed at it


class NoFilm(Exception):
    """There is nothing to show, or nothing to show it with; the message says why, in one line."""


class FilmFailed(NoFilm):
    """There was, and it came to nothing."""


@dataclass(frozen=True)
class Part:
    """Whose policy is to act.

    Attributes:
        title: what is written above it.
        parameters: file of its final network's.
        config: what it was trained with.
    """

    title: str
    parameters: str
    config: Mapping[str, Any]


@dataclass(frozen=True)
class Ending:
    """What became of a part: how its episode ended (as in :class:`Episode`), after how many steps, with what return."""

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
    """Let policies act, each from the same start, in a process of its own.

    Raises:
        NoFilm: where there is nothing to see.
        FilmFailed: where the environment fails at it, hangs, or takes the process with it.
    """
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_json(folder / PARTS_FILE, [asdict(part) for part in parts])
        try:
            with (folder / WORDS_FILE).open("wb") as words:  # no pipe: what an environment started may hold it open
                done = subprocess.run(  # noqa: S603 - this interpreter
                    command("studies.film.acting", place),
                    env=environment(),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,  # an environment may print what it likes
                    stderr=words,
                    timeout=FILM_SECONDS,
                )
        except subprocess.TimeoutExpired:
            raise FilmFailed(f"drawing it took longer than {FILM_SECONDS:g} s") from None
        if done.returncode == 0:
            found = read_json(folder / FOOTAGE_FILE)
            endings = [Ending(**ending) for ending in found.pop("endings")]
            return Footage((folder / GIF_FILE).read_bytes(), endings=endings, **found)
        said = (folder / WORDS_FILE).read_text(encoding="utf-8", errors="replace").splitlines()
    last = said[-1] if said else ""
    if done.returncode == NOTHING_TO_SEE:
        raise NoFilm(last)
    env_id = parts[0].config["env_id"]
    raise FilmFailed(last if done.returncode == FAILED else f"drawing {env_id} ended its process ({done.returncode})")


def play(parts: Sequence[Part]) -> Footage:
    """Do in this process what :func:`filmed` does in another.

    Raises:
        NoFilm: where there is nothing to see.
        Exception: whatever an environment raises.
    """
    episodes = [_played(part) for part in parts]
    animation = animate(episodes)
    if animation is None:
        raise NoFilm("its file would be too large")
    endings = [Ending(episode.ending, episode.steps, sum(episode.rewards)) for episode in episodes]
    return Footage(animation.gif, animation.width, animation.height, animation.stride, endings)


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


def main(folder: Path) -> int:
    """Play what ``parts.json`` says, and leave what came of it."""
    faulthandler.dump_traceback_later(FILM_SECONDS, exit=True)  # whoever waits for it may be gone
    warnings.simplefilter("ignore")
    parts = [Part(**part) for part in read_json(folder / PARTS_FILE)]
    try:
        footage = play(parts)
    except NoFilm as reason:
        print(reason, file=sys.stderr)
        return NOTHING_TO_SEE
    except BaseException as error:  # whatever an environment does
        print(_reason(parts[0].config["env_id"], error), file=sys.stderr)
        return NOTHING_TO_SEE if _lacks_package(error) else FAILED
    (folder / GIF_FILE).write_bytes(footage.gif)
    figures = {name: value for name, value in asdict(footage).items() if name != "gif"}
    write_json(folder / FOOTAGE_FILE, figures)
    return 0


def _lacks_package(error: BaseException | None) -> bool:
    import gymnasium as gym

    return error is not None and (
        isinstance(error, gym.error.DependencyNotInstalled) or _lacks_package(error.__cause__)
    )


def _reason(env_id: str, error: BaseException) -> str:
    if _lacks_package(error):
        return f"drawing {env_id} needs a package that is not installed: {HOW_TO_INSTALL}"
    return f"{env_id} could not be filmed ({type(error).__name__}: {' '.join(str(error).split())})"


if __name__ == "__main__":
    code = main(Path(sys.argv[1]))
    sys.stderr.flush()
    os._exit(code)  # what an environment has left running keeps nobody waiting
