"""Environments that do exactly what a test asks: scripted, sleeping, misbehaving.

Importing this module registers them; ``tests.environments:Sleeping-v0`` as an id makes Gymnasium import it, also in
a spawned process.
"""

from __future__ import annotations

import ctypes
import math
import os
import signal
import subprocess
import threading
import time
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

HELPER_SECONDS = 30
ENDINGS = {"terminated": (True, False), "truncated": (False, True), "both": (True, True)}


def scripted_observation(episode: int, t: int, size: int = 3, dtype: str = "float32") -> np.ndarray:
    """What Scripted-v0 shows before step ``t`` of its ``episode``, both from 0."""
    whole = np.array([t % 16, episode % 16, *((t * j) % 5 for j in range(2, size))])[:size]
    return (whole / 4 if dtype.startswith("float") else whole).astype(dtype)


class Scripted(gym.Env):
    """Episodes of the given lengths, over and over; step t (from 0) is rewarded as ``reward`` says.

    ``count``: t + 1, so that an episode of length L returns L·(L + 1) / 2. ``action``: the action as received.
    ``digits``: 1000 to the power of the action counted from 0, so that a return tells how often each was taken.
    """

    def __init__(
        self,
        lengths: tuple[int, ...] = (10,),
        ending: str = "terminated",
        reward: str = "count",
        actions: int = 2,
        start: int = 0,
        size: int = 3,
        dtype: str = "float32",
        unbounded: bool = False,
    ) -> None:
        low, high = (-np.inf, np.inf) if unbounded else (0, 16)
        self.observation_space = spaces.Box(low, high, (size,), np.dtype(dtype))
        self.action_space = spaces.Discrete(actions, start=start)
        self._lengths, self._ending, self._reward = lengths, ENDINGS[ending], reward
        self._size, self._dtype = size, dtype
        self._episode, self._t = -1, None
        self.life = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self._episode, self._t = self._episode + 1, 0
        return self._observe(), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
        if self._t is None:
            raise RuntimeError("stepped before a reset or after an end")
        if not self.action_space.contains(action):
            raise ValueError(f"there is no action {action!r}")
        self._t += 1
        self.life += 1
        reward = {
            "count": float(self._t),
            "action": float(action),
            "digits": 1000.0 ** (action - int(self.action_space.start)),
        }[self._reward]
        observation = self._observe()
        terminated = truncated = False
        if self._t == self._lengths[self._episode % len(self._lengths)]:
            terminated, truncated = self._ending
            self._t = None
        return observation, reward, terminated, truncated, {}

    def _observe(self) -> np.ndarray:
        return scripted_observation(self._episode, self._t, self._size, self._dtype)


class Sleeping(Scripted):
    """Every step takes the given time, without the GIL."""

    def __init__(self, seconds: float = 0.001, **scripted: Any) -> None:
        super().__init__(**scripted)
        self._seconds = seconds

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
        time.sleep(self._seconds)
        return super().step(action)


def _hang() -> None:
    threading.Event().wait()


def _segfault() -> None:
    ctypes.string_at(0)


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
    _hang()


ENDS_OF_PROCESS = {"hang": _hang, "segfault": _segfault, "kill": _kill}
RAISED = {"step": RuntimeError, "exit": SystemExit, "memory": MemoryError, "interrupt": KeyboardInterrupt}


def _raise_for(fault: str, what: str) -> None:
    if fault in RAISED:
        raise RAISED[fault](what)


