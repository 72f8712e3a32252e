"""The engines compute the same: the compiled one, the reference, and float64 torch written again.

What is exact in real numbers is compared to rounding in float32. A sum whose terms cancel keeps the rounding of its
terms, so tolerances have a part relative to the result and a smaller one relative to the sum of its terms' sizes.
"""

import gc
import weakref
from dataclasses import dataclass
from threading import Thread

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from a3c import TrainConfig, tail_rule, train
from a3c.engines import compiled
from a3c.engines.base import learn_by_parts
from a3c.engines.choice import ENGINES, make_engine, make_update
from a3c.engines.compiled import CompiledUpdate
from a3c.engines.residuals import Residuals
from a3c.engines.signal import bootstrap_is_zero, reference_signal
from a3c.environments.making import make, spaces_of
from a3c.networks.layout import HEADS, Layout
from a3c.networks.optimizers import NumpyUpdate, StepCount
from a3c.rollout import Steps
from a3c.streams import Purpose, generator
from a3c.targets.registry import TAIL_RULES
from a3c.targets.rule import Targets
from tests.a3c.oracles import (
    ACTIVATIONS,
    act_once,
    definitional_returns,
    definitional_targets,
    random_rollout,
    small_config,
    torch_networks,
)

RELATIVE, ROUNDING = 3e-6, 5e-7  # of a result; of the sum of its terms' sizes
KINKS = {"relu6": (0.0, 6.0), "relu": (0.0,), "tanh": ()}
TOO_NEAR = 1e-4  # to a kink, where float32 may stand on its other side

engines = pytest.mark.parametrize("name", ENGINES)
OTHERS = [name for name in ENGINES if name != "autograd"]
others = pytest.mark.parametrize("name", OTHERS)
hidden_sizes = st.one_of(st.integers(1, 40), st.sampled_from([1, 3, 4, 8, 31, 32, 33]))
hidden_layers = st.lists(hidden_sizes, min_size=1, max_size=3)
lengths = st.one_of(st.integers(1, 100), st.sampled_from([1, 31, 32, 33, 63, 64, 65]))
seeds = st.integers(0, 2**32 - 1)


@dataclass
class Case:
    """Random networks, as an engine's vector and in float64, and what makes random numbers for them."""

    layout: Layout
    activation: str
    vector: np.ndarray
    random: np.random.Generator

    def engine(self, name, **changes):
        made = make_engine(self.config(name, **changes), self.layout)
        made.parameters[...] = self.vector
        return made

    def config(self, name, **changes):
        return small_config(engine=name, hidden_sizes=self.layout.hidden_sizes, activation=self.activation, **changes)

    def networks(self):
        layout = self.layout
        return torch_networks(
            self.vector, layout.observation_size, layout.actions, layout.hidden_sizes, self.activation
        )

    def observations(self, T):
        """Random ones, of which none puts a unit near a kink."""
        found = np.empty((0, self.layout.observation_size), dtype=np.float32)
        while len(found) < T:
            drawn = self.random.normal(scale=2, size=(2 * T, self.layout.observation_size)).astype(np.float32)
            found = np.concatenate([found, drawn[~self._near_a_kink(drawn)]])
        return found[:T].copy()

    @torch.no_grad()
    def _near_a_kink(self, observations):
        near = np.zeros(len(observations), dtype=np.bool_)
        for network in self.networks():
            x = torch.tensor(observations, dtype=torch.float64)
            for module in network:
                if not isinstance(module, torch.nn.Linear):
                    for kink in KINKS[self.activation]:
                        near |= ((x - kink).abs() < TOO_NEAR).any(dim=1).numpy()
                x = module(x)
        return near


@st.composite
def cases(draw):
    layout = Layout(draw(st.integers(1, 9)), draw(st.integers(1, 6)), tuple(draw(hidden_layers)))
    random = np.random.default_rng(draw(seeds))
    vector = layout.initial(random) * np.float32(draw(st.sampled_from([0.3, 1.0, 2.0])))
    for head in HEADS:
        for _, bias in layout.layers(vector, head):
            bias[...] = random.normal(scale=0.5, size=bias.shape)
    return Case(layout, draw(st.sampled_from(sorted(ACTIVATIONS))), vector, random)


