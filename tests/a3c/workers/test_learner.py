"""From a rollout to a gradient: what the bootstrap is, which head learns from what, and what is counted."""

from typing import NamedTuple

import numpy as np
import pytest
import torch

from a3c.engines.choice import make_engine
from a3c.engines.signal import Signal
from a3c.networks.layout import Layout
from a3c.workers.learner import Learner
from a3c.workers.store import ParameterStore, Push
from tests.a3c.oracles import (
    ACTIVATIONS,
    definitional_returns,
    definitional_targets,
    flat_gradient,
    random_rollout,
    small_config,
    torch_networks,
)

GAMMA, BETA, N, T = 0.9, 0.05, 3, 7


class Lesson(NamedTuple):
    """What an engine says of a rollout before it learns from it, and what the learner makes of it."""

    signal: Signal
    push: Push


def learn(random, flags=(False, False), length=T, hidden_sizes=(16,), **changes):
    """One lesson, and what float64 torch says of its rollout: values (with the bootstrap's) and the networks."""
    settings = {"gamma": GAMMA, "entropy_coef": BETA, "n_step": N, "hidden_sizes": hidden_sizes} | changes
    config = small_config(**settings)
    layout = Layout(4, 3, hidden_sizes)
    engine = make_engine(config, layout)
    store = ParameterStore(config, layout, random.normal(scale=0.7, size=layout.size).astype(np.float32))
    store.pull(engine.parameters)
    rollout = random_rollout(random, length, layout, *flags)
    signal = engine.signal(rollout)
    lesson = Lesson(signal, Learner(config, layout, engine, store, 5).learn(rollout, 17))
    np.testing.assert_array_equal(engine.parameters, store.parameters)
    actor, critic = torch_networks(store.parameters, 4, 3, hidden_sizes, config.activation)
    with torch.no_grad():
        values = critic(torch.tensor(rollout.observations, dtype=torch.float64))[:, 0].numpy()
    return lesson, rollout, values, (actor, critic), layout, store


def expected_gradient(networks, rollout, values, actor_targets, critic_targets, actor_use=None, critic_use=None):
    """Both losses, means over the steps used, differentiated by autograd."""
    actor, critic = networks
    x = torch.tensor(rollout.observations[:-1], dtype=torch.float64)
    log_p = torch.log_softmax(actor(x), dim=1)
    chosen = log_p[torch.arange(len(x)), torch.tensor(rollout.actions)]
    entropy = -(log_p.exp() * log_p).sum(dim=1)
    policy = -(chosen * torch.tensor(actor_targets - values[:-1]) + BETA * entropy)
    value = (torch.tensor(critic_targets) - critic(x)[:, 0]) ** 2
    for loss, use in ((policy, actor_use), (value, critic_use)):
        used = loss if use is None else loss[torch.tensor(use)]
        if used.numel():
            used.mean().backward()
    return flat_gradient(actor, critic)


def assert_gradient(lesson, layout, expected):
    for span in layout.spans.values():
        ours = lesson.push.gradient[span]
        assert np.linalg.norm(ours - expected[span]) <= 2e-5 * np.linalg.norm(expected[span])


# The bootstrap


@pytest.mark.parametrize(
    ("terminated", "truncated", "bootstrap_truncated", "worth"),
    [
        (True, False, True, False),
        (True, False, False, False),
        (True, True, True, False),
        (True, True, False, False),
        (False, True, True, True),
        (False, True, False, False),
        (False, False, True, True),
        (False, False, False, True),
    ],
)
def test_the_bootstrap_is_the_value_after_the_cut_or_zero(terminated, truncated, bootstrap_truncated, worth, random):
    flags = (terminated, truncated)
    lesson, rollout, values, *_ = learn(random, flags, bootstrap_truncated=bootstrap_truncated)
    b = values[-1] if worth else 0.0
    assert abs(values[-1]) > 0.1, "a value of 0 would tell nothing"
    targets = definitional_targets(rollout.rewards, values[:-1], b, GAMMA, N, "max_terms")
    assert lesson.signal.n_step == pytest.approx(targets, rel=1e-4, abs=1e-5)
    assert lesson.signal.returns == pytest.approx(definitional_returns(rollout.rewards, b, GAMMA), rel=1e-4, abs=1e-5)
    assert lesson.signal.values == pytest.approx(values[:-1], rel=1e-4, abs=1e-5)


# The heads


