"""Gymnasium at the border: make an environment, check it once, then step it unchecked."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.wrappers.utils import RunningMeanStd
from numpy.typing import ArrayLike

from a3c.errors import EnvironmentUnsuitable

Environment = gym.Env[Any, Any]

LONGEST_EPISODE = 100_000  # steps after which an episode, in training or evaluation, is taken for one that never ends
CARRIES_OVER = (
    "must not carry anything from one episode to the next (as wrappers that normalise by running statistics do): "
    "evaluation plays in new environments, without it. With evaluations = 0 it can be trained on"
)
ENVIRONMENT_ERRORS = (Exception, SystemExit)  # by an environment: its way out of a process is not this one's


@dataclass(frozen=True)
class Spaces:
    """The spaces of an environment, as far as networks need them.

    Attributes:
        observation_size: entries of an observation.
        actions: number of actions.
        first_action: the environment's number for action 0 (``Discrete.start``).
        reward_threshold: the return at which it counts as solved, if it has one and that is finite.
    """

    observation_size: int
    actions: int
    first_action: int
    reward_threshold: float | None


def make(env_id: str, env_kwargs: Mapping[str, Any], field: str = "env_kwargs") -> Environment:
    """Make an environment without Gymnasium's step-by-step checks: workers reset before they step.

    Not thread-safe (it silences Gymnasium's notice that a version is out of date): make all before threads start.

    Raises:
        EnvironmentUnsuitable: if it is not registered, lacks a package, refuses its arguments, or opens a window.
    """
    if env_kwargs.get("render_mode") == "human":
        raise EnvironmentUnsuitable(field, dict(env_kwargs), "must not open a window (render_mode)")
    _import_module_of(env_id)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*is out of date", category=DeprecationWarning)
            environment: Environment = gym.make(env_id, disable_env_checker=True, **env_kwargs)
    except gym.error.DependencyNotInstalled as error:
        raise EnvironmentUnsuitable("env_id", env_id, f"needs a package that is not installed ({error})") from error
    except (gym.error.Error, ModuleNotFoundError) as error:
        raise EnvironmentUnsuitable("env_id", env_id, f"must be registered with Gymnasium ({error})") from error
    except ENVIRONMENT_ERRORS as error:
        why = f"({type(error).__name__}: {error})"
        if not env_kwargs:
            raise EnvironmentUnsuitable("env_id", env_id, f"must be an environment that can be made {why}") from error
        raise EnvironmentUnsuitable(field, dict(env_kwargs), f"must be arguments {env_id} accepts {why}") from error
    return _without_order_check(environment)


def registered(env_id: str) -> EnvSpec | None:
    """Return an environment's registration, or None: an id without its version is made all the same."""
    found = gym.registry.get(env_id.partition(":")[2] or env_id)
    return found if isinstance(found, EnvSpec) else None


def require_shape(observation: ArrayLike, shape: tuple[int, ...]) -> None:
    """Refuse what numpy would broadcast: an observation has the shape the environment declared."""
    if np.shape(observation) != shape:
        raise ValueError(f"observation of shape {np.shape(observation)}, must be {shape}")


def _import_module_of(env_id: str) -> None:
    """Import the module that registers ``module:id``; Gymnasium would, but it may do anything then."""
    module, colon, _ = env_id.partition(":")
    try:
        if colon:
            import_module(module)
    except ENVIRONMENT_ERRORS as error:
        what = f"must be registered with Gymnasium, by a module that can be imported ({type(error).__name__}: {error})"
        raise EnvironmentUnsuitable("env_id", env_id, what) from error


def _without_order_check(environment: Environment) -> Environment:
    """Take out the wrapper that refuses a step before a reset, wherever in the chain it is."""
    if isinstance(environment, gym.wrappers.OrderEnforcing):
        return environment.env
    if isinstance(environment, gym.Wrapper):
        environment.env = _without_order_check(environment.env)
    return environment


def spaces_of(environment: Environment, env_id: str) -> Spaces:
    """Read an environment's spaces.

    Raises:
        EnvironmentUnsuitable: unless actions are Discrete and observations a flat Box.
    """
    try:
        actions, observations = environment.action_space, environment.observation_space
        spec = registered(env_id) or environment.spec  # a wrapper's own spec is that of what is inside
        threshold = spec.reward_threshold if spec is not None else None
    except ENVIRONMENT_ERRORS as error:
        what = f"must have a Discrete action space and a flat Box observation ({type(error).__name__}: {error})"
        raise EnvironmentUnsuitable("env_id", env_id, what) from error
    if not isinstance(actions, gym.spaces.Discrete):
        raise EnvironmentUnsuitable("env_id", env_id, f"must have a Discrete action space, not {actions}")
    if not isinstance(observations, gym.spaces.Box) or len(observations.shape) != 1:
        raise EnvironmentUnsuitable("env_id", env_id, f"must have a flat Box observation [k], not {observations}")
    if threshold is not None and not isinstance(threshold, int | float | np.number):
        raise EnvironmentUnsuitable("env_id", env_id, f"must have a number as reward threshold, not {threshold!r}")
    if threshold is not None and not math.isfinite(threshold):
        threshold = None
    return Spaces(observations.shape[0], int(actions.n), int(actions.start), threshold)


def require_no_statistics(environment: Environment, env_id: str) -> None:
    """Refuse what evaluation would begin anew: a wrapper's running statistics.

    Raises:
        EnvironmentUnsuitable: if there are any.
    """
    layer: Any = environment
    while layer is not None:
        if any(isinstance(part, RunningMeanStd) for part in getattr(layer, "__dict__", {}).values()):
            raise EnvironmentUnsuitable("env_id", env_id, f"{CARRIES_OVER} ({type(layer).__name__})")
        layer = layer.env if isinstance(layer, gym.Wrapper) else None


def close(environment: Environment | gym.vector.VectorEnv[Any, Any, Any]) -> None:
    """Close an environment; an error in its ``close`` is a warning and hides nothing."""
    try:
        environment.close()
    except ENVIRONMENT_ERRORS as error:
        warnings.warn(f"the environment failed to close: {type(error).__name__}: {error}", stacklevel=2)


def first_not_finite(values: np.ndarray[Any, Any]) -> int | None:
    """Return the index of the first row that holds a NaN or an infinity, or None."""
    bad = ~np.isfinite(values).all(axis=tuple(range(1, values.ndim)))
    return int(bad.argmax()) if bad.any() else None
