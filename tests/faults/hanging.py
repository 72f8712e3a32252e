"""An environment that hangs in C and never lets go of the GIL, as a broken simulator does."""

from __future__ import annotations

import ctypes
from typing import Any

import gymnasium as gym

from tests.environments import Scripted


class Clinging(Scripted):
    """Sleeps for an hour in its step ``at``, from 1, without letting another thread run."""

    def __init__(self, at: int = 1, **scripted: Any) -> None:
        super().__init__(**scripted)
        self._at = at

    def step(self, action: int) -> Any:
        if self.life + 1 == self._at:
            ctypes.PyDLL(None).sleep(3600)
        return super().step(action)


if "Clinging-v0" not in gym.registry:
    gym.register("Clinging-v0", entry_point=Clinging)
