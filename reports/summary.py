"""What came out, in plain sentences computed from the numbers. No verdicts: intervals only, each for itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.results import Study
from harness.scores import SCALED
from reports.cells import Comparison
from reports.curves import budget_unit
from reports.frame import compared_values
from reports.statistics import MIN_PAIRS
from reports.text import arm_name, cell_name, count, interval, number, percent, show, signed
from reports.views import setting


@dataclass(frozen=True)
class Summary:
    """The first screen's words.

    Attributes:
        findings: what came out, a sentence or two for each candidate.
        caveats: how sure that is.
        bug: a vacuous cell whose runs differ where they must not; empty if all is well.
    """

    findings: tuple[str, ...]
    caveats: tuple[str, ...]
    bug: str


def summarise(study: Study, comparisons: Sequence[Comparison]) -> Summary:
    """Say what came out of a study, and how sure it is."""
    return Summary(_findings(study, comparisons), _caveats(study, comparisons), _bug(comparisons))


def unit_of(study: Study) -> str:
    """Return the unit of the compared metric, as a phrase."""
    metric = study.spec.compare.metric
    if metric in SCALED:
        return scale_of(study)
    units = {"final_return": "return", "training_return_last_100": "return"}
    if metric == "steps_to_threshold":
        return budget_unit(study)
    return units.get(metric, "")


def scale_of(study: Study) -> str:
    """Say what scaled evaluation returns are scaled to; ``return`` where nothing says what is solved."""
    if given := setting(study, "evaluation_scale"):
        return f"return scaled so that {given} become 0 and 1"
    if study.records and not any("reward_threshold" in record.metrics for record in study.records):
        return "return"
    return "scaled return: 0 random policy, 1 solved"


def _findings(study: Study, comparisons: Sequence[Comparison]) -> tuple[str, ...]:
    if not study.records:
        return ("No run has finished, so nothing came out yet.",)
    findings = []
    for candidate in study.arms[1:]:
        own = [c for c in comparisons if c.candidate == candidate]
        primary = [c for c in own if c.cell.primary]
        findings += _counted(study, candidate, primary, "comparable" if len(primary) == len(own) else "primary")
        findings += _counted(study, candidate, [c for c in own if not c.cell.primary], "exploratory")
    findings += _largest(study, [c for c in comparisons if c.cell.primary])
    findings += _not_compared(comparisons)
    return tuple(findings)


def _counted(study: Study, candidate: str, group: Sequence[Comparison], kind: str) -> list[str]:
    """Count on which side of 0 the intervals of a group of cells lie."""
    judged = [c for c in group if c.state == "compared"]
    if not judged:
        return []
    factor = study.spec.compare.factor
    direction = 1 if study.spec.compare.higher_is_better else -1
    better = sum(c.estimate.side == direction for c in judged)
    worse = sum(c.estimate.side == -direction for c in judged)
    level = percent(study.spec.compare.level)
    open_ones = len(judged) - better - worse
    interval_says = f"the {level} interval of the paired difference"
    if not better and not worse:
        return [
            f"The runs do not tell {arm_name(factor, candidate)} from {arm_name(factor, study.arms[0])} in any of "
            f"{count(len(judged), f'{kind} cell')} ({interval_says} holds 0)."
        ]
    return [
        f"{arm_name(factor, candidate)} came out ahead of {arm_name(factor, study.arms[0])} in {better or 'none'} of "
        f"{count(len(judged), f'{kind} cell')} and behind in {worse or 'none'}"
        + (
            f"; in {open_ones} the runs do not tell ({interval_says} holds 0)."
            if open_ones
            else f" ({interval_says} excludes 0)."
        ),
    ]


def _largest(study: Study, group: Sequence[Comparison]) -> list[str]:
    """Name the largest difference that has an interval, and where it is."""
    judged = [c for c in group if c.state == "compared"]
    if not judged:
        return []
    largest = max(judged, key=lambda c: abs(c.estimate.mean or 0.0))
    unit = unit_of(study)
    metric = show(study.spec.compare.metric) + (f" ({unit})" if unit else "")
    whose = f" ({arm_name(study.spec.compare.factor, largest.candidate)})" if len(study.arms) > 2 else ""
    return [
        f"The largest difference in {metric} is {signed(largest.estimate.mean)} "
        f"{interval(largest.estimate.low, largest.estimate.high)}{whose}, from {place_of(largest)}"
        + ("; being picked as the largest, it is likelier too large than too small." if len(judged) > 1 else ".")
    ]


def place_of(comparison: Comparison) -> str:
    """Say where a comparison stands and over how many pairs: ``5 pairs at n_step 5, workers 4``."""
    return f"{count(comparison.estimate.count, 'pair')} at {cell_name(comparison.cell)}"


def _not_compared(comparisons: Sequence[Comparison]) -> list[str]:
    """Account for every cell the counts above leave out."""
    noun = "cell" if len({c.candidate for c in comparisons}) == 1 else "comparison"
    sentences = []
    if few := [c for c in comparisons if c.state == "few pairs"]:
        points = [c.estimate.mean for c in few if c.estimate.mean is not None]
        reach = (
            f"is {signed(points[0])}" if len(few) == 1 else f"runs from {signed(min(points))} to {signed(max(points))}"
        )
        sentences.append(
            f"{count(len(few), noun)} with fewer than {MIN_PAIRS} pairs: points only, no interval. "
            f"The mean difference {reach} so far."
        )
    if equal := [c for c in comparisons if c.state == "all equal"]:
        sentences.append(
            f"{count(len(equal), noun)} in which every pair differs by the same amount: no interval can be given."
        )
    if lost := [c for c in comparisons if c.state == "no pairs" and c.diverged == 2 * c.planned]:
        sentences.append(f"{count(len(lost), noun)} in which every run diverged: nothing was measured to compare.")
    if none := [c for c in comparisons if c.state == "no pairs" and c not in lost]:
        sentences.append(f"{count(len(none), noun)} without a pair of runs to compare.")
    controls = [c.control for c in comparisons if c.control]
    if controls:
        agreed = sum(control.finding == "identical" for control in controls)
        chance = sum(control.finding == "chance" for control in controls)
        told = [f"{_how_many(agreed, controls)}bit-identical, as theory says"] * bool(agreed)
        told += [
            f"{_how_many(chance, controls)}under a schedule that races, so that runs differ by chance alone"
        ] * bool(chance)
        told += _by_chance(comparisons)
        detail = f" ({'; '.join(told)})" if told else ""
        if len(controls) == len(comparisons):
            sentences.append(f"Nothing to compare: the arms computed the same targets in every run{detail}.")
        else:
            sentences.append(
                f"{count(len(controls), noun)} vacuous: the arms' targets never differed, so there is nothing to "
                f"compare{detail}."
            )
    return sentences


def _by_chance(comparisons: Sequence[Comparison]) -> list[str]:
    """Show what chance does, where a study has nothing but one control: the A/A comparison."""
    if len(comparisons) != 1 or comparisons[0].control is None or comparisons[0].control.finding != "chance":
        return []
    estimate = comparisons[0].estimate
    if estimate.low is None:
        return []
    return [f"here by {signed(estimate.mean)} {interval(estimate.low, estimate.high)}, and that is what chance does"]


def _how_many(some: int, all_of: Sequence[object]) -> str:
    return f"{some} " if some < len(all_of) else "all " if some > 1 else ""


def _caveats(study: Study, comparisons: Sequence[Comparison]) -> tuple[str, ...]:
    judged = sum(c.state == "compared" for c in comparisons)
    caveats = []
    if judged:
        level = study.spec.compare.level
        text = "No verdict: each interval (paired Student-t, unit one training run) stands for itself"
        if judged > 1:
            text += (
                f", unadjusted for there being {judged}; with no effect anywhere about "
                f"{number(judged * (1 - level)).rstrip('0').rstrip('.')} of them would still exclude 0"
            )
        caveats.append(text + ".")
    if lacking := len(study.records) - len(compared_values(study)):
        caveats.append(
            f"{count(lacking, 'finished run')} without the compared metric, {show(study.spec.compare.metric)}: "
            "no difference can be taken of them."
        )
    done, planned = len(study.records), len(study.planned)
    if done < planned:
        caveats.append(f"The study is not complete: {done} of {count(planned, 'planned run')} finished.")
    if diverged := [record for record in study.records if record.outcome == "diverged"]:
        caveats.append(
            f"{count(len(diverged), 'run')} diverged; each counts as the worst value of the compared metric, "
            "none is dropped."
        )
    return tuple(caveats)


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
