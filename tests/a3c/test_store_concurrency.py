"""What workers may rely on when they share a store, as laws; and that each law would notice its protection missing.

A law is a function of the modules it holds for. ``MUTANTS`` lists every protection, the module without it, and the law
that fails there. Threads meet at fixed points (see :mod:`tests.a3c.interleaving`), so that none of this is luck.
"""

from __future__ import annotations

import threading
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

import a3c.learner
import a3c.schedules
import a3c.store
import a3c.training
import a3c.worker
from a3c.engines import Learned, make_engine
from a3c.errors import Diverged
from a3c.parameters import Layout
from a3c.residuals import Residuals
from a3c.rollout import Episode
from a3c.store import Push
from tests.a3c.interleaving import (
    PATIENCE,
    HaltingUpdate,
    Rival,
    halting,
    halting_buffer,
    mutated,
    quiet,
    wait_until,
    watch_gates,
    watch_lock,
)
from tests.a3c.oracles import small_config

pytestmark = pytest.mark.usefixtures("engine_name")

LAYOUT = Layout(2, 2, (2,))


@dataclass(frozen=True)
class Parts:
    """The modules a law is about."""

    store: ModuleType = a3c.store
    schedules: ModuleType = a3c.schedules
    learner: ModuleType = a3c.learner
    worker: ModuleType = a3c.worker
    training: ModuleType = a3c.training


def sgd_store(parts, initial=None, layout=LAYOUT, **changes):
    """A store whose parameters are minus the sum of what was pushed, times the rate."""
    settings = {"optimizer": "sgd", "learning_rate": 1.0, "critic_learning_rate": None, "anneal_learning_rate": False}
    config = small_config(**{**settings, "total_steps": 10**6, **changes})
    initial = np.zeros(layout.size, np.float32) if initial is None else initial
    return parts.store.ParameterStore(config, layout, initial)


def filled(value, layout=LAYOUT):
    return np.full(layout.size, value, dtype=np.float32)


def push_of(value, worker=0, pulled=0, steps=1, episode=None):
    learned = Learned(1.0, 2.0, 3.0, 1, 0.5)
    return Push(worker, pulled, filled(value), steps, episode, learned)


def assert_all(array, value):
    np.testing.assert_array_equal(np.asarray(array), np.full(len(array), value, dtype=np.float32))


# Where one thread can halt in another's push


def at_the_read(store, halt, _):
    store._update = HaltingUpdate(store._update, "read", halt)


def at_the_write(store, halt, _):
    store._update = HaltingUpdate(store._update, "write", halt)


def at_the_log(store, halt, _):
    store.log.append = halting(store.log.append, halt)


def at_the_curves(store, halt, _):
    store.curves.add = halting(store.curves.add, halt)


def at_the_copy_out(store, halt, out):
    out.halt = halt


def after_the_lock(store, halt, _):
    if hasattr(store.lock, "after_release"):
        store.lock.after_release = halt


HALTS = (at_the_read, at_the_write, at_the_log, at_the_curves, at_the_copy_out, after_the_lock)


def nothing():
    pass


# Laws of the store


def a_push_is_one_step(parts):
    """Wherever in it another push arrives: both are applied and counted once, one after the other."""
    for halt in HALTS:
        store = sgd_store(parts)
        outs = [halting_buffer(LAYOUT.size, nothing) for _ in range(2)]
        versions = {}

        def push(worker, store=store, outs=outs, versions=versions):
            pushed = push_of(1 + worker, worker, 0, 3 + worker, Episode(float(worker), 3 + worker))
            versions[worker] = store.push_and_pull(pushed, outs[worker])

        rival = Rival(lambda push=push: push(1), watch_lock(store))
        halt(store, rival.chance, outs[0])
        push(0)
        rival.finish()
        order = sorted(versions, key=versions.get)
        assert [versions[worker] for worker in order] == [1, 2]
        for worker in (0, 1):
            assert_all(outs[worker], -sum(1 + other for other in order[: versions[worker]]))
        assert_all(store.parameters, -3)
        assert (store.version, store.steps, store.episodes) == (2, 7, 2)
        assert (store.differing, store.shift) == (2, 1.0)
        assert store.log.updates()["worker"].tolist() == order
        assert store.log.updates()["step"].tolist() == [3 + order[0], 7]
        assert store.curves.curves()["staleness"] == [(7, 0.5)]


