"""A measurement, in a child process: one contestant, between two measurements of the environment alone.

A measurement is a run of an algorithm like any other to the harness, which starts, pins and ends the processes.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import pydantic

from harness.algorithm.output import PlainResult
from harness.algorithm.protocol import Algorithm
from studies.bench.contestants import ENV_ID, Kind

MEASURE = Algorithm(config="studies.bench.measure:Measurement", train="studies.bench.measure:measure")
PARTS = ("env", "act", "gradients", "push_pull", "rest")
ENVIRONMENT_SHARE = 0.5  # of the contestant's seconds, before it and again after it
WARM_UP_STEPS = 500
PEER_ENVIRONMENTS = 8
CHUNK = 1000  # environment steps between two readings of the clock


class Measurement(pydantic.BaseModel):
    """The settings of one measurement.

    Attributes:
        kind: of the contestant.
        changes: fields of the training config.
        seed: of the run.
        steps: environment steps of one run. Policies live longer as they learn, and then reset less and cut fewer
            rollouts short: only runs of equal length do equal work.
        seconds: runs are repeated until they took this long together.
        beside_environment: whether to measure the environment alone, before and after.
        split: whether to split a training run's CPU time, which takes one more run.
        core: to run on; None: the process's own.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    kind: Kind
    changes: dict[str, Any] = {}
    seed: Annotated[int, pydantic.Field(ge=0)] = 0
    steps: Annotated[int, pydantic.Field(ge=1)]
    seconds: Annotated[float, pydantic.Field(ge=0)]
    beside_environment: bool = True
    split: bool = False
    core: int | None = None


class Timing(NamedTuple):
    """A number of environment steps, and the seconds they took."""

    steps: int
    seconds: float

    @property
    def speed(self) -> float:
        """Environment steps a second."""
        return self.steps / self.seconds


def measure(measurement: Measurement, emit: Callable[[Any], None]) -> PlainResult:
    """Warm up and measure a contestant, as the train function of a task.

    Returns:
        Timings: ``steps`` and ``seconds`` of the contestant; if asked for, ``environment_before`` and
        ``environment_after`` in steps a second, and the shares of its CPU time by :data:`PARTS`.
    """
    if measurement.core is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {measurement.core})
    _run_once(measurement, min(WARM_UP_STEPS, measurement.steps))
    environment_seconds = ENVIRONMENT_SHARE * measurement.seconds
    timings: dict[str, float] = {}
    if measurement.beside_environment:
        time_environment(environment_seconds / 4)
        timings["environment_before"] = time_environment(environment_seconds).speed
    timings |= _run(measurement)._asdict()
    if measurement.beside_environment:
        timings["environment_after"] = time_environment(environment_seconds).speed
    if measurement.split:
        timings |= _profile(measurement, environment_seconds)
    return PlainResult(timings=timings)


def time_environment(seconds: float, clock: Callable[[], float] = time.perf_counter) -> Timing:
    """Step a plain ``gymnasium.make`` with actions drawn beforehand, resets included, for so many seconds."""
    import gymnasium
    import numpy as np

    environment = gymnasium.make(ENV_ID)
    actions = np.random.default_rng(0).integers(2, size=CHUNK).tolist()
    step, reset = environment.step, environment.reset
    reset(seed=0)
    steps, started = 0, clock()
    while True:
        for action in actions:
            _, _, terminated, truncated, _ = step(action)
            if terminated or truncated:
                reset()
        steps += CHUNK
        if (took := clock() - started) >= seconds:
            break
    environment.close()
    return Timing(steps, took)


def split_of_time(cpu_seconds: dict[str, float], environment_seconds: float) -> dict[str, float]:
    """Divide a run's CPU time into :data:`PARTS`, as shares that add up to 1.

    Acting is what collecting rollouts takes beyond the environment, by subtraction. The environment is taken to cost
    what it does alone under random actions; a policy that has learned falls less often and resets less, so that
    ``act`` comes out a little too small, ``env`` too large. ``rest`` is what threads do outside the three clocks:
    handing on the turn, mostly.

    Args:
        cpu_seconds: timings of a run with ``profile=True``.
        environment_seconds: CPU seconds of as many steps of the environment alone.
    """
    whole = cpu_seconds["worker_cpu_seconds"]
    collect, learn, push = (cpu_seconds[f"{phase}_cpu_seconds"] for phase in ("collect", "learn", "push"))
    parts = (environment_seconds, collect - environment_seconds, learn, push, whole - collect - learn - push)
    return {name: part / whole for name, part in zip(PARTS, parts, strict=True)}


def _run(measurement: Measurement) -> Timing:
    """Run the contestant until its seconds are full."""
    if measurement.kind == "environment":
        return time_environment(measurement.seconds)
    steps, seconds = 0, 0.0
    while not steps or seconds < measurement.seconds:
        timing = _run_once(measurement, measurement.steps)
        steps, seconds = steps + timing.steps, seconds + timing.seconds
    return Timing(steps, seconds)


def _run_once(measurement: Measurement, steps: int) -> Timing:
    if measurement.kind == "environment":
        return time_environment(0)
    if measurement.kind == "peer":
        return _run_peer(measurement.seed, steps)
    result = _train(measurement, steps)
    return Timing(int(result.metrics["steps"]), result.timings["train_seconds"])


def _train(measurement: Measurement, steps: int, profile: bool = False) -> Any:
    from a3c import TrainConfig, train

    fields = {"env_id": ENV_ID, "seed": measurement.seed, "evaluations": 0, "total_steps": steps}
    return train(TrainConfig.model_validate({**fields, **measurement.changes}), profile=profile)


def _profile(measurement: Measurement, environment_seconds: float) -> dict[str, float]:
    """Split the time of one more run: clocks inside the workers cost time themselves."""
    alone = time_environment(environment_seconds, clock=time.process_time)
    result = _train(measurement, measurement.steps, profile=True)
    return split_of_time(result.timings, result.metrics["steps"] / alone.speed)


def _run_peer(seed: int, steps: int) -> Timing:
    """Let Stable-Baselines3's A2C learn, its network and settings as they come."""
    import torch
    from stable_baselines3 import A2C
    from stable_baselines3.common.env_util import make_vec_env

    torch.set_num_threads(1)
    environments = make_vec_env(ENV_ID, PEER_ENVIRONMENTS, seed=seed)
    model = A2C("MlpPolicy", environments, device="cpu", seed=seed)
    started = time.perf_counter()
    model.learn(steps)
    timing = Timing(model.num_timesteps, time.perf_counter() - started)
    environments.close()
    return timing
