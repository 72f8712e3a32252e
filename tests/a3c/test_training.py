"""A whole run: what it counts, what it returns, and what must not change it."""

import hashlib
import pickle
import random as python_random
import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from a3c import TrainConfig, WorkerFailed, train
from tests.a3c.oracles import STILL, small_config, torch_networks
from tests.environments import scripted_observation

pytestmark = pytest.mark.usefixtures("engine_name")


# What is returned


@settings(max_examples=12)
@given(
    st.lists(st.integers(1, 30), min_size=1, max_size=4),
    st.integers(1, 5),
    st.one_of(st.just("episode"), st.integers(1, 12)),
)
def test_episodes_are_the_environments_own_with_returns_lengths_steps_and_workers(lengths, workers, rollout_length):
    kwargs = {"lengths": lengths}
    result = train(small_config(env_kwargs=kwargs, workers=workers, rollout_length=rollout_length, total_steps=100))
    episodes, log = result.episodes, result.update_log
    assert list(episodes.columns) == ["step", "return", "length", "worker"]
    assert episodes["step"].is_monotonic_increasing
    for worker in range(workers):
        own = episodes[episodes["worker"] == worker]["length"].tolist()
        assert own == [lengths[i % len(lengths)] for i in range(len(own))]
    assert (episodes["return"] == episodes["length"] * (episodes["length"] + 1) / 2).all()
    assert set(episodes["step"]) <= set(log["step"])
    steps = np.diff([0, *log["step"]])
    for row in episodes.itertuples():  # an episode's steps were all pushed by its worker, by then
        pushed = steps[(log["worker"] == row.worker) & (log["step"] <= row.step)].sum()
        assert pushed == episodes["length"][(episodes["worker"] == row.worker) & (episodes["step"] <= row.step)].sum()


@pytest.mark.parametrize("schedule", ["round_robin", "free"])
@pytest.mark.parametrize("budget", [{"total_steps": 123}, {"total_episodes": 9}])
def test_the_push_that_reaches_the_budget_ends_the_run(schedule, budget):
    result = train(small_config(schedule=schedule, workers=3, env_kwargs={"lengths": [3, 8, 14]}, **budget))
    steps = result.update_log["step"]
    assert result.outcome == "complete"
    assert result.metrics["steps"] == steps.iloc[-1]
    assert result.metrics["updates"] == len(steps)
    assert result.metrics["episodes"] == len(result.episodes)
    if "total_steps" in budget:
        assert steps.iloc[-2] < 123 <= steps.iloc[-1]
    else:
        assert len(result.episodes) == 9
        assert result.episodes["step"].iloc[-1] == steps.iloc[-1]


def test_a_budget_within_the_first_rollout_is_one_update():
    result = train(small_config(total_steps=1, workers=4))
    assert len(result.update_log) == 1
    assert result.metrics["steps"] == 5


@pytest.mark.parametrize("rollout_length", [5, "episode"])
def test_a_complete_run_has_every_metric_it_promises(rollout_length):
    config = small_config(evaluations=3, rollout_length=rollout_length, env_id="CartPole-v1")
    result = train(config)
    assert config.metric_names() <= set(result.metrics)
    without = small_config(rollout_length=rollout_length)
    assert set(train(without).metrics) == without.metric_names() < config.metric_names()
    assert all(isinstance(value, float) and np.isfinite(value) for value in result.metrics.values())


def test_metrics_are_figures_of_the_tables():
    result = train(small_config(env_kwargs={"lengths": [2, 5]}, total_steps=600, workers=3))
    last = result.episodes["return"].iloc[-100:]
    assert len(result.episodes) > 150
    assert result.metrics["training_return_last_100"] == pytest.approx(last.mean())
    assert result.metrics["staleness_max"] == result.update_log["staleness"].max() == 2