def some(draw_or_none, random, T):
    """The steps used: all, by not saying, or each with the given probability."""
    return None if draw_or_none is None else random.random(T) < draw_or_none


usage = st.sampled_from([None, None, 0.0, 0.1, 0.5, 1.0])


# Gradients


@settings(max_examples=30)
@given(
    cases(),
    lengths,
    usage,
    st.sampled_from([0.0, 1e-8, 1e-5, 0.1]),
    st.sampled_from([0.0, 0.01, 1.0, 100.0]),
    st.sampled_from([0.0, 1e-3, 1.0, 100.0]),
)
def test_gradients_losses_and_entropies(case, T, used, log_epsilon, beta, scale):
    observations = case.observations(T)
    actions = case.random.integers(case.layout.actions, size=T)
    signal = case.random.normal(scale=scale, size=T)
    use = some(used, case.random, T)
    w = np.ones(T) / T if use is None else use / max(1, use.sum())
    expected = differentiated(case.networks(), observations, actions, signal, w, log_epsilon, beta)
    for name in ENGINES:
        engine = case.engine(name, log_epsilon=log_epsilon, entropy_coef=beta)
        engine.gradient[...] = np.nan
        loss, entropy = engine.actor_gradient(observations, actions, signal, use)
        critic_loss = engine.critic_gradient(observations, signal, use)
        for head, found in (("actor", loss), ("critic", critic_loss)):
            theirs = expected[head]
            error = np.linalg.norm(engine.gradient[case.layout.spans[head]] - theirs.gradient)
            assert error <= RELATIVE * np.linalg.norm(theirs.gradient) + ROUNDING * theirs.gradient_terms, (name, head)
            assert abs(found - theirs.loss) <= RELATIVE * abs(theirs.loss) + ROUNDING * theirs.loss_terms, (name, head)
        assert entropy == pytest.approx(expected["entropy"], rel=RELATIVE, abs=ROUNDING)


@dataclass
class Differentiated:
    loss: float
    loss_terms: float
    gradient: np.ndarray
    gradient_terms: float


def differentiated(networks, observations, actions, signal, w, log_epsilon, beta):
    """Losses and gradients in float64, and the sizes of what they are sums of.

    Of a step, log π(a|s) is the chosen logit less a logarithm, and the derivatives are p_j times something less the
    mean of that; where a policy is nearly certain, such a difference is nearly 0.
    """
    (actor, critic), T = networks, len(actions)
    x, w, signal = torch.tensor(observations, dtype=torch.float64), torch.tensor(w), torch.tensor(signal)
    logits, v = actor(x), critic(x)[:, 0]
    chosen = torch.arange(T), torch.tensor(actions)
    p = torch.softmax(logits, dim=1)
    logs = torch.log(p + log_epsilon)
    entropies = -(p * logs).sum(dim=1)
    policy = -w * (logs[chosen] * signal + beta * entropies)
    policy_terms = w * (signal.abs() * (1 + logs[chosen].abs()) + beta * (1 + entropies.abs()))
    slopes = (p * (logs + p / (p + log_epsilon))).detach().abs()
    value = w * (signal - v) ** 2
    return {
        "entropy": (w * entropies).sum().item(),
        "actor": Differentiated(
            policy.sum().item(),
            policy_terms.sum().item(),
            step_gradients(actor, policy).sum(axis=0),
            sizes(step_gradients(actor, w * signal * logits[chosen]))
            + sizes(step_gradients(actor, w * beta * (slopes * logits).sum(dim=1))),
        ),
        "critic": Differentiated(
            value.sum().item(),
            (w * (signal.abs() + v.abs()) ** 2).sum().item(),
            step_gradients(critic, value).sum(axis=0),
            sizes(step_gradients(critic, 2 * w * (signal.abs() + v.abs()).detach() * v)),
        ),
    }


