"""How a worker computes: one small protocol, and the engines that keep it.

The protocol is flat float32 vectors and numpy arrays; no engine's own types leave it. An engine belongs to one
thread: it holds that worker's local network.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from a3c.parameters import Layout, Vector

if TYPE_CHECKING:
    from a3c.config import TrainConfig

Floats = NDArray[Any]
ENGINES = ("autograd",)


class ActorLoss(NamedTuple):
    """What :meth:`Engine.actor_gradient` reports: the loss, and the mean entropy in nats."""

    loss: float
    entropy: float


class Engine(Protocol):
    """One worker's local network.

    Attributes:
        parameters: the local network, float32 ``[size]``; write into it to change the network.
        gradient: what the last gradients were, float32 ``[size]``, the heads at their spans of the layout.
    """

    parameters: Vector
    gradient: Vector

    def act(self, observation: NDArray[np.float32], uniform: float) -> int:
        """Sample an action 0 … actions-1 from the policy at one observation ``[k]``, given a uniform in [0, 1)."""

    def values(self, observations: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return V(s) for observations ``[N, k]``, as ``[N]``."""

    def actor_gradient(
        self,
        observations: NDArray[np.float32],
        actions: NDArray[np.int64],
        advantages: Floats,
        weights: Floats,
    ) -> ActorLoss:
        """Write the gradient of the actor's loss into its span of :attr:`gradient`; arguments ``[T, …]``."""

    def critic_gradient(self, observations: NDArray[np.float32], targets: Floats, weights: Floats) -> float:
        """Write the gradient of the critic's loss into its span of :attr:`gradient`; return the loss."""


def choose_engine(config: TrainConfig) -> str:
    """Return the name of the engine a config asks for; ``auto`` takes the fastest that can."""
    return ENGINES[0] if config.engine == "auto" else config.engine


def make_engine(config: TrainConfig, layout: Layout) -> Engine:
    """Make one worker's engine, its network all zeros until parameters are copied in."""
    from a3c.engines.autograd import AutogradEngine

    return AutogradEngine(layout, config.activation, config.entropy_coef, config.log_epsilon)
