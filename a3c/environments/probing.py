"""Probe environments before anything is trained: made, reset and stepped once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import numpy as np

from a3c.config import TrainConfig
from a3c.environments.making import CARRIES_OVER, ENVIRONMENT_ERRORS, Environment, Spaces, close, make, spaces_of
from a3c.errors import EnvironmentUnsuitable

PROBE_SECONDS = 60.0  # an environment that takes longer to be made and stepped once is taken for one that hangs
PROBE_STEPS = 50

Returned = TypeVar("Returned")


class _Unanswered(Exception):
    """A call took too long."""


def probe(env_id: str, env_kwargs: Mapping[str, Any], field: str = "env_kwargs", threaded: bool = False) -> Spaces:
    """Make an environment, take one step in it, and return its spaces.

    Args:
        env_id: Gymnasium's id.
        env_kwargs: its arguments.
        field: where they stand in the config.
        threaded: whether to step it in another thread than it was made in, as a worker does.

    Raises:
        EnvironmentUnsuitable: if anything about it does not fit.
    """
    environment = make(env_id, env_kwargs, field)
    try:
        spaces = spaces_of(environment, env_id)
        try:
            play = partial(_first_step, environment, spaces)
            shapes, reward = _in_a_thread(play) if threaded else play()
        except ENVIRONMENT_ERRORS as error:
            where = " in another thread than it was made in" if threaded and _survives(play) else ""
            what = f"must survive a reset and a step{where} ({type(error).__name__}: {error})"
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


def _first_step(environment: Environment, spaces: Spaces) -> tuple[list[tuple[int, ...]], object]:
    """Reset and step; return the shapes of both observations, and the reward."""
    first = environment.reset(seed=0)[0]
    following, reward, _, _, _ = environment.step(spaces.first_action)
    return [np.shape(first), np.shape(following)], reward


def _survives(call: Callable[[], object]) -> bool:
    try:
        call()
    except ENVIRONMENT_ERRORS:
        return False
    return True


def _in_a_thread(call: Callable[[], Returned], seconds: float | None = None) -> Returned:
    """Call in a thread of its own; what it raises is raised here.

    Raises:
        _Unanswered: if it takes longer than ``seconds``; the thread is left to itself.
    """
    answers: list[Returned] = []
    raised: list[BaseException] = []

    def ask() -> None:
        try:
            answers.append(call())
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=ask, name="a3c-prober", daemon=True)
    thread.start()
    thread.join(seconds)
    if raised:
        raise raised[0]
    if not answers:
        raise _Unanswered
    return answers[0]


def require_nothing_carried_over(env_id: str, env_kwargs: Mapping[str, Any], spaces: Spaces) -> None:
    """Play the start of an episode twice in one environment, and where that differs, in new ones.

    Evaluation plays in new environments: what one keeps from one episode to the next (the statistics of a wrapper that
    normalises) is not there.

    Raises:
        EnvironmentUnsuitable: if only the environment that has played before shows something else.
    """
    try:
        first, again = _starts_of_episodes(env_id, env_kwargs, spaces, 0, 0)
        if first == again:
            return
        (new,), (other,) = (_starts_of_episodes(env_id, env_kwargs, spaces, seed) for seed in (0, 1))
    except ENVIRONMENT_ERRORS:
        return  # of an environment that breaks on its way, training says where
    if first == new != other:
        raise EnvironmentUnsuitable("env_id", env_id, CARRIES_OVER)


def _starts_of_episodes(
    env_id: str, env_kwargs: Mapping[str, Any], spaces: Spaces, *seeds: int
) -> list[list[tuple[bytes, float, bool, bool]]]:
    """Play the start of an episode for each seed, one after the other in one new environment."""
    environment = make(env_id, env_kwargs)
    try:
        return [_start_of_episode(environment, spaces, seed) for seed in seeds]
    finally:
        close(environment)


def _start_of_episode(environment: Environment, spaces: Spaces, seed: int) -> list[tuple[bytes, float, bool, bool]]:
    """Return what an environment shows from a reset with that seed on, under actions that are always the same."""
    actions = np.random.default_rng(0).integers(spaces.actions, size=PROBE_STEPS) + spaces.first_action
    shown = [(_bytes_of(environment.reset(seed=seed)[0]), 0.0, False, False)]
    for action in actions.tolist():
        observation, reward, terminated, truncated, _ = environment.step(action)
        shown.append((_bytes_of(observation), float(reward), bool(terminated), bool(truncated)))
        if terminated or truncated:
            break
    return shown


def _bytes_of(observation: Any) -> bytes:
    return np.asarray(observation, dtype=np.float32).tobytes()


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
    try:
        return _in_a_thread(lambda: _misfits(config), PROBE_SECONDS)
    except _Unanswered:
        return [("env_id", config.env_id, f"must be made, reset and stepped within {PROBE_SECONDS:g} s")]


def _misfits(config: TrainConfig) -> list[tuple[str, object, str]]:
    try:
        training = probe(config.env_id, config.env_kwargs, threaded=True)
        if config.evaluation_env_kwargs is not None:
            require_same_spaces(config, training)
        if config.evaluations:
            require_nothing_carried_over(config.env_id, config.env_kwargs, training)
    except EnvironmentUnsuitable as error:
        return [(error.field, error.value, error.allowed)]
    return []
