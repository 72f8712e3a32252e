"""An engine's numbers against networks and losses written again in float64 torch."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from a3c.engines import ENGINES, make_engine
from a3c.losses import actor_loss, critic_loss, policy_terms
from a3c.parameters import Layout
from tests.a3c.oracles import flat_gradient, small_config, torch_networks

BETA = 0.05
networks = pytest.mark.parametrize(
    ("hidden_sizes", "activation"),
    [((16,), "relu6"), ((16,), "relu"), ((16,), "tanh"), ((8, 7), "relu6"), ((5, 6, 7), "tanh")],
)
engines = pytest.mark.parametrize("name", ENGINES)


def build(name, random, hidden_sizes=(16,), activation="relu6", actions=3, **changes):
    """An engine with random weights and biases, and the same networks in float64."""
    layout = Layout(4, actions, hidden_sizes)
    config = small_config(engine=name, hidden_sizes=hidden_sizes, activation=activation, entropy_coef=BETA, **changes)
    engine = make_engine(config, layout)
    engine.parameters[...] = random.normal(scale=0.7, size=layout.size)
    return engine, layout, torch_networks(engine.parameters, 4, actions, hidden_sizes, activation)


def batch(random, T=9, actions=3):
    """Observations (some large enough for every kink of ReLU6), actions, a signal, and weights of a mean over some."""
    use = random.random(T) < 0.7
    use[0] = True
    observations = (3 * random.normal(size=(T, 4))).astype(np.float32)
    return observations, random.integers(actions, size=T), random.normal(scale=5, size=T), use / use.sum()


def losses(actor, critic, observations, actions, signal, weights, log_epsilon):
    """−Σ w (log π(a) A + β H) and Σ w (G − v)², straight from the page."""
    x, w = torch.tensor(observations, dtype=torch.float64), torch.tensor(weights)
    p = torch.softmax(actor(x), dim=1)
    logs = torch.log(p + log_epsilon)
    chosen = logs[torch.arange(len(x)), torch.tensor(actions)]
    entropy = -(p * logs).sum(dim=1)
    policy = -(w * (chosen * torch.tensor(signal) + BETA * entropy)).sum()
    value = (w * (torch.tensor(signal) - critic(x)[:, 0]) ** 2).sum()
    return policy, value, (w * entropy).sum().item()


def assert_same_gradient(ours, theirs):
    assert np.linalg.norm(ours - theirs) <= 1e-5 * np.linalg.norm(theirs)


@engines
@networks
@pytest.mark.parametrize("log_epsilon", [0.0, 1e-5, 0.1])
def test_both_heads_gradients_are_autograds(name, hidden_sizes, activation, log_epsilon, random):
    engine, layout, (actor, critic) = build(name, random, hidden_sizes, activation, log_epsilon=log_epsilon)
    observations, actions, signal, weights = batch(random)
    policy, value, entropy = losses(actor, critic, observations, actions, signal, weights, log_epsilon)
    (policy + value).backward()
    expected = flat_gradient(actor, critic)

    reported = engine.actor_gradient(observations, actions, signal, weights)
    critic_loss = engine.critic_gradient(observations, signal, weights)
    for span in layout.spans.values():
        assert_same_gradient(engine.gradient[span], expected[span])
    assert reported.loss == pytest.approx(policy.item(), rel=1e-4)
    assert reported.entropy == pytest.approx(entropy, rel=1e-4)
    assert critic_loss == pytest.approx(value.item(), rel=1e-4)


@engines
def test_a_gradient_replaces_the_last_one_and_leaves_the_other_head_and_the_network_alone(name, random):
    engine, layout, _ = build(name, random)
    observations, actions, signal, weights = batch(random)
    engine.actor_gradient(observations, actions, signal, weights)
    engine.critic_gradient(observations, signal, weights)
    first, parameters = engine.gradient.copy(), engine.parameters.copy()

    engine.actor_gradient(observations, actions, -signal, weights)
    engine.actor_gradient(observations, actions, signal, weights)
    np.testing.assert_array_equal(engine.gradient, first)
    engine.critic_gradient(observations, signal + 1, weights)
    np.testing.assert_array_equal(engine.gradient[layout.spans["actor"]], first[layout.spans["actor"]])
    assert (engine.gradient[layout.spans["critic"]] != first[layout.spans["critic"]]).any()
    np.testing.assert_array_equal(engine.parameters, parameters)


@engines
def test_weights_of_zero_give_a_gradient_of_zero(name, random):
    engine, _, _ = build(name, random)
    observations, actions, signal, weights = batch(random)
    engine.actor_gradient(observations, actions, signal, weights)
    engine.critic_gradient(observations, signal, weights)
    assert engine.gradient.any()
    assert engine.actor_gradient(observations, actions, signal, 0 * weights).loss == 0
    assert engine.critic_gradient(observations, signal, 0 * weights) == 0
    assert not engine.gradient.any()


@engines
@networks
def test_values_are_torchs(name, hidden_sizes, activation, random):
    engine, _, (_, critic) = build(name, random, hidden_sizes, activation)
    observations = batch(random)[0]
    expected = critic(torch.tensor(observations, dtype=torch.float64))[:, 0].detach().numpy()
    values = engine.values(observations)
    assert values == pytest.approx(expected, rel=1e-5, abs=1e-5)
    engine.parameters[...] = 0
    assert not engine.values(observations).any()
    assert values == pytest.approx(expected, rel=1e-5, abs=1e-5)


@engines
@given(uniform=st.floats(0, 1, exclude_max=True))
def test_actions_invert_the_policys_cumulative_distribution(name, uniform):
    random = np.random.default_rng(3)
    engine, _, (actor, _) = build(name, random, actions=4)
    observation = random.normal(size=4).astype(np.float32)
    cumulative = torch.softmax(actor(torch.tensor(observation, dtype=torch.float64)), dim=0).cumsum(0).tolist()
    action = engine.act(observation, uniform)
    assert 0 <= action < 4
    lower, upper = cumulative[action - 1] if action else 0.0, cumulative[action]
    assert lower - 1e-6 <= uniform <= upper + 1e-6


@engines
def test_rounding_never_yields_an_action_that_is_not_there(name, random):
    engine, _, _ = build(name, random, actions=7)
    for observation in random.normal(size=(50, 4)).astype(np.float32):
        assert engine.act(observation, float(np.nextafter(1.0, 0.0))) in range(7)


@pytest.mark.parametrize("log_epsilon", [0.0, 1e-5])
def test_the_losses_derivatives_are_their_finite_differences(log_epsilon, random):
    T, actions = 5, torch.tensor([0, 2, 1, 2, 0])
    logits = torch.tensor(random.normal(size=(T, 3)), requires_grad=True)
    values = torch.tensor(random.normal(size=T), requires_grad=True)
    signal, weights = torch.tensor(random.normal(size=T)), torch.tensor(random.random(T))

    def policy(logits):
        return actor_loss(*policy_terms(logits, actions, log_epsilon), signal, weights, BETA)

    assert torch.autograd.gradcheck(policy, (logits,))
    assert torch.autograd.gradcheck(lambda v: critic_loss(v, signal, weights), (values,))


def test_a_certain_policy_has_a_finite_loss_and_no_entropy():
    logits = torch.tensor([[200.0, -200.0]], requires_grad=True)
    for action in (0, 1):
        chosen, entropy = policy_terms(logits, torch.tensor([action]), 0.0)
        assert torch.isfinite(chosen).all()
        assert entropy.item() == pytest.approx(0.0, abs=1e-6)
        (gradient,) = torch.autograd.grad((chosen + entropy).sum(), logits)
        assert torch.isfinite(gradient).all()
