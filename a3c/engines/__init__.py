"""How a worker computes: one small protocol, and the engines that keep it.

The protocol is flat float32 vectors and numpy arrays; no engine's own types leave it. An engine belongs to one
thread: it holds that worker's local network.

``autograd`` is the reference: torch computes, autograd differentiates. ``compiled`` is the fast one, in machine code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from a3c.parameters import Layout, Vector

if TYPE_CHECKING:
    from a3c.config import TrainConfig
    from a3c.optimizers import StepCount, Update
    from a3c.residuals import Residuals
    from a3c.rollout import Act, Rollout, Steps
    from a3c.signals import Signal

Floats = NDArray[Any]
Use = NDArray[np.bool_]
ENGINES = ("compiled", "autograd")


class ActorLoss(NamedTuple):
    """What :meth:`Engine.actor_gradient` reports: the loss, and the mean entropy in nats."""

    loss: float
    entropy: float


class Learned(NamedTuple):
    """What came of a rollout, besides the gradient.

    Attributes:
        critic_loss: see :mod:`a3c.losses`.
        actor_loss: see :mod:`a3c.losses`.
        entropy: mean entropy of the policy, nats.
        differing: targets on which tail rules can disagree, see :class:`a3c.signals.Signal`.
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
        residuals: what :meth:`learn` notes of each rollout's targets.
    """

    parameters: Vector
    gradient: Vector
    residuals: Residuals

    def acting(self, steps: Steps) -> Act:
        """Bind the policy to where rollouts are written, and return ``act(observation, t) -> action``.

        ``act`` records the observation, float32 ``[k]``, at ``t`` of ``steps``, samples an action 0 … actions-1
        with the uniform number there, records and returns it. It raises ``ValueError`` if the observation has
        another shape, and may raise ``TypeError`` if it is not a float32 array of its own.
        """

    def values(self, observations: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return V(s) for observations ``[N, k]``, as ``[N]``."""

    def signal(self, rollout: Rollout) -> Signal:
        """Return what a rollout teaches by the critic as it is."""

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
        """Do all of it: signal, critic's gradient, actor's gradient; see :func:`learn_by_parts`."""


def learn_by_parts(engine: Engine, head: str, rollout: Rollout, between: Callable[[], None] | None = None) -> Learned:
    """Compute a rollout's signal and both gradients, one after the other, and note its residuals.

    Args:
        engine: the local network.
        head: who learns from the n-step targets: ``actor``, ``critic`` or ``both``. The other learns from the returns.
        rollout: what was collected.
        between: called after the critic's gradient; may change the critic, whose values are then read anew: they are
            the baseline, and what residuals are taken from.
    """
    engine.residuals.settle()
    observations = rollout.observations[:-1]
    signal = engine.signal(rollout)
    targets, use = (signal.returns, None) if head == "actor" else (signal.n_step, signal.use)
    critic_loss = engine.critic_gradient(observations, targets, use)
    if between is not None:
        between()
        signal = engine.signal(rollout)
    targets, use = (signal.returns, None) if head == "critic" else (signal.n_step, signal.use)
    actor_loss, entropy = engine.actor_gradient(observations, rollout.actions, targets - signal.values, use)
    engine.residuals.note(signal)
    return Learned(critic_loss, actor_loss, entropy, signal.differing, signal.shift)


def choose_engine(config: TrainConfig) -> str:
    """Return the name of the engine a config asks for; ``auto`` takes the fastest this machine can run."""
    if config.engine != "auto":
        return config.engine
    return "compiled" if _compiles() else "autograd"


@cache
def _compiles() -> bool:
    try:
        import numba  # which needs a platform it knows
    except ImportError:
        return False
    return not getattr(numba.config, "DISABLE_JIT", False)  # its switch for debugging


def make_engine(config: TrainConfig, layout: Layout) -> Engine:
    """Make one worker's engine, its network all zeros until parameters are copied in."""
    if choose_engine(config) == "compiled":
        from a3c.engines.compiled import CompiledEngine

        return CompiledEngine(config, layout)
    from a3c.engines.autograd import AutogradEngine

    return AutogradEngine(config, layout)


def make_update(config: TrainConfig, layout: Layout, critic_count: StepCount) -> Update:
    """Make what the parameter store applies gradients with, in the arithmetic of the config's engine."""
    if choose_engine(config) == "compiled":
        from a3c.engines.compiled import CompiledUpdate

        return CompiledUpdate(config, layout, critic_count)
    from a3c.optimizers import NumpyUpdate

    return NumpyUpdate(config, layout, critic_count)


@contextmanager
def single_threaded(config: TrainConfig) -> Iterator[None]:
    """Keep an engine's library to one thread: workers are the parallelism, more would fight over cores."""
    if choose_engine(config) == "compiled":
        yield
        return
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