def test_a_result_says_what_it_is_and_goes_to_disk_as_plain_tables_and_arrays():
    config = small_config(evaluations=2)
    result = train(config)
    assert result.config == config
    assert result.parameters.dtype == np.float32
    assert result.parameters_hash == hashlib.sha256(result.parameters.tobytes()).hexdigest()
    assert set(result.tables) == {"episodes", "evaluations", "residuals"}
    arrays = result.arrays
    np.testing.assert_array_equal(arrays["parameters"]["parameters"], result.parameters)
    for column in ("worker", "pulled", "step"):
        np.testing.assert_array_equal(arrays["updates"][column], result.update_log[column])
    clocked = {f"{phase}_{clock}seconds" for phase in ("train", "evaluation") for clock in ("", "cpu_")}
    assert set(result.timings) == clocked | {"steps_per_second"}
    assert set(result.curves) >= {"evaluation_return", "training_return", "actor_loss", "critic_loss", "entropy"}
    assert pickle.loads(pickle.dumps(result)).parameters_hash == result.parameters_hash  # noqa: S301 - our own bytes


@pytest.mark.parametrize("changes", [{}, {"schedule": "free"}, {"local_critic_step": True}, {"workers": 1}])
def test_a_profile_says_where_the_workers_time_went_and_changes_nothing_else(changes):
    config = small_config(total_steps=300, **changes)
    plain, profiled = train(config), train(config, profile=True)
    names = {f"{phase}_cpu_seconds" for phase in ("collect", "learn", "push", "worker")}
    assert set(profiled.timings) - set(plain.timings) == names
    collect, learn, push, worker = (profiled.timings[name] for name in sorted(names))
    assert min(collect, learn, push) >= 0
    assert worker > 0
    assert collect + learn + push <= worker * (1 + 1e-9)
    if config.schedule == "round_robin":
        assert profiled.parameters_hash == plain.parameters_hash
        assert profiled.update_log.equals(plain.update_log)


def test_a_profile_is_there_after_a_failure_too():
    def emit(progress):
        raise KeyError

    with pytest.raises(WorkerFailed) as caught:
        train(small_config(), emit, profile=True)
    assert "worker_cpu_seconds" in caught.value.result.timings


@pytest.mark.parametrize("budget", [{"total_steps": 150}, {"total_episodes": 12}])
def test_progress_is_emitted_after_every_push(budget):
    seen = []
    result = train(small_config(env_kwargs={"lengths": [7]}, **budget), seen.append)
    assert [progress.step for progress in seen] == result.update_log["step"].tolist()
    fractions = [progress.fraction for progress in seen]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1
    if "total_steps" in budget:
        assert fractions == [min(1.0, progress.step / 150) for progress in seen]
    else:
        assert fractions == [progress.episodes / 12 for progress in seen]
    ended = [progress for progress in seen if progress.last_return is not None]
    assert [progress.last_return for progress in ended] == result.episodes["return"].tolist() == [28.0] * len(ended)
    assert [progress.episodes for progress in ended] == list(range(1, len(ended) + 1))


@pytest.mark.parametrize("schedule", ["round_robin", "free"])
def test_progress_is_emitted_one_call_at_a_time(schedule, switch_interval):
    entered, overlaps, steps = [], [], []

    def emit(progress):
        entered.append(progress)
        steps.append(progress.step)
        time.sleep(1e-4)  # lets any other worker in that could come in
        overlaps.append(len(entered))
        entered.clear()

    with switch_interval(1e-6):
        result = train(small_config(schedule=schedule, workers=4, total_steps=400), emit)
    assert set(overlaps) == {1}
    assert len(overlaps) == len(result.update_log)
    assert steps == sorted(steps)


# The control: where the variants cannot differ, they do not


def arms(**changes):
    return [train(small_config(target=target, **changes)) for target in ("missing_as_zero", "max_terms")]


@pytest.mark.parametrize("ending", ["terminated", "truncated", "both"])
def test_on_whole_episodes_with_time_limits_as_ends_the_arms_are_bit_identical(ending):
    kwargs = {"lengths": [6, 11], "ending": ending}
    missing, most = arms(env_kwargs=kwargs, rollout_length="episode", bootstrap_truncated=False, workers=4)
    assert missing.parameters_hash == most.parameters_hash
    for result in (missing, most):
        assert result.metrics["differing_target_share"] == result.metrics["mean_target_shift"] == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"rollout_length": 5, "bootstrap_truncated": False},
        {"rollout_length": "episode", "bootstrap_truncated": True, "env_kwargs": {"ending": "truncated"}},
    ],
)
def test_where_rollouts_are_cut_or_time_limits_bootstrapped_the_arms_differ(changes):
    missing, most = arms(**changes)
    assert missing.parameters_hash != most.parameters_hash
    assert missing.metrics["differing_target_share"] == most.metrics["differing_target_share"] > 0
    assert missing.metrics["mean_target_shift"] > 0


