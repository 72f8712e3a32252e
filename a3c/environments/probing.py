"""Probe environments before anything is trained: made, reset and stepped once."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from a3c.config import TrainConfig
from a3c.environments.making import ENVIRONMENT_ERRORS, Spaces, close, make, spaces_of
from a3c.errors import EnvironmentUnsuitable

PROBE_SECONDS = 60.0  # an environment that takes longer to be made and stepped once is taken for one that hangs


def probe(env_id: str, env_kwargs: Mapping[str, Any], field: str = "env_kwargs") -> Spaces:
    """Make an environment, take one step in it, and return its spaces.

    Raises:
        EnvironmentUnsuitable: if anything about it does not fit.
    """
    environment = make(env_id, env_kwargs, field)
    try:
        spaces = spaces_of(environment, env_id)
        try:
            first, _ = environment.reset(seed=0)
            following, reward, _, _, _ = environment.step(spaces.first_action)
            shapes = [np.shape(observation) for observation in (first, following)]
        except ENVIRONMENT_ERRORS as error:
            what = f"must survive a reset and a step ({type(error).__name__}: {error})"
            raise EnvironmentUnsuitable("env_id", env_id, what) from error
        for shape in shapes:
            if shape != (spaces.observation_size,):
                what = f"must return observations [{spaces.observation_size}], not {list(shape)}"
                raise EnvironmentUnsuitable("env_id", env_id, what)
        if not isinstance(reward, int | float | np.number):
            raise EnvironmentUnsuitable("env_id", env_id, f"must return a number as reward, not {reward!r}")
        return spaces
    finally:
        close(environment)


def require_same_spaces(config: TrainConfig, training: Spaces) -> None:
    """Probe the evaluation environment.

    Raises:
        EnvironmentUnsuitable: if it cannot be made, or observes or acts otherwise than the training environment.
    """
    kwargs = config.evaluation_env_kwargs or {}
    evaluation = probe(config.env_id, kwargs, "evaluation_env_kwargs")
    if replace(evaluation, reward_threshold=None) != replace(training, reward_threshold=None):
        what = "must leave the observation and the actions as env_kwargs does"
        raise EnvironmentUnsuitable("evaluation_env_kwargs", dict(kwargs), what)


def problems_of_environments(config: TrainConfig) -> list[tuple[str, object, str]]:
    """Probe the training and the evaluation environment: (field, value, what is allowed) for each misfit.

    In a thread of its own, so that one that hangs is a misfit, too, and does not block the caller.
    """
    found: list[tuple[str, object, str]] = []
    raised: list[BaseException] = []

    def ask() -> None:
        try:
            found.extend(_misfits(config))
        except BaseException as error:
            raised.append(error)

    prober = threading.Thread(target=ask, name="a3c-prober", daemon=True)
    prober.start()
    prober.join(PROBE_SECONDS)
    if prober.is_alive():
        return [("env_id", config.env_id, f"must be made, reset and stepped within {PROBE_SECONDS:g} s")]
    if raised:
        raise raised[0]
    return found


def _misfits(config: TrainConfig) -> list[tuple[str, object, str]]:
    try:
        training = probe(config.env_id, config.env_kwargs)
        if config.evaluation_env_kwargs is not None:
            require_same_spaces(config, training)
    except EnvironmentUnsuitable as error:
        return [(error.field, error.value, error.allowed)]
    return []
