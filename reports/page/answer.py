"""Write the study's answer in one plain sentence, and the findings behind it, from the verdicts alone."""

from __future__ import annotations

from collections.abc import Sequence

from harness.record.study import Study
from harness.study.spec import SHARED, TUNED, TUNING_FACTOR
from reports.comparison.cells import Comparison
from reports.data.units import better_words
from reports.statistics.intervals import MIN_PAIRS, MIN_VERDICT_PAIRS
from reports.statistics.verdicts import Verdict
from reports.text import arm_name, cell_name, count, interval, listing, number, show, signed

_TUNING_WORDS = {SHARED: "at shared settings", TUNED: "with each arm at its own best settings"}


def overall_answer(study: Study, comparisons: Sequence[Comparison]) -> str:
    """Answer the study's question from the verdicts of its primary cells."""
    if not study.records and not study.failures:
        return "No run has finished, so nothing came out yet."
    primary = [c for c in comparisons if c.cell.primary and c.control is None]
    if not primary:
        return _nothing_to_compare(comparisons)
    if all(c.verdict is Verdict.NONE for c in primary):
        return _no_verdict(study, primary)
    noun = "cell" if all(c.cell.primary for c in comparisons) else "primary cell"
    return f"{_headline(primary)}: {_clauses(study, primary, noun)}."


def exploratory_answer(study: Study, comparisons: Sequence[Comparison]) -> str:
    """Describe what came out in the cells outside the study's answer; empty without verdicts there."""
    group = [c for c in comparisons if not c.cell.primary and c.control is None]
    if not any(c.verdict is not Verdict.NONE for c in group):
        return ""
    return f"Exploratory, no part of the answer: {_clauses(study, group, 'exploratory cell')}."


def largest(study: Study, comparisons: Sequence[Comparison]) -> str:
    """Describe the largest difference of a primary cell that has an interval, and where it is; empty without any."""
    known = [c for c in comparisons if c.cell.primary and c.state == "compared"]
    if not known:
        return ""
    found = max(known, key=lambda c: abs(c.estimate.mean or 0.0))
    metric = show(study.spec.compare.metric)
    whose = f" ({arm_name(study.spec.compare.factor, found.candidate)})" if len(study.arms) > 2 else ""
    return (
        f"The largest difference in {metric} is {signed(found.estimate.mean)} "
        f"{interval(found.estimate.low, found.estimate.high)}{whose}, from {place_of(found)}"
        + ("; being picked as the largest, it is likelier too large than too small." if len(known) > 1 else ".")
    )


def place_of(comparison: Comparison) -> str:
    """Describe where a comparison stands and over how many pairs: ``5 pairs at n_step 5, workers 4``."""
    return f"{count(comparison.estimate.count, 'pair')} at {cell_name(comparison.cell)}"


def needed_seeds(comparisons: Sequence[Comparison]) -> str:
    """Describe how many more seeds would probably settle undecided primary comparisons; empty without any."""
    still_open = [c for c in comparisons if c.cell.primary and c.verdict is Verdict.UNDECIDED]
    if not still_open:
        return ""
    noun = _noun(comparisons)
    needs = [c.judgement.more_pairs for c in still_open if c.judgement.more_pairs is not None]
    endless = len(still_open) - len(needs)
    close = sum(c.estimate.side != 0 for c in still_open)
    undecided = f"undecided {noun}" + ("s" if len(still_open) > 1 else "")
    parts = ["Undecided is no finding of equality"]
    if close:
        parts[0] += (
            f": in {close} of {count(len(still_open), noun)} the interval excludes 0, though not after correction"
        )
    if needs:
        few, many = min(needs), max(needs)
        amount = f"about {count(few, 'more seed')}" if few == many else f"{few} to {count(many, 'more seed')}"
        who = f"{len(needs)} of the {undecided}" if endless else f"The {undecided}"
        parts.append(f"{who} would probably be settled by {amount}, were mean and spread to stay as they are")
    if endless:
        who = f"{endless} of them" if needs else f"The {undecided}"
        parts.append(f"{who} would take more than 1000 more seeds")
    return f"{'. '.join(parts)}."