def a_pull_is_one_step(parts):
    """Wherever in it a push arrives: what is copied out is the state of the version returned."""
    for halt in (at_the_copy_out, after_the_lock):
        store = sgd_store(parts)
        out = halting_buffer(LAYOUT.size, nothing)
        rival = Rival(lambda store=store: store.push_and_pull(push_of(1), filled(0)), watch_lock(store))
        halt(store, rival.chance, out)
        assert_all(out, -store.pull(out))
        rival.finish()
        assert_all(store.parameters, -1)


def buffers_stay_their_owners(parts):
    """What anyone does with an array it gave or was given does not reach the store, nor the other way round."""
    initial, first, second = filled(3), filled(0), filled(0)
    store = sgd_store(parts, initial)
    initial[...] = 7
    assert store.pull(first) == 0
    assert_all(first, 3)
    first[...] = 100
    pushed = push_of(0.5)
    assert store.push_and_pull(pushed, first) == 1
    assert_all(first, 2.5)
    assert_all(pushed.gradient, 0.5)
    first[...] = pushed.gradient[...] = 200
    assert store.push_and_pull(push_of(0.25), second) == 2
    assert_all(second, 2.25)
    assert_all(first, 200)
    assert_all(store.parameters, 2.25)


def snapshots_stay_as_they_were_taken(parts):
    store, out = sgd_store(parts, total_steps=4, evaluations=4), filled(0)
    for _ in range(4):
        store.push_and_pull(push_of(1), out)
        out[...] = 100
    store.parameters[...] = 50
    for u, snapshot in enumerate(store.snapshots):
        assert_all(snapshot, -(u + 1))


def nothing_follows_the_last_push(parts):
    """Wherever in the push that reaches the budget another arrives: it is refused, or came first."""
    for halt in HALTS:
        store = sgd_store(parts, total_steps=2)
        outs = [halting_buffer(LAYOUT.size, nothing) for _ in range(2)]
        store.push_and_pull(push_of(1), outs[0])
        stopped = []

        def push(worker, store=store, outs=outs, stopped=stopped):
            try:
                store.push_and_pull(push_of(1, worker), outs[worker])
            except a3c.schedules.Stopped:
                stopped.append(worker)

        rival = Rival(lambda push=push: push(1), watch_lock(store))
        halt(store, rival.chance, outs[0])
        push(0)
        rival.finish()
        assert len(stopped) == 1
        assert store.finished
        assert (store.version, store.steps, len(store.log.updates())) == (2, 2, 2)
        assert_all(store.parameters, -2)
        assert_all(outs[1 - stopped[0]], -2)


def what_is_refused_leaves_no_trace(parts):
    store, out = sgd_store(parts), filled(9)
    store.push_and_pull(push_of(0.5), filled(0))
    with suppress(Diverged):
        store.push_and_pull(push_of(np.nan, steps=3, episode=Episode(1.0, 3)), out)
        raise AssertionError("NaN was not refused")
    assert_all(store.parameters, -0.5)
    assert_all(out, 9)
    assert (store.version, store.steps, store.episodes, len(store.log.updates())) == (1, 1, 0, 1)