class Misbehaving(Scripted):
    """Goes wrong at step ``at`` of its life, from 1.

    ``fault``: ``step``, ``exit``, ``memory``, ``interrupt`` raise there; ``hang`` blocks there for ever, without the
    GIL; ``segfault`` and ``kill`` end the process there, by SIGSEGV and SIGKILL; ``endless`` ends no episode from
    then on; ``reset`` raises in the first reset from then on, ``reset_exit``, ``reset_memory`` and
    ``reset_interrupt`` likewise; ``close`` and ``close_exit`` raise whenever closed; ``four`` returns four things;
    ``reward`` and ``observation`` take the given values (names such as "nan", one a step); ``shape`` and
    ``reset_shape`` return observations of that shape. With ``only_reset_seed``, only the environment reset with that
    seed does, from then on.
    """

    def __init__(
        self,
        fault: str,
        at: int = 1,
        values: tuple[str, ...] = ("nan",),
        shape: tuple[int, ...] = (),
        only_reset_seed: int | None = None,
        **scripted: Any,
    ) -> None:
        super().__init__(**scripted)
        self._fault, self._at, self._values, self._shape = fault, at, values, tuple(shape)
        self._only, self._armed = only_reset_seed, only_reset_seed is None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        self._armed |= seed is not None and seed == self._only
        if self._armed and self._fault.startswith("reset") and self.life + 1 >= self._at:
            _raise_for(self._fault.removeprefix("reset").removeprefix("_") or "step", "scripted failure in reset")
        observation, info = super().reset(seed=seed, options=options)
        if self._armed and self._fault == "reset_shape" and self.life + 1 >= self._at:
            observation = np.zeros(self._shape, dtype=observation.dtype)
        return observation, info

    def step(self, action: int) -> Any:
        since = self.life + 1 - self._at
        if not self._armed or since < 0:
            return super().step(action)
        _raise_for(self._fault, "scripted failure in step")
        if self._fault in ENDS_OF_PROCESS:
            ENDS_OF_PROCESS[self._fault]()
        if self._fault == "endless":
            self._lengths = (math.inf,)
        observation, reward, terminated, truncated, info = super().step(action)
        if self._fault == "four":
            return observation, reward, terminated, info
        if self._fault == "shape":
            observation = np.zeros(self._shape, dtype=observation.dtype)
        if since < len(self._values):
            if self._fault == "reward":
                reward = float(self._values[since])
            elif self._fault == "observation":
                observation[0] = float(self._values[since])
        return observation, reward, terminated, truncated, info

    def close(self) -> None:
        if self._fault.startswith("close"):
            _raise_for(self._fault.removeprefix("close").removeprefix("_") or "step", "scripted failure in close")


class Unsuitable(gym.Env):
    """What cannot be trained on: ``what`` says why.

    ``image``, ``dict`` and ``ragged`` observations, ``box`` actions, no ``spaces`` at all, ``closed`` ones; when made,
    ``extra`` lacks a package and ``exit`` leaves the process.
    """

    action_space = property(lambda self: self._actions(), lambda self, actions: None)

    def __init__(self, what: str) -> None:
        if what == "exit":
            raise SystemExit("scripted failure in making")
        if what == "extra":
            raise gym.error.DependencyNotInstalled("scripted lack of a package")
        self._what = what
        if what == "spaces":
            return
        flat = spaces.Box(-1, 1, (3,), np.float32)
        observations = {"image": spaces.Box(0, 255, (8, 8, 3), np.uint8), "dict": spaces.Dict({"one": flat})}
        self.observation_space = observations.get(what, flat)
        self._flat = flat

    def _actions(self) -> Any:
        if self._what == "closed":
            raise KeyError("scripted failure of a property")
        if self._what == "spaces":
            raise AttributeError("scripted lack of a property")
        return self._flat if self._what == "box" else spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict]:
        super().reset(seed=seed)
        return [[1], [2, 3], [4]] if self._what == "ragged" else self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict]:
        return self.observation_space.sample(), 1.0, True, False, {}


def _in_one_buffer(observation: np.ndarray, buffer: np.ndarray) -> np.ndarray:
    buffer[: observation.size] = observation
    return buffer[: observation.size]


def _read_only(observation: np.ndarray, _: np.ndarray) -> np.ndarray:
    observation.flags.writeable = False
    return observation