def left_out(comparisons: Sequence[Comparison]) -> list[str]:
    """List every comparison that the answer cannot rest on: too few pairs, nothing measured, vacuous."""
    noun = _noun(comparisons)
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
    if unbounded := [c for c in comparisons if c.state == "unbounded"]:
        sentences.append(
            f"{count(len(unbounded), noun)} in which the pairs differ by the same amount, or all but a few do: that "
            "bounds no mean, and no interval can be given."
        )
    if lost := [c for c in comparisons if c.lost]:
        how = "diverged" if not any(c.failed for c in lost) else "diverged or failed"
        sentences.append(f"{count(len(lost), noun)} in which every run {how}: nothing was measured to compare.")
    if none := [c for c in comparisons if c.state == "no pairs" and not c.lost]:
        sentences.append(f"{count(len(none), noun)} without a pair of runs to compare.")
    if vacuous := _vacuous(comparisons):
        sentences.append(vacuous)
    return sentences


def _headline(primary: Sequence[Comparison]) -> str:
    """Summarise the verdicts of the primary cells in two or three words."""
    verdicts = {c.verdict for c in primary}
    if any(c.verdict is Verdict.DIFFERENT and not c.judgement.negligible for c in primary):
        return "It matters"
    if verdicts <= {Verdict.DIFFERENT, Verdict.EQUIVALENT}:
        return "It makes no difference that matters"
    if Verdict.EQUIVALENT in verdicts or Verdict.DIFFERENT in verdicts:
        return "Nowhere was it shown to matter"
    return "Undecided"


def _clauses(study: Study, group: Sequence[Comparison], noun: str) -> str:
    """Describe for each view and candidate what came out in how many cells."""
    views = [view for view in (SHARED, TUNED) if any(c.cell.levels.get(TUNING_FACTOR) == view for c in group)]
    if study.spec.search is None or not views:
        return _by_candidate(study, group, noun)
    parts = []
    for view in views:
        own = [c for c in group if c.cell.levels.get(TUNING_FACTOR) == view]
        parts.append(f"{_TUNING_WORDS[view]}, {_by_candidate(study, own, noun)}")
    return "; ".join(parts)


def _by_candidate(study: Study, group: Sequence[Comparison], noun: str) -> str:
    by = {candidate: [c for c in group if c.candidate == candidate] for candidate in study.arms[1:]}
    return "; ".join(_clause(study, candidate, own, noun) for candidate, own in by.items() if own)


def _clause(study: Study, candidate: str, group: Sequence[Comparison], noun: str) -> str:
    """Describe what came out of one candidate: ``in 9 of 15 cells a converges better than b (by …), in 4 …``."""
    factor, margin = study.spec.compare.factor, study.spec.compare.margin
    arm, baseline = arm_name(factor, candidate), arm_name(factor, study.arms[0])
    up, down = better_words(study)
    better, worse = [c for c in group if c.better], [c for c in group if c.worse]
    same = [c for c in group if c.verdict is Verdict.EQUIVALENT]
    undecided = [c for c in group if c.verdict is Verdict.UNDECIDED]
    none = [c for c in group if c.verdict is Verdict.NONE]
    within = f"equivalent within ±{margin:g}"
    sentences = [  # of whom, the clause where they come first, the clause where they come after others
        (better, f"{arm} {up} than {baseline}{_sizes(better)}", ""),
        (worse, f"{arm} {down} than {baseline}{_sizes(worse)}", f"it {down}{_sizes(worse)}"),
        (same, f"{arm} and {baseline} are {within}", f"the two are {within}"),
        (
            undecided,
            f"it is undecided between {arm} and {baseline} after {_pairs(undecided)}",
            f"it is undecided after {_pairs(undecided)}",
        ),
        (none, f"there is no verdict on {arm} and {baseline} yet", "there is no verdict yet"),
    ]
    parts = [(len(cells), first, later) for cells, first, later in sentences if cells]
    if len(group) == 1:
        return parts[0][1]
    (amount, first, _), *others = parts
    every = "both" if amount == 2 else f"all {amount}"
    how_many = f"{every} {noun}s" if amount == len(group) else f"{amount} of {count(len(group), noun)}"
    return ", ".join([f"in {how_many} {first}", *(f"in {amount} {later}" for amount, _, later in others)])


def _sizes(group: Sequence[Comparison]) -> str:
    """Describe by how much, and how many of the differences are too small to matter."""
    sizes = [abs(c.estimate.mean or 0.0) for c in group]
    if not sizes:
        return ""
    few, many = number(min(sizes), 2), number(max(sizes), 2)
    negligible = sum(c.judgement.negligible for c in group)
    note = "" if not negligible else ", negligibly" if negligible == len(group) else f", negligibly in {negligible}"
    return f" (by {few}{note})" if few == many else f" (by {few} to {many}{note})"


