"""The common properties of a study's runs: settings, provenance, counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from harness.record.study import Study
from harness.study.names import label
from reports.text import count, listing, show

_IDENTITY = ("commit", "dirty", "cpu")


@dataclass(frozen=True)
class Counts:
    """The progress of a study, in runs."""

    planned: int
    done: int
    diverged: int
    failed: int

    @property
    def waiting(self) -> int:
        """Runs that have neither finished nor failed."""
        return self.planned - self.done - self.failed


def counts(study: Study) -> Counts:
    """Count the study's runs."""
    diverged = sum(record.outcome == "diverged" for record in study.records)
    return Counts(len(study.planned), len(study.records), diverged, len(study.failures))


def cell_factors(study: Study) -> tuple[str, ...]:
    """Return the names of the factors that make cells, in the order of the sweep."""
    return tuple(factor.name for factor in study.spec.sweep if factor.name != study.spec.compare.factor)


def seeds_words(study: Study) -> str:
    """Format the number of seeds, and the looks they are added in."""
    looks = study.spec.study.looks
    total = len(study.spec.study.seeds)
    if len(looks) < 2:
        return count(total, "seed")
    return f"up to {count(total, 'seed')}, in looks at {listing(map(str, looks))}"


def settings(study: Study) -> list[tuple[str, str]]:
    """Format every setting the runs trained with; one that was swept with all its values."""
    if not study.records:
        return [(show(name), show(value, 200)) for name, value in study.spec.base.items()]
    names = dict.fromkeys(name for record in study.records for name in record.config if name != "seed")
    rows = []
    for name in names:
        values = (record.config[name] for record in study.records if name in record.config)
        written = dict.fromkeys("not set" if value is None else label(value) for value in _distinct(values))
        rows.append((show(name), show(" | ".join(written), 200)))
    return rows


def provenance(study: Study) -> list[tuple[str, str]]:
    """Format the provenance of the numbers; identities that differ between runs with how many runs had each."""
    rows = [(show(name), show(value, 300)) for name, value in _flat(study.provenance)]
    for name in _IDENTITY:
        seen = Counter(label(r.provenance[name]) for r in study.records if name in r.provenance)
        if len(seen) > 1:
            rows.append((f"{name} of the runs", _with_counts(seen)))
    for name in dict.fromkeys(name for record in study.records for name in record.labels):
        seen = Counter(record.labels[name] for record in study.records if name in record.labels)
        rows.append((show(f"{name} taken"), _with_counts(seen)))
    return rows


def _with_counts(seen: Counter[str]) -> str:
    return "; ".join(f"{show(value, 80)} ({count(runs, 'run')})" for value, runs in seen.items())


def setting(study: Study, name: str) -> str:
    """Return one setting's value or values as text; empty if it is not known."""
    values = (r.config[name] for r in study.records if r.config.get(name) is not None)
    seen = dict.fromkeys(label(value) for value in _distinct(values))
    if not seen and study.spec.base.get(name) is not None:
        seen = {label(study.spec.base[name]): None}
    return ", ".join(show(value, 40) for value in list(seen)[:4]) + (", …" if len(seen) > 4 else "")


def _distinct(values: Iterable[Any]) -> Iterable[Any]:
    """Drop values that are written the same: cheaper than to write each for people."""
    return {repr(value): value for value in values}.values()


def _flat(data: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, object]]:
    for name, value in data.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", "unknown" if value is None else value
