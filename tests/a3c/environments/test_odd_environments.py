"""Environments that go wrong while they are used: errors name environment, seed and step, and nothing is leaked."""

from collections import Counter

import gymnasium as gym
import numpy as np
import pytest

from a3c import EnvironmentUnsuitable, EpisodeTooLong, EvaluationFailed, WorkerFailed, train, training
from a3c.environments.making import LONGEST_EPISODE
from a3c.evaluation import play as evaluate
from a3c.streams import Purpose, reset_seed
from a3c.workers import collector as rollout
from tests.a3c.failing import (
    EACH_SCHEDULE,
    SEED,
    assert_no_thread_is_left,
    assert_partial,
    failure_of,
    misbehaving,
)
from tests.a3c.oracles import small_config
from tests.environments import Scripted

TOO_LONG = 150  # what an episode is capped at where a test does not wait for the real cap


def fault(what, *values):
    return pytest.param(*values, marks=pytest.mark.fault(14, f"environment: {what}"), id=what)


@pytest.fixture
def impatient(monkeypatch):
    for module in (rollout, evaluate):
        assert module.LONGEST_EPISODE == LONGEST_EPISODE
        monkeypatch.setattr(module, "LONGEST_EPISODE", TOO_LONG)


# In training


@EACH_SCHEDULE
@pytest.mark.parametrize(
    ("name", "steps", "cause", "said", "kwargs"),
    [
        fault("raises in step, mid-run", "step", 6, RuntimeError, "scripted failure in step", {}),
        fault("raises in reset, mid-run", "reset", 13, RuntimeError, "scripted failure in reset", {}),
        fault("old 4-tuple step, mid-run", "four", 6, ValueError, "not enough values to unpack", {}),
        fault("shorter observation, mid-run", "shape", 7, ValueError, "of shape (2,), must be (3,)", {"shape": [2]}),
        fault("longer observation, mid-run", "shape", 7, ValueError, "of shape (4,), must be (3,)", {"shape": [4]}),
        fault(
            "matrix observation, mid-run", "shape", 7, ValueError, "of shape (3, 1), must be (3,)", {"shape": [3, 1]}
        ),
        fault("row observation, mid-run", "shape", 7, ValueError, "of shape (1, 3), must be (3,)", {"shape": [1, 3]}),
        fault(
            "observation of one entry, mid-run", "shape", 7, ValueError, "of shape (1,), must be (3,)", {"shape": [1]}
        ),
        fault("observation without a dimension, mid-run", "shape", 7, ValueError, "of shape (), must", {"shape": []}),
        fault("wrong shape from a reset, mid-run", "reset_shape", 13, ValueError, "shape (1,), must", {"shape": [1]}),
    ],
)
def test_a_run_that_fails_names_environment_worker_step_and_seed(name, steps, cause, said, kwargs, schedule):
    failed = failure_of(misbehaving(name, 2, schedule=schedule, **kwargs))
    where = f"Misbehaving-v0: worker 2 at its environment step {steps}, seed {SEED}: {cause.__name__}: "
    assert str(failed).startswith(where)
    assert said in str(failed)
    assert_partial(failed.result, "failed")


@EACH_SCHEDULE
@pytest.mark.parametrize("rollout_length", [1, 5, "episode"])
@pytest.mark.parametrize("ending", ["terminated", "truncated"])
@pytest.mark.fault(14, "environment: every episode ends at its first step")
def test_episodes_of_one_step_are_trained_on_and_evaluated(ending, rollout_length, schedule):
    kwargs = {"lengths": [1], "ending": ending}
    result = train(small_config(env_kwargs=kwargs, rollout_length=rollout_length, schedule=schedule, evaluations=2))
    assert result.outcome == "complete"
    assert (result.episodes["length"] == 1).all()
    assert len(result.episodes) == result.metrics["steps"] == result.metrics["updates"]
    assert result.metrics["final_return"] == 1