def step_gradients(network, losses):
    """Each step's own gradient, ``[T, size of the head]``."""
    parameters, T = list(network.parameters()), len(losses)
    ones = torch.eye(T, dtype=torch.float64)
    gradients = torch.autograd.grad(losses, parameters, ones, is_grads_batched=True, retain_graph=True)
    return np.concatenate([gradient.reshape(T, -1).numpy() for gradient in gradients], axis=1)


def sizes(steps):
    return np.linalg.norm(steps, axis=1).sum()


@settings(max_examples=20)
@given(cases(), lengths)
def test_all_steps_are_used_where_nothing_is_said(case, T):
    observations, actions = case.observations(T), case.random.integers(case.layout.actions, size=T)
    signal = case.random.normal(size=T)
    for name in ENGINES:
        engine, found = case.engine(name), []
        for use in (None, np.ones(T, dtype=np.bool_)):
            terms = engine.actor_gradient(observations, actions, signal, use)
            found.append((terms, engine.critic_gradient(observations, signal, use), engine.gradient.tolist()))
        assert found[0] == found[1]


@settings(max_examples=30)
@given(cases(), lengths)
def test_values(case, T):
    observations = case.observations(T)
    _, critic = case.networks()
    expected = critic(torch.tensor(observations, dtype=torch.float64))[:, 0].detach().numpy()
    terms = 1 + np.abs(case.layout.layers(case.vector, "critic")[-1][0]).sum()
    for name in ENGINES:
        values = case.engine(name).values(observations)
        assert values.dtype == np.float64
        assert values.shape == (T,)
        assert values == pytest.approx(expected, rel=RELATIVE, abs=ROUNDING * float(max(terms, np.abs(expected).max())))


# Updates


@st.composite
def optimizers(draw):
    return {
        "optimizer": draw(st.sampled_from(["adam", "rmsprop", "sgd"])),
        "adam_beta1": draw(st.sampled_from([0.0, 0.5, 0.9, 0.99])),
        "adam_beta2": draw(st.sampled_from([0.0, 0.5, 0.999])),
        "rmsprop_decay": draw(st.sampled_from([0.0, 0.5, 0.99])),
        "optimizer_epsilon": draw(st.sampled_from([1e-8, 1e-3, 0.1, 1.0])),
        "max_grad_norm": draw(st.sampled_from([None, 1e-3, 1.0, 40.0, 1e6])),
    }


@settings(max_examples=40)
@given(
    optimizers(),
    st.integers(1, 40),
    st.lists(st.tuples(st.sampled_from([0.0, 1e-6, 1e-3, 1.0, 1e3]), st.integers(0, 2)), min_size=1, max_size=8),
    st.sampled_from([0.0, 1.0]),
    seeds,
)
def test_updates(options, hidden, gradients, start, seed):
    """Each gradient has a size, and comes after some steps of critics that share the count."""
    layout, random = Layout(3, 2, (hidden,)), np.random.default_rng(seed)
    config, counts = small_config(**options), [StepCount(), StepCount()]
    updates = [NumpyUpdate(config, layout, counts[0]), CompiledUpdate(config, layout, counts[1])]
    first = (start * random.normal(size=layout.size)).astype(np.float32)
    networks = [first.copy(), first.copy()]
    went = np.zeros(layout.size)
    for scale, others in gradients:
        gradient = random.normal(scale=scale, size=layout.size).astype(np.float32)
        given_gradient, before = gradient.copy(), networks[0].copy()
        for update, network, count in zip(updates, networks, counts, strict=True):
            for _ in range(others):
                count.next()
            update.apply(network, gradient, 0.01, 0.05)
        np.testing.assert_array_equal(gradient, given_gradient)
        went += np.abs(networks[0] - before)
    assert counts[0].value == counts[1].value
    for span in layout.spans.values():
        apart = np.abs(networks[1] - networks[0])[span].max()
        assert apart <= 1e-6 * (went[span].max() + np.abs(first[span]).max())


