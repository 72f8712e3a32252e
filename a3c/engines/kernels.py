"""The compiled engine's arithmetic: two MLPs forward and backward, losses, targets, optimizers.

Networks are described by a *plan*, an int64 array (:func:`a3c.engines.compiled.plans_of`)::

    plan = [activation, layers, δ, δ'] + layers × [inputs, outputs, weight, bias, transposed, gathered, output]

with offsets into two float32 arrays: ``network`` has the parameters, in the order of :class:`a3c.parameters.Layout`,
and room for transposed weights; ``scratch`` has the rest, and nothing that outlasts a call. A layer with more outputs
than inputs (``transposed`` ≥ 0) is *wide*: it is computed over its outputs, with a transposed copy of its weight, and
its gradient is ``gathered`` transposed; the others over their inputs, with the weight as it stands. Either way the
innermost loop is long and contiguous.

**Backward pass.** Layer l maps x to z = W x + c, and the next one sees h = φ(z). With δ = ∂L/∂z summed over a batch,

    ∂L/∂W = Σ δ xᵀ      ∂L/∂c = Σ δ      ∂L/∂x = Wᵀ δ      δ of the layer below = φ'(z) ⊙ Wᵀ δ

and φ' follows from h alone: ReLU6 1 where 0 < h < 6, ReLU 1 where h > 0, tanh 1 − h². It starts with

- the critic, L = Σ_t w_t (G_t − v_t)²:  ∂L/∂v_t = −2 w_t (G_t − v_t);
- the actor, L = −Σ_t w_t (ℓ_a A_t + β H) with p = softmax(z), ℓ = log(p + ε), H = −Σ_i p_i ℓ_i. As
  ∂p_i/∂z_j = p_i (1[i=j] − p_j), with ρ_i = p_i / (p_i + ε) and g_i = ∂H/∂p_i = −(ℓ_i + ρ_i),

      ∂ℓ_a/∂z_j = ρ_a (1[a=j] − p_j)      ∂H/∂z_j = p_j (g_j − Σ_i p_i g_i)

  where ε = 0: ℓ = z − logsumexp(z) and ρ = 1, so that p = 0 is no division by 0.

w_t is 1/count on the steps used and 0 elsewhere. Rollouts are taken in tiles whose activations stay in the cache.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from a3c.engines.jit import doubles, floats, helper, integers, kernel, without_gil

RELU6, RELU, TANH = 0, 1, 2
MISSING_AS_ZERO, MAX_TERMS = 0, 1
ACTOR_HEAD, CRITIC_HEAD = 1, 2
SGD, RMSPROP, ADAM = 0, 1, 2
UPDATED, BAD_GRADIENT, BAD_PARAMETERS = 0, 1, 2

TILE = 32  # steps
HEADER, ROW = 4, 7  # entries of a plan
FLOAT32 = 4  # bytes
SMALL = 1e-290  # from where on a running product would stop at the smallest number instead of reaching 0
LARGEST = float(np.finfo(np.float32).max)

# What `act` is bound to, an int64 array: addresses, the observation's size, then the actor's plan.
NETWORK, SCRATCH, OBSERVATIONS, ACTIONS, UNIFORMS, PLAN = 0, 1, 2, 3, 4, 5


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
    """∂L/∂x = Wᵀ δ for one step."""
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


# Acting


@helper
def sample(logits: Any, uniform: float) -> Any:
    """Invert softmax's cumulative distribution; overwrites the logits. Rounding never yields an action too many."""
    top = logits[0]
    for j in range(1, logits.size):
        top = max(top, logits[j])
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


@helper
def one_over(use: Any) -> float:
    """Return 1/count of the steps used; 1 where there are none."""
    count = 0
    for t in range(use.size):
        count += use[t]
    return 1.0 / max(count, 1)


@helper
def rho(p: float, epsilon: float) -> float:
    """Return ρ = p / (p + ε), 1 where ε = 0."""
    return p / (p + epsilon) if epsilon > 0 else 1.0


@helper
def policy_delta(z: Any, delta: Any, action: int, advantage: float, weight: float, beta: float, epsilon: float) -> Any:
    """Write ∂L/∂z of one step into ``delta``; return its weighted loss and entropy. Overwrites z with ℓ."""
    top = z[0]
    for j in range(1, z.size):
        top = max(top, z[j])
    total = np.float32(0)
    for j in range(z.size):
        z[j] -= top
        delta[j] = math.exp(z[j])
        total += delta[j]
    log_total = math.log(total)
    entropy, slope = 0.0, 0.0  # H, and Σ p_i g_i
    for j in range(z.size):
        p = delta[j] / total
        delta[j] = p
        z[j] = math.log(p + epsilon) if epsilon > 0 else z[j] - log_total
        entropy -= p * z[j]
        slope -= p * (z[j] + rho(p, epsilon))
    rho_a, log_p = rho(delta[action], epsilon), z[action]
    for j in range(z.size):
        p = delta[j]
        g = -(z[j] + rho(p, epsilon))
        towards = (1.0 if j == action else 0.0) - p
        delta[j] = -weight * (advantage * rho_a * towards + beta * p * (g - slope))
    return -weight * (log_p * advantage + beta * entropy), weight * entropy


