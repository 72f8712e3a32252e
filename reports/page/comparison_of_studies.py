"""Write the page that compares two studies: what differs between them, and where their verdicts agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.record.files import write_text
from harness.record.study import Study
from harness.study.names import label
from reports.comparison.cells import Comparison, compare_cells
from reports.comparison.matching import Match, match_cells, same_runs
from reports.data.settings import provenance, seeds_words, settings
from reports.data.units import unit_of
from reports.page.answer import overall_answer
from reports.page.csv import csv_text
from reports.page.downloads import offer
from reports.page.rendering import render
from reports.page.rows import Filter, Value, difference_of, filters_of, interval_of
from reports.page.signs import Sign, sign
from reports.text import arm_name, count, levels_name, listing, show

if TYPE_CHECKING:
    import pandas as pd

PAGE_FILE = "comparison.html"
TABLE = "comparison"
_NAMED = 3
_SIGNS = {"agree": "=", "differ": "≠", "contradict": "✗", "open": "?", None: "–"}
_ORDER = ("contradict", "differ", "open", "agree", None)


@dataclass(frozen=True)
class Row:
    """One match as the page shows it."""

    levels: tuple[str, ...]
    candidate: str
    agreement: str
    symbol: str
    order: int
    sides: tuple[tuple[Sign | None, Value], tuple[Sign | None, Value]]  # of each study: verdict and difference


def write_comparison(a: Study, b: Study, folder: Path) -> Path:
    """Write ``comparison.html`` and ``tables/comparison.csv`` into ``folder``; return the page's path.

    Args:
        a: one study, finished or not.
        b: another, or the same one as it was recorded elsewhere.
        folder: where to write; made if needed.

    Raises:
        OSError: if the disk takes no more; files that were there stay as they were.
    """
    (folder / "tables").mkdir(parents=True, exist_ok=True)
    found = compare_cells(a), compare_cells(b)
    names, matches = match_cells(a, b, *found)
    table = comparison_table(names, matches)
    text = csv_text(table)
    rows = [_row(match) for match in matches]
    page = render(
        "comparison.html",
        {
            "titles": _titles(a, b),
            "questions": [show(study.spec.study.question, 2000) for study in (a, b)],
            "answers": [overall_answer(study, own) for study, own in zip((a, b), found, strict=True)],
            "sentence": agreement_sentence(a, b, matches),
            "caveats": _caveats(a, b),
            "names": [show(name, 30) for name in names],
            "rows": rows,
            "filters": _filters(names, rows),
            "several": len({match.candidate for match in matches}) > 1,
            "differences": differences(a, b),
            "arms": [],
            "downloads": [
                offer(
                    TABLE,
                    "every comparison of the two studies: both verdicts, differences and intervals",
                    text,
                    len(table),
                )
            ],
        },
    )
    write_text(folder / "tables" / f"{TABLE}.csv", text)
    write_text(folder / PAGE_FILE, page)
    return folder / PAGE_FILE


def agreement_sentence(a: Study, b: Study, matches: Sequence[Match]) -> str:
    """Describe where the verdicts of two studies agree and where not."""
    if not comparable(a, b):
        return "The two do not compare the same thing, so their verdicts cannot be held against each other."
    both = [match for match in matches if match.agreement is not None]
    if not both:
        return "The two have no comparison in common."
    found = Counter(str(match.agreement) for match in both)
    parts = [
        f"{found[kind]} {verb if found[kind] == 1 else verbs}{_where(a, both, kind)}"
        for kind, verb, verbs in (
            ("agree", "agrees", "agree"),
            ("contradict", "contradicts the other study", "contradict each other"),
            ("differ", "comes to another verdict", "come to different verdicts"),
            ("open", "is undecided in at least one of them", "are undecided in at least one of them"),
        )
        if found[kind]
    ]
    alone = [
        f"{count(amount, 'comparison')} only in {name}"
        for amount, name in (
            (sum(match.other is None for match in matches), "the first"),
            (sum(match.one is None for match in matches), "the second"),
        )
        if amount
    ]
    rest = f"; {listing(alone)}" if alone else ""
    return f"Of {count(len(both), 'comparison')} in both studies, {listing(parts)}{rest}."


def comparable(a: Study, b: Study) -> bool:
    """Return whether both compare something with the same baseline by the same metric."""
    return all(
        _declared(a)[name] == _declared(b)[name] for name in ("compare.factor", "compare.baseline", "compare.metric")
    )


def differences(a: Study, b: Study) -> list[tuple[str, str, str]]:
    """Return the declarations, settings and provenance in which two studies differ: name and both values."""
    rows = []
    for of in (_declared, _settings, _provenance):
        ours, theirs = of(a), of(b)
        for name in dict.fromkeys([*ours, *theirs]):
            one, other = ours.get(name, "–"), theirs.get(name, "–")
            if one != other:
                rows.append((show(name), show(one, 200), show(other, 200)))
    return rows


def comparison_table(names: Sequence[str], matches: Sequence[Match]) -> pd.DataFrame:
    """Return one row per match, with the columns of ``comparison.csv``."""
    import pandas as pd

    rows = [
        [
            *match.levels.values(),
            match.candidate,
            match.agreement or "only in one",
            *_held(match.one),
            *_held(match.other),
        ]
        for match in matches
    ]
    held = ("verdict", "candidate_better", "difference", "low", "high", "pairs")
    columns = [*names, "candidate", "agreement", *(f"{name}_{side}" for side in "ab" for name in held)]
    return pd.DataFrame(rows, columns=columns)


def _held(comparison: Comparison | None) -> list[object]:
    if comparison is None:
        return [None] * 6
    estimate = comparison.estimate
    judgement = comparison.judgement
    return [
        judgement.verdict.value,
        judgement.candidate_better,
        estimate.mean,
        estimate.low,
        estimate.high,
        estimate.count,
    ]


def _titles(a: Study, b: Study) -> list[str]:
    """Name the studies; two of one name by their folders."""
    names = [show(study.spec.name, 100) for study in (a, b)]
    if names[0] != names[1]:
        return names
    folders = [show(study.folder.parent.name or study.folder, 60) for study in (a, b)]
    marks = folders if folders[0] != folders[1] else ["first", "second"]
    return [f"{name} ({mark})" for name, mark in zip(names, marks, strict=True)]


def _where(a: Study, both: Sequence[Match], kind: str) -> str:
    """Name the comparisons that do not agree, as long as they are few."""
    if kind not in ("contradict", "differ"):
        return ""
    found = [match for match in both if match.agreement == kind]
    named = [levels_name(match.levels) or arm_name(a.spec.compare.factor, match.candidate) for match in found[:_NAMED]]
    more = f"; and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return f" ({'; '.join(named)}{more})"


def _caveats(a: Study, b: Study) -> list[str]:
    caveats = []
    shared, equal = same_runs(a, b)
    if shared:
        caveats.append(
            f"{count(shared, 'run')} have the same arm, settings and seed in both studies, and {equal} of them gave "
            "the same result: where runs are the same runs, that verdicts agree is no replication."
        )
    rules = [name for name in ("compare.margin", "compare.level") if _declared(a)[name] != _declared(b)[name]]
    if rules:
        caveats.append(f"The two judge by different rules ({listing(name.split('.')[1] for name in rules)}).")
    return caveats


def _row(match: Match) -> Row:
    kind = match.agreement
    alone = f"only in {'the first' if match.other is None else 'the second'}"
    return Row(
        levels=tuple(show(level, 30) for level in match.levels.values()),
        candidate=show(match.candidate, 30),
        agreement=kind or alone,
        symbol=_SIGNS[kind],
        order=_ORDER.index(kind),
        sides=(_side(match.one), _side(match.other)),
    )


def _side(comparison: Comparison | None) -> tuple[Sign | None, Value]:
    if comparison is None:
        return None, Value("")
    difference = difference_of(comparison)
    return sign(comparison), Value(f"{difference.text} {interval_of(comparison).text}".strip(), difference.key)


def _filters(names: Sequence[str], rows: Sequence[Row]) -> list[Filter]:
    """Return the filters of the rows: levels and agreement, each if it has more than one value."""
    several = len({row.candidate for row in rows}) > 1
    return filters_of(
        ("agreement", len(names) + several, [row.agreement for row in sorted(rows, key=lambda row: row.order)]),
        *((show(name, 30), place, [row.levels[place] for row in rows]) for place, name in enumerate(names)),
    )


def _declared(study: Study) -> dict[str, str]:
    """Return the declarations of a study: seeds and looks, factors with their levels, how arms are compared."""
    sweep = {f"sweep.{factor.name}": label(list(factor.values)) for factor in study.spec.sweep}
    compare = {f"compare.{k}": label(v) for k, v in study.spec.compare.model_dump(mode="json").items()}
    return {"seeds": seeds_words(study), **sweep, **compare, "unit": unit_of(study)}


def _settings(study: Study) -> Mapping[str, str]:
    return dict(settings(study))


def _provenance(study: Study) -> Mapping[str, Any]:
    return dict(provenance(study))