def critic_steps_are_counted_together(parts):
    """A local critic's step and a push share a step count: neither takes the other's number."""
    config = small_config(optimizer="adam", local_critic_step=True)
    store = parts.store.ParameterStore(config, LAYOUT, filled(0))
    learner = parts.learner.Learner(config, LAYOUT, make_engine(config, LAYOUT), store, 0)
    rival = Rival(lambda: store.push_and_pull(push_of(1, 1), filled(0)), watch_lock(store))
    count, numbers = store.critic_count, []

    def next_number():
        number = count.value + 1
        rival.chance()
        count.value = number
        numbers.append(number)
        return number

    count.next = next_number
    learner._step_local_critic()
    rival.finish()
    assert sorted(numbers) == [1, 2]


# Laws of the schedules


@contextmanager
def opened_at_last(doors):
    """Let every thread out in the end, so that a law that fails leaves none behind."""
    try:
        yield
    finally:
        for door in doors:
            for _ in range(2):
                with suppress(RuntimeError):
                    door.release()


def turns_come_in_worker_order(parts):
    """Whoever comes first, and one at a time: in each turn all others get the chance to enter, too."""
    workers, rounds = 3, 3
    schedule = parts.schedules.make_schedule("round_robin", workers)
    doors, order, inside, most = watch_gates(schedule), [], [], []

    def work(number):
        me = threading.current_thread()
        with suppress(parts.schedules.Stopped):
            for _ in range(rounds):
                with schedule.turn(number):
                    inside.append(me)
                    most.append(len(inside))
                    wait_until(lambda: quiet([t for t in threads if t.ident], doors, inside))
                    order.append(number)
                    inside.remove(me)

    threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(workers)]
    with opened_at_last(doors):
        for thread in reversed(threads):
            thread.start()
            wait_until(lambda thread=thread: thread is threads[0] or quiet([thread], doors, inside))
        wait_until(lambda: quiet(threads, doors))  # over, or stuck
        schedule.stop()
    assert order == list(range(workers)) * rounds
    assert max(most) == 1


def a_stop_is_the_end(parts):
    """Who waits is woken without a turn; nobody gets another; it may be said more than once."""
    schedule = parts.schedules.make_schedule("round_robin", 3)
    doors, outcomes = watch_gates(schedule), []

    def wait(number):
        try:
            with schedule.turn(number):
                outcomes.append("turn")
        except parts.schedules.Stopped:
            outcomes.append("stopped")

    threads = [threading.Thread(target=wait, args=(number,), daemon=True) for number in (1, 2)]
    with opened_at_last(doors):
        for thread in threads:
            thread.start()
        wait_until(lambda: quiet(threads, doors))
        try:
            schedule.stop()
            schedule.stop()
        except RuntimeError as error:
            raise AssertionError("a second stop raised") from error
        assert not any(door.waits(thread) for door in doors for thread in threads)
        for thread in threads:
            thread.join(PATIENCE)
        assert outcomes == ["stopped"] * 2
        for number in range(3):
            late = threading.Thread(target=wait, args=(number,), daemon=True)
            late.start()
            wait_until(lambda late=late: quiet([late], doors))
            assert not late.is_alive()
        assert outcomes == ["stopped"] * 5


def an_error_in_a_turn_is_the_end(parts):
    for name in ("round_robin", "free"):
        schedule, turns = parts.schedules.make_schedule(name, 2), []
        with opened_at_last(watch_gates(schedule)):
            with suppress(ZeroDivisionError), schedule.turn(0):
                raise ZeroDivisionError
            assert schedule.stopped
            with suppress(parts.schedules.Stopped), schedule.turn(1):
                turns.append(1)
        assert turns == []


# Laws of workers


