"""Evaluation plays the greedy or the sampled policy of each snapshot, as a plain loop over the environment would."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from scipy import stats

from a3c import train
from a3c.environments.making import Spaces
from a3c.evaluation.play import evaluate, forward, random_return
from a3c.networks.layout import Layout
from tests.a3c.oracles import ACTIVATIONS, small_config, torch_networks


def played_plainly(actor, env_id, env_kwargs=None, first_action=0):
    """Return and length of one greedy episode, with torch and nothing vectorised."""
    environment = gym.make(env_id, **(env_kwargs or {}))
    observation, _ = environment.reset(seed=0)
    total, length, over = 0.0, 0, False
    while not over:
        with torch.no_grad():
            action = first_action + int(actor(torch.tensor(observation, dtype=torch.float64)).argmax())
        observation, reward, terminated, truncated, _ = environment.step(action)
        total, length, over = total + reward, length + 1, terminated or truncated
    environment.close()
    return total, length


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("hidden_sizes", [(16,), (7, 5), (4, 4, 4)])
def test_many_networks_at_once_compute_what_torch_computes_one_by_one(activation, hidden_sizes, random):
    layout = Layout(3, 4, hidden_sizes)
    vectors = random.normal(scale=1.5, size=(6, layout.size)).astype(np.float32)
    inputs = random.normal(scale=3, size=(6, 10, 3)).astype(np.float32)
    for head, index in (("actor", 0), ("critic", 1)):
        outputs = forward(layout.layers(vectors, head), activation, inputs)
        for vector, batch, output in zip(vectors, inputs, outputs, strict=True):
            network = torch_networks(vector, 3, 4, hidden_sizes, activation)[index]
            expected = network(torch.tensor(batch, dtype=torch.float64)).detach().numpy()
            np.testing.assert_allclose(output, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_greedy_policy_of_every_snapshot_plays_as_in_a_plain_loop(activation, random):
    config = small_config(env_id="Corridor-v0", evaluation_episodes=3, activation=activation)
    layout = Layout(3, 3, (8,))
    snapshots = random.normal(scale=1.5, size=(20, layout.size)).astype(np.float32)
    played = evaluate(config, layout, Spaces(3, 3, 0, None), snapshots)
    expected = [played_plainly(torch_networks(s, 3, 3, (8,), activation)[0], "Corridor-v0") for s in snapshots]
    assert len({total for total, _ in expected}) > 3, "policies that all play alike would tell nothing"
    for episode in range(3):
        assert played.returns[:, episode].tolist() == pytest.approx([total for total, _ in expected])
        assert played.lengths[:, episode].tolist() == [length for _, length in expected]


def test_the_last_row_evaluates_the_final_parameters():
    result = train(small_config(env_id="Corridor-v0", evaluations=4, learning_rate=0.05, total_steps=1000))
    table = result.evaluations
    assert list(table.columns) == ["grid", "step", "return", "std", "length", "scaled"]
    assert table["grid"].tolist() == [250, 500, 750, 1000]
    assert table["step"].tolist() == [
        result.update_log["step"][result.update_log["step"] >= g].min() for g in table["grid"]
    ]
    total, length = played_plainly(torch_networks(result.parameters, 3, 3, (8,))[0], "Corridor-v0")
    assert table["return"].iloc[-1] == pytest.approx(total)
    assert table["length"].iloc[-1] == length
    assert (table["std"] == 0).all()
    assert result.metrics["final_return"] == table["return"].iloc[-1]
    assert result.curves["evaluation_return"] == list(zip(table["step"], table["return"], strict=True))


def test_the_grid_of_a_budget_in_episodes_is_in_episodes():
    result = train(small_config(env_kwargs={"lengths": [4, 9]}, total_episodes=10, evaluations=5))
    assert result.evaluations["grid"].tolist() == [2, 4, 6, 8, 10]
    assert result.evaluations["step"].tolist() == [result.episodes["step"][g - 1] for g in (2, 4, 6, 8, 10)]


def test_a_sampled_policy_takes_actions_as_often_as_it_says(random):
    """A chi-squared test of 20,000 actions at fixed seeds; a return of powers of 1000 tells how many of each."""
    kwargs = {"reward": "digits", "actions": 3, "start": 2, "lengths": [500], "size": 2}
    config = small_config(env_kwargs=kwargs, evaluation_policy="sampled", evaluation_episodes=20, seed=4)
    layout = Layout(2, 3, (8,))
    snapshots = np.zeros((2, layout.size), dtype=np.float32)
    probabilities = np.array([[0.7, 0.2, 0.1], [1 / 3, 1 / 3, 1 / 3]])
    for vector, wanted in zip(snapshots, probabilities, strict=True):
        layout.layers(vector, "actor")[-1][1][...] = np.log(wanted)  # biases alone: the same policy everywhere
    played = evaluate(config, layout, Spaces(2, 3, 2, None), snapshots)
    for returns, wanted in zip(played.returns, probabilities, strict=True):
        counts = np.array([returns // 1000**action % 1000 for action in range(3)]).sum(axis=1)
        assert counts.sum() == 20 * 500
        assert stats.chisquare(counts, wanted * 20 * 500).pvalue > 1e-3
    assert len(set(played.returns[0])) > 10, "episodes must not share their random numbers"


def test_the_random_policys_return_is_a_constant_of_the_environment():
    kwargs = {"reward": "action", "start": 3, "actions": 4, "lengths": [100]}
    constants = {
        random_return(small_config(env_kwargs=kwargs, seed=seed, workers=1 + seed), Spaces(3, 4, 3, None))
        for seed in range(4)
    }
    assert len(constants) == 1
    standard_error = np.sqrt((4**2 - 1) / 12 * 100 / 200)  # 200 episodes of 100 actions, uniform on 3 … 6
    assert constants.pop() == pytest.approx(450, abs=5 * standard_error)


def test_the_random_policys_return_is_the_same_whenever_it_is_played():
    """Arguments that say the same in other words, so that no earlier answer can be remembered."""
    said = [{}, {"sutton_barto_reward": False}, {"render_mode": None}]
    assert (
        len(
            {
                random_return(small_config(env_id="CartPole-v1", env_kwargs=kwargs), Spaces(4, 2, 0, 475))
                for kwargs in said
            }
        )
        == 1
    )


def test_runs_report_the_random_return_they_are_scaled_by():
    runs = [train(small_config(env_id="CartPole-v1", evaluations=2, seed=seed)) for seed in (0, 1)]
    low = runs[0].metrics["random_return"]
    assert low == runs[1].metrics["random_return"] == pytest.approx(22, abs=3)
    for run in runs:
        table = run.evaluations
        np.testing.assert_allclose(table["scaled"], (table["return"] - low) / (475 - low))
        assert run.metrics["reward_threshold"] == 475


def test_a_scale_that_is_given_is_used():
    run = train(small_config(evaluations=2, evaluation_scale=[10.0, 65.0]))
    assert run.evaluations["return"].tolist() == [55, 55]
    assert run.evaluations["scaled"].tolist() == pytest.approx([45 / 55] * 2)
    assert run.metrics["auc"] == pytest.approx(45 / 55)


def test_evaluation_may_score_another_variant_of_the_environment():
    run = train(small_config(evaluations=2, evaluation_env_kwargs={"lengths": [4]}))
    assert (run.evaluations["length"] == 4).all()
    assert (run.evaluations["return"] == 10).all()
    assert (run.episodes["length"] == 10).all()
    settings = {"env_id": "CartPole-v1", "env_kwargs": {"sutton_barto_reward": True}, "evaluations": 1}
    standard = train(small_config(evaluation_env_kwargs={"sutton_barto_reward": False}, **settings))
    assert (standard.episodes["return"] == -1).all()
    assert (standard.evaluations["return"] == standard.evaluations["length"]).all()


def test_equal_seeds_share_their_start_states_and_others_do_not():
    starts = {}
    for seed, gamma in ((0, 0.9), (0, 0.5), (1, 0.9)):
        config = small_config(env_id="CartPole-v1", seed=seed, gamma=gamma, evaluation_episodes=30)
        layout = Layout(4, 2, (8,))
        played = evaluate(config, layout, Spaces(4, 2, 0, 475), np.zeros((1, layout.size), np.float32))
        starts[seed, gamma] = played.lengths.tolist()  # always left: the length tells the start
    assert starts[0, 0.9] == starts[0, 0.5] != starts[1, 0.9]
