"""Random streams: one for each purpose and worker, all from one seed."""

from itertools import product

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from a3c.networks.layout import HEADS, Layout
from a3c.streams import BLOCK, Purpose, Uniforms, generator, reset_seed

STREAM = generator(7, Purpose.ACTIONS, 3).random(36 * BLOCK)


def test_no_two_seeds_purposes_or_workers_share_a_stream():
    keys = list(product((0, 1, 2**63 - 1), Purpose, range(20)))
    assert len({tuple(generator(*key).random(2)) for key in keys}) == len(keys)
    assert len({reset_seed(*key) for key in keys}) == len(keys)


@given(st.integers(0, 2**63 - 1), st.sampled_from(Purpose), st.integers(0, 255))
def test_a_stream_repeats_and_seeds_an_environment(seed, purpose, worker):
    first, second = (generator(seed, purpose, worker).random(3) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert reset_seed(seed, purpose, worker) == reset_seed(seed, purpose, worker)
    assert 0 <= reset_seed(seed, purpose, worker) < 2**31


@given(st.lists(st.tuples(st.integers(0, 3 * BLOCK), st.floats(0, 1)), min_size=1, max_size=12))
def test_uniforms_are_their_generators_numbers_in_order(looks):
    """However far is looked ahead, and however much of it is used up."""
    uniforms = Uniforms(generator(7, Purpose.ACTIONS, 3))
    used = 0
    for ahead, share in looks:
        seen = uniforms.upcoming(ahead).copy()
        np.testing.assert_array_equal(seen, STREAM[used : used + ahead])
        uniforms.advance(int(share * ahead))
        used += int(share * ahead)


@given(st.integers(1, 6), st.integers(1, 5), st.lists(st.integers(1, 40), min_size=1, max_size=3), st.integers(0, 99))
def test_initial_networks_are_glorot_uniform_with_zero_biases(observation_size, actions, hidden_sizes, seed):
    layout = Layout(observation_size, actions, tuple(hidden_sizes))
    vector = layout.initial(np.random.default_rng(seed))
    entries = 0
    for head in HEADS:
        sizes = [observation_size, *hidden_sizes, actions if head == "actor" else 1]
        for (weight, bias), inp, out in zip(layout.layers(vector, head), sizes[:-1], sizes[1:], strict=True):
            assert weight.shape == (out, inp)
            assert bias.shape == (out,)
            assert np.abs(weight).max() <= np.float32(np.sqrt(6 / (inp + out)))
            assert not bias.any()
            assert np.shares_memory(weight, vector)
            entries += weight.size + bias.size
    assert entries == layout.size == vector.size


def test_initial_weights_spread_over_their_whole_range():
    weight, _ = Layout(50, 2, (50,)).layers(Layout(50, 2, (50,)).initial(np.random.default_rng(0)), "actor")[0]
    limit = np.sqrt(6 / 100)
    assert abs(weight.mean()) < 0.05 * limit
    assert np.abs(weight).max() > 0.99 * limit