DRESSES = {
    "plain": lambda observation, _: observation,
    "float64": lambda observation, _: observation.astype(np.float64),
    "read_only": _read_only,
    "strided": lambda observation, _: np.repeat(observation, 2)[::2],
    "backwards": lambda observation, _: observation[::-1].copy()[::-1],
    "big_endian": lambda observation, _: observation.astype(">f4"),
    "unaligned": lambda observation, _: np.frombuffer(b"x" + observation.tobytes(), np.float32, offset=1),
    "subclass": lambda observation, _: observation.view(np.recarray),
    "list": lambda observation, _: observation.tolist(),
    "tuple": lambda observation, _: tuple(observation.tolist()),
    "one_buffer": _in_one_buffer,
    "one_float64_buffer": lambda observation, buffer: _in_one_buffer(observation, buffer.view(np.float64)),
}


class Dressed(Scripted):
    """Shows the same numbers in other clothes: observation i of its life, from 0, in ``dresses[i]``, over and over."""

    def __init__(self, dresses: tuple[str, ...], **scripted: Any) -> None:
        super().__init__(**scripted)
        self._dresses, self._shown = dresses, 0
        self._buffer = np.zeros(2 * self._size, dtype=np.float32)

    def _observe(self) -> Any:
        dress = DRESSES[self._dresses[self._shown % len(self._dresses)]]
        self._shown += 1
        return dress(super()._observe(), self._buffer)


class Drawing(Scripted):
    """Draws frames of the given shape; ``fault`` as in Misbehaving-v0, when it draws or, as ``close_exit``, closes.

    With the fault ``helper`` it leaves a process behind when it draws.
    """

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012 - as Gymnasium has it

    def __init__(
        self, shape: tuple[int, ...] = (40, 60, 3), fault: str = "", render_mode: str | None = None, **scripted: Any
    ) -> None:
        super().__init__(size=4, **scripted)
        self.render_mode, self._shape, self._fault = render_mode, tuple(shape), fault

    def render(self) -> np.ndarray:
        _raise_for(self._fault, "scripted failure in render")
        if self._fault in ENDS_OF_PROCESS:
            ENDS_OF_PROCESS[self._fault]()
        if self._fault == "helper":
            subprocess.Popen(["sleep", str(HELPER_SECONDS)])
        print("drawn")
        return np.full(self._shape, 99, dtype=np.uint8)

    def close(self) -> None:
        if self.render_mode is not None and self._fault.startswith("close_"):
            _raise_for(self._fault.removeprefix("close_"), "scripted failure in close")


class Corridor(gym.Env):
    """Left, right or stay between two ends, at most 20 steps; the same from every seed, and actions matter."""

    def __init__(self) -> None:
        self.observation_space = spaces.Box(-2, 2, (3,), np.float32)
        self.action_space = spaces.Discrete(3)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self._x, self._t = 0, 0
        return self._observe(), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
        self._x += (-1, 1, 0)[int(action)]
        self._t += 1
        reward = 1.0 + 0.5 * self._x - 0.01 * self._t * int(action)
        return self._observe(), reward, abs(self._x) == 6, self._t == 20, {}

    def _observe(self) -> np.ndarray:
        return np.array([self._x / 4, self._t / 20, math.sin(self._x * self._t)], dtype=np.float32)


class Toll(gym.Env):
    """Four steps to the right, each step costs 1, at most 40 of them: returns from -40 to -4, and no threshold."""

    def __init__(self) -> None:
        self.observation_space = spaces.Box(0, 1, (9,), np.float32)
        self.action_space = spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self._x, self._t = 4, 0
        return self._observe(), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
        self._x = min(8, max(0, self._x + (1 if action else -1)))
        self._t += 1
        return self._observe(), -1.0, self._x == 8, self._x < 8 and self._t >= 40, {}

    def _observe(self) -> np.ndarray:
        return np.eye(9, dtype=np.float32)[self._x]


for _environment in (Scripted, Sleeping, Misbehaving, Unsuitable, Dressed, Drawing, Corridor, Toll):
    _id = f"{_environment.__name__}-v0"
    if _id not in gym.registry:
        gym.register(_id, entry_point=_environment)
if "Threshold-v0" not in gym.registry:
    gym.register("Threshold-v0", entry_point=Scripted, reward_threshold="475")
    gym.register("LowBar-v0", entry_point=Corridor, reward_threshold=-100.0)  # chance exceeds it