@EACH_SCHEDULE
@pytest.mark.parametrize(
    "changes",
    [
        {"rollout_length": "episode", "total_steps": 10**6},
        {"rollout_length": 5, "total_steps": 10**6},
        {"rollout_length": 5, "total_episodes": 10**5, "total_steps": None},
    ],
)
@pytest.mark.fault(14, "environment: an episode never ends (at a lowered cap)")
def test_an_episode_that_never_ends_is_a_failure_that_says_what_to_do(changes, schedule, impatient):
    failed = failure_of(misbehaving("endless", 1, 5, schedule, changes))
    assert isinstance(failed.__cause__, EpisodeTooLong)
    taken = int(str(failed).split("environment step ")[1].split(",")[0])
    assert TOO_LONG <= taken - 4 < TOO_LONG + 64  # the first episode had 4 steps; a look every 64 steps at most
    assert str(failed).startswith(f"Misbehaving-v0: worker 1 at its environment step {taken}, seed {SEED}: ")
    assert f"EpisodeTooLong: an episode has not ended after {taken - 4} steps: set max_episode_steps in env_kwargs" in (
        str(failed)
    )
    assert failed.result.outcome == "failed"


def test_what_the_message_says_to_do_helps(impatient):
    kwargs = {"fault": "endless", "max_episode_steps": 100}
    settings = {"env_id": "Misbehaving-v0", "env_kwargs": kwargs, "rollout_length": "episode", "evaluations": 1}
    result = train(small_config(**settings))
    assert result.outcome == "complete"
    assert (result.episodes["length"] == 100).all()
    assert result.evaluations["length"].tolist() == [100]


def test_an_episode_as_long_as_the_cap_is_none_that_never_ends(impatient):
    kwargs = {"lengths": [TOO_LONG]}
    result = train(small_config(env_kwargs=kwargs, rollout_length="episode", evaluations=1, total_steps=600))
    assert (result.episodes["length"] == TOO_LONG).all()
    assert result.evaluations["length"].tolist() == [TOO_LONG]


# In evaluation


def evaluated(fault, at=3, changes=None, **kwargs):
    """A run that only its evaluation can fail."""
    kwargs = {"fault": fault, "at": at, **kwargs}
    settings = {"env_id": "Misbehaving-v0", "env_kwargs": {"fault": "none"}, "seed": SEED, "evaluations": 4}
    return small_config(**settings, evaluation_env_kwargs=kwargs, **changes or {})


@pytest.mark.parametrize(
    ("name", "step", "cause", "said", "kwargs"),
    [
        fault("raises in a step of evaluation", "step", 2, RuntimeError, "scripted failure in step", {}),
        fault("SystemExit in a step of evaluation", "exit", 2, SystemExit, "scripted failure in step", {}),
        fault("MemoryError in a step of evaluation", "memory", 2, MemoryError, "scripted failure in step", {}),
        fault("old 4-tuple step in evaluation", "four", 2, ValueError, "not enough values to unpack", {}),
        fault("wrong shape in evaluation", "shape", 2, ValueError, "", {"shape": [1]}),
        fault("raises in a reset of evaluation", "reset", 0, RuntimeError, "failure in reset", {"at": 1}),
    ],
)
def test_an_evaluation_that_fails_names_environment_step_and_seed(name, step, cause, said, kwargs, monkeypatch):
    monkeypatch.setattr(training, "require_same_spaces", lambda *_: None)  # which finds what is wrong at once
    failed = failure_of(evaluated(name, **kwargs), EvaluationFailed)
    where = f"Misbehaving-v0: evaluation at step {step} of its episodes, seed {SEED}: {cause.__name__}: "
    assert str(failed).startswith(where)
    assert said in str(failed)
    assert type(failed.__cause__) is cause
    assert_partial(failed.result, "failed")
    assert failed.result.metrics["steps"] == 200
    assert failed.result.evaluations.empty


def test_the_random_policys_evaluation_is_told_as_that():
    failed = failure_of(evaluated("step", only_reset_seed=7), EvaluationFailed)  # it resets with 0 … 199
    told = "Misbehaving-v0: the random policy at step 2 of its episodes, seed 0: RuntimeError: scripted failure in step"
    assert str(failed) == told


