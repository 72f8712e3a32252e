"""Performance profiles (Agarwal et al. 2021): the share of runs that score better than τ, for every τ.

The profile of an arm is the mean over cells of each cell's own share, so that a cell with more seeds counts no more
than another. Diverged runs, and failed ones where failures count, stand at the worst value.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from harness.record.study import Study
from reports.figures.exhibit import Exhibit, Words
from reports.figures.facets import arm_handles, put_legend
from reports.figures.findings import Findings
from reports.figures.style import FAINT, Picture, arm_styles, drawing, multiples, picture
from reports.statistics.intervals import MIN_PAIRS, clopper_pearson
from reports.text import cell_name, count, number, percent, show, wrapped

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

POOLED = "all primary cells"
COLUMNS = ["scope", "arm", "threshold", "share", "low", "high", "runs", "cells", "band"]
CELLS_ALONE = 9  # up to here every cell has a profile of its own too
_THRESHOLDS = 101
_RESAMPLES = 2000
_SEED = 20_210_826  # of the resampling: the same records give the same band
_BOOTSTRAP, _CLOPPER_PEARSON = "stratified bootstrap", "Clopper-Pearson"


def profile_table(findings: Findings) -> pd.DataFrame:
    """Return the profiles over the primary cells that can be compared: one row per scope, arm and threshold.

    ``scope`` is :data:`POOLED`, or a cell's id where there are at most :data:`CELLS_ALONE`. ``low`` and ``high`` bound
    the share pointwise, for each threshold alone, at the study's level, from
    :data:`~reports.statistics.intervals.MIN_PAIRS` runs a cell on; ``band`` names the method:

    - one cell: Clopper and Pearson's exact interval of a proportion;
    - several: percentiles of 2000 resamplings of the runs of each cell, with replacement (the stratified bootstrap of
      Agarwal et al.). Where all runs of every cell lie on one side of the threshold it has no width.
    """
    import pandas as pd

    study, scores = findings.study, _scores(findings)
    if not scores:
        return pd.DataFrame(columns=COLUMNS)
    thresholds = _thresholds([score for by_arm in scores.values() for own in by_arm.values() for score in own])
    scopes = {POOLED: list(scores)} | ({cell: [cell] for cell in scores} if 1 < len(scores) <= CELLS_ALONE else {})
    parts = []
    for scope, cells in scopes.items():
        for arm in study.arms:
            runs = [scores[cell][arm] for cell in cells if arm in scores[cell]]
            if runs:
                parts.append(_profile(study, scope, arm, runs, thresholds))
    return pd.concat(parts, ignore_index=True)


def profile_figure(table: pd.DataFrame, findings: Findings) -> list[Picture]:
    """Draw the profiles: one picture pooled over cells, and one of the cells alone where they are few."""
    study = findings.study
    if table.empty:
        return []
    names = {cell.id: cell_name(cell) for cell in study.cells}
    alone = [str(scope) for scope in table["scope"].unique() if scope != POOLED]
    pictures = [_figure(study, table, {POOLED: ""}, "pooled" if alone else "")]
    if alone:
        pictures.append(_figure(study, table, {cell: wrapped(names[cell], 38) for cell in alone}, "cell by cell"))
    return pictures


def _scores(findings: Findings) -> dict[str, dict[str, list[float]]]:
    """Return the scores by cell and arm, of the primary cells in which some arm can be compared."""
    cells = dict.fromkeys(c.cell.id for c in findings.comparisons if c.cell.primary and c.control is None)
    found: dict[str, dict[str, list[float]]] = {cell: {} for cell in cells}
    for (cell, arm, _), value in findings.values.items():
        if cell in found:
            found[cell].setdefault(arm, []).append(value)
    return {cell: by_arm for cell, by_arm in found.items() if by_arm}


def _thresholds(scores: Sequence[float]) -> NDArray[np.float64]:
    """Return thresholds from just outside the worst score to just outside the best."""
    import numpy as np

    low, high = min(scores), max(scores)
    air = 0.02 * (high - low) or 0.5
    return np.linspace(low - air, high + air, _THRESHOLDS)


def _profile(
    study: Study, scope: str, arm: str, runs: Sequence[Sequence[float]], thresholds: NDArray[np.float64]
) -> pd.DataFrame:
    import numpy as np
    import pandas as pd

    sign = 1 if study.spec.compare.higher_is_better else -1
    better = [(sign * np.asarray(own)[:, None] > sign * thresholds).astype(float) for own in runs]
    share = np.mean([own.mean(axis=0) for own in better], axis=0)
    level = study.spec.compare.level
    low = high = np.full(len(thresholds), np.nan)
    if min(map(len, runs)) >= MIN_PAIRS:
        low, high = exact_bounds(better[0], level) if len(runs) == 1 else stratified_bootstrap(better, level)
    band = _CLOPPER_PEARSON if len(runs) == 1 else _BOOTSTRAP
    columns = {"threshold": thresholds, "share": share, "low": low, "high": high}
    who = {"scope": scope, "arm": arm, **columns, "runs": sum(map(len, runs)), "cells": len(runs), "band": band}
    return pd.DataFrame(who, columns=COLUMNS)


def exact_bounds(better: NDArray[np.float64], level: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return Clopper and Pearson's bounds of the share at each threshold: ones and zeros ``[runs, thresholds]``."""
    import numpy as np

    hits = [int(count) for count in better.sum(axis=0)]
    bounds = {count: clopper_pearson(count, len(better), level) for count in set(hits)}
    low, high = np.array([bounds[count] for count in hits]).T
    return low, high


