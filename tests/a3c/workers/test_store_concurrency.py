"""What workers may rely on when they share a store; and that each law would notice its protection missing.

``MUTANTS`` lists every protection, the module without it, and the laws that fail there.
"""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
import pytest

import a3c.schedules
from a3c.networks.layout import Layout
from a3c.rollout import Episode
from a3c.workers.store import Push
from tests.a3c.interleaving import PATIENCE, Rival, halting_buffer, mutated, watch_lock
from tests.a3c.sharing import (
    HALTS,
    LAYOUT,
    Parts,
    a_pull_is_one_step,
    a_push_is_one_step,
    a_stop_is_the_end,
    a_worker_fails_in_its_turn,
    an_error_in_a_turn_is_the_end,
    buffers_stay_their_owners,
    critic_steps_are_counted_together,
    filled,
    no_failure_is_lost,
    nothing,
    nothing_follows_the_last_push,
    push_of,
    sgd_store,
    snapshots_stay_as_they_were_taken,
    turns_come_in_worker_order,
    what_is_refused_leaves_no_trace,
    workers_push_in_their_turns,
)

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
        '"round_robin": RoundRobin',
        '"round_robin": Free',
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


def at_once(work, workers):
    """Let each worker do its work in a thread of its own."""
    threads = [threading.Thread(target=work, args=(number,)) for number in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


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
            version, _ = store.push_and_pull(Push(number, version, gradient, 1 + number, episode), out)
            versions[version] += 1
            seen(out, version)
            out[...] = gradient[...] = np.nan
            if i % 5 == 0:
                seen(out, store.pull(out))
                out[...] = np.nan

    with switch_interval(1e-6):
        at_once(work, workers)
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
        at_once(work, workers)
    assert store.log.updates()["worker"].tolist() == list(range(workers)) * 40
