"""From a rollout to a gradient: targets, advantages and losses of one worker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from a3c.engines import Engine
from a3c.errors import Diverged
from a3c.optimizers import make_optimizer
from a3c.parameters import Layout
from a3c.rollout import Rollout
from a3c.store import ParameterStore, Push
from a3c.targets import TAIL_RULES, discounted_returns, windows

if TYPE_CHECKING:
    from a3c.config import TrainConfig

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Signal:
    """What one rollout teaches, by one state of the critic; arrays float64 ``[T]`` unless said.

    Attributes:
        values: v_t.
        n_step: G_t of the tail rule.
        returns: the bootstrapped discounted return.
        use: the steps whose G_t enters a loss, bool ``[T]``.
        shift: γ^d·b where a window is incomplete, else 0.
    """

    values: Floats
    n_step: Floats
    returns: Floats
    use: NDArray[np.bool_]
    shift: Floats


@dataclass(frozen=True, slots=True)
class Lesson:
    """One rollout's update, with what it was made of.

    Attributes:
        critic: the signal the critic's gradient was computed with.
        actor: the signal behind the advantages; another one only after a local critic step.
        push: what goes to the store.
    """

    critic: Signal
    actor: Signal
    push: Push


class Learner:
    """One worker's losses and, in the published program's way, its own critic optimizer.

    Args:
        config: the run's settings.
        layout: the networks' shapes.
        engine: the worker's local network.
        store: whose step count and learning rate a local critic step uses.
        worker: the worker's number.
    """

    def __init__(self, config: TrainConfig, layout: Layout, engine: Engine, store: ParameterStore, worker: int) -> None:
        self._config = config
        self._engine = engine
        self._store = store
        self._worker = worker
        self._critic_span = layout.spans["critic"]
        size = self._critic_span.stop - self._critic_span.start
        self._local_critic = make_optimizer(config, size, store.critic_count) if config.local_critic_step else None

    def learn(self, rollout: Rollout, pulled: int) -> Lesson:
        """Compute the gradient of a rollout collected with version ``pulled`` of the parameters.

        With ``local_critic_step`` the local critic takes one step on the rollout after its gradient is taken, and
        the actor's baseline and bootstrap come from the critic after that step.

        Raises:
            Diverged: if a loss is not finite.
        """
        config, engine = self._config, self._engine
        observations = rollout.observations[:-1]
        critic = actor = self._signal(rollout)
        targets, use = (critic.n_step, critic.use) if config.n_step_head != "actor" else (critic.returns, None)
        critic_loss = engine.critic_gradient(observations, targets, _weights(use, len(rollout)))
        if self._local_critic is not None:
            self._step_local_critic()
            actor = self._signal(rollout)
        targets, use = (actor.n_step, actor.use) if config.n_step_head != "critic" else (actor.returns, None)
        advantages = targets - actor.values
        actor_loss, entropy = engine.actor_gradient(
            observations, rollout.actions, advantages, _weights(use, len(rollout))
        )
        if not np.isfinite(actor_loss) or not np.isfinite(critic_loss):
            raise Diverged(f"a loss is not finite: actor {actor_loss}, critic {critic_loss}")
        push = Push(
            worker=self._worker,
            pulled=pulled,
            gradient=engine.gradient,
            steps=len(rollout),
            episode=rollout.episode,
            differing=int(np.count_nonzero(actor.shift)),
            shift=float(np.abs(actor.shift).sum()),
            actor_loss=actor_loss,
            critic_loss=critic_loss,
            entropy=entropy,
        )
        return Lesson(critic, actor, push)

    def _signal(self, rollout: Rollout) -> Signal:
        config = self._config
        values = self._engine.values(rollout.observations).astype(np.float64)
        ended = _ends_worthless(rollout, config.bootstrap_truncated)
        bootstrap = 0.0 if ended else float(values[-1])
        w = windows(
            rollout.rewards, values[:-1], bootstrap, config.gamma, config.n_step, config.n_step_convention, ended
        )
        targets, use = TAIL_RULES[config.target](w)
        returns = discounted_returns(rollout.rewards, bootstrap, config.gamma)
        return Signal(values[:-1], targets, returns, use, w.shift)

    def _step_local_critic(self) -> None:
        assert self._local_critic is not None  # noqa: S101 - for the type checker
        span = self._critic_span
        with self._store.lock:  # the step count is shared with the global critic
            rate = self._store.learning_rate("critic")
            step = self._local_critic.step(self._engine.gradient[span], rate)
        self._engine.parameters[span] -= step


def _ends_worthless(rollout: Rollout, bootstrap_truncated: bool) -> bool:
    """Whether b = 0: at a true end always, at a time limit if those are not bootstrapped."""
    return rollout.terminated or (rollout.truncated and not bootstrap_truncated)


def _weights(use: NDArray[np.bool_] | None, length: int) -> Floats:
    """Return 1/count on the steps used, 0 elsewhere, ``[T]``; all 0 if none is used."""
    if use is None or use.all():
        return np.full(length, 1.0 / length)
    return use / max(1, int(use.sum()))