def run_workers(parts, collects, budget=6):
    """Run one worker per function ``collects``, whose rollouts are pushes of 1; return the store and the failure.

    Worker 0 collects its first rollout only when all others have pushed, failed, or wait for their turn.
    """
    store, schedule = sgd_store(parts, total_steps=budget), parts.schedules.make_schedule("round_robin", len(collects))
    doors, threads = watch_gates(schedule), {}

    def worker_of(number):
        def collect(_):
            threads[number] = threading.current_thread()
            if number == 0:
                wait_until(lambda: len(threads) == len(collects))
                others = [thread for other, thread in threads.items() if other]
                wait_until(lambda: store.version or quiet(others, doors))
            collects[number]()

        engine = SimpleNamespace(parameters=filled(0), residuals=Residuals())
        collector = SimpleNamespace(collect=collect, steps=0)
        learner = SimpleNamespace(learn=lambda _, pulled: push_of(1, number, pulled))
        worker = parts.worker.Worker(number, store, schedule, engine, collector, learner, False, None)
        worker.pull()
        return worker

    return store, parts.training._run_threads([worker_of(number) for number in range(len(collects))], schedule)


def workers_push_in_their_turns(parts):
    store, failure = run_workers(parts, [nothing] * 3, budget=9)
    log, u = store.log.updates(), np.arange(9)
    assert failure is None
    assert log["worker"].tolist() == (u % 3).tolist()
    assert log["pulled"].tolist() == (u - np.minimum(u, 2)).tolist()


def a_worker_fails_in_its_turn(parts):
    """Worker 1 fails before worker 0 has anything; yet worker 0, whose turn is first, pushes first."""
    store, (worker, error) = run_workers(parts, [nothing, lambda: 1 / 0])
    assert (worker.number, type(error)) == (1, ZeroDivisionError)
    assert store.version == 1
    assert store.log.updates()["worker"].tolist() == [0]


def no_failure_is_lost(parts):
    """Whatever is raised, and also where no turn ends training: it is returned, and who waits is woken."""
    for raised in (SystemExit, MemoryError, KeyboardInterrupt, RuntimeError):
        schedule = parts.schedules.make_schedule("round_robin", 2)
        doors, outcome, here = watch_gates(schedule), [], {}

        def fail(here=here, doors=doors, raised=raised):
            wait_until(lambda: 1 in here and quiet([here[1]], doors))
            raise raised

        def wait(here=here, schedule=schedule):
            here[1] = threading.current_thread()
            with suppress(a3c.schedules.Stopped), schedule.turn(1):
                pass

        workers = [SimpleNamespace(number=0, work=fail), SimpleNamespace(number=1, work=wait)]

        def run(outcome=outcome, workers=workers, schedule=schedule):
            outcome.append(parts.training._run_threads(workers, schedule))

        runner = threading.Thread(target=run, daemon=True)
        with opened_at_last(doors):
            runner.start()
            wait_until(lambda here=here: here)
            failing = [t for t in threading.enumerate() if t.name == "a3c-worker-0"]
            wait_until(lambda: not runner.is_alive() or quiet([*failing, here[1]], doors))  # noqa: B023
            stuck = runner.is_alive() and any(door.waits(here[1]) for door in doors)
            schedule.stop()
        runner.join(PATIENCE)
        assert not stuck
        ((worker, error),) = outcome
        assert (worker.number, type(error)) == (0, raised)


LAWS = (
    a_push_is_one_step,
    a_pull_is_one_step,
    buffers_stay_their_owners,
    snapshots_stay_as_they_were_taken,
    nothing_follows_the_last_push,
    what_is_refused_leaves_no_trace,
    critic_steps_are_counted_together,
    turns_come_in_worker_order,
    a_stop_is_the_end,
    an_error_in_a_turn_is_the_end,
    workers_push_in_their_turns,
    a_worker_fails_in_its_turn,
    no_failure_is_lost,
)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_the_law_holds(law):
    law(Parts())


@pytest.mark.parametrize("halt", HALTS, ids=lambda halt: halt.__name__)
def test_every_push_passes_every_point_at_which_a_rival_gets_its_chance(halt):
    store, out = sgd_store(Parts()), halting_buffer(LAYOUT.size, nothing)
    rival = Rival(nothing, watch_lock(store))
    halt(store, rival.chance, out)
    store.push_and_pull(push_of(1), out)
    assert rival.had_its_chance


