"""Layers of the compiled engine's MLPs, forward and backward, for one step or a tile of steps.

Networks are described by a *plan*, an int64 array (:func:`a3c.engines.compiled.plans_of`)::

    plan = [activation, layers, δ, δ'] + layers × [inputs, outputs, weight, bias, transposed, gathered, output]

with offsets into two float32 arrays: ``network`` has the parameters, in the order of
:class:`a3c.networks.layout.Layout`, and room for transposed weights; ``scratch`` has the rest, and nothing that
outlasts a call. A layer with more outputs than inputs (``transposed`` ≥ 0) is *wide*: it is computed over its
outputs, with a transposed copy of its weight, and its gradient is ``gathered`` transposed; the others over their
inputs, with the weight as it stands. Either way the
innermost loop is long and contiguous.

**Backward pass.** Layer l maps x to z = W x + c, and the next one sees h = φ(z). With δ = ∂L/∂z summed over a batch,

    ∂L/∂W = Σ δ xᵀ      ∂L/∂c = Σ δ      ∂L/∂x = Wᵀ δ      δ of the layer below = φ'(z) ⊙ Wᵀ δ

and φ' follows from h alone: ReLU6 1 where 0 < h < 6, ReLU 1 where h > 0, tanh 1 − h². δ at the top is the losses'
(:mod:`a3c.kernels.learning`). Rollouts are taken in tiles, whose activations stay in the cache.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from a3c.kernels.jit import floats, helper

RELU6, RELU, TANH = 0, 1, 2

TILE = 32  # steps
HEADER, ROW = 4, 7  # entries of a plan
FLOAT32 = 4  # bytes


@helper
def part(array: Any, start: int, shape: Any) -> Any:
    """Return ``shape`` float32 of an array from ``start`` on, as a view that is not counted."""
    return floats(array.ctypes.data + FLOAT32 * start, shape)


@helper
def layer_of(plan: Any, layer: int) -> Any:
    """Return a layer's row of the plan as a tuple."""
    row = HEADER + ROW * layer
    return plan[row], plan[row + 1], plan[row + 2], plan[row + 3], plan[row + 4], plan[row + 5], plan[row + 6]


# One layer


@helper
def activate(h: Any, activation: int) -> None:
    """Compute h ← φ(h), in place, ``[N]``."""
    if activation == RELU6:
        for j in range(h.size):
            h[j] = min(max(h[j], np.float32(0)), np.float32(6))
    elif activation == RELU:
        for j in range(h.size):
            h[j] = max(h[j], np.float32(0))
    else:
        for j in range(h.size):
            h[j] = math.tanh(h[j])


@helper
def times_slope(delta: Any, h: Any, activation: int) -> None:
    """Compute δ ← φ' ⊙ δ, in place, ``[N]``; φ' in terms of h = φ(z)."""
    zero, one, six = np.float32(0), np.float32(1), np.float32(6)
    if activation == RELU6:
        for j in range(h.size):
            delta[j] = delta[j] if zero < h[j] < six else zero
    elif activation == RELU:
        for j in range(h.size):
            delta[j] = delta[j] if zero < h[j] else zero
    else:
        for j in range(h.size):
            delta[j] *= one - h[j] * h[j]


@helper
def transpose(matrix: Any, transposed: Any) -> None:
    """Copy ``[m, n]`` to ``[n, m]``, the longer dimension in the inner loop."""
    if matrix.shape[0] > matrix.shape[1]:
        for i in range(matrix.shape[1]):
            for j in range(matrix.shape[0]):
                transposed[i, j] = matrix[j, i]
    else:
        for j in range(matrix.shape[0]):
            for i in range(matrix.shape[1]):
                transposed[i, j] = matrix[j, i]


@helper
def add_rows(x: Any, rows: Any, z: Any) -> None:
    """Add Σ_i x_i · rows_i to z: ``x`` ``[n]``, ``rows`` ``[n, m]``, ``z`` ``[m]``; z is gone through n/4 times."""
    whole = x.size - x.size % 4
    for i in range(0, whole, 4):
        x_0, x_1, x_2, x_3 = x[i], x[i + 1], x[i + 2], x[i + 3]
        for j in range(z.size):
            z[j] += x_0 * rows[i, j] + x_1 * rows[i + 1, j] + x_2 * rows[i + 2, j] + x_3 * rows[i + 3, j]
    for i in range(whole, x.size):
        x_i = x[i]
        for j in range(z.size):
            z[j] += x_i * rows[i, j]


@helper
def dot(x: Any, y: Any) -> Any:
    """Return x · y, both ``[n]``."""
    total = np.float32(0)
    for i in range(x.size):
        total += x[i] * y[i]
    return total


@helper
def through(x: Any, weight: Any, transposed: Any, is_wide: bool, bias: Any, z: Any) -> None:
    """Compute z = W x + c for one step."""
    if is_wide:
        for j in range(z.size):
            z[j] = bias[j]
        add_rows(x, transposed, z)
    else:
        for j in range(z.size):
            z[j] = dot(weight[j], x) + bias[j]


