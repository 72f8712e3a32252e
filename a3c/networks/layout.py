"""The layout of a whole network in one flat float32 vector."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float32]
Head = Literal["actor", "critic"]
HEADS: tuple[Head, Head] = ("actor", "critic")


@dataclass(frozen=True)
class Layout:
    """The place of each weight of the actor and the critic in the vector.

    Two separate MLPs, the actor first: per layer its weight ``[out, in]`` in row-major order, then its bias
    ``[out]``. The actor's last layer has one output per action (logits), the critic's has one (the value).

    Attributes:
        observation_size: inputs of both networks.
        actions: outputs of the actor.
        hidden_sizes: units of each hidden layer, the same in both.
    """

    observation_size: int
    actions: int
    hidden_sizes: tuple[int, ...]

    def shapes(self, head: Head) -> list[tuple[int, int]]:
        """Return (outputs, inputs) of each layer of one head."""
        sizes = (self.observation_size, *self.hidden_sizes, self.actions if head == "actor" else 1)
        return list(zip(sizes[1:], sizes[:-1], strict=True))

    @cached_property
    def spans(self) -> dict[Head, slice]:
        """Each head's stretch of the vector."""
        actor, critic = (sum(out * (inp + 1) for out, inp in self.shapes(head)) for head in HEADS)
        return {"actor": slice(0, actor), "critic": slice(actor, actor + critic)}

    @property
    def size(self) -> int:
        """Entries of the vector."""
        return int(self.spans["critic"].stop)

    def layers(self, vectors: NDArray[np.float32], head: Head) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """Return views (weight ``[…, out, in]``, bias ``[…, out]``) into vectors ``[…, size]``, layer by layer."""
        views = []
        start = self.spans[head].start
        for out, inp in self.shapes(head):
            end = start + out * inp
            weight = vectors[..., start:end].reshape(*vectors.shape[:-1], out, inp)
            views.append((weight, vectors[..., end : end + out]))
            start = end + out
        return views

    def initial(self, random: np.random.Generator) -> Vector:
        """Draw a network: Glorot-uniform weights (Glorot & Bengio 2010), zero biases."""
        vector = np.zeros(self.size, dtype=np.float32)
        for head in HEADS:
            for weight, _ in self.layers(vector, head):
                limit = np.sqrt(6.0 / sum(weight.shape))
                weight[...] = random.uniform(-limit, limit, size=weight.shape)
        return vector
