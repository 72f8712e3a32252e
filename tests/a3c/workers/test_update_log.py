"""What the store writes down, against plain lists."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from a3c.workers.update_log import CURVES, EPISODE, UPDATE, CurveMeans, UpdateLog

returns = st.one_of(st.none(), st.floats(allow_nan=False))
update = st.tuples(st.sampled_from([0, 1, 2, 255]), st.integers(0, 2**32 - 1), st.integers(1, 10**6), returns)


def logged(updates):
    log = UpdateLog()
    for worker, pulled, steps, episode in updates:
        if episode is None:
            log.append(worker, pulled, steps)
        else:
            log.append(worker, pulled, steps, episode)
    return log


def plainly(updates):
    """The rows of both tables, with a counter a worker."""
    rows, episodes, step, lengths = [], [], 0, {}
    for worker, pulled, steps, episode in updates:
        step += steps
        lengths[worker] = lengths.get(worker, 0) + steps
        rows.append((worker, pulled, step))
        if episode is not None:
            episodes.append((step, episode, lengths[worker], worker))
            lengths[worker] = 0
    return rows, episodes


@settings(max_examples=60)
@given(st.lists(update, max_size=40), st.sampled_from([1, 2, 300]))
def test_both_tables_are_what_was_appended_in_order(updates, times):
    """Repeated 300 times, up to 12,000 updates."""
    log = logged(updates * times)
    rows, episodes = plainly(updates * times)
    assert log.updates().dtype == UPDATE
    assert log.updates().tolist() == rows
    assert log.episodes().dtype == EPISODE
    assert log.episodes().tolist() == episodes


@pytest.mark.parametrize("count", [0, 1, 4095, 4096, 4097, 8192, 8193])
def test_a_log_of_any_length_is_read_whole_and_may_go_on(count):
    updates = [(u % 3, u, 1 + u % 7, float(u) if u % 5 == 4 else None) for u in range(count + 1)]
    log = logged(updates[:-1])
    assert (log.updates().tolist(), log.episodes().tolist()) == plainly(updates[:-1])
    worker, pulled, steps, episode = updates[-1]
    log.append(worker, pulled, steps, math.nan if episode is None else episode)
    assert (log.updates().tolist(), log.episodes().tolist()) == plainly(updates)


def test_what_was_read_stays_as_it_was():
    log = logged([(0, 0, 5, None)])
    updates, episodes = log.updates(), log.episodes()
    log.append(1, 0, 7, 2.5)
    assert updates.tolist() == [(0, 0, 5)]
    assert episodes.tolist() == []
    updates["step"] = 0
    assert log.updates().tolist() == [(0, 0, 5), (1, 0, 12)]


@given(st.lists(st.tuples(st.integers(0, 60), st.lists(st.integers(-100, 100), min_size=4, max_size=4)), max_size=80))
def test_curves_are_means_of_every_stretch_at_its_last_step(updates):
    """What comes after the last stretch, when the budget is reached, counts as in it."""
    updates = sorted(updates, key=lambda u: u[0])
    means, stretches = CurveMeans(), {}
    for step, (stretch, figures) in enumerate(updates, start=1):
        means.add(stretch, step, *figures)
        stretches.setdefault(min(stretch, 49), []).append((step, figures))
    curves = means.curves()
    assert set(curves) == set(CURVES)
    for i, name in enumerate(CURVES):
        expected = [(own[-1][0], np.mean([figures[i] for _, figures in own])) for own in stretches.values()]
        assert [step for step, _ in curves[name]] == [step for step, _ in expected]
        assert [mean for _, mean in curves[name]] == pytest.approx([mean for _, mean in expected])
