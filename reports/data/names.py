"""Names of metrics, table columns and settings that reports know of, where runs have them."""

from __future__ import annotations

# Columns of the table ``evaluations`` that learning curves are drawn of → the names their traits have.
RETURN, SCALED = "return", "scaled"
CURVE_TRAITS = {RETURN: "evaluations.return", SCALED: "evaluations.scaled"}

REWARD_THRESHOLD = "reward_threshold"  # the environment's, drawn as a line
DIFFERING_SHARE = "differing_target_share"  # the share of targets for which the compared tail rule matters
TARGET_SHIFT = "mean_target_shift"  # by how much, over all targets
STALENESS = {"mean": "staleness_mean", "median": "staleness_median", "max": "staleness_max"}
SCHEDULE = "schedule"
REPEATING = frozenset({"round_robin"})  # schedules with which runs repeat to the bit
