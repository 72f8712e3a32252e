"""The optimizers against their formulas in float64, and against torch's where the forms coincide."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from a3c.networks.optimizers import SGD, Adam, RMSProp, StepCount, make_optimizer
from tests.a3c.oracles import small_config

SIZE = 3
entry = st.floats(-100, 100, width=32).filter(lambda x: abs(x) > 1e-3)
gradients = st.lists(st.lists(entry, min_size=SIZE, max_size=SIZE), min_size=1, max_size=8).map(
    lambda rows: np.array(rows, dtype=np.float32)
)
rate = st.sampled_from([1e-4, 7e-4, 0.01, 0.5])
decay = st.sampled_from([0.0, 0.5, 0.9, 0.99, 0.999])
epsilon = st.sampled_from([1e-8, 1e-3, 0.1])


def steps_of(optimizer, gradients, rate):
    return np.array([optimizer.step(gradient, rate).copy() for gradient in gradients])


def adam_by_definition(gradients, rate, beta1, beta2, epsilon, counts=None):
    mean = square = np.zeros(SIZE)
    for t, g in zip(counts or range(1, len(gradients) + 1), gradients.astype(np.float64), strict=True):
        mean = beta1 * mean + (1 - beta1) * g
        square = beta2 * square + (1 - beta2) * g**2
        rate_t = rate * np.sqrt(1 - beta2**t) / (1 - beta1**t)
        yield rate_t * mean / (np.sqrt(square) + epsilon)


def rmsprop_by_definition(gradients, rate, decay, epsilon):
    square = np.zeros(SIZE)
    for g in gradients.astype(np.float64):
        square = decay * square + (1 - decay) * g**2
        yield rate * g / np.sqrt(square + epsilon)


def torch_steps(make, gradients):
    """How far a torch optimizer moves a zero parameter at each gradient."""
    parameter = torch.nn.Parameter(torch.zeros(SIZE, dtype=torch.float64))
    optimizer = make([parameter])
    for gradient in gradients:
        before = parameter.detach().clone()
        parameter.grad = torch.tensor(gradient, dtype=torch.float64)
        optimizer.step()
        yield (before - parameter.detach()).numpy()


def close(expected):
    """Float32 moments forget 1e-7 a step; a sum that cancels, a little more."""
    expected = np.array(list(expected))
    return pytest.approx(expected, rel=2e-4, abs=1e-5 * np.abs(expected).max())


@given(gradients, rate, decay, decay, epsilon)
def test_adam_follows_its_formula(gradients, rate, beta1, beta2, epsilon):
    steps = steps_of(Adam(SIZE, beta1, beta2, epsilon), gradients, rate)
    assert steps == close(adam_by_definition(gradients, rate, beta1, beta2, epsilon))


@given(gradients, rate, decay, epsilon)
def test_rmsprop_follows_its_formula_with_epsilon_inside_the_root(gradients, rate, decay, epsilon):
    steps = steps_of(RMSProp(SIZE, decay, epsilon), gradients, rate)
    assert steps == close(rmsprop_by_definition(gradients, rate, decay, epsilon))


def test_rmsprop_with_a_large_epsilon_by_hand():
    square = 0.25 * 2**2  # decay 0.75
    step = RMSProp(1, decay=0.75, epsilon=8.0).step(np.array([2.0], dtype=np.float32), 0.5)
    assert step.tolist() == pytest.approx([0.5 * 2 / np.sqrt(square + 8.0)])


def test_adam_with_a_large_epsilon_by_hand():
    # first step: m = g/2, v = g²/4, and the corrected rate is η·√(1/4)/(1/2) = η
    step = Adam(1, beta1=0.5, beta2=0.75, epsilon=1.0).step(np.array([2.0], dtype=np.float32), 0.25)
    assert step.tolist() == [0.25 * 1 / (1 + 1.0)]


@given(gradients, st.sampled_from([2.0**-10, 0.5, 4.0]))
def test_plain_descent_is_the_rate_times_the_gradient_exactly(gradients, rate):
    np.testing.assert_array_equal(steps_of(SGD(SIZE), gradients, rate), gradients * np.float32(rate))


@given(gradients, rate)
def test_plain_descent_moves_as_torchs(gradients, rate):
    steps = steps_of(SGD(SIZE), gradients, rate)
    assert steps == close(torch_steps(lambda p: torch.optim.SGD(p, lr=rate), gradients))


@given(gradients, rate, decay, decay)
def test_adam_moves_as_torchs_where_epsilon_vanishes(gradients, rate, beta1, beta2):
    steps = steps_of(Adam(SIZE, beta1, beta2, 1e-12), gradients, rate)
    assert steps == close(torch_steps(lambda p: torch.optim.Adam(p, rate, (beta1, beta2), eps=1e-12), gradients))


@given(gradients, rate, decay)
def test_rmsprop_moves_as_torchs_where_epsilon_vanishes(gradients, rate, decay):
    steps = steps_of(RMSProp(SIZE, decay, 1e-30), gradients, rate)
    assert steps == close(torch_steps(lambda p: torch.optim.RMSprop(p, rate, alpha=decay, eps=1e-30), gradients))


@given(gradients, rate)
def test_adams_that_share_a_step_count_correct_their_bias_by_all_steps(gradients, rate):
    count = StepCount()
    one, other = Adam(SIZE, 0.9, 0.99, 1e-8, count), Adam(SIZE, 0.9, 0.99, 1e-8, count)
    pairs = [(one.step(g, rate).copy(), other.step(2 * g, rate).copy()) for g in gradients]
    odd, even = range(1, 2 * len(pairs), 2), range(2, 2 * len(pairs) + 1, 2)
    assert [a for a, _ in pairs] == close(adam_by_definition(gradients, rate, 0.9, 0.99, 1e-8, list(odd)))
    assert [b for _, b in pairs] == close(adam_by_definition(2 * gradients, rate, 0.9, 0.99, 1e-8, list(even)))
    assert count.value == 2 * len(pairs)


@pytest.mark.parametrize("make", [SGD, lambda n: RMSProp(n, 0.9, 0.1), lambda n: Adam(n, 0.9, 0.999, 1e-8)])
def test_a_step_leaves_the_gradient_alone_and_is_a_vector_of_its_own(make):
    gradient = np.array([1.0, -2.0, 0.0], dtype=np.float32)
    step = make(SIZE).step(gradient, 0.5)
    assert gradient.tolist() == [1.0, -2.0, 0.0]
    assert not np.shares_memory(step, gradient)
    assert step.dtype == np.float32
    assert np.sign(step).tolist() == [1.0, -1.0, 0.0]


def test_a_config_gets_the_optimizer_and_the_constants_it_names():
    gradients = np.array([[1.0, -3.0, 0.5], [0.25, 8.0, 2.0]], dtype=np.float32)
    adam = small_config(optimizer="adam", adam_beta1=0.5, adam_beta2=0.75, optimizer_epsilon=0.1)
    rmsprop = small_config(optimizer="rmsprop", rmsprop_decay=0.75, optimizer_epsilon=0.1)
    expected = adam_by_definition(gradients, 0.1, 0.5, 0.75, 0.1)
    assert steps_of(make_optimizer(adam, SIZE), gradients, 0.1) == close(expected)
    expected = rmsprop_by_definition(gradients, 0.1, 0.75, 0.1)
    assert steps_of(make_optimizer(rmsprop, SIZE), gradients, 0.1) == close(expected)
    sgd = make_optimizer(small_config(optimizer="sgd"), SIZE)
    np.testing.assert_array_equal(steps_of(sgd, gradients, 0.5), gradients / 2)