def test_a_time_limit_that_is_also_an_end_is_an_end():
    both, end = (
        train(small_config(rollout_length="episode", env_kwargs={"ending": e})) for e in ("both", "terminated")
    )
    assert both.parameters_hash == end.parameters_hash
    assert both.metrics["differing_target_share"] == 0


def test_the_vacuity_figures_are_a_count_by_hand():
    """One worker, a network that stays as it was: episodes of 12 steps in rollouts of 5, 5 and 2, n = 3."""
    config = small_config(workers=1, n_step=3, rollout_length=5, env_kwargs={"lengths": [12]}, total_steps=24, **STILL)
    result = train(config)
    _, critic = torch_networks(result.parameters, 3, 2, (8,))

    def value(episode, t):
        return critic(torch.tensor(scripted_observation(episode, t), dtype=torch.float64)).item()

    weights = 0.99 + 0.99**2 + 0.99**3  # d = 1, 2, 3 before each of the two cuts in mid-episode
    shift = sum(weights * abs(value(episode, cut)) for episode in (0, 1) for cut in (5, 10))
    assert result.metrics["differing_target_share"] == 12 / 24
    assert result.metrics["mean_target_shift"] == pytest.approx(shift / 24, rel=1e-4)


def test_a_tail_rule_that_leaves_everything_out_still_trains(drop_incomplete):
    result = train(small_config(target=drop_incomplete, n_step=5, rollout_length=5))
    assert result.outcome == "complete"
    assert np.isfinite(result.parameters).all()


@pytest.mark.parametrize("head", ["critic", "both"])
def test_the_head_that_learns_from_the_targets_matters(head):
    actor = train(small_config(target="missing_as_zero"))
    assert train(small_config(target="missing_as_zero", n_step_head=head)).parameters_hash != actor.parameters_hash


# Where the numbers come from


def test_another_seed_is_another_run_and_the_same_seed_the_same():
    hashes = {seed: train(small_config(seed=seed)).parameters_hash for seed in (0, 1, 2**63 - 1)}
    assert len(set(hashes.values())) == 3
    assert train(small_config(seed=1)).parameters_hash == hashes[1]


def test_no_global_generator_is_read_or_written():
    def states():
        numpys, torchs = np.random.get_state(), torch.get_rng_state()  # noqa: NPY002 - the one that must not be used
        arrays = {"numpy": numpys[1].tobytes() + bytes([numpys[2] % 256]), "torch": torchs.numpy().tobytes()}
        return {"python": hash(python_random.getstate())} | {name: hash(state) for name, state in arrays.items()}

    config = small_config(evaluations=2, evaluation_policy="sampled")
    python_random.seed(1)
    before = states()
    first = train(config)
    assert states() == before
    python_random.seed(2)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        second = train(config)
    assert first.parameters_hash == second.parameters_hash
    assert first.evaluations.equals(second.evaluations)


def test_evaluating_does_not_influence_training():
    runs = [train(small_config(evaluations=k, env_id="CartPole-v1")) for k in (0, 1, 10)]
    assert len({run.parameters_hash for run in runs}) == 1
    assert runs[0].evaluations.empty
    assert not {"auc", "final_return"} & set(runs[0].metrics)


def test_training_leaves_torchs_threads_as_they_were():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        train(small_config())
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("preset", ["seed", "mnih2016", "default"])
def test_every_preset_trains(preset, engine_name):
    config = TrainConfig.preset(preset, engine=engine_name, total_steps=500, evaluations=1, evaluation_episodes=2)
    result = train(config)
    assert (result.outcome, result.engine) == ("complete", engine_name)
    assert np.isfinite(result.parameters).all()


@pytest.mark.parametrize(
    "env_kwargs", [{"start": 4, "actions": 3}, {"start": -1}, {"dtype": "uint8"}, {"dtype": "int64"}]
)
def test_environments_count_actions_and_observe_as_they_like(env_kwargs):
    result = train(small_config(env_kwargs=env_kwargs, evaluations=2))
    assert result.outcome == "complete"
    assert (result.evaluations["return"] == 55).all()


def test_an_unbounded_observation_is_trained_and_evaluated_without_a_warning():
    assert train(small_config(env_kwargs={"unbounded": True}, evaluations=1)).outcome == "complete"
