"""The actor and the critic as torch modules that share memory with a flat parameter vector."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from a3c.networks.layout import HEADS, Layout, Vector

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu6": nn.ReLU6, "relu": nn.ReLU, "tanh": nn.Tanh}


class ActorCritic(nn.Module):
    """Two MLPs over one observation; see :class:`~a3c.networks.layout.Layout` for their shapes.

    Their parameters are views of ``parameters`` and their gradients views of ``gradient``: writing one writes
    the other, nothing is copied.
    """

    def __init__(self, layout: Layout, activation: str, parameters: Vector, gradient: Vector) -> None:
        super().__init__()
        self.heads = nn.ModuleDict()
        for head in HEADS:
            layers: list[nn.Module] = []  # on "meta" they hold no weights and draw none from torch's global generator
            for out, inp in layout.shapes(head):
                layers += [nn.Linear(inp, out, device="meta"), ACTIVATIONS[activation]()]
            self.heads[head] = nn.Sequential(*layers[:-1])
            linears = [layer for layer in layers if isinstance(layer, nn.Linear)]
            views = zip(layout.layers(parameters, head), layout.layers(gradient, head), strict=True)
            for linear, ((weight, bias), (weight_gradient, bias_gradient)) in zip(linears, views, strict=True):
                linear.weight = _shared(weight, weight_gradient)
                linear.bias = _shared(bias, bias_gradient)

    def logits(self, observations: Tensor) -> Tensor:
        """Return the actor's unnormalised log-probabilities: ``[…, k]`` → ``[…, actions]``."""
        logits: Tensor = self.heads["actor"](observations)
        return logits

    def values(self, observations: Tensor) -> Tensor:
        """Return the critic's values: ``[…, k]`` → ``[…]``."""
        values: Tensor = self.heads["critic"](observations).squeeze(-1)
        return values


def _shared(values: Vector, gradient: Vector) -> nn.Parameter:
    parameter = nn.Parameter(torch.from_numpy(values))
    parameter.grad = torch.from_numpy(gradient)  # backward() adds into it in place
    return parameter