def stratified_bootstrap(
    better: Sequence[NDArray[np.float64]], level: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return percentile bounds of the mean over cells of each cell's share, from ``[runs, thresholds]`` a cell."""
    import numpy as np

    random = np.random.default_rng(_SEED)
    total = np.zeros((_RESAMPLES, better[0].shape[1]))
    for own in better:
        n = len(own)
        total += random.multinomial(n, np.full(n, 1 / n), size=_RESAMPLES) @ own / n
    low, high = np.quantile(total / len(better), [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, high


def _figure(study: Study, table: pd.DataFrame, scopes: Mapping[str, str], title: str) -> Picture:
    across = min(3, len(scopes))
    size = (7.0, 3.6) if len(scopes) == 1 else (across * 3.4 + 0.4, math.ceil(len(scopes) / across) * 2.3 + 0.8)
    with drawing():
        figure, grid = multiples(len(scopes), across, *size, sharex=True)
        for axes, (scope, name) in zip(grid, scopes.items(), strict=True):
            _draw(axes, study, table[table["scope"] == scope])
            axes.set_title(name, fontsize=9, loc="left")
        _orient(grid[0], study, table)
        sign = ">" if study.spec.compare.higher_is_better else "<"
        figure.supxlabel(f"τ, in {show(study.spec.compare.metric, 40)}", fontsize=10)
        figure.supylabel(f"share of runs with score {sign} τ", fontsize=10)
        put_legend(figure, arm_handles(study))
        return picture(figure, title, _alt(study, table[table["scope"].isin(list(scopes))], len(scopes)))


def _orient(axes: Axes, study: Study, table: pd.DataFrame) -> None:
    """Set limits: harder thresholds always stand to the right, so that profiles fall from left to right."""
    limits = [float(table["threshold"].min()), float(table["threshold"].max())]
    if not study.spec.compare.higher_is_better:
        limits.reverse()
    axes.set(xlim=limits, ylim=(-0.02, 1.02))


def _draw(axes: Axes, study: Study, table: pd.DataFrame) -> None:
    axes.axhline(0.5, color=FAINT, linewidth=1.2)
    for arm, style in arm_styles(study.arms).items():
        own = table[table["arm"] == arm]
        common: dict[str, Any] = {"color": style.colour}
        axes.plot(own["threshold"], own["share"], linestyle=style.line, linewidth=1.9, **common)
        axes.fill_between(own["threshold"], own["low"], own["high"], alpha=0.15, linewidth=0, **common)


def _alt(study: Study, table: pd.DataFrame, scopes: int) -> str:
    """Describe per arm up to which score half of the runs come, and how many runs that rests on."""
    parts = []
    for arm in study.arms:
        own = table[table["arm"] == arm]
        if own.empty:
            continue
        halves = [_half(part, study.spec.compare.higher_is_better) for _, part in own.groupby("scope", sort=False)]
        reach = number(halves[0]) if len(halves) == 1 else f"{number(min(halves))} to {number(max(halves))}"
        runs = int(own.groupby("scope")["runs"].first().sum())
        parts.append(f"{show(arm)} {reach} ({count(runs, 'run')})")
    cells = count(int(table["cells"].max()) if scopes == 1 else scopes, "primary cell")
    bands = " and ".join(dict.fromkeys(str(band) for band in table.loc[table["low"].notna(), "band"]))
    drawn = f" Bands: {percent(study.spec.compare.level)}, pointwise, {bands}." if bands else ""
    return f"Performance profiles over {cells}. Half of the runs score better than: {'; '.join(parts)}.{drawn}"


def _half(profile: pd.DataFrame, higher_is_better: bool) -> float:
    """Return the hardest threshold that at least half of the runs pass."""
    passed = profile.loc[profile["share"] >= 0.5, "threshold"]
    return float(passed.max() if higher_is_better else passed.min())


def _words(_: pd.DataFrame, findings: Findings) -> Words:
    compare = findings.study.spec.compare
    return Words(
        f"The share of runs that score {'above' if compare.higher_is_better else 'below'} a value of "
        f"{show(compare.metric)}, for every value; the higher curve is the better arm. The mean over cells, so that "
        f"each cell counts alike; with its pointwise {percent(compare.level)} band from {MIN_PAIRS} runs a cell on. "
        "Diverged runs stand at the worst value. (After Agarwal et al. 2021.)",
        "Performance profiles",
    )


PROFILES = Exhibit(
    "profiles", "performance profiles with their bands", profile_table, profile_figure, _words, "across", optional=True
)
