"""Learn in machine code: values, losses' gradients, targets, and all of them at once.

How networks are laid out and differentiated stands in :mod:`a3c.kernels.layers`. At the top, δ = ∂L/∂z is

- for the critic, L = Σ_t w_t (G_t − v_t)²:  ∂L/∂v_t = −2 w_t (G_t − v_t);
- for the actor, L = −Σ_t w_t (ℓ_a A_t + β H) with p = softmax(z), ℓ = log(p + ε), H = −Σ_i p_i ℓ_i. As
  ∂p_i/∂z_j = p_i (1[i=j] − p_j), with ρ_i = p_i / (p_i + ε) and g_i = ∂H/∂p_i = −(ℓ_i + ρ_i),

      ∂ℓ_a/∂z_j = ρ_a (1[a=j] − p_j)      ∂H/∂z_j = p_j (g_j − Σ_i p_i g_i)

  where ε = 0: ℓ = z − logsumexp(z) and ρ = 1, so that p = 0 is no division by 0.

w_t is 1/count on the steps used and 0 elsewhere.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from a3c.kernels.acting import largest
from a3c.kernels.jit import helper, kernel, without_gil
from a3c.kernels.layers import (
    TILE,
    backward,
    clear,
    finish,
    forward,
    last_delta,
    outputs_of,
    prepare,
    steps_of,
)

MISSING_AS_ZERO, MAX_TERMS = 0, 1
ACTOR_HEAD, CRITIC_HEAD = 1, 2
SMALL = 1e-290  # from where on a running product would stop at the smallest number instead of reaching 0


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
    top = largest(z)
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


# Kernels' signatures, in Numba's notation. Plain arguments: tuples of those that belong together, named or not, were
# measured to make `learn` 5 % slower or more, for Numba inspects all that is in them at every call.
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

    ``ready``: the last kernel called was :func:`values` of these observations, in one tile.
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
def n_step(
    gamma: float, n: int, seed_convention: bool, rule: int, out: Any, rewards: Any, bootstrap_is_zero: bool
) -> Any:
    """Compute the targets of :mod:`a3c.targets.n_step` by the built-in tail rules, which use every step.

    Args:
        gamma: γ.
        n: rewards in a complete window.
        seed_convention: whether n counts as the published program does.
        rule: one of the constants above.
        out: ``[≥ 4, ≥ T + 1]``; row 0 holds v_t and V(s_T), rows 1, 2 and 3 receive G_t, the discounted return, and
            γ^d·b where the window is incomplete, else 0.
        rewards: r_t, ``[T]``.
        bootstrap_is_zero: whether b = 0, whatever V(s_T) is.

    Returns:
        How many targets γ^d·b makes a difference to, and the sum of its absolute values.
    """
    length = rewards.size
    n = min(n, length) - 1 if seed_convention else n
    v, targets, returns, shifts = out[0], out[1], out[2], out[3]
    bootstrap = 0.0 if bootstrap_is_zero else v[length]
    complete = max(0, length - n)  # windows
    for t in range(complete):
        targets[t] = 0.0
    for k in range(n - 1, -1, -1):  # Horner in γ, over all complete windows at once
        for t in range(complete):
            targets[t] = rewards[t + k] + gamma * targets[t]
    for t in range(complete):
        targets[t] += gamma**n * v[t + n]
        shifts[t] = 0.0
    differing, total, discount, rest = 0, 0.0, 1.0, 0.0
    following = bootstrap
    for t in range(length - 1, -1, -1):
        following = rewards[t] + gamma * following
        returns[t] = following
        if t >= complete:
            discount = discount * gamma if discount > SMALL else gamma ** (length - t)
            rest = rewards[t] + gamma * rest
            shift = discount * bootstrap
            shifts[t] = shift
            if shift != 0:
                differing += 1
                total += abs(shift)
            targets[t] = rest + shift if rule == MAX_TERMS else rest
    return float(differing), total


@helper
def count_and_write_residuals(out: Any, length: int, residuals: Any) -> None:
    """Count the residuals of the rollout before and write this one's, every step used.

    Args:
        out: what :func:`n_step` leaves in it.
        length: T.
        residuals: ``[2, 3, 64]``, see :class:`a3c.engines.residuals.Residuals`.
    """
    sums, latest = residuals
    sums += latest
    latest[...] = 0.0
    for i in range(min(length, latest.shape[1])):
        t = length - 1 - i
        latest[0, i] = 1.0
        latest[1, i] = out[1, t] - out[0, t]
        latest[2, i] = out[3, t]


TARGETS = "float64, intp, boolean, intp"  # gamma, n, seed_convention, rule
LEARN = (
    f"UniTuple(float64, 5)({NET}, {PLAN_TYPE}, {VECTOR}, float64[:, ::1], {FLAGS}, float64[:, :, ::1], {TARGETS}, intp,"
    f" float64, float64, {MATRIX}, {INTEGERS}, {DOUBLES}, boolean)"
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
    residuals: Any,
    gamma: float,
    n: int,
    seed_convention: bool,
    rule: int,
    head: int,
    beta: float,
    epsilon: float,
    observations: Any,
    actions: Any,
    rewards: Any,
    bootstrap_is_zero: bool,
) -> Any:
    """Learn from a rollout at once: values, targets, residuals, both gradients.

    Args:
        network: see above.
        scratch: see above.
        actor: the actor's plan.
        critic: the critic's.
        gradient: receives both gradients.
        out: ``[4, ≥ T + 1]``: receives v, G, the discounted returns, and the advantages.
        use: ``[≥ T]``, all true.
        residuals: see :func:`count_and_write_residuals`.
        gamma: see :func:`n_step`, as for the next three.
        n: rewards in a complete window.
        seed_convention: how n counts.
        rule: the tail rule.
        head: who learns from G: ``ACTOR_HEAD``, ``CRITIC_HEAD``, or both, added.
        beta: β.
        epsilon: ε.
        observations: ``[T + 1, k]``.
        actions: ``[T]``.
        rewards: ``[T]``.
        bootstrap_is_zero: whether b = 0.

    Returns:
        The fields of :class:`a3c.engines.base.Learned`.
    """
    length = rewards.size
    values(network, scratch, critic, observations, out[0])
    differing, shift = n_step(gamma, n, seed_convention, rule, out, rewards, bootstrap_is_zero)
    count_and_write_residuals(out, length, residuals)
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