# The mutants


@dataclass(frozen=True)
class Mutant:
    """A protection removed: in this module, this text becomes that, and these laws fail."""

    what: str
    module: str
    before: str
    after: str
    laws: tuple

    def parts(self):
        return replace(Parts(), **{self.module: mutated(getattr(Parts(), self.module), self.before, self.after)})


MUTANTS = [
    Mutant(
        "no lock at all",
        "store",
        "threading.Lock()",
        "__import__('contextlib').nullcontext()",
        (a_push_is_one_step, a_pull_is_one_step, nothing_follows_the_last_push, critic_steps_are_counted_together),
    ),
    Mutant(
        "a push takes no lock",
        "store",
        "        with self.lock:\n            if self.finished",
        "        if True:\n            if self.finished",
        (a_push_is_one_step, nothing_follows_the_last_push),
    ),
    Mutant(
        "a pull takes no lock",
        "store",
        "        with self.lock:\n            np.copyto",
        "        if True:\n            np.copyto",
        (a_pull_is_one_step,),
    ),
    Mutant(
        "counted after the lock",
        "store",
        "            self._count(push)\n            np.copyto(out, self.parameters)\n            return self.version",
        "            np.copyto(out, self.parameters)\n        self._count(push)\n        return self.version",
        (a_push_is_one_step,),
    ),
    Mutant(
        "a push copies out after the lock",
        "store",
        "(push)\n            np.copyto(out, self.parameters)\n            return self.version",
        "(push)\n            version = self.version\n        np.copyto(out, self.parameters)\n        return version",
        (a_push_is_one_step,),
    ),
    Mutant(
        "a push reads its version after the lock",
        "store",
        "(push)\n            np.copyto(out, self.parameters)\n            return self.version",
        "(push)\n            np.copyto(out, self.parameters)\n        return self.version",
        (a_push_is_one_step,),
    ),
    Mutant(
        "a pull reads its version after the lock",
        "store",
        "lock:\n            np.copyto(out, self.parameters)\n            return self.version",
        "lock:\n            np.copyto(out, self.parameters)\n        return self.version",
        (a_pull_is_one_step,),
    ),
    Mutant(
        "a push copies nothing out",
        "store",
        "(push)\n            np.copyto(out, self.parameters)",
        "(push)",
        (a_push_is_one_step, buffers_stay_their_owners),
    ),
    Mutant(
        "a push copies out what was there before it",
        "store",
        "            self._update.apply(self.parameters, push.gradient, *self.learning_rates())\n"
        "            self._count(push)\n            np.copyto(out, self.parameters)\n",
        "            np.copyto(out, self.parameters)\n"
        "            self._update.apply(self.parameters, push.gradient, *self.learning_rates())\n"
        "            self._count(push)\n",
        (a_push_is_one_step, buffers_stay_their_owners),
    ),
    Mutant(
        "the store keeps the buffer it fills",
        "store",
        "(push)\n            np.copyto(out, self.parameters)",
        "(push)\n            np.copyto(out, self.parameters)\n            self.parameters = out",
        (buffers_stay_their_owners,),
    ),
    Mutant(
        "the store keeps the buffer it fills in a pull",
        "store",
        "lock:\n            np.copyto(out, self.parameters)",
        "lock:\n            np.copyto(out, self.parameters)\n            self.parameters = out",
        (buffers_stay_their_owners,),
    ),
    Mutant(
        "the initial parameters are not copied",
        "store",
        "initial.copy()",
        "initial",
        (buffers_stay_their_owners,),
    ),
    Mutant(
        "snapshots are the parameters themselves",
        "store",
        "np.empty((len(self.grid), layout.size), dtype=np.float32)",
        "[np.empty(0)] * len(self.grid)",
        (snapshots_stay_as_they_were_taken,),
    ),
    Mutant(
        "pushes go on after the budget",
        "store",
        "if self.finished:",
        "if False:",
        (nothing_follows_the_last_push,),
    ),
    Mutant(
        "the budget is looked at before the lock",
        "store",
        "        with self.lock:\n            if self.finished:\n                raise Stopped\n",
        "        if self.finished:\n            raise Stopped\n        with self.lock:\n",
        (nothing_follows_the_last_push,),
    ),
    Mutant(
        "counted before it is known to be finite",
        "store",
        "            self._update.apply(self.parameters, push.gradient, *self.learning_rates())\n"
        "            self._count(push)\n",
        "            self._count(push)\n"
        "            self._update.apply(self.parameters, push.gradient, *self.learning_rates())\n",
        (what_is_refused_leaves_no_trace,),
    ),
    Mutant(
        "a local critic steps without the lock",
        "learner",
        "with self._store.lock:",
        "if True:",
        (critic_steps_are_counted_together,),
    ),
    Mutant(
        "round_robin is free",
        "schedules",
        "RoundRobin(workers) if name",
        "Free(workers) if name",
        (turns_come_in_worker_order, workers_push_in_their_turns, a_worker_fails_in_its_turn),
    ),
    Mutant(
        "gates are not waited at",
        "schedules",
        "self._gates[worker].acquire()",
        "self._gates[worker].locked()",
        (turns_come_in_worker_order,),
    ),
    Mutant(
        "all gates are open at first",
        "schedules",
        "in self._gates[1:]:",
        "in self._gates[:0]:",
        (turns_come_in_worker_order,),
    ),
    Mutant(
        "a turn goes to the worker after the next",
        "schedules",
        "(worker + 1) %",
        "(worker + 2) %",
        (turns_come_in_worker_order,),
    ),
    Mutant(
        "a turn goes to everyone",
        "schedules",
        "        _open(self._gates[(worker + 1) % len(self._gates)])\n",
        "        for gate in self._gates:\n            _open(gate)\n",
        (turns_come_in_worker_order,),
    ),
    Mutant(
        "a turn is not handed on",
        "schedules",
        "            self._schedule.hand_on(self._worker)\n",
        "            pass\n",
        (turns_come_in_worker_order,),
    ),
    Mutant(
        "a stop wakes nobody",
        "schedules",
        "        for gate in self._gates:\n",
        "        for gate in self._gates[:0]:\n",
        (a_stop_is_the_end,),
    ),
    Mutant(
        "a stop holds for one turn each",
        "schedules",
        "            self._schedule.stop()  # whoever came through a gate has closed it again\n",
        "",
        (a_stop_is_the_end,),
    ),
    Mutant(
        "a stop is not remembered",
        "schedules",
        "self.stopped = True",
        "pass",
        (a_stop_is_the_end, an_error_in_a_turn_is_the_end),
    ),
    Mutant(
        "a stop is not looked at",
        "schedules",
        "if self._schedule.stopped:",
        "if False:",
        (a_stop_is_the_end, an_error_in_a_turn_is_the_end),
    ),
    Mutant(
        "a gate that is open cannot be opened",
        "schedules",
        "except RuntimeError:\n        pass",
        "except RuntimeError:\n        raise",
        (a_stop_is_the_end,),
    ),
    Mutant(
        "an error in a turn hands it on",
        "schedules",
        "if kind is None:",
        "if True:",
        (an_error_in_a_turn_is_the_end,),
    ),
    Mutant(
        "workers push whenever they are ready",
        "worker",
        "        with self._turn:\n            if push",
        "        if True:\n            if push",
        (workers_push_in_their_turns,),
    ),
    Mutant(
        "workers fail whenever they do",
        "worker",
        "            with self._turn:  # so that a failure, too, repeats exactly\n                raise\n",
        "            raise\n",
        (a_worker_fails_in_its_turn,),
    ),
    Mutant(
        "only an Exception is caught in a thread",
        "training",
        "except BaseException as error:",
        "except Exception as error:",
        (no_failure_is_lost,),
    ),
    Mutant(
        "a failure outside of a turn stops nobody",
        "training",
        "            failures.append((worker, error))\n            schedule.stop()\n",
        "            failures.append((worker, error))\n",
        (no_failure_is_lost,),
    ),
]