def test_each_name_is_an_engine_of_its_own():
    made = {name: type(make_engine(small_config(engine=name), Layout(1, 2, (1,)))) for name in ENGINES}
    assert len(set(made.values())) == len(ENGINES)


def test_each_engine_has_its_own_update():
    layout = Layout(1, 2, (1,))
    kinds = {"autograd": NumpyUpdate, "compiled": CompiledUpdate}
    for name, kind in kinds.items():
        assert isinstance(make_update(small_config(engine=name), layout, StepCount()), kind)


# Acting


def thresholds(act, observation, actions):
    """Where, on the way from 0 to 1, the uniform number leads to a later action: the cumulative distribution."""
    found = []
    for action in range(actions - 1):
        low, high = 0.0, 1.0
        while high - low > 1e-8:
            middle = (low + high) / 2
            low, high = (low, middle) if act(observation, middle) > action else (middle, high)
        found.append(high)
    return np.array(found)


@settings(max_examples=25)
@given(cases())
def test_the_probabilities_of_actions(case):
    observation = case.observations(1)[0]
    logits = case.networks()[0](torch.tensor(observation, dtype=torch.float64))
    cumulative = torch.softmax(logits, dim=0).cumsum(0).detach().numpy()[:-1]
    for name in ENGINES:
        act = act_once(case.engine(name), case.layout.observation_size)
        assert thresholds(act, observation, case.layout.actions) == pytest.approx(cumulative, abs=1e-6)


@settings(max_examples=25)
@given(cases(), lengths)
def test_the_same_number_leads_to_the_same_action_and_all_is_recorded(case, T):
    observations, uniforms = case.observations(T), case.random.random(T)
    logits = case.networks()[0](torch.tensor(observations, dtype=torch.float64))
    cumulative = torch.softmax(logits, dim=1).cumsum(1).detach().numpy()[:, :-1]
    uniforms[np.abs(cumulative - uniforms[:, None]).min(axis=1, initial=1) < 1e-5] = 0.0
    expected = (cumulative <= uniforms[:, None]).sum(axis=1)
    for name in ENGINES:
        steps = Steps.room(T + 3, case.layout.observation_size)
        for array in steps:
            array[...] = 77
        steps.uniforms[:T] = uniforms
        engine = case.engine(name)
        act = engine.acting(steps)
        taken = [act(observations[t], t) for t in range(T)]
        assert taken == expected.tolist()
        assert steps.actions.tolist() == taken + [77] * 3
        np.testing.assert_array_equal(steps.observations[:T], observations)
        assert (steps.observations[T:] == 77).all()


@engines
def test_new_weights_count_from_the_next_rollout_on(name):
    """Layers with more outputs than inputs and with fewer; whatever else was computed in between."""
    layout = Layout(2, 2, (8, 3))
    engine = make_engine(small_config(engine=name, hidden_sizes=(8, 3), activation="tanh"), layout)
    act = act_once(engine, 2)
    random, observations = np.random.default_rng(5), np.array([[1.0, -2.0], [0.5, 3.0]], dtype=np.float32)
    engine.parameters[...] = random.normal(scale=0.5, size=layout.size)
    for weight, bias in layout.layers(engine.parameters, "actor"):
        for array in (weight, bias):
            before = thresholds(act, observations[0], 2)
            array[...] = random.normal(scale=0.5, size=array.shape)
            after = thresholds(act, observations[0], 2)
            assert abs(after - before) > 1e-3
            engine.values(observations)
            engine.actor_gradient(observations, np.array([0, 1]), np.ones(2))
            assert thresholds(act, observations[0], 2) == after


