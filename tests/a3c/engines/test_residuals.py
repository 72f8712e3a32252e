"""How far targets lie from values by distance to the cut: counts, means, and which rollouts are in them."""

import itertools

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from a3c import Diverged, Targets, WorkerFailed, tail_rule, train
from a3c.engines.choice import ENGINES
from a3c.engines.residuals import DISTANCES, Residuals, residual_table
from a3c.engines.signal import Signal
from a3c.targets.registry import TAIL_RULES
from tests.a3c.oracles import STILL, definitional_targets, definitional_use, small_config, torch_networks
from tests.environments import scripted_observation

COLUMNS = ["distance", "count", "residual", "shift", "count_late", "residual_late", "shift_late"]


# Sums


@st.composite
def signals(draw):
    """What some rollouts teach, on dyadic numbers, so that sums are exact in any order."""
    T = draw(st.one_of(st.integers(1, 6), st.sampled_from([63, 64, 65, 100])))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    values, n_step, shifts = random.integers(-64, 64, size=(3, T)) / 16
    return Signal(values, n_step, n_step, random.random(T) < 0.8, shifts, 0.0, 0.0)


def by_hand(rollouts, d):
    """Count, and means of residual and shift, over the steps used at distance d."""
    steps = [(s, len(s.values) - d) for s in rollouts if len(s.values) >= d and s.use[-d]]
    if not steps:
        return [0, np.nan, np.nan]
    residuals = [s.n_step[t] - s.values[t] for s, t in steps]
    return [len(steps), np.mean(residuals), np.mean([s.shifts[t] for s, t in steps])]


@given(st.lists(st.lists(signals(), max_size=6), min_size=1, max_size=3), st.integers(0, 6))
def test_means_are_over_the_steps_used_at_each_distance(workers, first_late):
    """Each worker's rollouts, of which those from ``first_late`` on are pushed late."""
    sums, pushed, late = [], [], []
    for rollouts in workers:
        sums.append(Residuals())
        for place, signal in enumerate(rollouts):
            sums[-1].count_and_write(signal)
            if place >= first_late:
                sums[-1].begin_second_half()
        sums[-1].count()
        pushed += rollouts
        late += rollouts[first_late:]
    rows = [
        [d, *by_hand(pushed, d), *by_hand(late, d)]
        for d in range(1, min(DISTANCES, max([len(s.values) for s in pushed], default=0)) + 1)
    ]
    while rows and rows[-1][1] == 0:
        rows.pop()
    table = residual_table(sums)
    assert list(table.columns) == COLUMNS
    expected = pd.DataFrame(rows, columns=COLUMNS, dtype=float)
    assert_frame_equal(table.astype(float), expected, rtol=1e-12, atol=1e-12, check_index_type=False)


# Runs


def lengths_of_rollouts(result):
    """Each push's environment steps, and those before it."""
    steps = result.updates["step"].astype(int)
    return np.diff(steps, prepend=0), np.concatenate([[0], steps[:-1]])


def expected_counts(lengths):
    return [(lengths >= d).sum() for d in range(1, min(DISTANCES, lengths.max(initial=0)) + 1)]


@settings(max_examples=15)
@given(
    st.integers(1, 4),
    st.sampled_from([1, 5, 70, "episode"]),
    st.lists(st.integers(1, 90), min_size=1, max_size=3),
    st.sampled_from(["max_terms", "wrong_gamma"]),
)
def test_every_pushed_step_is_counted_once(workers, rollout_length, lengths, target):
    config = small_config(
        workers=workers, rollout_length=rollout_length, target=target, env_kwargs={"lengths": lengths}, total_steps=301
    )
    result = train(config)
    of_push, before = lengths_of_rollouts(result)
    assert result.residuals["distance"].tolist() == list(range(1, len(result.residuals) + 1))
    assert result.residuals["count"].tolist() == expected_counts(of_push)
    late = expected_counts(of_push[2 * before >= config.budget])
    assert result.residuals["count_late"].tolist() == late + [0] * (len(result.residuals) - len(late))


def test_with_a_budget_in_episodes_the_second_half_is_theirs():
    result = train(small_config(total_episodes=6, workers=1, env_kwargs={"lengths": [12, 2]}, rollout_length=5))
    of_push, _ = lengths_of_rollouts(result)
    third = np.flatnonzero(np.isin(result.updates["step"], result.episodes["step"]))[2]
    assert result.residuals["count"].tolist() == expected_counts(of_push)
    assert result.residuals["count_late"].tolist() == expected_counts(of_push[third + 1 :])


def test_the_same_config_gives_the_same_table_to_the_bit():
    config = small_config(env_id="CartPole-v1", workers=4, total_steps=1500)
    assert train(config).residuals.equals(train(config).residuals)


