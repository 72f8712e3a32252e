"""An algorithm whose runs take no time, give the same figures every time, and misbehave where they are told to."""

from __future__ import annotations

import hashlib
import os
import signal
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

STEPS = 100


class Config(BaseModel):
    """Settings of one run; ``mode`` says how it misbehaves."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    seed: int = 0
    arm: str = "a"
    text: str = ""
    anything: Any = None
    x: Annotated[float, Field(ge=0, le=1)] = 0.5
    n: Annotated[int, Field(ge=1)] = 1
    at_most: Annotated[int, Field(ge=1)] = 1_000_000
    mode: Literal["ok", "raise", "exit", "kill", "diverge", "wait", "slow", "rubbish"] = "ok"
    only_seed: int | None = None
    """The seed that misbehaves; None: every seed."""
    until: str = ""
    """A file: once it is there, nothing misbehaves any more."""
    once: bool = False
    """Whether the file ``until`` is made at the first misbehaviour."""
    marks: str = ""
    """A folder in which every computation leaves a file."""
    seconds: float = 0.05
    """How long a slow run takes."""

    @classmethod
    def preset(cls, preset: str, /, **changes: Any) -> Config:
        if preset != "half":
            raise ValueError(f"{preset=}: must be one of half")
        return cls.model_validate({"x": 0.5, **changes})

    def effective(self) -> dict[str, Any]:
        return {**self.model_dump(exclude={"seed", "at_most"}), "n": min(self.n, self.at_most)}

    def metric_names(self) -> frozenset[str]:
        return frozenset({"score", "steps"})

    def misbehaves(self) -> bool:
        """Whether the mode applies to this run, now."""
        if self.mode == "ok" or (self.only_seed is not None and self.seed != self.only_seed):
            return False
        if self.until and Path(self.until).exists():
            return False
        if self.once:
            Path(self.until).touch()
        return True


@dataclass(frozen=True)
class Progress:
    """What ``emit`` receives."""

    fraction: float


class Column(list[float]):
    """What the harness asks of a column."""

    hasnans = False

    def tolist(self) -> list[float]:
        return self


class Table(dict[str, Column]):
    """What the harness asks of a table: pandas takes a child longer to import than all of its runs."""

    @property
    def columns(self) -> list[str]:
        return [*self]


@dataclass(frozen=True)
class Result:
    """What a run returns."""

    outcome: str
    metrics: dict[str, Any]
    timings: dict[str, float] = field(default_factory=dict)
    curves: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    tables: dict[str, Table] = field(default_factory=dict)
    arrays: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)


class Diverging(Exception):
    """A run that diverged."""

    def __init__(self, result: Result) -> None:
        super().__init__("not finite")
        self.result = result


def score(config: Config) -> float:
    """The run's figure: any number in [0, 1), the same for the same settings and seed."""
    text = f"{config.arm}|{config.text}|{config.x}|{min(config.n, config.at_most)}|{config.seed}"
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:6], "big") / 2**48


def train(config: Config, emit: Callable[[Progress], None] | None = None) -> Result:
    """Compute one run, or misbehave."""
    emit = emit or (lambda progress: None)
    if config.marks:
        (Path(config.marks) / f"{config.arm}-{config.n}-{config.seed}-{uuid.uuid4().hex}").touch()
    if config.misbehaves():
        misbehave(config, emit)
    emit(Progress(1.0))
    return result(config)


def result(config: Config) -> Result:
    """The result of a run that behaves."""
    value = score(config)
    return Result(
        outcome="complete",
        metrics={"score": value, "steps": float(STEPS)},
        timings={"wall": time.perf_counter()},
        curves={"learning": [(STEPS // 2, value / 2), (STEPS, value)]},
        tables={"episodes": Table({"step": Column([STEPS // 2, STEPS]), "return": Column([value / 2, value])})},
        arrays={"parameters": {"parameters": np.full(3, value, dtype=np.float32)}},
    )


def misbehave(config: Config, emit: Callable[[Progress], None]) -> None:
    """Do what the mode says; return if it is only a matter of time."""
    if config.mode == "raise":
        raise RuntimeError(f"told to fail with seed {config.seed}")
    if config.mode == "exit":
        print("told to exit", flush=True)
        os._exit(7)
    if config.mode == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if config.mode == "diverge":
        raise Diverging(Result("diverged", {"steps": 7.0}))
    if config.mode == "slow":
        end = time.monotonic() + config.seconds
        while (left := end - time.monotonic()) > 0:
            emit(Progress(1 - left / config.seconds))
            time.sleep(min(left, 0.01))
    if config.mode == "wait":
        while not Path(config.until).exists():
            emit(Progress(0.5))
            time.sleep(0.01)


def train_badly(config: Config, emit: Callable[[Progress], None] | None = None) -> Any:
    """Return something that is no result."""
    return Result("complete", {"score": "high"}) if config.misbehaves() else result(config)


def train_from_odd_file(config: Config, emit: Callable[[Progress], None] | None = None) -> Result:
    """Raise an error that names a file whose name is not UTF-8."""
    if config.misbehaves():
        raise OSError(f"cannot read {os.fsdecode(b'/data/' + bytes([255]))}")
    return result(config)


def train_to_odd_end(config: Config, emit: Callable[[Progress], None] | None = None) -> Result:
    """Return a result whose outcome there is not, or whose figure has a name that is not UTF-8."""
    done = result(config)
    if not config.misbehaves():
        return done
    return replace(done, outcome="Complete") if config.text == "outcome" else replace(done, metrics={"\udcff": 1.0})


def train_unmeasured(config: Config, emit: Callable[[Progress], None] | None = None) -> Result:
    """Return a result whose compared figure is not a number."""
    return Result("complete", {"score": float("nan"), "steps": float(STEPS)})


def babble(config: Config, emit: Callable[[Progress], None] | None = None) -> Result:
    """Write into the socket to the dispatcher what is no message."""
    from multiprocessing.connection import Connection

    Connection(os.dup(int(sys.argv[1]))).send_bytes(b"\x80nonsense")
    time.sleep(60)
    return result(config)


def stop_half_way(config: Config, emit: Callable[[Progress], None] | None = None) -> Result:
    """Send half a message to the dispatcher, and stop there as a process does whose host is frozen."""
    os.write(int(sys.argv[1]), (100).to_bytes(4, "big") + b"half")
    os.kill(os.getpid(), signal.SIGSTOP)
    return result(config)