@engines
def test_a_policy_keeps_alive_what_it_reads_and_writes(name):
    layout, steps = Layout(2, 2, (4,)), Steps.room(5, 2)
    engine = make_engine(small_config(engine=name, hidden_sizes=(4,)), layout)
    act = engine.acting(steps)
    engine.acting(Steps.room(5, 2))
    parameters = engine.parameters if engine.parameters.base is None else engine.parameters.base
    bound = [weakref.ref(array) for array in (parameters, steps.observations, steps.actions, steps.uniforms)]
    del engine, steps, parameters
    gc.collect()
    assert [reference() is not None for reference in bound] == [True] * 4
    del act


# Signals and learning

ENDS = [(False, False), (True, False), (False, True), (True, True)]


@st.composite
def learnings(draw, **fixed):
    """A case, a rollout of it, and the settings that decide what is learnt from it."""
    case, T = draw(cases()), draw(lengths)
    changes = {
        "gamma": draw(st.one_of(st.sampled_from([0.0, 1.0, 0.99, 0.5]), st.floats(0, 1))),
        "n_step": draw(st.one_of(st.integers(1, T + 3), st.sampled_from([1, T, 10**6]))),
        "target": draw(st.sampled_from(["missing_as_zero", "max_terms"])),
        "n_step_convention": draw(st.sampled_from(["textbook", "seed"])),
        "n_step_head": draw(st.sampled_from(["actor", "critic", "both"])),
        "bootstrap_truncated": draw(st.booleans()),
        "log_epsilon": draw(st.sampled_from([0.0, 1e-5])),
        "entropy_coef": draw(st.sampled_from([0.0, 0.1])),
    }
    rollout = random_rollout(case.random, T, case.layout, *draw(st.sampled_from(ENDS)))
    return case, rollout._replace(observations=case.observations(T + 1)), changes | fixed


def close(theirs, *largest):
    """To rounding of the largest number that goes in."""
    return pytest.approx(theirs, rel=1e-12, abs=1e-12 * max(1.0, *(np.abs(x).max() for x in largest)))


def assert_signal(signal, expected, *largest):
    for ours, theirs in zip(signal, expected, strict=True):
        assert ours == close(theirs, *largest)
    for array in signal[:3]:
        assert array.dtype == np.float64
    assert signal.use.dtype == np.bool_


@engines
@settings(max_examples=30)
@given(learnings())
def test_signals_are_the_references_by_the_engines_own_values(name, learning):
    case, rollout, changes = learning
    engine = case.engine(name, **changes)
    values = engine.values(rollout.observations)
    expected = reference_signal(case.config(name, **changes), rollout, values)
    assert_signal(engine.signal(rollout), expected, values, np.abs(rollout.rewards).sum())


@settings(max_examples=30)
@given(learnings(n_step_convention="textbook"))
def test_signals_are_the_formula(learning):
    case, rollout, changes = learning
    values = case.engine("compiled").values(rollout.observations)
    b = 0.0 if bootstrap_is_zero(rollout, changes["bootstrap_truncated"]) else values[-1]
    n, gamma, T = changes["n_step"], changes["gamma"], rollout.length
    targets = definitional_targets(rollout.rewards, values[:-1], b, gamma, n, changes["target"])
    shifts = [gamma**d * b for d in range(1, T + 1) if d <= n]
    signal = case.engine("compiled", **changes).signal(rollout)
    returns = definitional_returns(rollout.rewards, b, gamma)
    by_step = [gamma**d * b if d <= n else 0.0 for d in range(T, 0, -1)]
    use = np.ones(T, bool)
    expected = (values[:-1], targets, returns, use, by_step, np.count_nonzero(shifts), np.abs(shifts).sum())
    assert_signal(signal, expected, values, np.abs(rollout.rewards).sum())