# Kernels' signatures, in Numba's notation
VECTOR, MATRIX, PLAN_TYPE = "float32[::1]", "float32[:, ::1]", "int64[::1]"
DOUBLES, INTEGERS, FLAGS = "float64[::1]", "int64[::1]", "boolean[::1]"
NET = f"{VECTOR}, {VECTOR}, {PLAN_TYPE}"  # network, scratch, plan


@kernel(f"void({NET}, {MATRIX}, {DOUBLES})")
def values(network: Any, scratch: Any, plan: Any, observations: Any, out: Any) -> None:
    """Write V(s) of observations ``[N, k]`` into ``out`` ``[N]``; ``plan`` is the critic's."""
    prepare(network, plan)
    for start in range(0, observations.shape[0], TILE):
        end = min(start + TILE, observations.shape[0])
        v = forward(network, scratch, plan, steps_of(observations, start, end))
        for b in range(end - start):
            out[start + b] = v[b, 0]


@kernel(f"float64({NET}, {VECTOR}, {MATRIX}, {DOUBLES}, {FLAGS}, boolean)")
def critic_gradient(
    network: Any, scratch: Any, plan: Any, gradient: Any, observations: Any, targets: Any, use: Any, ready: bool
) -> float:
    """Write the critic's gradient into its span of ``gradient``; return the loss.

    ``ready`` says that the last thing done here were the :func:`values` of these observations, in one tile.
    """
    if not ready:
        prepare(network, plan)
    clear(scratch, plan, gradient)
    mean, loss = one_over(use), 0.0
    for start in range(0, targets.size, TILE):
        end = min(start + TILE, targets.size)
        x = steps_of(observations, start, end)
        v = outputs_of(scratch, plan, end - start) if ready else forward(network, scratch, plan, x)
        delta = last_delta(scratch, plan, end - start)
        for b in range(end - start):
            weight = mean if use[start + b] else 0.0
            error = targets[start + b] - v[b, 0]
            loss += weight * error * error
            delta[b, 0] = -2.0 * weight * error
        backward(network, scratch, plan, gradient, x)
    finish(scratch, plan, gradient)
    return loss


@kernel(f"UniTuple(float64, 2)({NET}, {VECTOR}, {MATRIX}, {INTEGERS}, {DOUBLES}, {FLAGS}, float64, float64)")
def actor_gradient(
    network: Any,
    scratch: Any,
    plan: Any,
    gradient: Any,
    observations: Any,
    actions: Any,
    advantages: Any,
    use: Any,
    beta: float,
    epsilon: float,
) -> Any:
    """Write the actor's gradient into its span of ``gradient``; return the loss and the mean entropy."""
    prepare(network, plan)
    clear(scratch, plan, gradient)
    mean, loss, entropy = one_over(use), 0.0, 0.0
    for start in range(0, advantages.size, TILE):
        end = min(start + TILE, advantages.size)
        x = steps_of(observations, start, end)
        z = forward(network, scratch, plan, x)
        delta = last_delta(scratch, plan, end - start)
        for b in range(end - start):
            weight = mean if use[start + b] else 0.0
            terms = policy_delta(z[b], delta[b], actions[start + b], advantages[start + b], weight, beta, epsilon)
            loss += terms[0]
            entropy += terms[1]
        backward(network, scratch, plan, gradient, x)
    finish(scratch, plan, gradient)
    return loss, entropy


# Targets


@kernel("UniTuple(float64, 2)(float64, intp, boolean, intp, float64[:, ::1], float64[::1], boolean)")
def n_step(gamma: float, n: int, program: bool, rule: int, out: Any, rewards: Any, worthless: bool) -> Any:
    """Compute what :mod:`a3c.targets` defines, for the built-in tail rules, which use every step.

    Args:
        gamma: γ.
        n: rewards in a complete window.
        program: whether n counts as the published program does.
        rule: one of the constants above.
        out: ``[≥ 3, ≥ T + 1]``; row 0 holds v_t and V(s_T), rows 1 and 2 receive G_t and the discounted return.
        rewards: r_t, ``[T]``.
        worthless: whether b = 0, whatever the critic says.

    Returns:
        How many targets γ^d·b makes a difference to, and the sum of its absolute values.
    """
    length = rewards.size
    n = min(n, length) - 1 if program else n
    v, targets, returns = out[0], out[1], out[2]
    bootstrap = 0.0 if worthless else v[length]
    complete = max(0, length - n)  # windows
    for t in range(complete):
        targets[t] = 0.0
    for k in range(n - 1, -1, -1):  # Horner in γ, over all complete windows at once
        for t in range(complete):
            targets[t] = rewards[t + k] + gamma * targets[t]
    for t in range(complete):
        targets[t] += gamma**n * v[t + n]
    differing, total, discount, rest = 0, 0.0, 1.0, 0.0
    following = bootstrap
    for t in range(length - 1, -1, -1):
        following = rewards[t] + gamma * following
        returns[t] = following
        if t >= complete:
            discount = discount * gamma if discount > SMALL else gamma ** (length - t)
            rest = rewards[t] + gamma * rest
            shift = discount * bootstrap
            if shift != 0:
                differing += 1
                total += abs(shift)
            targets[t] = rest + shift if rule == MAX_TERMS else rest
    return float(differing), total


