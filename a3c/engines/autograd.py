"""The reference engine: torch computes everything, autograd derives the gradients."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from a3c.config import TrainConfig
from a3c.engines.base import ActorLoss, Floats, Learned, Use, learn_by_parts
from a3c.engines.residuals import Residuals
from a3c.engines.signal import Signal, reference_signal
from a3c.networks.actor_critic import ActorCritic
from a3c.networks.layout import Layout
from a3c.networks.losses import actor_loss, critic_loss, policy_terms
from a3c.rollout import Act, Rollout, Steps


class AutogradEngine:
    """An :class:`~a3c.engines.base.Engine` for any network torch can differentiate."""

    def __init__(self, config: TrainConfig, layout: Layout) -> None:
        self.parameters = np.zeros(layout.size, dtype=np.float32)
        self.gradient = np.zeros(layout.size, dtype=np.float32)
        self.residuals = Residuals()
        self._config = config
        self._spans = layout.spans
        self._network = ActorCritic(layout, config.activation, self.parameters, self.gradient)

    def acting(self, steps: Steps) -> Act:
        """See :meth:`a3c.engines.base.Engine.acting`."""
        shape = steps.observations.shape[1:]

        def act(observation: NDArray[np.float32], t: int) -> int:
            if np.shape(observation) != shape:
                raise ValueError(f"observation of shape {np.shape(observation)}, must be {shape}")
            steps.observations[t] = observation
            steps.actions[t] = action = self._sample(steps.observations[t], float(steps.uniforms[t]))
            return action

        return act

    def _sample(self, observation: NDArray[np.float32], uniform: float) -> int:
        """Invert the cumulative distribution at ``uniform``; rounding never yields an action that is not there."""
        with torch.inference_mode():
            probabilities = torch.softmax(self._network.logits(torch.from_numpy(observation)), dim=-1).tolist()
        cumulative = 0.0
        for action, probability in enumerate(probabilities[:-1]):
            cumulative += probability
            if uniform < cumulative:
                return action
        return len(probabilities) - 1

    def values(self, observations: NDArray[np.float32]) -> NDArray[np.float64]:
        """See :meth:`a3c.engines.base.Engine.values`."""
        with torch.inference_mode():
            return self._network.values(torch.from_numpy(observations)).numpy().astype(np.float64)

    def signal(self, rollout: Rollout) -> Signal:
        """See :meth:`a3c.engines.base.Engine.signal`."""
        return reference_signal(self._config, rollout, self.values(rollout.observations))

    def actor_gradient(
        self,
        observations: NDArray[np.float32],
        actions: NDArray[np.int64],
        advantages: Floats,
        use: Use | None = None,
    ) -> ActorLoss:
        """See :meth:`a3c.engines.base.Engine.actor_gradient`."""
        self.gradient[self._spans["actor"]] = 0
        logits = self._network.logits(torch.from_numpy(observations))
        chosen, entropy = policy_terms(logits, torch.from_numpy(actions), self._config.log_epsilon)
        weights = _weights(use, len(actions))
        loss = actor_loss(chosen, entropy, _tensor(advantages), weights, self._config.entropy_coef)
        loss.backward()  # type: ignore[no-untyped-call]
        return ActorLoss(loss.item(), (weights * entropy.detach()).sum().item())

    def critic_gradient(self, observations: NDArray[np.float32], targets: Floats, use: Use | None = None) -> float:
        """See :meth:`a3c.engines.base.Engine.critic_gradient`."""
        self.gradient[self._spans["critic"]] = 0
        values = self._network.values(torch.from_numpy(observations))
        loss = critic_loss(values, _tensor(targets), _weights(use, len(targets)))
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.item()

    def learn(self, rollout: Rollout) -> Learned:
        """See :meth:`a3c.engines.base.Engine.learn`."""
        return learn_by_parts(self, self._config.n_step_head, rollout)


def _tensor(values: Floats) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))


def _weights(use: Use | None, length: int) -> torch.Tensor:
    """Return 1/count on the steps used, 0 elsewhere, ``[T]``; all 0 if none is used."""
    used = np.ones(length, dtype=np.bool_) if use is None else use
    return _tensor(used / max(1, int(used.sum())))