@engines
@settings(max_examples=15)
@given(learnings())
def test_learning(name, learning):
    """Against float64 by the engine's own signal; values are float32, so advantages keep the rounding of both terms."""
    case, rollout, changes = learning
    engine = case.engine(name, **changes)
    v, n_step, returns, use, _, differing, shift = engine.signal(rollout)
    engine.gradient[...] = np.nan
    learned = engine.learn(rollout)
    assert learned.differing == differing
    assert learned.shift == pytest.approx(shift, rel=1e-12)
    for head, found in (("actor", learned.actor_loss), ("critic", learned.critic_loss)):
        uses_n_step = changes["n_step_head"] in (head, "both")
        targets, w = (n_step, use / max(1, use.sum())) if uses_n_step else (returns, np.ones(len(v)) / len(v))
        batch = case.networks(), rollout.observations[:-1], rollout.actions
        constants = w, changes["log_epsilon"], changes["entropy_coef"]
        signal, largest = (targets - v, np.abs(targets) + np.abs(v)) if head == "actor" else (targets, np.abs(targets))
        expected = differentiated(*batch, signal, *constants)
        terms = differentiated(*batch, largest, *constants)[head]
        theirs = expected[head]
        error = np.linalg.norm(engine.gradient[case.layout.spans[head]] - theirs.gradient)
        assert error <= RELATIVE * np.linalg.norm(theirs.gradient) + ROUNDING * terms.gradient_terms, head
        assert abs(found - theirs.loss) <= RELATIVE * abs(theirs.loss) + ROUNDING * terms.loss_terms, head
        if head == "actor":
            assert learned.entropy == pytest.approx(expected["entropy"], rel=RELATIVE, abs=ROUNDING)


@engines
@settings(max_examples=15)
@given(learnings())
def test_learning_at_once_is_learning_by_parts(name, learning):
    case, rollout, changes = learning
    at_once, by_parts = case.engine(name, **changes), case.engine(name, **changes)
    assert_learn_alike(at_once, by_parts, rollout, learn_by_parts(by_parts, changes["n_step_head"], rollout))


def assert_learn_alike(engine, other, rollout, expected):
    """``learn`` does what the other engine has just done, up to the order of its sums."""
    learned, signal = engine.learn(rollout), other.signal(rollout)
    largest = 1 + max(float(np.abs(array).max()) for array in signal[:3])
    assert learned == pytest.approx(expected, rel=1e-6, abs=1e-6 * largest**2)
    np.testing.assert_array_equal(engine.residuals.latest[0], other.residuals.latest[0])
    assert engine.residuals.latest == close(other.residuals.latest, largest)
    assert np.linalg.norm(engine.gradient - other.gradient) <= 1e-6 * (np.linalg.norm(other.gradient) + largest)


@engines
@settings(max_examples=12)
@given(learnings(), st.integers(0, 200))
def test_residuals_are_those_of_the_rollout_and_of_what_was_learnt_before(name, learning, before):
    """Whether that was longer or shorter."""
    case, rollout, changes = learning
    engine, expected = case.engine(name, **changes), Residuals()
    for one in (random_rollout(case.random, 1 + before, case.layout), rollout):
        engine.learn(one)
        expected.count_and_write(engine.signal(one))
    np.testing.assert_array_equal(engine.residuals.arrays[:, 0], expected.arrays[:, 0])
    assert engine.residuals.arrays == close(expected.arrays, expected.arrays)


@engines
@pytest.mark.parametrize("head", ["actor", "critic", "both"])
def test_rollouts_of_any_length_may_follow_one_another(name, head, random):
    layout = Layout(3, 2, (5,))
    config = small_config(engine=name, hidden_sizes=(5,), n_step=1000, n_step_head=head)
    engine, other = make_engine(config, layout), make_engine(config, layout)
    engine.parameters[...] = other.parameters[...] = layout.initial(random)
    for T in (511, 512, 513, 1, 700, 1023, 1024, 1025, 5000, 40):
        rollout = random_rollout(random, T, layout)
        assert_learn_alike(engine, other, rollout, learn_by_parts(other, head, rollout))


