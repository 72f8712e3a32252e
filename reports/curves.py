"""Learning curves of every run in long form: what the figures draw and ``curves.csv`` holds."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from harness.records import RunRecord
from harness.results import Study

if TYPE_CHECKING:
    import pandas as pd

TRAINING_POINTS = 50
EVALUATION_COLUMNS = ["cell", "arm", "seed", "at", "return", "scaled", "filled"]
TRAINING_COLUMNS = ["cell", "arm", "seed", "at", "return", "episodes"]


def budget_unit(study: Study) -> str:
    """Return what the budget, and so the axis of every curve, is counted in."""
    units = {"episodes" if _episodes(record.config) else "environment steps" for record in study.records}
    units = units or {"episodes" if _episodes(study.spec.base) else "environment steps"}
    return " or ".join(sorted(units))


def evaluation_curves(study: Study) -> pd.DataFrame:
    """Return one row per run and evaluation.

    ``at`` is the planned snapshot point in budget units, ``return`` the mean over the evaluation episodes, ``scaled``
    the same with the random policy at 0 and the reward threshold at 1. Where a diverged run has no evaluation left,
    rows with ``filled`` carry the worst value, so that a mean over seeds is not one over the survivors.
    """
    import pandas as pd

    parts = []
    for record in study.records:
        table = _table(record, "evaluations", ("grid", "return"))
        if table is not None:
            scaled = table.get("scaled", math.nan)
            parts.append(
                pd.DataFrame({**_who(record), "at": table["grid"], "return": table["return"], "scaled": scaled})
            )
    curves = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=EVALUATION_COLUMNS)
    curves["filled"] = False
    return _fill_diverged(study, curves)[EVALUATION_COLUMNS]


def training_curves(study: Study) -> pd.DataFrame:
    """Return the mean return of training episodes in equal stretches of the budget, one row per run and stretch.

    ``at`` is the end of the stretch, in budget units; ``episodes`` how many ended in it.
    """
    import pandas as pd

    parts = []
    for record in study.records:
        table = _table(record, "episodes", ("step", "return"))
        if table is None or table.empty:
            continue
        by_episode = _episodes(record.config)
        position = pd.Series(range(1, len(table) + 1)) if by_episode else table["step"]
        budget = record.config.get("total_episodes" if by_episode else "total_steps") or position.max()
        width = max(1, math.ceil(budget / TRAINING_POINTS))
        ends = ((position + width - 1) // width * width).rename("at")
        means = table["return"].groupby(ends).agg(["mean", "size"]).reset_index()
        means.columns = pd.Index(["at", "return", "episodes"])
        parts.append(means.assign(**_who(record)))
    curves = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=TRAINING_COLUMNS)
    return curves[TRAINING_COLUMNS]


def measure(curves: pd.DataFrame) -> str:
    """Return the column to draw: ``scaled`` where every evaluation has it, else ``return``."""
    return "scaled" if len(curves) and bool(curves["scaled"].notna().all()) else "return"


def _fill_diverged(study: Study, curves: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    rows: list[dict[str, Any]] = []
    for record in study.records:
        if record.outcome != "diverged" or curves.empty:
            continue
        cell = curves[curves["cell"] == record.cell]
        own = cell[(cell["arm"] == record.arm) & (cell["seed"] == record.seed)]
        missing = sorted(set(cell["at"]) - set(own["at"]))
        worst = {"return": curves["return"].min(), "scaled": 0.0 if measure(curves) == "scaled" else math.nan}
        rows += [{**_who(record), "at": at, **worst, "filled": True} for at in missing]
    return pd.concat([curves, pd.DataFrame(rows)], ignore_index=True) if rows else curves


def _who(record: RunRecord) -> dict[str, Any]:
    return {"cell": record.cell, "arm": record.arm, "seed": record.seed}


def _episodes(config: Any) -> bool:
    return config.get("total_episodes") is not None


def _table(record: RunRecord, name: str, columns: tuple[str, ...]) -> pd.DataFrame | None:
    """Read a run's table; None if the run has none with these columns (a run without evaluations, say)."""
    import pandas as pd

    try:
        table = record.table(name)
    except (FileNotFoundError, pd.errors.EmptyDataError):
        return None
    return table if set(columns) <= set(table.columns) else None
