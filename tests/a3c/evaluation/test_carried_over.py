"""What evaluation could not see as training does is refused before anything is trained."""

import sqlite3
from contextlib import closing

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.wrappers import (
    FrameStackObservation,
    NormalizeObservation,
    NormalizeReward,
    RecordEpisodeStatistics,
    TimeAwareObservation,
    TimeLimit,
    TransformObservation,
)

from a3c import EnvironmentUnsuitable, train
from studies.algorithms.a3c import StudyConfig
from tests.a3c.evaluation.test_evaluated_as_trained import Line, config_of, registered


def problems(**changes):
    return StudyConfig(**config_of(**changes).model_dump()).problems()


class OwnMean(gym.Wrapper):
    """Takes off the mean of all it has seen."""

    seen = 0
    total = np.zeros(2)

    def centred(self, observation):
        self.seen, self.total = self.seen + 1, self.total + observation
        return (observation - self.total / self.seen).astype(np.float32)

    def reset(self, **given):
        observation, info = self.env.reset(**given)
        return self.centred(observation), info

    def step(self, action):
        observation, *rest = self.env.step(action)
        return self.centred(observation), *rest


class Curriculum(Line):
    """Begins further from the end in every episode."""

    played = 0

    def reset(self, **given):
        super().reset(**given)
        self.played += 1
        self.x = max(1, self.x - self.played)
        return self.seen(), {}


class RewardOfAll(Line):
    """Rewards by what was rewarded before."""

    steps = 0

    def reward(self):
        self.steps += 1
        return 1 / self.steps


@pytest.mark.parametrize(
    "made",
    [
        lambda: NormalizeObservation(Line()),
        lambda: NormalizeReward(Line()),
        lambda: RecordEpisodeStatistics(NormalizeObservation(TimeAwareObservation(TimeLimit(Line(), 20)))),
        lambda: OwnMean(Line()),
        Curriculum,
        RewardOfAll,
    ],
)
def test_what_one_episode_leaves_to_the_next_is_refused_unless_nothing_is_evaluated(made):
    with registered(made):
        ((field, value, allowed),) = problems()
        assert (field, value) == ("env_id", "Odd-v0")
        assert allowed.startswith("must not carry anything from one episode to the next")
        assert problems(evaluations=0) == []
        assert train(config_of(evaluations=0)).outcome == "complete"


@pytest.mark.parametrize("wrapper", [NormalizeObservation, NormalizeReward])
def test_training_alone_refuses_running_statistics_too(wrapper):
    made = registered(lambda: RecordEpisodeStatistics(wrapper(Line())))
    with made, pytest.raises(EnvironmentUnsuitable, match=wrapper.__name__):
        train(config_of())


class Alike(Line):
    """Begins in the same place from every seed."""

    def reset(self, **given):
        super().reset(**given)
        self.x = 4
        return self.seen(), {}


@pytest.mark.parametrize(
    "made",
    [
        Line,
        Alike,
        lambda: TimeAwareObservation(TimeLimit(Line(), 20)),
        lambda: RecordEpisodeStatistics(Line()),
        lambda: gym.wrappers.FlattenObservation(FrameStackObservation(Line(), 3)),
        lambda: TransformObservation(Line(), lambda seen: seen / 8, Line.observation_space),
    ],
)
def test_what_begins_anew_in_every_episode_is_taken(made):
    with registered(made):
        assert problems() == []


class Stored(Line):
    """Keeps where it is in a database, which one thread alone may use."""

    def __init__(self):
        self.database = sqlite3.connect(":memory:")
        self.database.execute("CREATE TABLE place (x)")

    def step(self, action):
        with closing(self.database.cursor()) as cursor:
            cursor.execute("INSERT INTO place VALUES (?)", (self.x,))
        return super().step(action)

    def close(self):
        self.database.close()


def test_what_may_be_used_by_one_thread_alone_is_refused():
    with registered(Stored):
        ((field, _, allowed),) = problems()
    assert field == "env_id"
    assert allowed.startswith("must survive a reset and a step in another thread than it was made in (ProgrammingError")
    assert "created in a thread can only be used in that same thread" in allowed