@others
@pytest.mark.parametrize("rule", ["half_of_the_complete", "drop", "wrong_gamma"])
@pytest.mark.usefixtures("half_of_the_complete")
@settings(max_examples=10)
@given(learnings())
def test_a_rule_that_is_not_built_in_teaches_the_same(name, rule, learning):
    case, rollout, changes = learning
    changes["target"] = rule
    engine, reference = case.engine(name, **changes), case.engine("autograd", **changes)
    signal, expected = engine.signal(rollout), reference.signal(rollout)
    np.testing.assert_array_equal(signal.use, expected.use)
    assert signal.differing == expected.differing
    largest = 1 + max(float(np.abs(array).max()) for array in expected[:3])
    for ours, theirs in zip(signal, expected, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-5, abs=1e-5 * largest)
    learned = reference.learn(rollout)
    assert engine.learn(rollout) == pytest.approx(learned, rel=1e-5, abs=1e-5 * largest**2)
    assert engine.residuals.latest == pytest.approx(reference.residuals.latest, rel=1e-5, abs=1e-5 * largest)
    for head, span in case.layout.spans.items():
        apart = np.linalg.norm(engine.gradient[span] - reference.gradient[span])
        assert apart <= 1e-5 * (np.linalg.norm(reference.gradient[span]) + largest), head


@pytest.fixture(scope="module")
def half_of_the_complete():
    """Incomplete windows stay out of the loss, and complete ones are worth half: nothing that is built in."""

    @tail_rule
    def half_of_the_complete(w):
        return Targets((w.rewards + w.discounts * w.values) / 2, ~w.missing)

    yield
    del TAIL_RULES["half_of_the_complete"]


# Learning without the GIL


def rollouts_of(layout, seed, count=6):
    random = np.random.default_rng(seed)
    return [random_rollout(random, T, layout, *ENDS[T % 4]) for T in random.integers(1, 120, size=count)]


def tape_of(engine, rollouts):
    """Bit for bit what comes of learning these, one after the other."""
    return [
        (engine.learn(rollout), engine.gradient.tobytes(), engine.residuals.latest.tobytes()) for rollout in rollouts
    ]


@pytest.mark.parametrize("hidden_sizes", [(8,), (40,), (33, 17), (5, 40, 3)])
@pytest.mark.parametrize("head", ["actor", "critic", "both"])
def test_learning_without_the_gil_gives_the_same_bits(hidden_sizes, head, monkeypatch, random):
    layout = Layout(4, 3, hidden_sizes)
    config = small_config(engine="compiled", hidden_sizes=hidden_sizes, n_step_head=head)
    vector, rollouts = layout.initial(random), rollouts_of(layout, 1)
    tapes = []
    for long in (10**12, 0):
        monkeypatch.setattr(compiled, "LONG", long)
        engine = make_engine(config, layout)
        engine.parameters[...] = vector
        tapes.append(tape_of(engine, rollouts))
    assert tapes[0] == tapes[1]


@pytest.mark.parametrize("optimizer", ["adam", "rmsprop", "sgd"])
def test_updating_without_the_gil_gives_the_same_bits(optimizer, monkeypatch, random):
    layout, config = Layout(4, 3, (33,)), small_config(engine="compiled", optimizer=optimizer, max_grad_norm=1.0)
    gradients = random.normal(size=(5, layout.size)).astype(np.float32)
    networks = []
    for long in (10**12, 0):
        monkeypatch.setattr(compiled, "LONG", long)
        update, network = CompiledUpdate(config, layout, StepCount()), np.zeros(layout.size, dtype=np.float32)
        for gradient in gradients:
            update.apply(network, gradient, 0.01, 0.02)
        networks.append(network.tobytes())
    assert networks[0] == networks[1]


