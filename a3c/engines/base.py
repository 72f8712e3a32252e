"""The protocol of engines, which compute for a worker.

The protocol is flat float32 vectors and numpy arrays; no engine's own types leave it. An engine belongs to one
thread: it holds that worker's local network.

``autograd`` is the reference: torch computes, autograd differentiates. ``compiled`` is the fast one, in machine code.
What they minimize stands in :mod:`a3c.networks.losses`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from a3c.engines.residuals import Residuals
from a3c.engines.signal import Signal
from a3c.networks.layout import Vector
from a3c.rollout import Act, Rollout, Steps

Floats = NDArray[Any]
Use = NDArray[np.bool_]


class ActorLoss(NamedTuple):
    """The actor's loss, and the mean entropy of its policy in nats."""

    loss: float
    entropy: float


class Learned(NamedTuple):
    """The figures of a rollout learnt from, besides the gradient.

    Attributes:
        critic_loss: see :mod:`a3c.networks.losses`.
        actor_loss: see :mod:`a3c.networks.losses`.
        entropy: mean entropy of the policy, nats.
        differing: targets on which tail rules can disagree, see :class:`a3c.engines.signal.Signal`.
        shift: the sum of |γ^d·b| over them.
    """

    critic_loss: float = 0.0
    actor_loss: float = 0.0
    entropy: float = 0.0
    differing: float = 0
    shift: float = 0.0


class Engine(Protocol):
    """One worker's local network.

    Attributes:
        parameters: the local network, float32 ``[size]``; write into it, between rollouts, to change the network.
        gradient: what the last gradients were, float32 ``[size]``, the heads at their spans of the layout.
        residuals: sums over the rollouts pushed so far. Learning from a rollout first counts the one before, so
            learn again only after pushing, or discard them.
    """

    parameters: Vector
    gradient: Vector
    residuals: Residuals

    def acting(self, steps: Steps) -> Act:
        """Bind the policy to where rollouts are written, and return ``act(observation, t) -> action``.

        ``act`` records the observation, float32 ``[k]``, at ``t`` of ``steps``, samples an action 0 … actions-1
        with the uniform number there, records and returns it. Probabilities are float32: one too small for that is
        never taken. It raises ``ValueError`` if the observation has another shape, and may raise ``TypeError`` if it
        is not a float32 array of its own.
        """

    def values(self, observations: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return V(s) for observations ``[N, k]``, as ``[N]``."""

    def signal(self, rollout: Rollout) -> Signal:
        """Return a rollout's learning signal by the critic as it is."""

    def actor_gradient(
        self,
        observations: NDArray[np.float32],
        actions: NDArray[np.int64],
        advantages: Floats,
        use: Use | None = None,
    ) -> ActorLoss:
        """Write the gradient of the actor's loss, a mean over the steps used, into its span of :attr:`gradient`.

        Args:
            observations: ``[T, k]``.
            actions: ``[T]``.
            advantages: A_t, float64 ``[T]``.
            use: the steps that count, ``[T]``; None: all. Where none does, loss and gradient are 0.
        """

    def critic_gradient(self, observations: NDArray[np.float32], targets: Floats, use: Use | None = None) -> float:
        """Write the gradient of the critic's loss into its span of :attr:`gradient`; return the loss."""

    def learn(self, rollout: Rollout) -> Learned:
        """Compute signal, both gradients and residuals of a rollout, as :func:`learn_by_parts` does."""


def learn_by_parts(engine: Engine, head: str, rollout: Rollout, between: Callable[[], None] | None = None) -> Learned:
    """Compute a rollout's signal and both gradients, one after the other, and its residuals.

    Args:
        engine: the local network.
        head: who learns from the n-step targets: ``actor``, ``critic`` or ``both``. The other learns from the returns.
        rollout: what was collected.
        between: called after the critic's gradient; may change the critic, whose values are then read anew: they are
            the baseline, and what residuals are taken from.
    """
    observations = rollout.observations[:-1]
    signal = engine.signal(rollout)
    targets, use = (signal.returns, None) if head == "actor" else (signal.n_step, signal.use)
    critic_loss = engine.critic_gradient(observations, targets, use)
    if between is not None:
        between()
        signal = engine.signal(rollout)
    targets, use = (signal.returns, None) if head == "critic" else (signal.n_step, signal.use)
    actor_loss, entropy = engine.actor_gradient(observations, rollout.actions, targets - signal.values, use)
    engine.residuals.count_and_write(signal)
    return Learned(critic_loss, actor_loss, entropy, signal.differing, signal.shift)
