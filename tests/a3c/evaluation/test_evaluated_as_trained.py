"""An environment that can be trained on is evaluated, stepped as training steps it, however odd it is."""

import resource
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st

from a3c import EpisodeTooLong, EvaluationFailed, TrainConfig, train
from a3c.environments.making import LONGEST_EPISODE, Spaces
from a3c.evaluation import play
from a3c.evaluation.play import LANES, evaluate, random_return
from a3c.networks.layout import Layout
from a3c.streams import Purpose, reset_seed
from studies.algorithms.a3c import StudyConfig
from tests.a3c.oracles import torch_networks

SEED = 11


class Line(gym.Env):
    """Nine places, a step left or right, 1 at the right end; what the others vary."""

    observation_space = spaces.Box(0, 8, (2,), np.float32)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.x, self.t = int(self.np_random.integers(3, 6)), 0
        return self.seen(), self.info()

    def step(self, action):
        self.x += 1 if action == self.action_space.start + 1 else -1
        self.t += 1
        done = self.x in (0, 8)
        return self.seen(), self.reward(), done, not done and self.t >= 30, self.info()

    def seen(self):
        return np.array([self.x, 8 - self.x], np.float32)

    def reward(self):
        return float(self.x == 8)

    def info(self):
        return {}


class ResetWithoutOptions(Line):
    def reset(self, seed=None):
        return super().reset(seed=seed)


class ResetOfAnything(Line):
    def reset(self, **given):
        assert set(given) == {"seed"}
        return super().reset(**given)


class IntsThatAreFloats(Line):
    observation_space = spaces.Box(0, 8, (2,), np.int32)

    def seen(self):
        return np.array([self.x + 0.5, 8 - self.x])


class BytesThatAreInts(Line):
    observation_space = spaces.Box(0, 255, (2,), np.uint8)

    def seen(self):
        return np.array([self.x, 8 - self.x])


class HalvesThatOverflow(Line):
    observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float16)

    def seen(self):
        return np.array([self.x * 2e4, 8 - self.x])


class BytesThatWrap(Line):
    observation_space = spaces.Box(-128, 127, (2,), np.int8)

    def seen(self):
        return np.array([self.x * 40, 8 - self.x])


class Doubles(Line):
    def seen(self):
        return np.array([self.x / 3, 8 - self.x])


class Lists(Line):
    def seen(self):
        return [self.x, 8 - self.x]


class Tuples(Line):
    def seen(self):
        return (self.x, np.float64(8 - self.x))


class Views(Line):
    def seen(self):
        return np.array([self.x, -1, 8 - self.x, -1], np.float32)[::2]


class Backwards(Line):
    def seen(self):
        return np.array([self.x, 8 - self.x], ">f4")


class OneBuffer(Line):
    """Shows the same array every time."""

    def seen(self):
        self.buffer = vars(self).get("buffer", np.empty(2, np.float32))
        self.buffer[...] = self.x, 8 - self.x
        return self.buffer


class ReadOnly(Line):
    def seen(self):
        seen = super().seen()
        seen.flags.writeable = False
        return seen


class Booleans(Line):
    observation_space = spaces.Box(0, 1, (2,), np.bool_)

    def seen(self):
        return np.array([self.x > 4, self.x < 4])


class LegalMoves(Line):
    def info(self):
        return {"legal": np.arange(self.x)}


class NobodyYet(Line):
    def info(self):
        return {"winner": self.x if self.x in (0, 8) else None}


class OneKindThenAnother(Line):
    def info(self):
        return {"reason": 0 if self.t == 0 else "moving"}


class NoInfo(Line):
    def info(self):
        return None


class OddKeys(Line):
    def info(self):
        return {"final_info": 1, "_x": 2, "episode": {"r": object()}, "final_obs": "none"}


class OnlyInts(Line):
    def step(self, action):
        if type(action) is not int:
            raise TypeError(f"an action is an int, not {type(action).__name__}")
        return super().step(action)


class FromFive(Line):
    action_space = spaces.Discrete(2, start=5)

    def step(self, action):
        assert action in (5, 6)
        return super().step(action)


class Integers(Line):
    def reward(self):
        return int(self.x == 8)


class Singles(Line):
    def reward(self):
        return np.float32(self.x == 8)


class Arrays(Line):
    def reward(self):
        return np.array(self.x == 8, dtype=np.float64)


class NumpyFlags(Line):
    def step(self, action):
        seen, reward, over, late, info = super().step(action)
        return seen, reward, np.bool_(over), np.bool_(late), info


class IntFlags(Line):
    def step(self, action):
        seen, reward, over, late, info = super().step(action)
        return seen, reward, int(over), int(late), info