def _pairs(group: Sequence[Comparison]) -> str:
    counts = [c.estimate.count for c in group]
    if not counts:
        return ""
    few, many = min(counts), max(counts)
    return count(many, "pair") if few == many else f"{few} to {count(many, 'pair')}"


def _no_verdict(study: Study, primary: Sequence[Comparison]) -> str:
    """Explain why no primary cell has a verdict, and which way the means point until then."""
    so_far = _leaning(study, primary)
    if all(c.lost for c in primary):
        how = "diverged" if not any(c.failed for c in primary) else "diverged or failed"
        return f"No verdict: every run {how}, so nothing was measured to compare."
    if study.records and not any(c.estimate.count for c in primary):
        return "No verdict: there is no pair of runs to compare."
    if not any(c.reached for c in primary):
        first = study.spec.study.stages[0]
        which = "the first" if len(study.spec.study.stages) > 1 else "its"
        return f"No verdict yet: no cell has all its runs of {which} {count(first, 'seed')}.{so_far}"
    most = max(c.estimate.count for c in primary)
    if most < MIN_VERDICT_PAIRS:
        return f"No verdict: it needs {MIN_VERDICT_PAIRS} pairs of runs in a cell, and here are {most}.{so_far}"
    return f"No verdict: {primary[0].judgement.reason}.{so_far}"


def _leaning(study: Study, primary: Sequence[Comparison]) -> str:
    """Describe the direction of the mean differences, for want of a verdict."""
    known = [c for c in primary if c.estimate.mean is not None]
    if not known:
        return ""
    direction = 1 if study.spec.compare.higher_is_better else -1
    baseline = arm_name(study.spec.compare.factor, study.arms[0])
    parts = []
    for candidate in study.arms[1:]:
        own = [direction * (c.estimate.mean or 0.0) for c in known if c.candidate == candidate]
        if own:
            ahead = sum(value > 0 for value in own)
            arm = arm_name(study.spec.compare.factor, candidate)
            where = "" if len(own) == 1 else f" in {ahead or 'none'} of {count(len(own), 'cell')}"
            side = "ahead of" if len(own) > 1 or ahead else "behind" if own[0] else "level with"
            parts.append(f"{arm} is {side} {baseline}{where}")
    return f" By the means alone, {listing(parts)}; chance can do that." if parts else ""


def _nothing_to_compare(comparisons: Sequence[Comparison]) -> str:
    if any(c.control is None for c in comparisons):
        return "Nothing to compare in the primary cells: the arms did the same there."
    return _vacuous(comparisons) or "Nothing to compare: the study has no cell."


def _vacuous(comparisons: Sequence[Comparison]) -> str:
    """Describe the comparisons in which the arms did the same; empty without any."""
    controls = [c.control for c in comparisons if c.control]
    if not controls:
        return ""
    agreed = sum(control.finding == "identical" for control in controls)
    chance = sum(control.finding == "chance" for control in controls)
    parts = [f"{_how_many(agreed, controls)}bit-identical, as theory says"] * bool(agreed)
    parts += [f"{_how_many(chance, controls)}under a schedule that races, so that runs differ by chance alone"] * bool(
        chance
    )
    parts += _by_chance(comparisons)
    detail = f" ({'; '.join(parts)})" if parts else ""
    about_targets = all(c.share == 0 for c in comparisons if c.control)
    if len(controls) == len(comparisons):
        same = "computed the same targets" if about_targets else "did the same"
        return f"Nothing to compare: the arms {same} in every run{detail}."
    same = "the arms' targets never differed" if about_targets else "the arms did the same"
    return f"{count(len(controls), _noun(comparisons))} vacuous: {same}, so there is nothing to compare{detail}."


def _by_chance(comparisons: Sequence[Comparison]) -> list[str]:
    """Describe what chance does, where a study has nothing but one control: the A/A comparison."""
    if len(comparisons) != 1 or comparisons[0].control is None or comparisons[0].control.finding != "chance":
        return []
    estimate = comparisons[0].estimate
    if estimate.low is None:
        return []
    return [f"here by {signed(estimate.mean)} {interval(estimate.low, estimate.high)}, and that is what chance does"]


def _how_many(some: int, all_of: Sequence[object]) -> str:
    return f"{some} " if some < len(all_of) else "all " if some > 1 else ""


def _noun(comparisons: Sequence[Comparison]) -> str:
    return "cell" if len({c.candidate for c in comparisons}) == 1 else "comparison"
