"""The config type of this project's A3C in studies, with the traits of its metrics."""

from __future__ import annotations

from a3c import TrainConfig
from harness.algorithm.traits import MetricTraits

# A metric of the second is there, or the setting given, exactly where it is defined what solved is.
_SCALED = ("solved", "steps_to_threshold", "evaluation_scale")
_RETURN = MetricTraits(unit="return", chance="random_return")
_SCORE = MetricTraits(
    worst=0.0,
    best=1.0,
    unit="scaled return: 0 random policy, 1 solved",
    units={"evaluation_scale": "return scaled so that {} become 0 and 1"},
    where=_SCALED,
    otherwise=_RETURN,
)


def _worded(traits: MetricTraits, better: str, worse: str) -> MetricTraits:
    return traits.model_copy(update={"words": (better, worse)})


METRIC_TRAITS = {
    "auc": _worded(_SCORE, "converges better", "converges worse"),
    "best": _worded(_SCORE, "reaches a better best", "reaches a worse best"),
    "final": _worded(_SCORE, "ends better", "ends worse"),
    "final_return": _worded(_RETURN, "ends better", "ends worse"),
    "training_return_last_100": MetricTraits(unit="return"),
    "steps_to_threshold": MetricTraits(
        lower_is_better=True,
        worst=("total_steps", "total_episodes"),
        units={"total_steps": "environment steps", "total_episodes": "episodes"},
        words=("reaches the threshold sooner", "reaches the threshold later"),
        reached_by="solved",
        where=_SCALED,
    ),
    "solved": MetricTraits(
        worst=0.0,
        best=1.0,
        words=("solves the task more often", "solves the task less often"),
        where=_SCALED,
    ),
    "collapsed": MetricTraits(
        lower_is_better=True,
        worst=1.0,
        best=0.0,
        words=("collapses less often", "collapses more often"),
    ),
    "evaluations.scaled": _SCORE,
    "evaluations.return": _RETURN,
}


class StudyConfig(TrainConfig):
    """A :class:`~a3c.TrainConfig` that answers the harness, see :mod:`harness.algorithm.protocol`."""

    @staticmethod
    def default_metric() -> str:
        """Return the metric of studies that name none: the mean evaluation return over the run."""
        return "auc"

    def labels(self) -> dict[str, str]:
        """Return the labels a run would have on this machine: the engine that would compute it."""
        from a3c.engines.choice import choose_engine

        return {"engine": choose_engine(self)}

    def metric_traits(self) -> dict[str, MetricTraits]:
        """Return the traits of the metrics that can be compared, and of what learning curves are drawn of."""
        return METRIC_TRAITS

    def problems(self) -> list[tuple[str, object, str]]:
        """Make the environments once and return (field, value, allowed) for each misfit."""
        from a3c.environments.probing import problems_of_environments

        return problems_of_environments(self)

    def problems_key(self) -> str:
        """Return a key that configs with the same :meth:`problems` share."""
        return repr((self.env_id, self.env_kwargs, self.evaluation_env_kwargs))