@helper
def back_through(delta: Any, weight: Any, transposed: Any, is_wide: bool, delta_x: Any) -> None:
    """Compute ∂L/∂x = Wᵀ δ for one step."""
    if is_wide:
        for i in range(delta_x.size):
            delta_x[i] = dot(transposed[i], delta)
    else:
        for i in range(delta_x.size):
            delta_x[i] = np.float32(0)
        add_rows(delta, weight, delta_x)


@helper
def add_outer(delta: Any, x: Any, gradient: Any, gathered: Any, is_wide: bool) -> None:
    """Add Σ δ xᵀ over a tile's steps, of ``[B, outputs]`` and ``[B, inputs]``, to ∂L/∂W; transposed in a wide layer."""
    if is_wide:
        for i in range(x.shape[1]):
            add_rows(x[:, i], delta, gathered[i])
    else:
        for j in range(delta.shape[1]):
            add_rows(delta[:, j], x, gradient[j])


# Batches: tiles of B ≤ TILE steps


@helper
def steps_of(observations: Any, start: int, end: int) -> Any:
    """Return observations ``start`` to ``end`` as a view that is not counted."""
    size = observations.shape[1]
    return floats(observations.ctypes.data + FLOAT32 * start * size, (end - start, size))


@helper
def matrices(network: Any, plan: Any, layer: int) -> Any:
    """Return a layer's weight, its transposed copy, whether it is wide, and its bias."""
    inputs, outputs, weight, bias, transposed, _, _ = layer_of(plan, layer)
    return (
        part(network, weight, (outputs, inputs)),
        part(network, max(transposed, 0), (inputs, outputs)),
        transposed >= 0,
        part(network, bias, (outputs,)),
    )


@helper
def prepare(network: Any, plan: Any) -> None:
    """Transpose the weights of wide layers."""
    for layer in range(plan[1]):
        weight, transposed, is_wide, _ = matrices(network, plan, layer)
        if is_wide:
            transpose(weight, transposed)


@helper
def forward(network: Any, scratch: Any, plan: Any, x: Any) -> Any:
    """Compute all layers for a tile ``[B, inputs]``, keep the hidden ones' h, return the last z ``[B, outputs]``."""
    batch = x.shape[0]
    for layer in range(plan[1]):
        weight, transposed, is_wide, bias = matrices(network, plan, layer)
        output = layer_of(plan, layer)[6]
        z = part(scratch, output, (batch, bias.size))
        for b in range(batch):
            through(x[b], weight, transposed, is_wide, bias, z[b])
        if layer < plan[1] - 1:
            activate(part(scratch, output, (z.size,)), plan[0])
        x = z
    return x


@helper
def outputs_of(scratch: Any, plan: Any, batch: int) -> Any:
    """Return what :func:`forward` returned last, for as many of its steps."""
    last = layer_of(plan, plan[1] - 1)
    return part(scratch, last[6], (batch, last[1]))


@helper
def last_delta(scratch: Any, plan: Any, batch: int) -> Any:
    """Return where δ of the last layer is to be put before :func:`backward`, ``[B, outputs]``."""
    return part(scratch, plan[2], (batch, layer_of(plan, plan[1] - 1)[1]))


@helper
def backward(network: Any, scratch: Any, plan: Any, gradient: Any, observations: Any) -> None:
    """Add the gradient of the tile that :func:`forward` was last called for."""
    batch = observations.shape[0]
    above, below = plan[2], plan[3]
    for layer in range(plan[1] - 1, -1, -1):
        inputs, outputs, at, bias_at, _, gathered, _ = layer_of(plan, layer)
        weight, transposed, is_wide, _ = matrices(network, plan, layer)
        x = part(scratch, layer_of(plan, layer - 1)[6], (batch, inputs)) if layer > 0 else observations
        delta = part(scratch, above, (batch, outputs))
        bias_gradient = part(gradient, bias_at, (outputs,))
        for b in range(batch):
            for j in range(outputs):
                bias_gradient[j] += delta[b, j]
        into = part(scratch, max(gathered, 0), (inputs, outputs))
        add_outer(delta, x, part(gradient, at, (outputs, inputs)), into, is_wide)
        if layer > 0:
            delta_x = part(scratch, below, (batch, inputs))
            for b in range(batch):
                back_through(delta[b], weight, transposed, is_wide, delta_x[b])
            times_slope(
                part(scratch, below, (delta_x.size,)), part(scratch, layer_of(plan, layer - 1)[6], (x.size,)), plan[0]
            )
            above, below = below, above


@helper
def clear(scratch: Any, plan: Any, gradient: Any) -> None:
    """Set a head's gradient to 0 before its first tile."""
    for layer in range(plan[1]):
        inputs, outputs, weight, bias, transposed, gathered, _ = layer_of(plan, layer)
        gradient[bias : bias + outputs] = 0
        if transposed >= 0:
            scratch[gathered : gathered + inputs * outputs] = 0
        else:
            gradient[weight : weight + inputs * outputs] = 0


@helper
def finish(scratch: Any, plan: Any, gradient: Any) -> None:
    """Put what wide layers gathered where it belongs, after a head's last tile."""
    for layer in range(plan[1]):
        inputs, outputs, weight, _, transposed, gathered, _ = layer_of(plan, layer)
        if transposed >= 0:
            transpose(part(scratch, gathered, (inputs, outputs)), part(gradient, weight, (outputs, inputs)))
