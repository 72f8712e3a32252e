"""An engine's numbers against networks and losses written again in float64 torch."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from a3c.engines.choice import ENGINES, make_engine
from a3c.networks.layout import Layout
from a3c.networks.losses import actor_loss, critic_loss, policy_terms
from tests.a3c.oracles import act_once, flat_gradient, small_config, torch_networks

BETA = 0.05
networks = pytest.mark.parametrize(
    ("hidden_sizes", "activation"),
    [((16,), "relu6"), ((16,), "relu"), ((16,), "tanh"), ((8, 7), "relu6"), ((5, 6, 7), "tanh")],
)
engines = pytest.mark.parametrize("name", ENGINES)
BELOW_ONE = float(np.nextafter(1.0, 0.0))


def build(name, random, hidden_sizes=(16,), activation="relu6", actions=3, **changes):
    """An engine with random weights and biases, and the same networks in float64."""
    layout = Layout(4, actions, hidden_sizes)
    config = small_config(engine=name, hidden_sizes=hidden_sizes, activation=activation, entropy_coef=BETA, **changes)
    engine = make_engine(config, layout)
    engine.parameters[...] = random.normal(scale=0.7, size=layout.size)
    return engine, layout, torch_networks(engine.parameters, 4, actions, hidden_sizes, activation)


def batch(random, T=9, actions=3):
    """Observations (some large enough for every kink of ReLU6), actions, a signal, and which steps are used."""
    use = random.random(T) < 0.7
    use[0] = True
    observations = (3 * random.normal(size=(T, 4))).astype(np.float32)
    return observations, random.integers(actions, size=T), random.normal(scale=5, size=T), use


def losses(actor, critic, observations, actions, signal, use, log_epsilon):
    """−Σ w (log π(a) A + β H) and Σ w (G − v)², straight from the page; w is 1/count on the steps used."""
    x, w = torch.tensor(observations, dtype=torch.float64), torch.tensor(use / use.sum())
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
    observations, actions, signal, use = batch(random)
    policy, value, entropy = losses(actor, critic, observations, actions, signal, use, log_epsilon)
    (policy + value).backward()
    expected = flat_gradient(actor, critic)

    reported = engine.actor_gradient(observations, actions, signal, use)
    critic_loss = engine.critic_gradient(observations, signal, use)
    for span in layout.spans.values():
        assert_same_gradient(engine.gradient[span], expected[span])
    assert reported.loss == pytest.approx(policy.item(), rel=1e-4)
    assert reported.entropy == pytest.approx(entropy, rel=1e-4)
    assert critic_loss == pytest.approx(value.item(), rel=1e-4)


@engines
def test_a_gradient_replaces_the_last_one_and_leaves_the_other_head_and_the_network_alone(name, random):
    engine, layout, _ = build(name, random)
    observations, actions, signal, use = batch(random)
    engine.actor_gradient(observations, actions, signal, use)
    engine.critic_gradient(observations, signal, use)
    first, parameters = engine.gradient.copy(), engine.parameters.copy()

    engine.actor_gradient(observations, actions, -signal, use)
    engine.actor_gradient(observations, actions, signal, use)
    np.testing.assert_array_equal(engine.gradient, first)
    engine.critic_gradient(observations, signal + 1, use)
    np.testing.assert_array_equal(engine.gradient[layout.spans["actor"]], first[layout.spans["actor"]])
    assert (engine.gradient[layout.spans["critic"]] != first[layout.spans["critic"]]).any()
    np.testing.assert_array_equal(engine.parameters, parameters)


@engines
def test_a_batch_with_no_step_used_has_a_gradient_of_zero(name, random):
    engine, _, _ = build(name, random)
    observations, actions, signal, use = batch(random)
    engine.actor_gradient(observations, actions, signal, use)
    engine.critic_gradient(observations, signal, use)
    assert engine.gradient.any()
    none = np.zeros_like(use)
    assert engine.actor_gradient(observations, actions, signal, none) == (0, 0)
    assert engine.critic_gradient(observations, signal, none) == 0
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
    action = act_once(engine, 4)(observation, uniform)
    assert 0 <= action < 4
    lower, upper = cumulative[action - 1] if action else 0.0, cumulative[action]
    assert lower - 1e-6 <= uniform <= upper + 1e-6


@engines
def test_rounding_never_yields_an_action_that_is_not_there(name, random):
    engine, _, _ = build(name, random, actions=7)
    act = act_once(engine, 4)
    for observation in random.normal(size=(50, 4)).astype(np.float32):
        assert act(observation, BELOW_ONE) in range(7)


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


@engines
@pytest.mark.parametrize("log_epsilon", [0.0, 1e-5])
def test_where_the_policy_is_certain_there_is_no_entropy_and_nothing_is_infinite(name, log_epsilon, random):
    """Logits of ±200: the other action's probability is 0 in float32."""
    engine, layout, _ = build(name, random, actions=2, log_epsilon=log_epsilon)
    engine.parameters[...] = 0
    layout.layers(engine.parameters, "actor")[-1][1][...] = 200, -200
    observations = batch(random)[0]
    for action in (0, 1):
        actions = np.full(len(observations), action)
        loss, entropy = engine.actor_gradient(observations, actions, np.ones(len(observations)))
        assert loss == pytest.approx(-np.log(log_epsilon) if action and log_epsilon else 400.0 * action, abs=1e-4)
        assert entropy == pytest.approx(0, abs=2e-5)
        assert np.isfinite(engine.gradient).all()


@engines
def test_where_every_unit_is_at_a_kink_only_the_last_layers_learn(name, random):
    """ReLU6 has slope 0 at both of its kinks, ReLU at its one; both as in torch."""
    for activation, bias in (("relu6", 0), ("relu6", 6), ("relu", 0)):
        engine, layout, _ = build(name, random, (8, 7), activation)
        observations, actions, signal, _ = batch(random)
        for head in layout.spans:
            for weight, biases in layout.layers(engine.parameters, head)[:-1]:
                weight[...], biases[...] = 0, bias
        engine.actor_gradient(observations, actions, signal)
        engine.critic_gradient(observations, signal)
        for head in layout.spans:
            *hidden, (_, last) = layout.layers(engine.gradient, head)
            assert last.any()
            assert not any(weight.any() or biases.any() for weight, biases in hidden)


@engines
def test_a_certain_policy_takes_its_action_whatever_the_number(name, random):
    """Logits of ±200, whose exponentials float32 does not hold."""
    engine, layout, _ = build(name, random, actions=2)
    engine.parameters[...] = 0
    act = act_once(engine, 4)
    for action, logits in enumerate([(200, -200), (-200, 200)]):
        layout.layers(engine.parameters, "actor")[-1][1][...] = logits
        for uniform in (0.0, 0.5, BELOW_ONE):
            assert act(np.ones(4, dtype=np.float32), uniform) == action