@pytest.mark.parametrize("at", [7, 30])
def test_a_run_that_diverged_keeps_the_residuals_of_what_was_pushed(at):
    kwargs = {"fault": "reward", "at": at, "lengths": [4, 9]}
    with pytest.raises(Diverged) as caught:
        train(small_config(env_id="Misbehaving-v0", env_kwargs=kwargs, total_steps=5000))
    of_push, _ = lengths_of_rollouts(caught.value.result)
    assert caught.value.result.residuals["count"].tolist() == expected_counts(of_push)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_run_whose_rule_raises_keeps_the_residuals_of_what_was_pushed(engine):
    calls = itertools.count(1)

    @tail_rule
    def raising_at_the_twelfth(w):
        if next(calls) == 12:
            raise RuntimeError("told to")
        return Targets(w.rewards, np.ones_like(w.missing))

    try:
        config = small_config(engine=engine, target="raising_at_the_twelfth", workers=1, total_steps=5000)
        with pytest.raises(WorkerFailed) as caught:
            train(config)
    finally:
        del TAIL_RULES["raising_at_the_twelfth"]
    of_push, _ = lengths_of_rollouts(caught.value.result)
    assert len(of_push) > 3
    assert caught.value.result.residuals["count"].tolist() == expected_counts(of_push)


def test_nothing_pushed_is_a_table_without_rows():
    table = residual_table([Residuals()])
    assert list(table.columns) == COLUMNS
    assert table.empty


@pytest.mark.parametrize("convention", ["textbook", "seed"])
@pytest.mark.parametrize("tail", ["missing_as_zero", "max_terms", "drop", "wrong_gamma"])
def test_residuals_are_a_mean_by_hand(tail, convention):
    """One worker, a network that stays as it was: episodes of 12 steps in rollouts of 5, 5 and 2."""
    config = small_config(
        workers=1, n_step=3, n_step_convention=convention, target=tail, env_kwargs={"lengths": [12]}, total_steps=24
    )
    result = train(config.model_copy(update=STILL))
    _, critic = torch_networks(result.parameters, 3, 2, (8,))
    found = {d: [] for d in range(1, 6)}
    for episode in (0, 1):
        observations = np.stack([scripted_observation(episode, t) for t in range(13)])
        with torch.no_grad():
            v = critic(torch.tensor(observations, dtype=torch.float64))[:, 0].numpy()
        for start, end in ((0, 5), (5, 10), (10, 12)):
            T, b = end - start, v[end] if end < 12 else 0.0
            n = 3 if convention == "textbook" else min(3, T) - 1
            targets = definitional_targets(np.arange(start + 1, end + 1), v[start:end], b, 0.99, n, tail)
            use = definitional_use(T, n, tail, ended=end == 12)
            for t in range(T):
                if use[t]:
                    d = T - t
                    found[d].append((targets[t] - v[start + t], 0.99**d * b if d <= n else 0.0))
    table = result.residuals
    assert table["count"].tolist() == [len(found[d]) for d in range(1, 6)]
    for d, residual, shift in zip(table["distance"], table["residual"], table["shift"], strict=True):
        expected = np.mean(found[d], axis=0) if found[d] else [np.nan, np.nan]
        assert (residual, shift) == pytest.approx(expected, rel=1e-4, abs=1e-5, nan_ok=True)


@pytest.mark.parametrize("head", ["actor", "critic", "both"])
def test_the_two_rules_of_the_source_differ_by_the_shift(head):
    """At values that stay the same, whoever learns from the targets."""
    settings = {"env_id": "CartPole-v1", "n_step_head": head, "total_steps": 600, "workers": 3, **STILL}
    missing, most = (
        train(small_config(target=tail, **settings)).residuals for tail in ("missing_as_zero", "max_terms")
    )
    assert (missing["shift"].abs() > 1e-3).any()
    for late in ("", "_late"):
        assert missing["count" + late].equals(most["count" + late])
        gap = most["residual" + late] - missing["residual" + late]
        assert gap.tolist() == pytest.approx(missing["shift" + late].tolist(), abs=1e-9)


def test_with_a_step_of_the_local_critic_residuals_are_taken_from_the_baseline():
    """A critic that has stepped towards a rollout's returns lies nearer to them."""
    config = small_config(
        rollout_length="episode", n_step=100, workers=1, total_steps=10, optimizer="sgd", critic_learning_rate=0.001
    )
    plain, stepped = (train(config.model_copy(update={"local_critic_step": step})) for step in (False, True))
    assert (stepped.residuals["residual"].abs() < plain.residuals["residual"].abs()).all()
