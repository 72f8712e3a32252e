"""What the compared metric is measured in, and what more or less of it is called."""

from __future__ import annotations

from harness.record.scores import SCALED
from harness.record.study import Study
from reports.data.curves import budget_unit
from reports.data.settings import setting

_WORDS = {  # what an arm does that is better by a metric, and what one does that is worse
    "auc": ("converges better", "converges worse"),
    "best": ("reaches a better best", "reaches a worse best"),
    "final": ("ends better", "ends worse"),
    "final_return": ("ends better", "ends worse"),
    "steps_to_threshold": ("reaches the threshold sooner", "reaches the threshold later"),
    "solved": ("solves the task more often", "solves the task less often"),
    "collapsed": ("collapses less often", "collapses more often"),
}


def unit_of(study: Study) -> str:
    """Return the unit of the compared metric, as a phrase."""
    metric = study.spec.compare.metric
    if metric in SCALED:
        return scale_of(study)
    units = {"final_return": "return", "training_return_last_100": "return"}
    if metric == "steps_to_threshold":
        return budget_unit(study)
    return units.get(metric, "")


def scale_of(study: Study) -> str:
    """Say what scaled evaluation returns are scaled to; ``return`` where nothing says what is solved."""
    if given := setting(study, "evaluation_scale"):
        return f"return scaled so that {given} become 0 and 1"
    if study.records and not any("reward_threshold" in record.metrics for record in study.records):
        return "return"
    return "scaled return: 0 random policy, 1 solved"


def better_words(metric: str) -> tuple[str, str]:
    """Return how a sentence says that an arm is better by a metric, and that it is worse."""
    return _WORDS.get(metric, ("does better", "does worse"))
