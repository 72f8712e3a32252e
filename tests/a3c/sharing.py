"""What workers may rely on when they share a store, each law a function of the modules it holds for.

Threads meet at fixed points (see :mod:`tests.a3c.interleaving`), so that nothing of it is luck.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import ModuleType, SimpleNamespace

import numpy as np

import a3c.schedules
import a3c.training
import a3c.workers.learner
import a3c.workers.store
import a3c.workers.worker
from a3c.engines.base import Learned
from a3c.engines.choice import make_engine
from a3c.engines.residuals import Residuals
from a3c.errors import Diverged
from a3c.networks.layout import Layout
from a3c.rollout import Episode
from a3c.workers.store import Push
from tests.a3c.interleaving import (
    PATIENCE,
    HaltingUpdate,
    Rival,
    halting,
    halting_buffer,
    quiet,
    wait_until,
    watch_gates,
    watch_lock,
)
from tests.a3c.oracles import small_config

LAYOUT = Layout(2, 2, (2,))


@dataclass(frozen=True)
class Parts:
    """The modules a law is about."""

    store: ModuleType = a3c.workers.store
    schedules: ModuleType = a3c.schedules
    learner: ModuleType = a3c.workers.learner
    worker: ModuleType = a3c.workers.worker
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
            versions[worker], _ = store.push_and_pull(pushed, outs[worker])

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
    assert store.push_and_pull(pushed, first) == (1, False)
    assert_all(first, 2.5)
    assert_all(pushed.gradient, 0.5)
    first[...] = pushed.gradient[...] = 200
    assert store.push_and_pull(push_of(0.25), second) == (2, False)
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
