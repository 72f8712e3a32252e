"""Return units and words of metrics in the traits the algorithm states."""

from __future__ import annotations

from harness.algorithm.traits import NO_TRAITS, MetricTraits
from harness.record.study import Study
from reports.data.names import CURVE_TRAITS, SCALED
from reports.data.settings import setting


def unit_of(study: Study) -> str:
    """Return the unit of the compared metric, as a phrase."""
    return unit(study, study.spec.compare.metric)


def unit(study: Study, name: str) -> str:
    """Return the unit of a metric or of a table's column; of several where runs differ in it."""
    return " or ".join(dict.fromkeys(_unit(study, traits) for traits in holding(study, name)))


def holding(study: Study, name: str) -> list[MetricTraits]:
    """Return the traits of a metric or of a table's column that hold in the study's runs, the declared ones first."""
    traits = study.metrics.get(name, NO_TRAITS)
    seen = {traits.holds(r.outcome == "complete", r.metrics, r.config) for r in study.records}
    declared = [traits] if True in seen or False not in seen else []
    return [*declared, *([traits.otherwise] if False in seen and traits.otherwise is not None else [])]


def scale_of(study: Study) -> str:
    """Return the unit of scaled evaluation returns; ``return`` if nothing defines a scale."""
    return unit(study, CURVE_TRAITS[SCALED])


def time_metric(study: Study) -> tuple[str, str] | None:
    """Return the metric that is a time until something is reached, and the one that is 1 where it was; None without."""
    return next(((name, traits.reached_by) for name, traits in study.metrics.items() if traits.reached_by), None)


def better_words(study: Study) -> tuple[str, str]:
    """Return the predicates of an arm that is better by the compared metric and of one that is worse."""
    return study.metrics.get(study.spec.compare.metric, NO_TRAITS).words


def _unit(study: Study, traits: MetricTraits) -> str:
    given = [phrase.replace("{}", value) for name, phrase in traits.units.items() if (value := setting(study, name))]
    return " or ".join(given) or traits.unit