class BothFlags(Line):
    def step(self, action):
        seen, reward, over, late, info = super().step(action)
        return seen, reward, over or late, over or late, info


class OverIsOver(Line):
    """Refuses a step after the end."""

    def reset(self, **given):
        self.over = False
        return super().reset(**given)

    def step(self, action):
        assert not self.over
        seen, reward, over, late, info = super().step(action)
        self.over = over or late
        return seen, reward, over, late, info


class WithFiles(Line):
    """Three open files each."""

    def __init__(self):
        self.files = [Path("/dev/null").open() for _ in range(3)]  # noqa: SIM115

    def close(self):
        for file in self.files:
            file.close()


class NoVectors(Line):
    """What Gymnasium's vector environments ask for is not there."""

    @property
    def metadata(self):
        raise AttributeError("no metadata")

    @property
    def render_mode(self):
        raise AttributeError("no render mode")


class InLists(gym.Wrapper):
    """A wrapper of one's own."""

    def reset(self, **given):
        return [*self.env.reset(**given)[0]], {}

    def step(self, action):
        seen, *rest = self.env.step(action)
        return [*seen], *rest


ODD = [
    *(ResetWithoutOptions, ResetOfAnything),
    *(IntsThatAreFloats, BytesThatAreInts, HalvesThatOverflow, BytesThatWrap, Doubles, Booleans, Backwards),
    *(Lists, Tuples, Views, OneBuffer, ReadOnly, lambda: InLists(Line())),
    *(LegalMoves, NobodyYet, OneKindThenAnother, NoInfo, OddKeys),
    *(OnlyInts, FromFive, Integers, Singles, NumpyFlags, IntFlags, BothFlags, OverIsOver, WithFiles, NoVectors),
]


@contextmanager
def registered(made, env_id="Odd-v0", **spec):
    gym.register(env_id, entry_point=made, **spec)
    try:
        yield
    finally:
        del gym.registry[env_id]


def config_of(**changes):
    small = {"total_steps": 300, "evaluations": 2, "evaluation_episodes": 3, "workers": 2, "hidden_sizes": (8,)}
    return TrainConfig.model_validate({"env_id": "Odd-v0", "seed": SEED, "learning_rate": 0.05, **small, **changes})


def plain_return(environment, parameters, seed):
    """One greedy episode as a loop over what the environment shows, as float32."""
    actor, _ = torch_networks(parameters, 2, 2, (8,))
    observation, total, over = environment.reset(seed=seed)[0], 0.0, False
    while not over:
        seen = torch.tensor(np.array(observation, dtype=np.float32), dtype=torch.float64)
        with torch.no_grad():
            action = int(environment.action_space.start) + int(actor(seen).argmax())
        observation, reward, terminated, truncated, _ = environment.step(action)
        total, over = total + float(reward), terminated or truncated
    environment.close()
    return total


@pytest.mark.parametrize("made", ODD, ids=lambda made: made.__name__)
def test_what_can_be_trained_on_is_evaluated_on_the_same(made):
    with registered(made):
        config = config_of()
        assert StudyConfig(**config.model_dump()).problems() == []
        result = train(config)
    first = reset_seed(SEED, Purpose.EVALUATION_ENVIRONMENT) + 3  # after the first snapshot's three
    expected = [plain_return(made(), result.parameters, first + i) for i in range(3)]
    assert result.evaluations["return"].iloc[-1] == pytest.approx(np.mean(expected))
    assert result.metrics["random_return"] == pytest.approx(0.5, abs=0.2)


def test_a_reward_that_is_an_array_is_refused_before_training():
    with registered(Arrays):
        ((field, value, allowed),) = StudyConfig(**config_of().model_dump()).problems()
    assert (field, value) == ("env_id", "Odd-v0")
    assert allowed.startswith("must return a number as reward, not array(0.)")


class Counted(Line):
    """Counts how many are open at a time, and how often each is reset."""

    open = most = 0
    resets: ClassVar[list[int]] = []

    def __init__(self):
        Counted.open += 1
        Counted.most = max(Counted.most, Counted.open)
        self.count = 0

    def reset(self, **given):
        self.count += 1
        return super().reset(**given)

    def close(self):
        Counted.open -= 1
        Counted.resets.append(self.count)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 4), st.integers(1, 3 * LANES))
