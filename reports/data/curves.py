"""Learning curves of every run in long form: for the figures and ``curves.csv``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from harness.algorithm.traits import NO_TRAITS
from harness.record.study import Study
from reports.data.names import CURVE_TRAITS
from reports.data.pairs import compared_values, scores_of
from reports.data.reading import RunFiles
from reports.data.units import holding, unit

if TYPE_CHECKING:
    import pandas as pd

TRAINING_POINTS = 50
EVALUATION_COLUMNS = ["cell", "arm", "seed", "at", "return", "scaled", "filled"]
_WITH_STEPS = [*EVALUATION_COLUMNS, "step"]
TRAINING_COLUMNS = ["cell", "arm", "seed", "at", "return", "episodes"]


def budget_unit(study: Study) -> str:
    """Return what the budget, and so the axis of every curve, is counted in."""
    units = {"episodes" if _episodes(record.config) else "environment steps" for record in study.records}
    units = units or {"episodes" if _episodes(study.spec.base) else "environment steps"}
    return " or ".join(sorted(units))


def evaluation_curves(study: Study, files: RunFiles | None = None) -> pd.DataFrame:
    """Return one row per run and evaluation.

    ``at`` is the planned snapshot point in budget units, ``return`` the mean over the evaluation episodes, ``scaled``
    the same with the random policy at 0 and the reward threshold at 1. Where a diverged run has no evaluation left,
    rows with ``filled`` carry the worst value, so that a mean over seeds is not one over the survivors. ``step`` is the
    environment step of the snapshot; NaN where it is not known, as in ``filled`` rows.
    """
    import pandas as pd

    parts = [
        part.rename(columns={"grid": "at"}).assign(
            **{name: part.get(name, math.nan) for name in ("scaled", "step")}, filled=False
        )
        for part in (files or RunFiles(study.records)).tables("evaluations", ("grid", "return"), ("scaled", "step"))
    ]
    if not parts:
        return pd.DataFrame(columns=_WITH_STEPS)
    curves = pd.concat(parts).sort_values("record", kind="stable")
    return _with_keys(study, _fill_diverged(study, curves))[_WITH_STEPS]


def training_curves(study: Study, files: RunFiles | None = None) -> pd.DataFrame:
    """Return the mean return of training episodes in equal stretches of the budget, one row per run and stretch.

    ``at`` is the end of the stretch, in budget units; ``episodes`` how many ended in it.
    """
    import pandas as pd

    # Episodes can be millions: each part is reduced before the next is read.
    tables = (files or RunFiles(study.records)).tables("episodes", ("step", "return"))
    parts = [_stretches(study, part) for part in tables]
    if not parts:
        return pd.DataFrame(columns=TRAINING_COLUMNS)
    return _with_keys(study, pd.concat(parts).sort_values("record", kind="stable"))[TRAINING_COLUMNS]


def measure(curves: pd.DataFrame) -> str:
    """Return the column to draw: ``scaled`` where every evaluation has it, else ``return``."""
    return "scaled" if len(curves) and bool(curves["scaled"].notna().all()) else "return"


def _stretches(study: Study, episodes: pd.DataFrame) -> pd.DataFrame:
    """Return for every run and every stretch of its budget the episodes that ended in it, and their mean return."""
    run = episodes["record"]
    configs = {number: study.records[number].config for number in run.unique()}
    by_episode = run.map({number: _episodes(config) for number, config in configs.items()})
    position = episodes["step"].where(~by_episode, run.groupby(run).cumcount() + 1)
    last = position.groupby(run).max()
    widths = {
        number: max(1, math.ceil((_budget(config) or last[number]) / TRAINING_POINTS))
        for number, config in configs.items()
    }
    width = run.map(widths)
    ends = ((position + width - 1) // width * width).rename("at")
    means = episodes["return"].groupby([run, ends]).agg(["mean", "size"])
    return means.reset_index().rename(columns={"mean": "return", "size": "episodes"})


def _fill_diverged(study: Study, curves: pd.DataFrame) -> pd.DataFrame:
    """Append the evaluations that diverged runs have not, but other runs of their cell have."""
    import pandas as pd

    cells = [record.cell for record in study.records]
    diverged = [number for number, record in enumerate(study.records) if record.outcome == "diverged"]
    points = {cell: set(at) for cell, at in curves["at"].groupby(curves["record"].map(cells.__getitem__))}
    stopped = curves[curves["record"].isin(diverged)]
    own = {number: set(at) for number, at in stopped["at"].groupby(stopped["record"])}
    worst = _worst_values(study, curves, diverged)
    rows = [
        {"record": number, "at": at, **worst[number], "filled": True}
        for number in diverged
        for at in sorted(points.get(cells[number], set()) - own.get(number, set()))
    ]
    return pd.concat([curves, pd.DataFrame(rows)]) if rows else curves


def _worst_values(study: Study, curves: pd.DataFrame, diverged: Sequence[int]) -> dict[int, dict[str, float]]:
    """Return the values of the measures at which the curves of diverged runs go on.

    A measure in the unit of the compared metric goes on at what such a run counts as. Any other at the worst that is
    known of it, and where nothing bounds it also seen.
    """
    found: dict[int, dict[str, float]] = {number: dict.fromkeys(CURVE_TRAITS, math.nan) for number in diverged}
    compared = compared_values(study) if diverged else {}
    for column, name in CURVE_TRAITS.items():
        if not diverged or curves[column].isna().any():
            continue
        own_unit = unit(study, name)
        same = bool(own_unit) and own_unit == unit(study, study.spec.compare.metric)
        lower = study.metrics.get(name, NO_TRAITS).lower_is_better
        bounded = all(traits.worst is not None for traits in holding(study, name))
        seen = [] if bounded else [float(curves[column].max() if lower else curves[column].min())]
        scores = scores_of(study, name)
        for number in diverged:
            record = study.records[number]
            counted = compared.get((record.cell, record.arm, record.seed)) if same else None
            known = [value for value in (scores.of(record),) if value is not None]
            found[number][column] = counted if counted is not None else (max if lower else min)([*seen, *known])
    return found


def _with_keys(study: Study, curves: pd.DataFrame) -> pd.DataFrame:
    """Return curves with the cell, arm and seed of each row's run in front."""
    import pandas as pd

    records = study.records
    keys = pd.DataFrame({name: [getattr(record, name) for record in records] for name in ("cell", "arm", "seed")})
    of_rows = keys.iloc[curves["record"].to_numpy()].reset_index(drop=True)
    return pd.concat([of_rows, curves.reset_index(drop=True)], axis=1)


def _episodes(config: Mapping[str, Any]) -> bool:
    return config.get("total_episodes") is not None


def _budget(config: Mapping[str, Any]) -> Any:
    return config.get("total_episodes" if _episodes(config) else "total_steps")
