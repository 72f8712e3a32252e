"""Summarise the results and how sure they are, in plain sentences computed from the verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.errors import DamagedRecord
from harness.record.study import Study
from reports.comparison.calibration import read_calibration
from reports.comparison.cells import Comparison
from reports.comparison.evidence import declared_rules
from reports.figures.findings import Findings
from reports.page.answer import exploratory_answer, largest, left_out, needed_seeds, overall_answer
from reports.statistics.intervals import MIN_VERDICT_PAIRS
from reports.statistics.verdicts import Verdict
from reports.text import cell_name, count, listing, percent, show


@dataclass(frozen=True)
class Summary:
    """The first screen's words.

    Attributes:
        answer: the study's answer, one sentence.
        findings: what stands behind it.
        sureness: how sure that is: what the verdicts hold against chance.
        caveats: what a reader has to know besides: runs that are missing, lost or were asked for late.
        bug: a vacuous cell whose runs differ where they must not; empty if all is well.
    """

    answer: str
    findings: tuple[str, ...]
    sureness: tuple[str, ...]
    caveats: tuple[str, ...]
    bug: str


def summarise(findings: Findings) -> Summary:
    """Summarise a study's results, and how sure they are."""
    study, comparisons = findings.study, findings.comparisons
    answer = overall_answer(study, comparisons)
    behind = [
        largest(study, comparisons),
        needed_seeds(comparisons),
        exploratory_answer(study, comparisons),
        *(left_out(comparisons) if study.records or study.failures else ()),
    ]
    return Summary(
        answer=answer,
        findings=tuple(sentence for sentence in behind if sentence and sentence != answer),
        sureness=tuple(sentence for sentence in _sureness(study, comparisons) if sentence),
        caveats=tuple(sentence for sentence in _caveats(findings) if sentence),
        bug=_bug(comparisons),
    )


def _sureness(study: Study, comparisons: Sequence[Comparison]) -> list[str]:
    """Describe the error control of the verdicts; without verdicts, the worth of the intervals."""
    comparable = [c for c in comparisons if c.control is None]
    calibrated = _calibrated(study)
    if not any(c.verdict is not Verdict.NONE for c in comparable):
        alone = sum(c.state == "compared" for c in comparable)
        text = "The intervals stand each for itself and bear no verdict" if alone else ""
        return [f"{text}: verdicts need {MIN_VERDICT_PAIRS} pairs in a cell." if text else "", calibrated]
    return [_different(study, comparable), _equivalent(study, comparable), _looks(study), calibrated]


def _different(study: Study, comparable: Sequence[Comparison]) -> str:
    level = study.spec.compare.level
    primary = [c for c in comparable if c.cell.primary]
    family, group = (len(primary), "primary") if primary else (len(comparable), "exploratory")
    start = f"Two arms are called different if the {percent(level)} interval of their paired difference excludes 0"
    chance = percent(1 - level)
    if family <= 1:
        return f"{start}; with no effect at all that happens in about {chance} of studies."
    return (
        f"{start}, also after correction (Holm) for all {family} {group} comparisons together: with no effect "
        f"anywhere, about {chance} of such studies at most would call any of them different."
    )


def _equivalent(study: Study, comparable: Sequence[Comparison]) -> str:
    margin = study.spec.compare.margin
    when = "before the study ran" if not study.revisions else "in the study file"
    text = f"Equivalent means that the interval lies within ±{margin:g}, the margin declared {when}"
    if not any(c.verdict is Verdict.EQUIVALENT for c in comparable):
        return f"{text}; nothing was found to be."
    return f"{text}, after the same correction and with runs enough that a rare failure of one arm would have shown."


def _looks(study: Study) -> str:
    stages = study.spec.study.looks
    if len(stages) < 2:
        return ""
    return (
        f"Seeds were added in looks, at {listing(map(str, stages))}, only where a primary cell was undecided; the "
        "bounds are wider for it (O’Brien–Fleming), so that looking several times adds no false alarms."
    )


