"""What the tests hold the package to, written again from the documents and sharing no code with it; small configs."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from torch import nn

from a3c import TrainConfig
from a3c.networks.layout import Layout
from a3c.rollout import Episode, Rollout, Steps
from tests import environments  # noqa: F401 - registers the environments

ACTIVATIONS = {"relu6": nn.ReLU6, "relu": nn.ReLU, "tanh": nn.Tanh}


SMALL = {
    "env_id": "Scripted-v0",
    "workers": 2,
    "total_steps": 200,
    "rollout_length": 5,
    "n_step": 3,
    "hidden_sizes": (8,),
    "evaluations": 0,
    "evaluation_episodes": 2,
}
STILL = {"optimizer": "sgd", "learning_rate": 1e-30, "critic_learning_rate": 1e-30}  # parameters stay as initialised


def small_config(**changes):
    """A run of some milliseconds in a scripted environment."""
    settings = dict(SMALL)
    if "total_episodes" in changes:
        del settings["total_steps"]
    return TrainConfig.model_validate(settings | changes)


def definitional_targets(rewards, values, bootstrap, gamma, n, tail):
    """The n-step formula, term by term."""
    T = len(rewards)
    targets = []
    for t in range(T):
        d = T - t
        m = min(n, d)
        beyond = {
            "missing_as_zero": 0.0,
            "drop": 0.0,
            "max_terms": gamma**d * bootstrap,
            "wrong_gamma": gamma**n * bootstrap,
        }[tail]
        value = gamma**n * values[t + n] if n < d else beyond
        targets.append(sum(gamma**i * rewards[t + i] for i in range(m)) + value)
    return np.array(targets)


def definitional_use(T, n, tail, ended):
    """The steps whose targets count, one by one."""
    return np.array([tail != "drop" or ended or n < T - t for t in range(T)])


def definitional_returns(rewards, bootstrap, gamma):
    T = len(rewards)
    return np.array(
        [sum(gamma**i * rewards[t + i] for i in range(T - t)) + gamma ** (T - t) * bootstrap for t in range(T)]
    )


def torch_networks(vector, observation_size, actions, hidden_sizes, activation="relu6"):
    """Actor and critic as fresh float64 torch modules, filled from the flat vector by its documented order."""
    rest = torch.tensor(np.asarray(vector, dtype=np.float64))
    networks = []
    for outputs in (actions, 1):
        sizes = [observation_size, *hidden_sizes, outputs]
        modules = []
        for inp, out in pairwise(sizes):
            linear = nn.Linear(inp, out, dtype=torch.float64)
            with torch.no_grad():
                linear.weight.copy_(rest[: inp * out].reshape(out, inp))
                linear.bias.copy_(rest[inp * out : inp * out + out])
            rest = rest[(inp + 1) * out :]
            modules += [linear, ACTIVATIONS[activation]()]
        networks.append(nn.Sequential(*modules[:-1]))
    assert rest.numel() == 0
    return networks


def flat_gradient(*networks):
    """The gradients of fresh torch modules, in the flat vector's order."""
    parameters = [parameter for network in networks for parameter in network.parameters()]
    return np.concatenate([p.grad.numpy().ravel() if p.grad is not None else np.zeros(p.numel()) for p in parameters])


def act_once(engine, observation_size):
    """An engine's policy as a function of the observation and the uniform number; weights are read at each call."""
    steps = Steps.room(1, observation_size)
    act = engine.acting(steps)

    def action(observation, uniform):
        steps.uniforms[0] = uniform
        return act(observation, 0)

    action.keeps = engine, steps
    return action


def random_rollout(random, T, layout: Layout, terminated=False, truncated=False):
    rewards = random.normal(size=T)
    over = terminated or truncated
    return Rollout(
        observations=random.normal(size=(T + 1, layout.observation_size)).astype(np.float32),
        actions=random.integers(layout.actions, size=T),
        rewards=rewards,
        terminated=terminated,
        truncated=truncated,
        episode=Episode(float(rewards.sum()), T) if over else None,
    )