TARGETS = "float64, intp, boolean, intp"  # gamma, n, program, rule
LEARN = (
    f"UniTuple(float64, 5)({NET}, {PLAN_TYPE}, {VECTOR}, float64[:, ::1], {FLAGS}, {TARGETS}, intp, float64,"
    f" float64, {MATRIX}, {INTEGERS}, {DOUBLES}, boolean)"
)


@kernel(LEARN)
def learn(
    network: Any,
    scratch: Any,
    actor: Any,
    critic: Any,
    gradient: Any,
    out: Any,
    use: Any,
    gamma: float,
    n: int,
    program: bool,
    rule: int,
    head: int,
    beta: float,
    epsilon: float,
    observations: Any,
    actions: Any,
    rewards: Any,
    worthless: bool,
) -> Any:
    """Do all of a rollout's learning at once: values, targets, both gradients.

    Args:
        network: see above.
        scratch: see above.
        actor: the actor's plan.
        critic: the critic's.
        gradient: receives both gradients.
        out: ``[4, ≥ T + 1]``: receives v, G, the discounted returns, and the advantages.
        use: ``[≥ T]``, all true.
        gamma: see :func:`n_step`, as for the next three.
        n: rewards in a complete window.
        program: how n counts.
        rule: the tail rule.
        head: who learns from G: ``ACTOR_HEAD``, ``CRITIC_HEAD``, or both, added.
        beta: β.
        epsilon: ε.
        observations: ``[T + 1, k]``.
        actions: ``[T]``.
        rewards: ``[T]``.
        worthless: whether b = 0.

    Returns:
        The fields of :class:`a3c.engines.Learned`.
    """
    length = rewards.size
    values(network, scratch, critic, observations, out[0])
    differing, shift = n_step(gamma, n, program, rule, out, rewards, worthless)
    seen, used, ready = observations[:length], use[:length], length < TILE
    targets = out[1] if head & CRITIC_HEAD else out[2]
    critic_loss = critic_gradient(network, scratch, critic, gradient, seen, targets[:length], used, ready)
    targets = out[1] if head & ACTOR_HEAD else out[2]
    advantages = out[3, :length]
    for t in range(length):
        advantages[t] = targets[t] - out[0, t]
    actor_loss, entropy = actor_gradient(
        network, scratch, actor, gradient, seen, actions, advantages, used, beta, epsilon
    )
    return critic_loss, actor_loss, entropy, differing, shift


learn_long = without_gil(LEARN, learn)


# Updates


@helper
def step(
    parameters: Any,
    gradient: Any,
    mean: Any,
    square: Any,
    candidate: Any,
    optimizer: int,
    rate: float,
    decay1: float,
    decay2: float,
    epsilon: float,
    scale: Any,
) -> float:
    """Write one head's parameters after the step into ``candidate``; return their sum."""
    eta, e = np.float32(rate), np.float32(epsilon)
    a, b = np.float32(decay1), np.float32(decay2)
    new_a, new_b = np.float32(1 - decay1), np.float32(1 - decay2)
    total = 0.0
    if optimizer == ADAM:
        for i in range(gradient.size):
            g = gradient[i] * scale
            mean[i] = a * mean[i] + new_a * g
            square[i] = b * square[i] + new_b * (g * g)
            candidate[i] = parameters[i] - eta * (mean[i] / (np.sqrt(square[i]) + e))
    elif optimizer == RMSPROP:
        for i in range(gradient.size):
            g = gradient[i] * scale
            square[i] = b * square[i] + new_b * (g * g)
            candidate[i] = parameters[i] - eta * (g / np.sqrt(square[i] + e))
    else:
        for i in range(gradient.size):
            candidate[i] = parameters[i] - eta * (gradient[i] * scale)
    for i in range(candidate.size):
        total += candidate[i]
    return total


UPDATE = f"intp({MATRIX}, intp, intp, float64, float64, float64, float64, {VECTOR}, {VECTOR}, float64, float64)"


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
        optimizer: one of the constants above; see :mod:`a3c.optimizers` for its formula.
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
    mean, square, candidate = state[0], state[1], state[2]
    total = step(
        parameters[:critic],
        gradient[:critic],
        mean[:critic],
        square[:critic],
        candidate[:critic],
        optimizer,
        actor_rate,
        decay1,
        decay2,
        epsilon,
        scale,
    )
    total += step(
        parameters[critic:],
        gradient[critic:],
        mean[critic:],
        square[critic:],
        candidate[critic:],
        optimizer,
        critic_rate,
        decay1,
        decay2,
        epsilon,
        scale,
    )
    if not math.isfinite(total):
        return BAD_PARAMETERS
    parameters[:] = candidate
    return UPDATED


update_long = without_gil(UPDATE, update)