@pytest.mark.parametrize("head", ["actor", "critic", "both"])
@pytest.mark.parametrize("tail", ["missing_as_zero", "max_terms"])
def test_the_n_step_head_learns_from_the_tail_rule_and_the_other_from_the_return(head, tail, random):
    lesson, rollout, values, networks, layout, _ = learn(random, n_step_head=head, target=tail)
    n_step = definitional_targets(rollout.rewards, values[:-1], values[-1], GAMMA, N, tail)
    returns = definitional_returns(rollout.rewards, values[-1], GAMMA)
    actor_targets = returns if head == "critic" else n_step
    critic_targets = returns if head == "actor" else n_step
    assert_gradient(lesson, layout, expected_gradient(networks, rollout, values, actor_targets, critic_targets))


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("hidden_sizes", [(16,), (6, 5)])
def test_the_gradient_of_a_rollout_is_autograds(activation, hidden_sizes, random):
    lesson, rollout, values, networks, layout, _ = learn(random, hidden_sizes=hidden_sizes, activation=activation)
    n_step = definitional_targets(rollout.rewards, values[:-1], values[-1], GAMMA, N, "max_terms")
    returns = definitional_returns(rollout.rewards, values[-1], GAMMA)
    assert_gradient(lesson, layout, expected_gradient(networks, rollout, values, n_step, returns))


def test_under_the_seed_convention_n_of_one_leaves_only_the_entropy_to_the_actor(random):
    lesson, rollout, values, networks, layout, _ = learn(random, n_step=1, n_step_convention="seed")
    returns = definitional_returns(rollout.rewards, values[-1], GAMMA)
    assert_gradient(lesson, layout, expected_gradient(networks, rollout, values, values[:-1], returns))


def test_a_lesson_moves_neither_the_store_nor_the_local_network(random):
    lesson, _, _, _, _, store = learn(random)
    assert store.version == 0
    assert (lesson.push.worker, lesson.push.pulled, lesson.push.steps) == (5, 17, T)
    assert lesson.push.episode is None


# Tail rules that leave steps out


@pytest.mark.parametrize("rule", ["drop_incomplete", "drop"])
@pytest.mark.parametrize("head", ["actor", "both"])
@pytest.mark.usefixtures("drop_incomplete")
def test_steps_left_out_do_not_count_in_the_mean(rule, head, random):
    lesson, rollout, values, networks, layout, _ = learn(random, target=rule, n_step_head=head)
    n_step = definitional_targets(rollout.rewards, values[:-1], 0.0, GAMMA, N, "missing_as_zero")
    returns = definitional_returns(rollout.rewards, values[-1], GAMMA)
    use = np.arange(T, 0, -1) > N
    critic = (returns, None) if head == "actor" else (n_step, use)
    expected = expected_gradient(networks, rollout, values, n_step, critic[0], use, critic[1])
    assert_gradient(lesson, layout, expected)


@pytest.mark.parametrize("rule", ["drop_incomplete", "drop"])
@pytest.mark.parametrize(
    ("head", "silent"), [("actor", {"actor"}), ("critic", {"critic"}), ("both", {"actor", "critic"})]
)
@pytest.mark.usefixtures("drop_incomplete")
def test_a_batch_with_every_step_left_out_has_a_gradient_of_zero(rule, head, silent, random):
    lesson, _, _, _, layout, store = learn(random, target=rule, n_step_head=head, length=N)
    for name, span in layout.spans.items():
        assert lesson.push.gradient[span].any() == (name not in silent)
    store.push_and_pull(lesson.push, np.empty(layout.size, np.float32))
    assert np.isfinite(store.parameters).all()


# The vacuity figures


@pytest.mark.parametrize(("n", "length"), [(1, 7), (3, 7), (7, 7), (9, 7), (3, 1)])
@pytest.mark.parametrize("flags", [(False, False), (False, True), (True, False)])
def test_differing_targets_and_their_shift_are_counted_as_by_hand(n, length, flags, random):
    lesson, rollout, values, *_ = learn(random, flags, length, n_step=n)
    b = 0.0 if flags[0] else values[-1]
    both = [
        definitional_targets(rollout.rewards, values[:-1], b, GAMMA, n, tail)
        for tail in ("missing_as_zero", "max_terms")
    ]
    gap = np.abs(both[1] - both[0])
    assert lesson.push.learned.differing == (0 if flags[0] else min(n, length)) == np.count_nonzero(gap > 1e-12)
    for shift in (lesson.signal.shift, lesson.push.learned.shift):
        assert shift == pytest.approx(gap.sum(), rel=1e-4)


def test_the_seed_convention_counts_by_its_own_shorter_windows(random):
    lesson, *_ = learn(random, n_step=N, n_step_convention="seed")
    assert lesson.push.learned.differing == N - 1
    lesson, *_ = learn(random, n_step=100, n_step_convention="seed")
    assert lesson.push.learned.differing == T - 1
