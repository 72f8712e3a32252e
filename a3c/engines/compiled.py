"""The fast engine: both MLPs, their gradients, the built-in tail rules and the optimizers in machine code (Numba).

The arithmetic and its derivation stand in :mod:`a3c.kernels.layers`, :mod:`a3c.kernels.learning` and
:mod:`a3c.kernels.updates`; here it is given memory. It does whatever a config can ask for: any hidden layers, every
activation, loss and optimizer option. A tail rule that is not built in is called as it is, in Python, for some
microseconds an update; then, and with a local critic step, the kernels keep the GIL, however long they take.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from a3c.config import TrainConfig
from a3c.engines.base import ActorLoss, Floats, Learned, Use, learn_by_parts
from a3c.engines.residuals import Residuals
from a3c.engines.signal import Signal, bootstrap_is_zero, reference_signal
from a3c.errors import Diverged
from a3c.kernels import acting, layers, learning, updates
from a3c.networks.layout import HEADS, Head, Layout, Vector
from a3c.networks.optimizers import BAD_GRADIENT, BAD_PARAMETERS, StepCount, bias_correction
from a3c.rollout import FIRST_CAPACITY, Act, Rollout, Steps
from a3c.targets.n_step import max_terms, missing_as_zero
from a3c.targets.registry import find_tail_rule
from a3c.targets.rule import TailRule

Plan = NDArray[np.int64]

ACTIVATIONS = {"relu6": layers.RELU6, "relu": layers.RELU, "tanh": layers.TANH}
OPTIMIZERS = {"sgd": updates.SGD, "rmsprop": updates.RMSPROP, "adam": updates.ADAM}
RULES: dict[TailRule, int] = {missing_as_zero: learning.MISSING_AS_ZERO, max_terms: learning.MAX_TERMS}
HEADS_THAT_USE_N_STEP = {
    "actor": learning.ACTOR_HEAD,
    "critic": learning.CRITIC_HEAD,
    "both": learning.ACTOR_HEAD + learning.CRITIC_HEAD,
}
REFUSALS = {updates.BAD_GRADIENT: BAD_GRADIENT, updates.BAD_PARAMETERS: BAD_PARAMETERS}

LONG = 100_000  # multiplications; some tens of microseconds, from where on giving up the GIL pays


class CompiledEngine:
    """An :class:`~a3c.engines.base.Engine` for MLPs of any size."""

    def __init__(self, config: TrainConfig, layout: Layout) -> None:
        self._plans, memory, scratch = plans_of(layout, ACTIVATIONS[config.activation])
        self._memory = np.zeros(memory, dtype=np.float32)
        self._scratch = _shared_scratch(scratch)
        self._size = layout.size
        self.parameters = self._memory[: layout.size]
        self.gradient = np.zeros(layout.size, dtype=np.float32)
        self.residuals = Residuals()
        self._config = config
        rule = RULES.get(find_tail_rule(config.target))
        self._targets = (
            None if rule is None else (config.gamma, config.n_step, config.n_step_convention == "seed", rule)
        )
        self._make_room(FIRST_CAPACITY)

    def acting(self, steps: Steps) -> Act:
        """See :meth:`a3c.engines.base.Engine.acting`."""
        arrays = (self._memory, self._scratch, steps.observations, steps.actions, steps.uniforms)
        bound = np.array([*(array.ctypes.data for array in arrays), *self._plans["actor"]], dtype=np.int64)
        act = partial(acting.act, bound)
        vars(act)["alive"] = arrays  # the kernel knows only where they are
        return act

    def values(self, observations: NDArray[np.float32]) -> NDArray[np.float64]:
        """See :meth:`a3c.engines.base.Engine.values`."""
        values = np.empty(len(observations))
        learning.values(self._memory, self._scratch, self._plans["critic"], observations, values)
        return values

    def signal(self, rollout: Rollout) -> Signal:
        """See :meth:`a3c.engines.base.Engine.signal`."""
        if self._targets is None:
            return reference_signal(self._config, rollout, self.values(rollout.observations))
        length = rollout.length
        out = np.empty((4, length + 1))
        out[0] = self.values(rollout.observations)
        is_zero = bootstrap_is_zero(rollout, self._config.bootstrap_truncated)
        differing, shift = learning.n_step(*self._targets, out, rollout.rewards, is_zero)
        use = np.ones(length, dtype=np.bool_)
        values, n_step, returns, shifts = out[:, :length]
        return Signal(values, n_step, returns, use, shifts, differing, shift)

    def actor_gradient(
        self,
        observations: NDArray[np.float32],
        actions: NDArray[np.int64],
        advantages: Floats,
        use: Use | None = None,
    ) -> ActorLoss:
        """See :meth:`a3c.engines.base.Engine.actor_gradient`."""
        use = _of_one_length(observations, actions, advantages, use)
        loss, entropy = learning.actor_gradient(
            self._memory,
            self._scratch,
            self._plans["actor"],
            self.gradient,
            observations,
            actions,
            advantages,
            use,
            self._config.entropy_coef,
            self._config.log_epsilon,
        )
        return ActorLoss(loss, entropy)

    def critic_gradient(self, observations: NDArray[np.float32], targets: Floats, use: Use | None = None) -> float:
        """See :meth:`a3c.engines.base.Engine.critic_gradient`."""
        use = _of_one_length(observations, targets, targets, use)
        loss: float = learning.critic_gradient(
            self._memory, self._scratch, self._plans["critic"], self.gradient, observations, targets, use, False
        )
        return loss

    def learn(self, rollout: Rollout) -> Learned:
        """See :meth:`a3c.engines.base.Engine.learn`: one kernel, which releases the GIL where it takes long."""
        if self._targets is None:
            return learn_by_parts(self, self._config.n_step_head, rollout)
        length = rollout.length
        if length >= self._capacity:
            self._make_room(2 * length)
        kernel = self._learn_long if length * self._size > LONG else self._learn
        is_zero = bootstrap_is_zero(rollout, self._config.bootstrap_truncated)
        return Learned(*kernel(rollout.observations, rollout.actions, rollout.rewards, is_zero))

    def _make_room(self, capacity: int) -> None:
        """Bind the kernels that learn to all that stays the same, with room for rollouts shorter than ``capacity``."""
        self._capacity = capacity
        if self._targets is None:
            return
        config = self._config
        bound = (
            self._plans["actor"],
            self._plans["critic"],
            self.gradient,
            np.empty((4, capacity)),
            np.ones(capacity, dtype=np.bool_),
            self.residuals.arrays,
            *self._targets,
            HEADS_THAT_USE_N_STEP[config.n_step_head],
            config.entropy_coef,
            config.log_epsilon,
        )
        self._learn = partial(learning.learn, self._memory, self._scratch, *bound)
        own = np.empty_like(self._scratch)  # without the GIL others may be in theirs at the same time
        self._learn_long = partial(learning.learn_long, self._memory, own, *bound)


class CompiledUpdate:
    """An :class:`~a3c.networks.optimizers.Update` in one kernel: norm, checks, statistics and both heads' steps."""

    def __init__(self, config: TrainConfig, layout: Layout, critic_count: StepCount) -> None:
        adam = config.optimizer == "adam"
        self._decays = (config.adam_beta1, config.adam_beta2) if adam else (0.0, config.rmsprop_decay)
        self._counts = (StepCount(), critic_count) if adam else None
        self._kernel = partial(
            updates.update_long if layout.size > LONG else updates.update,
            np.zeros((3, layout.size), dtype=np.float32),
            layout.spans["critic"].start,
            OPTIMIZERS[config.optimizer],
            *self._decays,
            config.optimizer_epsilon,
            math.inf if config.max_grad_norm is None else config.max_grad_norm,
        )

    def apply(self, parameters: Vector, gradient: Vector, actor_rate: float, critic_rate: float) -> None:
        """See :meth:`a3c.networks.optimizers.Update.apply`."""
        if self._counts is not None:
            actor_count, critic_count = self._counts
            actor_rate *= bias_correction(*self._decays, actor_count.next())
            critic_rate *= bias_correction(*self._decays, critic_count.next())
        status = self._kernel(parameters, gradient, actor_rate, critic_rate)
        if status != updates.UPDATED:
            raise Diverged(REFUSALS[status])


