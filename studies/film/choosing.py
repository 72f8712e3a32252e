"""Choose the cell and the runs of a study's film, and caption it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from harness import RunRecord, Study
from reports.comparison.control import compares_targets, is_vacuous
from reports.data.pairs import by_key, compared_values
from reports.page.films import Film
from reports.text import arm_name, cell_name, count, listing, number
from studies.film.acting import FilmFailed, Footage, NoFilm, Part, filmed

LOG = logging.getLogger(__name__)
MOST_ARMS = 8
PARAMETERS = "parameters.npz"


def make_film(study: Study, cell: str | None = None) -> Film | None:
    """Film each arm's trained policy in one cell; None, and the reason logged, where that cannot be.

    Of each arm the run with the median compared value is taken. Its final network acts greedily in the environment it
    was evaluated in, all from the same start.

    Args:
        study: with runs that left their parameters.
        cell: id of the cell; None: of the primary cells whose arms' targets differ, the one whose arms' means do most.
    """
    try:
        return film(study, cell)
    except (NoFilm, OSError) as reason:  # where no process can be started, too
        LOG.log(logging.WARNING if isinstance(reason, FilmFailed | OSError) else logging.INFO, "no film: %s", reason)
        return None


def film(study: Study, cell: str | None = None) -> Film:
    """Film each arm's trained policy as :func:`make_film` does.

    Raises:
        NoFilm: where that cannot be.
    """
    chosen = cell if cell is not None else _most_different_cell(study)
    runs = _median_runs(study, chosen)
    parts = [
        Part(arm_name(study.spec.compare.factor, arm), str((record.folder / PARAMETERS).absolute()), record.config)
        for arm, record in runs.items()
    ]
    footage = filmed(parts)
    cells = {known.id: cell_name(known) for known in study.cells}
    alt, caption = _words(study, cells[chosen], runs, parts, footage)
    return Film(chosen, footage.gif, alt, caption, footage.width, footage.height)


# Which runs


def _most_different_cell(study: Study) -> str:
    """Return the cell whose arms' means lie furthest apart: of the primary ones, where a difference can be."""
    values: dict[tuple[str, str], list[float]] = {}
    for (cell_id, arm, _), value in compared_values(study).items():
        values.setdefault((cell_id, arm), []).append(value)
    records: dict[str, list[RunRecord]] = {}
    for record in study.records:
        records.setdefault(record.cell, []).append(record)
    best: tuple[bool, float] | None = None
    chosen = ""
    for cell in study.cells:
        own = [found for arm in study.arms if (found := values.get((cell.id, arm)))]
        means = [sum(found) / len(found) for found in own]
        if len(means) < 2 or (compares_targets(study) and is_vacuous(records.get(cell.id, []))):
            continue
        rank = (cell.primary, max(means) - min(means))
        if best is None or rank > best:
            best, chosen = rank, cell.id
    if best is None:
        raise NoFilm("no cell has finished runs of two arms that could differ")
    return chosen


def _median_runs(study: Study, cell: str) -> dict[str, RunRecord]:
    """Return of each arm the run with the median compared value among those with parameters, the lower of two."""
    values, records = compared_values(study), by_key(study)
    found = {}
    for arm in study.arms[:MOST_ARMS]:
        ranked = sorted(
            (values[key], key[2])
            for key, record in records.items()
            if key[:2] == (cell, arm) and key in values and (record.folder / PARAMETERS).is_file()
        )
        if ranked:
            found[arm] = records[cell, arm, ranked[(len(ranked) - 1) // 2][1]]
    if not found:
        raise NoFilm(f"no run of the cell {cell} left its parameters")
    return found


# In words


def _words(
    study: Study, where: str, runs: Mapping[str, RunRecord], parts: Sequence[Part], footage: Footage
) -> tuple[str, str]:
    """Return the alt text and the caption."""
    env_id = next(iter(runs.values())).config["env_id"]
    ends = [
        f"{part.title} {_HOW[ending.how]} after {count(ending.steps, 'step')} with return {ending.total:.6g}"
        for part, ending in zip(parts, footage.endings, strict=True)
    ]
    alt = f"Animation: the trained policies of the arms act in {env_id} from the same start. {'; '.join(ends)}."
    values = compared_values(study)
    scores = [
        f"{part.title} {number(values[record.cell, record.arm, record.seed])} (seed {record.seed})"
        for part, record in zip(parts, runs.values(), strict=True)
    ]
    pace = "" if footage.stride == 1 else f" Every {_ordinal(footage.stride)} step is shown."
    metric = study.spec.compare.metric
    caption = (
        f"{where}: of each arm the run with the median {metric}, {listing(scores)}. Their final networks take the "
        f"likeliest action, all from one start.{pace} One episode each is an illustration, not evidence."
    )
    return alt, caption


_HOW = {"ended": "ends", "time limit": "reaches the time limit", "cut": "is cut off"}


def _ordinal(stride: int) -> str:
    return {2: "second", 3: "third"}.get(stride, f"{stride}th")
