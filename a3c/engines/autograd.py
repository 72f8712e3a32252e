"""The reference engine: torch computes everything, autograd derives the gradients."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from a3c.engines import ActorLoss, Floats
from a3c.losses import actor_loss, critic_loss, policy_terms
from a3c.network import ActorCritic
from a3c.parameters import Layout


class AutogradEngine:
    """An :class:`~a3c.engines.Engine` for any network torch can differentiate."""

    def __init__(self, layout: Layout, activation: str, entropy_coef: float, log_epsilon: float) -> None:
        self.parameters = np.zeros(layout.size, dtype=np.float32)
        self.gradient = np.zeros(layout.size, dtype=np.float32)
        self._spans = layout.spans
        self._network = ActorCritic(layout, activation, self.parameters, self.gradient)
        self._entropy_coef = entropy_coef
        self._log_epsilon = log_epsilon

    def act(self, observation: NDArray[np.float32], uniform: float) -> int:
        """Invert the cumulative distribution at ``uniform``; rounding never yields an action that is not there."""
        with torch.inference_mode():
            probabilities = torch.softmax(self._network.logits(torch.from_numpy(observation)), dim=-1).tolist()
        cumulative = 0.0
        for action, probability in enumerate(probabilities[:-1]):
            cumulative += probability
            if uniform < cumulative:
                return action
        return len(probabilities) - 1

    def values(self, observations: NDArray[np.float32]) -> NDArray[np.float32]:
        """See :meth:`a3c.engines.Engine.values`."""
        with torch.inference_mode():
            values: NDArray[np.float32] = self._network.values(torch.from_numpy(observations)).numpy()
        return values

    def actor_gradient(
        self,
        observations: NDArray[np.float32],
        actions: NDArray[np.int64],
        advantages: Floats,
        weights: Floats,
    ) -> ActorLoss:
        """See :meth:`a3c.engines.Engine.actor_gradient`."""
        self.gradient[self._spans["actor"]] = 0
        logits = self._network.logits(torch.from_numpy(observations))
        chosen, entropy = policy_terms(logits, torch.from_numpy(actions), self._log_epsilon)
        weight = _tensor(weights)
        loss = actor_loss(chosen, entropy, _tensor(advantages), weight, self._entropy_coef)
        loss.backward()  # type: ignore[no-untyped-call]
        return ActorLoss(loss.item(), (weight * entropy.detach()).sum().item())

    def critic_gradient(self, observations: NDArray[np.float32], targets: Floats, weights: Floats) -> float:
        """See :meth:`a3c.engines.Engine.critic_gradient`."""
        self.gradient[self._spans["critic"]] = 0
        loss = critic_loss(self._network.values(torch.from_numpy(observations)), _tensor(targets), _tensor(weights))
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.item()


def _tensor(values: Floats) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
