"""The `seed` preset does, update by update and array by array, what the published program was recorded doing."""

import os
from pathlib import Path

import numpy as np
import pytest

from a3c import TrainConfig
from a3c.engines.choice import make_engine
from a3c.networks.layout import HEADS, Layout
from a3c.rollout import Episode, Rollout
from a3c.workers.learner import Learner
from a3c.workers.store import ParameterStore

TAPE = Path(os.environ.get("A3C_SEED_TAPE") or Path(__file__).parents[1] / "data" / "published_program_updates.npz")
TOLERANCE = 2e-4  # of each array's largest entry


@pytest.fixture(scope="module")
def tape():
    with np.load(TAPE, allow_pickle=False) as archive:
        return dict(archive)


def network_arrays(layout, vector):
    """The vector as the tape names and stores it: weights input x output."""
    for head in HEADS:
        for i, (weight, bias) in enumerate(layout.layers(vector, head), start=1):
            yield f"{head}_w{i}", weight.T
            yield f"{head}_b{i}", bias


def vector_of(layout, tape, prefix):
    vector = np.zeros(layout.size, dtype=np.float32)
    for name, view in network_arrays(layout, vector):
        view[...] = tape[f"{prefix}/{name}"]
    return vector


def assert_close(actual, recorded, what):
    error, largest = np.abs(actual - recorded).max(), np.abs(recorded).max()
    assert error <= TOLERANCE * largest, f"{what}: off by {error:.1e}, its largest entry is {largest:.1e}"


def assert_network(layout, vector, tape, prefix, heads=HEADS):
    for name, actual in network_arrays(layout, vector):
        head, _, array = name.partition("_")
        if head in heads:
            key = f"{prefix}/{name}" if f"{prefix}/{name}" in tape else f"{prefix}/{array}"
            assert_close(actual, tape[key], key)


def test_every_recorded_update_is_reproduced(tape, engine_name):
    updates = sorted({key.split("/")[0] for key in tape if key.startswith("u")}, key=lambda u: int(u[1:]))
    workers = 1 + max(int(tape[f"{u}/worker"]) for u in updates)
    observation_size, hidden = tape["init/actor_w1"].shape
    layout = Layout(observation_size, tape["init/actor_w2"].shape[1], (hidden,))
    config = TrainConfig.preset("seed", workers=workers, engine=engine_name)
    store = ParameterStore(config, layout, vector_of(layout, tape, "init"))
    engines = [make_engine(config, layout) for _ in range(workers)]
    learners = [Learner(config, layout, engine, store, w) for w, engine in enumerate(engines)]
    versions = [store.pull(engine.parameters) for engine in engines]

    for u in updates:
        worker = int(tape[f"{u}/worker"])
        engine = engines[worker]
        assert_network(layout, engine.parameters, tape, f"{u}/local_before")
        seen = tape[f"{u}/observations"]
        rewards = tape[f"{u}/rewards"].astype(np.float64)
        rollout = Rollout(
            observations=np.vstack([seen, np.zeros_like(seen[:1])]),  # what follows an end is worth nothing
            actions=tape[f"{u}/actions"],
            rewards=rewards,
            terminated=True,
            truncated=False,
            episode=Episode(float(rewards.sum()), len(rewards)),
        )
        critic = engine.signal(rollout)
        push = learners[worker].learn(rollout, versions[worker])
        actor = engine.signal(rollout)  # by the critic after its local step
        assert_close(critic.returns, tape[f"{u}/critic_targets"], f"{u}/critic_targets")
        assert_network(layout, engine.parameters, tape, f"{u}/local_critic_stepped", heads=["critic"])
        assert_close(actor.values, tape[f"{u}/baseline"], f"{u}/baseline")
        assert_close(actor.n_step, tape[f"{u}/n_step_targets"], f"{u}/n_step_targets")
        versions[worker], _ = store.push_and_pull(push, engine.parameters)
        assert_network(layout, store.parameters, tape, f"{u}/global_after")
    assert store.version == len(updates)
