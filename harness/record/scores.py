"""What a run counts as in a comparison: its metric, or the worst there is if it diverged. Never silently dropped."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

from harness.record.run import RunRecord
from harness.study.spec import CompareSection

# Evaluation returns scaled so that the random policy is 0 and the environment's reward threshold is 1.
SCALED = frozenset({"auc", "best", "final"})
_KNOWN_WORST = {**dict.fromkeys(SCALED, 0.0), "solved": 0.0, "collapsed": 1.0}


def score(record: RunRecord, compare: CompareSection, seen: Collection[float]) -> float | None:
    """Return the compared metric of a run, or None where it has none.

    Args:
        record: the run.
        compare: what is compared. Its ``diverged_score`` is what a diverged run counts as; None: the worst of what
            its metric is known to fall to (a random policy's score, the whole budget) and of ``seen``.
        seen: the metric in complete runs of the study.
    """
    if record.outcome == "diverged":
        return lost_score(compare, record.config, seen)
    value = record.metrics.get(compare.metric)
    return float(value) if value is not None and math.isfinite(value) else None


def lost_score(compare: CompareSection, config: Mapping[str, Any], seen: Collection[float]) -> float | None:
    """Return what a run counts as that came to nothing, or None where nothing says what is worst.

    Args:
        compare: what is compared.
        config: the run's settings, which hold its budget.
        seen: the metric in complete runs of the study.
    """
    if compare.diverged_score is not None:
        return compare.diverged_score
    known = _KNOWN_WORST.get(compare.metric)
    if compare.metric == "steps_to_threshold":
        known = config.get("total_steps") or config.get("total_episodes")
    candidates = [*seen] if known is None else [*seen, float(known)]
    worst = min if compare.higher_is_better else max
    return worst(candidates, default=None)