def test_one_episode_each_and_no_more_open_than_needed(snapshots, episodes):
    layout = Layout(2, 2, (8,))
    vectors = np.random.default_rng(snapshots).normal(size=(snapshots, layout.size)).astype(np.float32)
    Counted.most, Counted.resets = 0, []
    with registered(Counted):
        config = config_of(evaluation_episodes=episodes)
        played = evaluate(config, layout, Spaces(2, 2, 0, None), vectors)
        assert Counted.open == 0
        assert Counted.resets == [1] * snapshots * episodes
        assert Counted.most == min(LANES, episodes)
    first = reset_seed(SEED, Purpose.EVALUATION_ENVIRONMENT)
    for k, episode in ((0, 0), (snapshots - 1, episodes - 1)):
        assert played.returns[k, episode] == plain_return(Line(), vectors[k], first + k * episodes + episode)


def test_few_files_may_be_open():
    files, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, most))
    try:
        with registered(WithFiles):
            assert train(config_of(evaluations=20, evaluation_episodes=20)).outcome == "complete"
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, most))


# CartPole by hand


@pytest.mark.parametrize("env_id", ["CartPole-v0", "CartPole-v1"])
@pytest.mark.parametrize("kwargs", [{}, {"sutton_barto_reward": True}, {"max_episode_steps": 30}])
@pytest.mark.filterwarnings("ignore:.*is out of date:DeprecationWarning")
def test_the_cartpole_that_is_vectorised_by_hand_has_the_episodes_of_the_single_one(env_id, kwargs, random):
    count = 60
    config = config_of(env_id=env_id, env_kwargs=kwargs)
    assert play._is_vectorised_by_hand(config)
    batch = gym.make_vec(env_id, num_envs=count, **kwargs)
    seen, _ = batch.reset(seed=3)
    singles = [gym.make(env_id, **kwargs) for _ in range(count)]
    for single, state in zip(singles, batch.unwrapped.state.T, strict=True):
        single.reset()
        single.unwrapped.state = state.copy()
    running = set(range(count))
    while running:
        lean = seen[:, 2] + 0.3 * seen[:, 3]  # a policy that balances most of the time
        actions = np.where(random.random(count) < 0.05, random.integers(2, size=count), lean > 0).astype(np.int64)
        seen, rewards, terminated, truncated, _ = batch.step(actions)
        for one in sorted(running):
            alone = singles[one].step(int(actions[one]))
            assert alone[0].tobytes() == seen[one].tobytes()
            assert (alone[1], alone[2], alone[3]) == (rewards[one], terminated[one], truncated[one])
            if alone[2] or alone[3]:
                running.remove(one)


BATCH = {"vector_entry_point": f"{play.CARTPOLE}CartPoleVectorEnv"}


@pytest.mark.parametrize(
    ("made", "spec"),
    [
        ("tests.a3c.evaluation.test_evaluated_as_trained:Line", {**BATCH, "max_episode_steps": 30}),
        (f"{play.CARTPOLE}CartPoleEnv", {"max_episode_steps": 30}),
        (f"{play.CARTPOLE}CartPoleEnv", BATCH),
        (f"{play.CARTPOLE}CartPoleEnv", {**BATCH, "max_episode_steps": 30, "kwargs": {"sutton_barto_reward": True}}),
    ],
)
def test_nothing_else_is_taken_for_it(made, spec):
    with registered(made, **spec):
        assert not play._is_vectorised_by_hand(config_of())


@pytest.mark.parametrize("limit", [-1, 0, None])
def test_an_episode_without_a_limit_is_not_taken_for_it(limit):
    assert not play._is_vectorised_by_hand(config_of(env_id="CartPole-v1", env_kwargs={"max_episode_steps": limit}))


# What is known of an environment


def test_the_threshold_is_the_one_that_was_registered():
    with registered(lambda **kwargs: InLists(gym.make("CartPole-v1", **kwargs)), reward_threshold=100.0):
        assert train(config_of(evaluations=1)).metrics["reward_threshold"] == 100


class Richer(Line):
    def reward(self):
        return 10.0 * (self.x == 8)


def test_an_id_that_is_registered_anew_is_another_environment():
    found = []
    for made in (Line, Richer):
        with registered(made):
            found.append(random_return(config_of(), Spaces(2, 2, 0, None)))
    assert found[1] == 10 * found[0] > 0


class Endless(Line):
    steps = 0

    def step(self, action):
        Endless.steps += 1
        return self.seen(), 0.0, False, False, {}


def test_where_no_episode_ended_in_training_one_tells_whether_any_does():
    with registered(Endless), pytest.raises(EvaluationFailed) as caught:
        train(config_of(evaluation_episodes=20))
    assert isinstance(caught.value.__cause__, EpisodeTooLong)
    assert Endless.steps <= LONGEST_EPISODE + 400, "of one episode, and of training"
    assert len(caught.value.result.parameters)
