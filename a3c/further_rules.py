"""Tail rules that stand in well-known libraries, as further arms beside the two of :mod:`a3c.targets`.

They are called as they are, by both engines, as a rule of anybody's own is.
"""

from __future__ import annotations

import numpy as np

from a3c.rules import Targets, Windows, tail_rule


@tail_rule
def drop(w: Windows) -> Targets:
    """Leave incomplete windows out of the loss, but at the true end of an episode, where nothing is missing."""
    return Targets(w.rewards + w.discounts * w.values, ~w.missing | w.ended)


@tail_rule
def wrong_gamma(w: Windows) -> Targets:
    """γ^n·b where n ≥ d: bootstrapped as if the window had been complete, instead of with γ^d."""
    tail = np.where(w.missing, w.gamma**w.n * w.bootstrap, w.discounts * w.values)
    return Targets(w.rewards + tail, np.ones_like(w.missing))