def _of_one_length(observations: Floats, some: NDArray[Any], others: Floats, use: Use | None) -> Use:
    """Return the steps used: kernels read as many of each as there are steps, whatever is there."""
    used = np.ones(len(some), dtype=np.bool_) if use is None else use
    if not len(observations) == len(some) == len(others) == len(used):
        raise ValueError(f"lengths differ: {len(observations)}, {len(some)}, {len(others)}, {len(used)}")
    return used


def plans_of(layout: Layout, activation: int) -> tuple[dict[Head, Plan], int, int]:
    """Lay out the memory of a network.

    Returns:
        Each head's plan (see :mod:`a3c.kernels.layers`), and how many float32 ``network`` and ``scratch`` have. The
        heads take turns in all but their parameters.
    """
    shapes = {head: layout.shapes(head) for head in HEADS}
    wide = max(sum(out * inp for out, inp in shapes[head] if out > inp) for head in HEADS)
    deltas = layers.TILE * max(max(shape) for head in HEADS for shape in shapes[head])
    plans: dict[Head, Plan] = {}
    scratch = 0
    for head in HEADS:
        plan = [activation, len(shapes[head]), wide, wide + deltas]
        at, gathered, output = layout.spans[head].start, 0, wide + 2 * deltas
        for out, inp in shapes[head]:
            is_wide = out > inp
            plan += [
                inp,
                out,
                at,
                at + out * inp,
                *((layout.size + gathered, gathered) if is_wide else (-1, -1)),
                output,
            ]
            gathered += out * inp if is_wide else 0
            at += out * (inp + 1)
            output += layers.TILE * out
        plans[head] = np.array(plan, dtype=np.int64)
        scratch = max(scratch, output)
    return plans, layout.size + wide, scratch


def _shared_scratch(size: int) -> Vector:
    """Return scratch for kernels that keep the GIL: one for all, so that it stays in the core's cache."""
    global _scratch
    scratch = _scratch  # another thread may put a smaller one there meanwhile
    if len(scratch) < size:
        scratch = _scratch = np.zeros(size, dtype=np.float32)
    return scratch


_scratch = np.zeros(0, dtype=np.float32)