@pytest.mark.fault(14, "environment: an episode of evaluation never ends (at a lowered cap)")
def test_an_evaluation_that_never_ends_is_a_failure_that_says_what_to_do(impatient):
    for changes, field in (({}, "evaluation_env_kwargs"), ({"evaluation_env_kwargs": None}, "env_kwargs")):
        config = evaluated("endless").model_copy(update=changes)
        if changes:
            endless = {"fault": "endless", "at": 10**6, "lengths": [10]}
            only = reset_seed(SEED, Purpose.EVALUATION_ENVIRONMENT)
            config = config.model_copy(update={"env_kwargs": endless | {"at": 1, "only_reset_seed": only}})
        failed = failure_of(config, EvaluationFailed)
        assert isinstance(failed.__cause__, EpisodeTooLong)
        assert str(failed) == (
            f"Misbehaving-v0: evaluation at step {TOO_LONG} of its episodes, seed {SEED}: EpisodeTooLong: "
            f"an episode has not ended after {TOO_LONG} steps: set max_episode_steps in {field}"
        )


class Uneven(Scripted):
    """Its first episode has 4 steps if it is reset with an even number, else 12; later ones are rewarded with NaN."""

    def reset(self, *, seed=None, options=None):
        if seed is not None:
            self._lengths = (4 if seed % 2 == 0 else 12,)
        return super().reset(seed=seed, options=options)

    def step(self, action):
        observation, reward, *rest = super().step(action)
        return observation, np.nan if self._episode else reward, *rest


def test_what_is_done_may_go_on_as_it_likes():
    """Vectorised environments step on after their episode; what they show then counts for nothing."""
    gym.register("Uneven-v0", entry_point=Uneven)
    try:
        config = small_config(env_id="Uneven-v0", evaluations=1, workers=1, total_episodes=1)
        result = train(config)
    finally:
        del gym.registry["Uneven-v0"]
    assert result.evaluations["return"].tolist() == [(10 + 78) / 2]


# Closing


@pytest.mark.parametrize("error", [RuntimeError, SystemExit])
@pytest.mark.fault(14, "environment: raises or leaves the process when closed")
def test_an_environment_that_fails_to_close_only_warns(error):
    name = {RuntimeError: "close", SystemExit: "close_exit"}[error]
    config = misbehaving(name, changes={"total_steps": 100, "evaluations": 1})
    with pytest.warns(UserWarning, match=f"failed to close: {error.__name__}: scripted failure in close"):
        result = train(config)
    assert result.outcome == "complete"
    assert result.metrics["final_return"] > 0


class Interrupted(Exception):
    pass


@pytest.mark.parametrize("name", ["close", "close_exit"])
@pytest.mark.fault(14, "environment: a failing close after a failure of the run")
def test_a_failing_close_hides_no_failure(name):
    def emit(progress):
        raise Interrupted

    with pytest.warns(UserWarning, match="failed to close"), pytest.raises(WorkerFailed) as caught:
        train(misbehaving(name), emit)
    assert isinstance(caught.value.__cause__, Interrupted)


class Leaky(Scripted):
    """Counts how many are open; the one made as number ``refused``, from 1, refuses; a failing close is in the way."""

    made = 0
    open: Counter = Counter()  # noqa: RUF012 - of all of them
    refused = 0

    def __init__(self, fault="", **scripted):
        Leaky.made += 1
        if Leaky.made == Leaky.refused:
            raise OSError("no more of these")
        super().__init__(**scripted)
        self._fault = fault
        self._number = Leaky.made
        Leaky.open[self._number] += 1

    def step(self, action):
        if self._fault and self.life == 3:
            raise {"step": RuntimeError, "interrupt": KeyboardInterrupt}[self._fault]("scripted failure in step")
        return super().step(action)

    def close(self):
        Leaky.open[self._number] -= 1
        if self._number % 2:
            raise RuntimeError("scripted failure in close")


