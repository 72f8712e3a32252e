"""Learning curves over seconds of training instead of steps: the same curves, each run at its own pace."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from harness.algorithm.traits import STEPS
from harness.record.run import RunRecord
from harness.record.study import Study
from reports.data.curves import EVALUATION_COLUMNS
from reports.data.names import RETURN, SCALED
from reports.data.pairs import RunKey, by_key

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

POINTS = 50
_MEASURES = (RETURN, SCALED)
_ROUNDING = 1e-9  # the last point of a grid is the end of a curve, but for this share


def time_curves(study: Study, evaluations: pd.DataFrame) -> pd.DataFrame:
    """Return evaluation curves with ``at`` in seconds of training, on one grid for all runs of a cell.

    A run trains its steps at a constant pace: step s was reached after s·(seconds in all)/(steps in all). Between two
    evaluations the curve is their straight line; before the first and after the last there is nothing. So that a mean
    over seeds is never one over those still running, an arm's curves in a cell begin where all its runs have been
    evaluated and end where the first of them ends. Runs without timings are left out.

    Args:
        study: the study.
        evaluations: what :func:`reports.data.curves.evaluation_curves` returned for it.

    Returns:
        The columns of ``curves.csv``; ``filled`` where the value stands in for a diverged run's missing ones.
    """
    import numpy as np
    import pandas as pd

    timed = evaluations
    if len(evaluations):
        timed = evaluations.assign(at=_seconds(study, evaluations)).dropna(subset=["at"])
    if timed.empty:
        return evaluations.iloc[:0][EVALUATION_COLUMNS]
    timed = timed.sort_values("at", kind="stable")
    runs: Mapping[Any, Any] = timed.groupby(["cell", "arm", "seed"], sort=False).indices
    columns = {name: timed[name].to_numpy(bool if name == "filled" else float) for name in ("at", *_MEASURES, "filled")}
    curves = {key: {name: column[rows] for name, column in columns.items()} for key, rows in runs.items()}
    spans = _spans(curves)
    grids: dict[str, float] = {}
    for (cell, _), (_, end) in spans.items():
        grids[cell] = max(end, grids.get(cell, 0.0))
    parts = []
    for (cell, arm, seed), curve in curves.items():
        begin, end = spans[cell, arm]
        grid = np.linspace(0, grids[cell], POINTS + 1)[1:]
        inside = grid[(grid >= begin * (1 - _ROUNDING)) & (grid <= end * (1 + _ROUNDING))]
        parts.append({"cell": cell, "arm": arm, "seed": seed, **_resampled(curve, inside)})
    lengths = [len(part["at"]) for part in parts]
    who = {
        name: np.repeat(np.array([part[name] for part in parts], object), lengths) for name in ("cell", "arm", "seed")
    }
    drawn = {name: np.concatenate([part[name] for part in parts]) for name in columns}
    return pd.DataFrame({**who, **drawn})[EVALUATION_COLUMNS].astype({"seed": int})


def _spans(curves: Mapping[RunKey, Mapping[str, Any]]) -> dict[tuple[str, str], tuple[float, float]]:
    """Return by cell and arm the seconds between which every run has a value."""
    spans: dict[tuple[str, str], tuple[float, float]] = {}
    for (cell, arm, _), curve in curves.items():
        begin, end = spans.get((cell, arm), (0.0, math.inf))
        spans[cell, arm] = (max(begin, float(curve["at"][0])), min(end, float(curve["at"][-1])))
    return spans


def _resampled(curve: Mapping[str, Any], at: Any) -> dict[str, Any]:
    """Return one run's curve at other points, straight between its own."""
    import numpy as np

    measured = curve["at"][~curve["filled"]]
    last = measured[-1] if len(measured) else -math.inf
    values = {name: np.interp(at, curve["at"], curve[name]) for name in _MEASURES}
    return {"at": at, **values, "filled": at > last * (1 + _ROUNDING)}


def _seconds(study: Study, evaluations: pd.DataFrame) -> NDArray[np.float64]:
    """Return when each evaluation's snapshot was taken, in seconds of training; NaN where that is not known.

    Where a diverged run has no evaluation left, steps go on from its last in proportion to the budget's unit.
    """
    import numpy as np

    run = ["cell", "arm", "seed"]
    last = evaluations[~evaluations["filled"].astype(bool)].drop_duplicates(run, keep="last").set_index(run)
    keys = list(zip(*(evaluations[name].tolist() for name in run), strict=True))
    ends = last[["at", "step"]].astype(float).reindex(keys).to_numpy()
    steps = evaluations["step"].astype(float).to_numpy()
    onward = ends[:, 1] * evaluations["at"].astype(float).to_numpy() / ends[:, 0]
    paces = {key: _pace(record) for key, record in by_key(study).items()}
    pace = np.array([paces[key] for key in keys])
    return np.asarray(pace * np.where(evaluations["filled"].astype(bool), onward, steps), np.float64)


def _pace(record: RunRecord) -> float:
    """Return the seconds a run took for a step."""
    seconds, steps = record.timings.get("train_seconds"), record.metrics.get(STEPS)
    return seconds / steps if seconds and steps else math.nan
