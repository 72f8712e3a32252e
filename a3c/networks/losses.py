"""Actor and critic losses in torch; their gradients are what the engines compute.

Weights are 1/count on the steps used and 0 elsewhere, so that a weighted sum is a mean over the steps used and
a batch that uses none has loss and gradient 0.
"""

from __future__ import annotations

import torch
from torch import Tensor


def policy_terms(logits: Tensor, actions: Tensor, log_epsilon: float) -> tuple[Tensor, Tensor]:
    """Return log π(a_t|s_t) and the entropy H(π(·|s_t)), both ``[T]``.

    Args:
        logits: ``[T, actions]``.
        actions: int64 ``[T]``.
        log_epsilon: added to the probabilities inside the logarithms (the published program: 1e-5).
    """
    if log_epsilon:
        probabilities = torch.softmax(logits, dim=-1)
        logs = torch.log(probabilities + log_epsilon)
    else:
        logs = torch.log_softmax(logits, dim=-1)
        probabilities = torch.exp(logs)
    chosen = logs.gather(-1, actions.unsqueeze(-1)).squeeze(-1)
    return chosen, -(probabilities * logs).sum(-1)


def actor_loss(chosen: Tensor, entropy: Tensor, advantages: Tensor, weights: Tensor, entropy_coef: float) -> Tensor:
    """Return −mean( log π(a_t|s_t)·A_t + β·H ), the advantages constant; all arguments ``[T]`` but β."""
    return -(weights * (chosen * advantages + entropy_coef * entropy)).sum()


def critic_loss(values: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Return mean( (target_t − v_t)² ); all arguments ``[T]``."""
    return (weights * (targets - values) ** 2).sum()