def test_engines_that_learn_at_the_same_time_do_not_disturb_each_other(monkeypatch, switch_interval):
    """Three without the GIL, of two sizes, while one that keeps it computes values in the scratch they all share."""
    monkeypatch.setattr(compiled, "LONG", 0)
    layouts = [Layout(4, 3, (40,)), Layout(4, 3, (40,)), Layout(6, 2, (33, 31))]
    made = []
    for seed, layout in enumerate(layouts):
        engine = make_engine(small_config(engine="compiled", hidden_sizes=layout.hidden_sizes), layout)
        engine.parameters[...] = layout.initial(np.random.default_rng(seed))
        made.append((engine, rollouts_of(layout, seed, count=20) * 10))
    alone = [tape_of(engine, rollouts) for engine, rollouts in made]
    together = [None] * len(made)
    other = make_engine(small_config(engine="compiled", hidden_sizes=(40,)), layouts[0])
    other.parameters[...] = layouts[0].initial(np.random.default_rng(9))
    observations = made[0][1][0].observations
    values = other.values(observations).tolist()

    def learn(number):
        together[number] = tape_of(*made[number])

    threads = [Thread(target=learn, args=(number,)) for number in range(len(made))]
    with switch_interval(1e-5):
        for thread in threads:
            thread.start()
        seen = {tuple(other.values(observations)) for _ in range(50)}
        while any(thread.is_alive() for thread in threads):
            seen.add(tuple(other.values(observations)))
        for thread in threads:
            thread.join()
    assert together == alone
    assert seen == {tuple(values)}


# Whole runs

RUNS = {
    "default": {"env_id": "CartPole-v1", "hidden_sizes": (128,)},
    "tanh": {"env_id": "CartPole-v1", "activation": "tanh", "optimizer": "sgd", "n_step_head": "both"},
    "two hidden layers": {"env_id": "Corridor-v0", "hidden_sizes": (17, 33), "activation": "relu"},
    "rmsprop": {"env_id": "CartPole-v1", "optimizer": "rmsprop", "max_grad_norm": 0.5, "workers": 5},
    "episodes of many lengths": {"env_kwargs": {"lengths": [1, 80, 7, 33], "reward": "action", "ending": "truncated"}},
    "whole episodes": {"env_kwargs": {"lengths": [90, 4, 33, 32, 31], "reward": "action"}, "rollout_length": "episode"},
    "float64 observations": {"env_kwargs": {"dtype": "float64", "reward": "action", "actions": 3, "lengths": [40, 7]}},
    "missing as zero": {"env_id": "Corridor-v0", "target": "missing_as_zero", "n_step_head": "critic", "gamma": 1.0},
    "drop": {"env_id": "CartPole-v1", "target": "drop", "n_step_head": "both"},
    "wrong gamma": {"env_id": "CartPole-v1", "target": "wrong_gamma"},
}


@pytest.mark.parametrize("run", RUNS)
def test_a_run_is_the_same_while_rounding_allows(run):
    assert_same_run(small_config(**{"total_steps": 500} | RUNS[run]))


def test_the_published_programs_way_is_the_same_while_rounding_allows():
    assert_same_run(TrainConfig.preset("seed", schedule="round_robin", total_steps=800, evaluations=0))


def initial_parameters(config):
    environment = make(config.env_id, config.env_kwargs)
    spaces = spaces_of(environment, config.env_id)
    environment.close()
    layout = Layout(spaces.observation_size, spaces.actions, config.hidden_sizes)
    return layout.initial(generator(config.seed, Purpose.PARAMETERS))


def assert_same_run(config):
    reference = train(config.model_copy(update={"engine": "autograd"}))
    assert reference.engine == "autograd"
    for name in OTHERS:
        assert_same_as(reference, config, name)


def assert_same_as(reference, config, name):
    ours = train(config.model_copy(update={"engine": name}))
    assert ours.engine == name
    assert (ours.updates == reference.updates).all()
    assert ours.episodes.equals(reference.episodes)
    assert_frame_equal(ours.residuals, reference.residuals, rtol=1e-3, atol=1e-3)
    start = initial_parameters(config)
    apart, moved = (np.linalg.norm(ours.parameters - theirs) for theirs in (reference.parameters, start))
    assert apart <= 1e-4 * moved
    for name in ("differing_target_share", "mean_target_shift"):
        assert ours.metrics[name] == pytest.approx(reference.metrics[name], rel=1e-3)