@pytest.mark.parametrize(
    ("mutant", "law"),
    [
        pytest.param(mutant, law, id=f"{mutant.what} / {law.__name__}".replace(" ", "_"))
        for mutant in MUTANTS
        for law in mutant.laws
    ],
)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # a thread of a mutant may die
def test_a_protection_that_is_missing_breaks_its_law(mutant, law):
    before = threading.enumerate()
    with pytest.raises(AssertionError):
        law(mutant.parts())
    for thread in threading.enumerate():
        if thread not in before:
            thread.join(PATIENCE)
            assert not thread.is_alive(), "a law left a thread behind"


def test_every_law_has_a_mutant_that_breaks_it():
    assert {law for mutant in MUTANTS for law in mutant.laws} == set(LAWS)


# Many threads at once


@pytest.mark.parametrize("workers", [1, 2, 3, 8, 32])
def test_many_workers_lose_nothing_and_read_nothing_torn(workers, switch_interval):
    """Gradients are multiples of 1/8 and the rate is 1/4, so sums are exact; the first entry and the last count pushes.

    Each worker overwrites what it has pushed and pulled, and pulls once more now and then.
    """
    layout, pushes, rate = Layout(20, 2, (20,)), 960 // workers, 0.25
    store = sgd_store(Parts(), layout=layout, learning_rate=rate)
    sums = np.zeros((workers, layout.size))
    versions, torn = Counter(), []

    def seen(out, version):
        if out[0] != -rate * version or out[-1] != -rate * version:
            torn.append((version, out[0], out[-1]))

    def work(number):
        random, out, version = np.random.default_rng(number), np.empty(layout.size, dtype=np.float32), 0
        for i in range(pushes):
            gradient = random.integers(-32, 32, size=layout.size).astype(np.float32) / 8
            gradient[[0, -1]] = 1
            sums[number] += gradient
            episode = Episode(1.0, 2) if i % 2 else None
            version = store.push_and_pull(Push(number, version, gradient, 1 + number, episode), out)
            versions[version] += 1
            seen(out, version)
            out[...] = gradient[...] = np.nan
            if i % 5 == 0:
                seen(out, store.pull(out))
                out[...] = np.nan

    with switch_interval(1e-6):
        threads = [threading.Thread(target=work, args=(number,)) for number in range(workers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    total = pushes * workers
    np.testing.assert_array_equal(store.parameters, (-rate * sums.sum(axis=0)).astype(np.float32))
    assert torn == []
    assert versions == Counter(range(1, total + 1))
    assert store.version == total
    assert store.steps == pushes * sum(1 + number for number in range(workers))
    assert store.episodes == len(store.log.episodes()) == workers * (pushes // 2)
    log = store.log.updates()
    assert np.bincount(log["worker"]).tolist() == [pushes] * workers
    for number in range(workers):  # a worker pulls the version its own last push made
        own = np.flatnonzero(log["worker"] == number)
        assert log["pulled"][own].tolist() == [0, *(own[:-1] + 1)]


@pytest.mark.parametrize("workers", [1, 2, 5, 32])
def test_round_robin_gives_update_u_to_worker_u_mod_w(workers, switch_interval):
    schedule, store = a3c.schedules.make_schedule("round_robin", workers), sgd_store(Parts())

    def work(number):
        out = filled(0)
        for _ in range(40):
            with schedule.turn(number):
                store.push_and_pull(push_of(1, number), out)

    with switch_interval(1e-6):
        threads = [threading.Thread(target=work, args=(number,)) for number in range(workers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert store.log.updates()["worker"].tolist() == list(range(workers)) * 40