def _calibrated(study: Study) -> str:
    """Describe how often the whole procedure calls arms different that are the same (A/A), on the study's own runs."""
    try:
        calibration = read_calibration(study.folder)
    except DamagedRecord as error:
        return f"The A/A check cannot be read ({error}): `a3c-bench calibrate` makes it anew."
    if calibration is None or not calibration.rates:
        return ""
    rules = declared_rules(study)
    if (calibration.alpha, calibration.looks, calibration.runs) != (rules.alpha, rules.looks, len(study.records)):
        return (
            "An A/A check was made of this study when it had other runs, looks or another level: it says nothing of "
            "what stands here. `a3c-bench calibrate` makes it anew."
        )
    level = study.spec.compare.level
    ways = {
        "redraw": "on runs of one arm drawn anew and paired at random",
        "swap": "with the arms' labels swapped at random within real pairs",
    }
    found = [
        f"in {percent(rate.rate)} [{percent(rate.low)}, {percent(rate.high)}] of "
        f"{count(rate.replicates, 'study', 'studies')} {ways[rate.method]}"
        for rate in calibration.rates
    ]
    verdict = f"more often than the {percent(1 - level)} declared: a bug or scores these intervals do not suit"
    verdict = verdict if calibration.too_often else f"declared are at most {percent(calibration.alpha)}"
    return (
        f"Checked on arms that are the same (A/A), made of {count(calibration.runs, 'run')} of this study: the whole "
        f"procedure called some comparison different {listing(found)}; {verdict}."
    )


def _caveats(findings: Findings) -> list[str]:
    study = findings.study
    caveats = [_revised(study)]
    if lacking := sum(record.outcome == "complete" for record in study.records) - _measured(findings):
        caveats.append(
            f"{count(lacking, 'finished run')} without the compared metric, {show(study.spec.compare.metric)}: "
            "no difference can be taken of them."
        )
    done, planned = len(study.records), len(study.planned)
    if done + len(study.failures) < planned:
        caveats.append(f"The study is not complete: {done} of {count(planned, 'planned run')} finished.")
    if diverged := sum(record.outcome == "diverged" for record in study.records):
        caveats.append(
            f"{count(diverged, 'run')} diverged; each counts as the worst value of the compared metric, none is "
            "dropped."
        )
    if failed := len(study.failures):
        rule = (
            "each counts as the worst value of the compared metric, as the study declared"
            if study.spec.compare.failed == "worst"
            else "their pairs are left out, as the study declared, so what made them fail is not in the differences"
        )
        named = listing(show(failure.run, 80) for failure in study.failures[:3])
        more = f" and {failed - 3} more" if failed > 3 else ""
        caveats.append(f"{count(failed, 'run')} failed ({named}{more}); {rule}.")
    if lost := len(study.failed_trials):
        caveats.append(f"{count(lost, 'run')} of the search failed; each counts as the worst score in its trial.")
    return caveats


def _measured(findings: Findings) -> int:
    """Return how many complete runs have the compared metric."""
    complete = (r for r in findings.study.records if r.outcome == "complete")
    return sum((r.cell, r.arm, r.seed) in findings.values for r in complete)


def _revised(study: Study) -> str:
    """Describe what was declared anew when results could be seen already: no error rate accounts for that."""
    if not study.revisions:
        return ""
    first = study.revisions[0]
    changes = "; ".join(show(change, 120) for revision in study.revisions for change in revision.changes)
    return (
        f"Declared anew after results could be seen (first when {count(first.finished, 'run')} had finished): "
        f"{changes}. No error rate stated here accounts for choices made after seeing results."
    )


def _bug(comparisons: Sequence[Comparison]) -> str:
    wrong = [c for c in comparisons if c.control and c.control.finding == "differs"]
    if not wrong:
        return ""
    named = "; ".join(f"{cell_name(c.cell)} ({show(c.candidate)})" for c in wrong[:5])
    more = f" and {len(wrong) - 5} more" if len(wrong) > 5 else ""
    return (
        f"A bug: in {count(len(wrong), 'cell')} the targets never differed and the schedule leaves no room for chance, "
        f"yet the arms' runs are not bit-identical: {named}{more}. Trust no comparison of this study until it is found."
    )
