"""Threads that meet where a test says: doors that know who waits at them, rivals, and packages with a line changed.

Nothing here is left to chance: a rival has done its work, or waits at a door, before the other thread goes on.
"""

from __future__ import annotations

import inspect
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from types import ModuleType

import numpy as np

PATIENCE = 60.0  # seconds after which something that should have happened has not
LOCK = type(threading.Lock())


class Door:
    """A lock that knows who waits for it, whatever it is called from."""

    def __init__(self, locked: bool = False) -> None:
        self._changed = threading.Condition()
        self._locked = locked
        self._waiting: set[int] = set()
        self.releases = 0
        self.after_release: Callable[[], None] = lambda: None

    def acquire(self) -> bool:
        with self._changed:
            while self._locked:
                self._waiting.add(threading.get_ident())
                self._changed.wait()
            self._locked = True
        return True

    def release(self) -> None:
        with self._changed:
            if not self._locked:
                raise RuntimeError("release unlocked lock")
            self._locked = False
            self._waiting.clear()  # who still has to wait says so again
            self.releases += 1
            self._changed.notify_all()

    def locked(self) -> bool:
        return self._locked

    def waits(self, thread: threading.Thread) -> bool:
        with self._changed:
            return thread.ident in self._waiting

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()
        self.after_release()


def watch_lock(store) -> list[Door]:
    """Put a door where the store has its lock, if it has one."""
    if not isinstance(store.lock, LOCK):
        return []
    store.lock = Door()
    return [store.lock]


def watch_gates(schedule) -> list[Door]:
    """Put doors where a schedule has gates, if it has any."""
    schedule._gates = [Door(gate.locked()) for gate in getattr(schedule, "_gates", [])]
    return schedule._gates


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.0005)


def quiet(threads: Iterable[threading.Thread], doors: Sequence[Door], inside: Sequence[threading.Thread] = ()) -> bool:
    """Whether each thread is over, waits at a door, or is where ``inside`` says, all at one moment."""
    before = sum(door.releases for door in doors)
    still = all(
        not thread.is_alive() or thread in inside or any(door.waits(thread) for door in doors) for thread in threads
    )
    return still and before == sum(door.releases for door in doors)


class Rival:
    """A thread that gets its chance, once, in the middle of what another one does."""

    def __init__(self, work: Callable[[], None], doors: Sequence[Door]) -> None:
        self._doors = doors
        self._thread = threading.Thread(target=work, daemon=True)
        self.had_its_chance = False

    def chance(self) -> None:
        """Let it do its work, or get as far as a door."""
        if self.had_its_chance or threading.current_thread() is self._thread:
            return
        self.had_its_chance = True
        self._thread.start()
        wait_until(lambda: quiet([self._thread], self._doors))

    def finish(self) -> None:
        self.chance()
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()


class HaltingUpdate:
    """An update that computes, then writes one half, then the other, with a halt before each."""

    def __init__(self, update, at: str, halt: Callable[[], None]) -> None:
        self._update, self._at, self._halt = update, at, halt

    def apply(self, parameters, gradient, *rates) -> None:
        new, half = parameters.copy(), len(parameters) // 2
        if self._at == "read":
            self._halt()
        self._update.apply(new, gradient, *rates)
        parameters[:half] = new[:half]
        if self._at == "write":
            self._halt()
        parameters[half:] = new[half:]


class HaltingBuffer(np.ndarray):
    """A worker's buffer into which one half is copied, then, after a halt, the other."""

    halt: Callable[[], None]

    def __array_function__(self, function, types, arguments, keywords):
        assert function is np.copyto
        into, values = (np.asarray(argument) for argument in arguments)
        half = len(into) // 2
        into[:half] = values[:half]
        self.halt()
        into[half:] = values[half:]


def halting_buffer(size: int, halt: Callable[[], None]) -> HaltingBuffer:
    buffer = np.zeros(size, dtype=np.float32).view(HaltingBuffer)
    buffer.halt = halt
    return buffer


def halting(function: Callable, halt: Callable[[], None]) -> Callable:
    """The same function, after a halt."""

    def halted(*arguments, **keywords):
        halt()
        return function(*arguments, **keywords)

    return halted


def mutated(module: ModuleType, before: str, after: str) -> ModuleType:
    """The module with one place of its source changed, which must be there exactly once."""
    source = inspect.getsource(module)
    assert source.count(before) == 1, f"{source.count(before)} places in {module.__name__} read {before!r}"
    mutant = ModuleType(f"{module.__name__}_mutant")
    exec(compile(source.replace(before, after), mutant.__name__, "exec"), mutant.__dict__)  # noqa: S102 - our own source
    return mutant
