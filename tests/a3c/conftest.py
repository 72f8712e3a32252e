"""Fixtures of the a3c tests."""

import sys
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from hypothesis import settings

from a3c import tail_rule
from a3c.engines.choice import ENGINES
from a3c.targets.registry import TAIL_RULES
from a3c.targets.rule import Targets
from tests.a3c import oracles

# a busy machine is no failure
settings.register_profile("repeatable", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("repeatable")

torch.set_num_threads(1)  # two wait for each other at every operation, the longer the busier the machine is


@pytest.fixture(params=ENGINES, scope="module")
def engine_name(request):
    """Each engine in turn, which is then the one of every ``small_config`` that does not name another."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(oracles.SMALL, "engine", request.param)
        yield request.param


@pytest.fixture
def drop_incomplete():
    """A third tail rule, for as long as one test lasts: incomplete windows stay out of the loss."""

    @tail_rule
    def drop_incomplete(w):
        return Targets(w.rewards + w.discounts * w.values, ~w.missing)

    yield "drop_incomplete"
    del TAIL_RULES["drop_incomplete"]


@pytest.fixture
def switch_interval():
    """How long CPython lets a thread run, changed for a ``with`` block."""

    @contextmanager
    def changed(seconds):
        before = sys.getswitchinterval()
        sys.setswitchinterval(seconds)
        try:
            yield
        finally:
            sys.setswitchinterval(before)

    return changed


@pytest.fixture
def random():
    return np.random.default_rng(20260707)