@pytest.fixture
def leaky():
    gym.register("Leaky-v0", entry_point=Leaky)
    Leaky.made, Leaky.refused, Leaky.open = 0, 0, Counter()
    yield Leaky
    del gym.registry["Leaky-v0"]


def assert_closed(leaky, made):
    assert leaky.made == made
    assert set(leaky.open.values()) == {0}, "environments were closed too often or not at all"
    assert_no_thread_is_left()


@pytest.mark.filterwarnings("ignore:the environment failed to close")
class TestEveryEnvironmentThatWasMadeIsClosedOnce:
    def test_after_a_run(self, leaky, monkeypatch):
        monkeypatch.setattr(evaluate, "_RANDOM_RETURNS", {})
        train(small_config(env_id="Leaky-v0", workers=3, evaluations=2))
        assert_closed(leaky, 3 + 2 * 2 + evaluate.RANDOM_EPISODES)

    def test_where_a_worker_fails(self, leaky):
        with pytest.raises(WorkerFailed):
            train(small_config(env_id="Leaky-v0", workers=3, env_kwargs={"fault": "step"}))
        assert_closed(leaky, 3)

    @pytest.mark.fault(14, "environment: the third of four refuses to be made")
    def test_where_a_later_one_refuses_to_be_made(self, leaky):
        leaky.refused = 3
        with pytest.raises(EnvironmentUnsuitable, match="OSError: no more of these"):
            train(small_config(env_id="Leaky-v0", workers=4))
        assert_closed(leaky, 3)

    def test_where_an_engine_cannot_be_made(self, leaky, monkeypatch):
        engines = iter([training.make_engine])

        def make_engine(config, layout):
            made = next(engines, None)
            if made is None:
                raise MemoryError("no room for an engine")
            return made(config, layout)

        monkeypatch.setattr(training, "make_engine", make_engine)
        with pytest.raises(MemoryError, match="no room for an engine"):
            train(small_config(env_id="Leaky-v0", workers=3))
        assert_closed(leaky, 3)

    def test_where_a_thread_cannot_be_started(self, leaky, monkeypatch):
        start = training.threading.Thread.start

        def refuse(thread):
            if thread.name == "a3c-worker-2":
                raise RuntimeError("can't start new thread")
            start(thread)

        monkeypatch.setattr(training.threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            train(small_config(env_id="Leaky-v0", workers=3, total_steps=10**9))
        assert_closed(leaky, 3)

    @pytest.mark.fault(14, "environment: a later one of evaluation's refuses to be made")
    def test_where_a_later_one_of_evaluations_refuses_to_be_made(self, leaky):
        leaky.refused = 5
        with pytest.raises(EvaluationFailed, match=r"evaluation at step 0 .*OSError: no more of these") as caught:
            train(small_config(env_id="Leaky-v0", evaluations=2, seed=SEED))
        assert f"seed {SEED}" in str(caught.value)
        assert_closed(leaky, 5)

    def test_where_evaluation_fails(self, leaky):
        kwargs = {"evaluation_env_kwargs": {"fault": "step"}}
        with pytest.raises(EvaluationFailed, match="evaluation at step 3 "):
            train(small_config(env_id="Leaky-v0", evaluations=2, **kwargs))
        assert_closed(leaky, 1 + 2 + 2)

    def test_where_evaluation_is_interrupted(self, leaky):
        kwargs = {"evaluation_env_kwargs": {"fault": "interrupt"}}
        with pytest.raises(KeyboardInterrupt):
            train(small_config(env_id="Leaky-v0", evaluations=2, **kwargs))
        assert_closed(leaky, 1 + 2 + 2)


def test_a_threshold_that_is_not_finite_is_none():
    gym.register("Endless-v0", entry_point=Scripted, reward_threshold=np.inf)
    try:
        metrics = train(small_config(env_id="Endless-v0", evaluations=1)).metrics
    finally:
        del gym.registry["Endless-v0"]
    assert metrics["best"] == 55
    assert metrics.keys().isdisjoint({"reward_threshold", "solved"})
