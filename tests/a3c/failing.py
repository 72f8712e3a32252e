"""Runs that fail as they are told to, and who witnesses it."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ClassVar

import gymnasium as gym
import numpy as np
import pytest

from a3c import WorkerFailed, train, training
from a3c.engines.choice import make_engine, make_update
from a3c.schedules import SCHEDULES
from a3c.streams import Purpose, reset_seed
from a3c.workers import store
from tests.a3c.oracles import small_config
from tests.environments import Misbehaving

WORKERS, SEED = 3, 11
ENDLESS = 10**6  # environment steps: never reached by a run that fails as it should
EACH_SCHEDULE = pytest.mark.parametrize("schedule", SCHEDULES)
QUICK = ((0, "free"), (1, "round_robin"), (2, "round_robin"))  # each worker, each schedule; the others are slow
EACH_WORKER_AND_SCHEDULE = pytest.mark.parametrize(
    ("worker", "schedule"),
    [
        pytest.param(*pair, marks=[] if pair in QUICK else pytest.mark.slow)
        for pair in itertools.product(range(WORKERS), SCHEDULES)
    ],
)


def misbehaving(fault, worker=1, at=7, schedule="round_robin", changes=None, **env_kwargs):
    """A run that only this fault can end; of all workers, only the given one meets it."""
    only = reset_seed(SEED, Purpose.ENVIRONMENT, worker)
    env_kwargs = {"fault": fault, "at": at, "only_reset_seed": only, "lengths": [4, 9], **env_kwargs}
    settings = {"workers": WORKERS, "seed": SEED, "schedule": schedule, "total_steps": ENDLESS}
    settings |= {"env_id": "Misbehaving-v0", "env_kwargs": env_kwargs, "anneal_learning_rate": False}
    return small_config(**settings | (changes or {}))


def failure_of(config, error=WorkerFailed):
    with pytest.raises(error) as caught:
        train(config)
    assert_no_thread_is_left()
    return caught.value


def assert_no_thread_is_left():
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("a3c-worker")]


def assert_partial(result, outcome):
    """A result of finished updates only."""
    assert result.outcome == outcome
    assert np.isfinite(result.parameters).all()
    assert len(result.update_log) == result.metrics["updates"]
    assert 0 <= result.metrics["steps"] < ENDLESS
    assert_finite(result)


def assert_finite(result):
    assert all(np.isfinite(value) for value in result.metrics.values())
    assert all(np.isfinite(value) for curve in result.curves.values() for _, value in curve)
    assert np.isfinite(result.episodes["return"].to_numpy()).all()
    assert np.isfinite(result.evaluations.to_numpy(dtype=float)).all()


class Witness(Misbehaving):
    """Counts the steps others take after a fault; ``holds`` them there until the failing worker's thread is over."""

    holds = False
    failing: threading.Thread | None = None
    after: ClassVar[Counter[str]] = Counter()

    @classmethod
    def forget(cls, holds: bool) -> None:
        cls.holds, cls.failing, cls.after = holds, None, Counter()

    def reset(self, **arguments):
        with self._witnessed():
            return super().reset(**arguments)

    def step(self, action):
        failing, me = Witness.failing, threading.current_thread()
        if failing not in (None, me):
            if Witness.holds:
                failing.join(60)
            Witness.after[me.name] += 1
        with self._witnessed():
            return super().step(action)

    @contextmanager
    def _witnessed(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            Witness.failing = threading.current_thread()
            raise


if "Witness-v0" not in gym.registry:
    gym.register("Witness-v0", entry_point=Witness)


def sabotage(monkeypatch, worker: int, at: int | None, deed: Callable, method: str = "learn") -> None:
    """Hand ``deed`` a worker's engine and what its method returns: at call ``at``, from 1, or at each."""
    made = itertools.count()

    def make(config, layout):
        engine = make_engine(config, layout)
        if next(made) % config.workers == worker:
            healthy, calls = getattr(engine, method), itertools.count(1)

            def sabotaged(*arguments):
                returned = healthy(*arguments)
                return deed(engine, returned) if at in (next(calls), None) else returned

            setattr(engine, method, sabotaged)
        return engine

    monkeypatch.setattr(training, "make_engine", make)


@pytest.fixture
def applied(monkeypatch):
    """Write down what every update that is applied makes of the global network."""
    states = []

    class Noting:
        def __init__(self, *settings):
            self._update = make_update(*settings)

        def apply(self, parameters, *rest):
            self._update.apply(parameters, *rest)
            states.append(parameters.copy())

    monkeypatch.setattr(store, "make_update", Noting)
    return states
