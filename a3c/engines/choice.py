"""Choose an engine by name, and make it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import assert_never, get_args

from a3c.config import EngineName, TrainConfig
from a3c.engines.base import Engine
from a3c.networks.layout import Layout
from a3c.networks.optimizers import StepCount, Update

ENGINES: tuple[EngineName, ...] = get_args(EngineName)


def choose_engine(config: TrainConfig) -> EngineName:
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
    match choose_engine(config):
        case "compiled":
            from a3c.engines.compiled import CompiledEngine

            return CompiledEngine(config, layout)
        case "autograd":
            from a3c.engines.autograd import AutogradEngine

            return AutogradEngine(config, layout)
        case unknown:
            assert_never(unknown)


def make_update(config: TrainConfig, layout: Layout, critic_count: StepCount) -> Update:
    """Make what the parameter store applies gradients with, in the arithmetic of the config's engine."""
    if choose_engine(config) == "compiled":
        from a3c.engines.compiled import CompiledUpdate

        return CompiledUpdate(config, layout, critic_count)
    from a3c.networks.optimizers import NumpyUpdate

    return NumpyUpdate(config, layout, critic_count)


@contextmanager
def single_threaded(config: TrainConfig) -> Iterator[None]:
    """Keep an engine's library to one thread: workers are the parallelism, more would fight over cores."""
    if choose_engine(config) != "autograd":
        yield
        return
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
