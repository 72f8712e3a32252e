"""The compiled engine's optimizers: one kernel for both heads; :mod:`a3c.networks.optimizers` has the formulas."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from a3c.kernels.jit import helper, kernel, without_gil

SGD, RMSPROP, ADAM = 0, 1, 2
UPDATED, BAD_GRADIENT, BAD_PARAMETERS = 0, 1, 2
LARGEST = float(np.finfo(np.float32).max)


class Settings(NamedTuple):
    """One of the optimizers above, and its constants."""

    optimizer: int
    decay1: float
    decay2: float
    epsilon: float


@helper
def step(
    settings: Settings, state: Any, parameters: Any, gradient: Any, start: int, end: int, rate: float, scale: Any
) -> Any:
    """Write the parameters from ``start`` to ``end`` after the step into the last row of state; return their sum."""
    eta, e = np.float32(rate), np.float32(settings.epsilon)
    a, b = np.float32(settings.decay1), np.float32(settings.decay2)
    new_a, new_b = np.float32(1 - settings.decay1), np.float32(1 - settings.decay2)
    before, slope = parameters[start:end], gradient[start:end]
    mean, square, after = state[0, start:end], state[1, start:end], state[2, start:end]
    total = 0.0
    if settings.optimizer == ADAM:
        for i in range(slope.size):
            g = slope[i] * scale
            mean[i] = a * mean[i] + new_a * g
            square[i] = b * square[i] + new_b * (g * g)
            after[i] = before[i] - eta * (mean[i] / (np.sqrt(square[i]) + e))
    elif settings.optimizer == RMSPROP:
        for i in range(slope.size):
            g = slope[i] * scale
            square[i] = b * square[i] + new_b * (g * g)
            after[i] = before[i] - eta * (g / np.sqrt(square[i] + e))
    else:
        for i in range(slope.size):
            after[i] = before[i] - eta * (slope[i] * scale)
    for i in range(after.size):
        total += after[i]
    return total


UPDATE = (
    "intp(float32[:, ::1], intp, intp, float64, float64, float64, float64,"
    " float32[::1], float32[::1], float64, float64)"
)


@kernel(UPDATE)
def update(
    state: Any,
    critic: int,
    optimizer: int,
    decay1: float,
    decay2: float,
    epsilon: float,
    max_norm: float,
    parameters: Any,
    gradient: Any,
    actor_rate: float,
    critic_rate: float,
) -> int:
    """Apply a gradient to both heads, or refuse what is not finite and leave the parameters alone.

    Args:
        state: ``[3, size]``: running mean, running square, room for the parameters to be.
        critic: where the critic's begin; the actor's come first.
        optimizer: one of the constants above; see :mod:`a3c.networks.optimizers` for its formula.
        decay1: of the running mean.
        decay2: of the running square.
        epsilon: Adam's outside the root, RMSProp's inside.
        max_norm: the gradient is scaled down to this norm, over both heads; infinite: never.
        parameters: float32 ``[size]``.
        gradient: likewise, left alone.
        actor_rate: the actor's step size, with Adam's bias correction in it.
        critic_rate: the critic's.

    Returns:
        ``UPDATED``, or what was not finite.
    """
    squares = 0.0
    for i in range(gradient.size):
        squares += np.float64(gradient[i]) * np.float64(gradient[i])
    norm = math.sqrt(squares)
    scale = np.float32(max_norm / norm) if norm > max_norm else np.float32(1)
    if not squares * scale * scale <= LARGEST:  # else the statistics hold infinities for ever
        return BAD_GRADIENT
    settings, total = Settings(optimizer, decay1, decay2, epsilon), 0.0
    total += step(settings, state, parameters, gradient, 0, critic, actor_rate, scale)
    total += step(settings, state, parameters, gradient, critic, gradient.size, critic_rate, scale)
    if not math.isfinite(total):
        return BAD_PARAMETERS
    parameters[:] = state[2]
    return UPDATED


update_long = without_gil(UPDATE, update)
