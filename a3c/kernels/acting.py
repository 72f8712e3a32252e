"""Act in machine code: one step of the policy, from an observation to a sampled action."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from a3c.kernels.jit import doubles, floats, helper, integers, kernel
from a3c.kernels.layers import (
    FLOAT32,
    HEADER,
    activate,
    layer_of,
    through,
    transpose,
)

# What `act` is bound to, an int64 array: addresses, then the actor's plan.
NETWORK, SCRATCH, OBSERVATIONS, ACTIONS, UNIFORMS, PLAN = 0, 1, 2, 3, 4, 5


@helper
def largest(z: Any) -> Any:
    """Return the largest of some logits, which softmax is the same without."""
    top = z[0]
    for j in range(1, z.size):
        top = max(top, z[j])
    return top


@helper
def sample(logits: Any, uniform: float) -> Any:
    """Invert softmax's cumulative distribution; overwrites the logits. Rounding never yields an action too many."""
    top = largest(logits)
    total = np.float32(0)
    for j in range(logits.size):
        logits[j] = math.exp(logits[j] - top)
        total += logits[j]
    cumulative = 0.0
    for j in range(logits.size - 1):
        cumulative += logits[j] / total
        if uniform < cumulative:
            return j
    return logits.size - 1


@kernel("intp(int64[::1], float32[::1], intp)")
def act(bound: Any, observation: Any, t: int) -> Any:
    """Record an observation, sample an action with the rollout's uniform at ``t``, record it and return it.

    Weights are read anew at t = 0, where a rollout starts.
    """
    plan = integers(bound.ctypes.data + 8 * PLAN, (bound.size - PLAN,))
    activation, layers, size = plan[0], plan[1], plan[HEADER]
    if observation.size != size:
        raise ValueError("the observation is of another size")
    network = bound[NETWORK]
    x = floats(bound[OBSERVATIONS] + FLOAT32 * t * size, (size,))
    for i in range(size):
        x[i] = observation[i]
    for layer in range(layers):
        inputs, outputs, weight, bias, transposed, _, output = layer_of(plan, layer)
        w = floats(network + FLOAT32 * weight, (outputs, inputs))
        w_t = floats(network + FLOAT32 * max(transposed, 0), (inputs, outputs))
        z = floats(bound[SCRATCH] + FLOAT32 * output, (outputs,))
        if t == 0 and transposed >= 0:
            transpose(w, w_t)
        through(x, w, w_t, transposed >= 0, floats(network + FLOAT32 * bias, (outputs,)), z)
        if layer < layers - 1:
            activate(z, activation)
        x = z
    action = sample(x, doubles(bound[UNIFORMS] + 8 * t, (1,))[0])
    integers(bound[ACTIONS] + 8 * t, (1,))[0] = action
    return action
