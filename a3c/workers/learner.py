"""From a rollout to a gradient: targets, advantages and losses of one worker."""

from __future__ import annotations

import math

from a3c.config import TrainConfig
from a3c.engines.base import Engine, learn_by_parts
from a3c.errors import Diverged
from a3c.networks.layout import Layout
from a3c.networks.optimizers import make_optimizer
from a3c.rollout import Rollout
from a3c.workers.store import ParameterStore, Push


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
        self._head = config.n_step_head
        self._engine = engine
        self._store = store
        self._worker = worker
        self._critic_span = layout.spans["critic"]
        size = self._critic_span.stop - self._critic_span.start
        self._local_critic = make_optimizer(config, size, store.critic_count) if config.local_critic_step else None

    def learn(self, rollout: Rollout, pulled: int) -> Push:
        """Compute the gradient of a rollout collected with version ``pulled`` of the parameters.

        With ``local_critic_step`` the local critic takes one step on the rollout after its gradient is taken, and
        the actor's baseline and bootstrap come from the critic after that step.

        Raises:
            Diverged: if a loss is not finite.
        """
        if self._local_critic is None:
            learned = self._engine.learn(rollout)
        else:
            learned = learn_by_parts(self._engine, self._head, rollout, self._step_local_critic)
        if not math.isfinite(learned.actor_loss + learned.critic_loss):
            self._engine.residuals.discard()
            raise Diverged(f"a loss is not finite: actor {learned.actor_loss}, critic {learned.critic_loss}")
        return Push(self._worker, pulled, self._engine.gradient, rollout.length, rollout.episode, learned)

    def _step_local_critic(self) -> None:
        assert self._local_critic is not None  # noqa: S101 - for the type checker
        span = self._critic_span
        with self._store.lock:  # the step count is shared with the global critic
            _, rate = self._store.learning_rates()
            step = self._local_critic.step(self._engine.gradient[span], rate)
        self._engine.parameters[span] -= step
