"""First-order optimizers on flat vectors; the statistics live here and are shared by all who push.

Each returns the step to subtract and leaves the parameters alone, so that a step that is not finite can be
refused. All work in place on float32 vectors of one head; an :class:`Update` applies them to both.
"""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np

from a3c.config import TrainConfig
from a3c.errors import Diverged
from a3c.networks.layout import HEADS, Layout, Vector

BAD_GRADIENT = "a gradient, or its square, is not finite"
BAD_PARAMETERS = "an update would make parameters that are not finite"


class Optimizer(Protocol):
    """A rule that turns gradients into steps."""

    def step(self, gradient: Vector, learning_rate: float) -> Vector:
        """Return what to subtract from the parameters: a view that the next call overwrites."""


class StepCount:
    """A count of the steps taken; several Adams may share one (the published program's critics do)."""

    def __init__(self) -> None:
        self.value = 0

    def next(self) -> int:
        """Count one step and return its number, from 1."""
        self.value += 1
        return self.value


class SGD:
    """Plain stochastic gradient descent."""

    def __init__(self, size: int) -> None:
        self._step = np.zeros(size, dtype=np.float32)

    def step(self, gradient: Vector, learning_rate: float) -> Vector:
        """See :class:`Optimizer`."""
        return np.multiply(gradient, np.float32(learning_rate), out=self._step)


class RMSProp:
    """Shared RMSProp as in Mnih et al. 2016, section 4: g ← αg + (1−α)Δθ², step η·Δθ / √(g + ε)."""

    def __init__(self, size: int, decay: float, epsilon: float) -> None:
        self._decay, self._epsilon = np.float32(decay), np.float32(epsilon)
        self._square = np.zeros(size, dtype=np.float32)
        self._step = np.zeros(size, dtype=np.float32)

    def step(self, gradient: Vector, learning_rate: float) -> Vector:
        """See :class:`Optimizer`."""
        self._square *= self._decay
        np.multiply(gradient, gradient, out=self._step)
        self._step *= 1 - self._decay
        self._square += self._step
        np.add(self._square, self._epsilon, out=self._step)
        np.sqrt(self._step, out=self._step)
        np.divide(gradient, self._step, out=self._step)
        self._step *= np.float32(learning_rate)
        return self._step


class Adam:
    """Adam in the order of section 2 of Kingma & Ba 2015, as the published program's TensorFlow computes it.

    m̂ and v̂ are folded into the rate, η·√(1−β2^t)/(1−β1^t) · m/(√v + ε): ε is the paper's ε̂, added outside the
    root before v is corrected.
    """

    def __init__(self, size: int, beta1: float, beta2: float, epsilon: float, count: StepCount | None = None) -> None:
        self._beta1, self._beta2, self._epsilon = beta1, beta2, np.float32(epsilon)
        self._count = count if count is not None else StepCount()
        self._mean = np.zeros(size, dtype=np.float32)
        self._square = np.zeros(size, dtype=np.float32)
        self._step = np.zeros(size, dtype=np.float32)
        self._scratch = np.zeros(size, dtype=np.float32)

    def step(self, gradient: Vector, learning_rate: float) -> Vector:
        """See :class:`Optimizer`."""
        count = self._count.next()
        scratch, step = self._scratch, self._step
        self._mean *= np.float32(self._beta1)
        self._mean += np.multiply(gradient, np.float32(1 - self._beta1), out=scratch)
        self._square *= np.float32(self._beta2)
        np.multiply(gradient, gradient, out=scratch)
        scratch *= np.float32(1 - self._beta2)
        self._square += scratch
        np.sqrt(self._square, out=scratch)
        scratch += self._epsilon
        np.divide(self._mean, scratch, out=step)
        step *= np.float32(learning_rate * bias_correction(self._beta1, self._beta2, count))
        return step


def bias_correction(beta1: float, beta2: float, count: int) -> float:
    """Return √(1−β2^t)/(1−β1^t), which Adam's rate is multiplied with at its step t ≥ 1."""
    return math.sqrt(1 - beta2**count) / (1 - beta1**count)


def make_optimizer(config: TrainConfig, size: int, count: StepCount | None = None) -> Optimizer:
    """Make the optimizer a config asks for, its statistics at zero.

    Args:
        config: names it and its constants.
        size: entries of the parameters it is for.
        count: the step count its bias correction uses, if it shares one.
    """
    if config.optimizer == "adam":
        return Adam(size, config.adam_beta1, config.adam_beta2, config.optimizer_epsilon, count)
    if config.optimizer == "rmsprop":
        return RMSProp(size, config.rmsprop_decay, config.optimizer_epsilon)
    return SGD(size)


class Update(Protocol):
    """The parameter store's way to apply a gradient."""

    def apply(self, parameters: Vector, gradient: Vector, actor_rate: float, critic_rate: float) -> None:
        """Step both heads in place, in the arithmetic of one engine.

        Args:
            parameters: the global network, float32 ``[size]``.
            gradient: float32 ``[size]``, left alone.
            actor_rate: the actor's step size.
            critic_rate: the critic's.

        Raises:
            Diverged: if the gradient or what would come out is not finite; the parameters are left alone.
        """


class NumpyUpdate:
    """The reference :class:`Update`: the gradient's norm is limited, then each head has an optimizer of its own.

    Args:
        config: names the optimizer, its constants and the limit.
        layout: where the heads are.
        critic_count: the critic's step count, which local critics share.
    """

    def __init__(self, config: TrainConfig, layout: Layout, critic_count: StepCount) -> None:
        self._max_norm = config.max_grad_norm
        self._spans = layout.spans
        self._optimizers = {
            head: make_optimizer(config, span.stop - span.start, critic_count if head == "critic" else None)
            for head, span in layout.spans.items()
        }
        self._candidate = np.empty(layout.size, dtype=np.float32)

    def apply(self, parameters: Vector, gradient: Vector, actor_rate: float, critic_rate: float) -> None:
        """See :meth:`Update.apply`."""
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is found and refused
            if self._max_norm is not None:
                norm = float(np.linalg.norm(gradient.astype(np.float64)))  # float32 squares overflow before their root
                if norm > self._max_norm:
                    gradient = gradient * np.float32(self._max_norm / norm)
            if not math.isfinite(float(np.dot(gradient, gradient))):  # else the statistics hold infinities for ever
                raise Diverged(BAD_GRADIENT)
            for head, rate in zip(HEADS, (actor_rate, critic_rate), strict=True):
                span = self._spans[head]
                step = self._optimizers[head].step(gradient[span], rate)
                np.subtract(parameters[span], step, out=self._candidate[span])
            if not math.isfinite(float(self._candidate.sum(dtype=np.float64))):
                raise Diverged(BAD_PARAMETERS)
        np.copyto(parameters, self._candidate)
