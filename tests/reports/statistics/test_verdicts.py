from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from reports.statistics.decisions import DIFFERENT, EQUIVALENT, NEVER, OPEN, decide, guard_pairs, holm, stacked_grounds
from reports.statistics.sequential import nominal_levels
from reports.statistics.verdicts import Evidence, Judgement, Rules, Verdict, judge, pairs_to_settle

FOUR = (10, 20, 30, 40)
RULES = Rules(level=0.95, margin=0.1, looks=FOUR, span=1.05)
ONCE = replace(RULES, looks=(40,))


def around(mean: float, sd: float, n: int = 40) -> list[float]:
    """Values with exactly this mean and standard deviation, in a fixed order without trend."""
    if n == 1:
        return [mean]
    values = stats.norm.ppf((np.arange(n) + 0.5) / n)
    np.random.default_rng(n).shuffle(values)
    return list(mean + sd * (values - values.mean()) / values.std(ddof=1))


def shown(values: list[float], looks: tuple[int, ...] = FOUR, **rest: bool) -> Evidence:
    return Evidence(tuple(tuple(values[:n]) for n in looks if n <= len(values)), **rest)


def one(values: list[float], rules: Rules = ONCE, **rest: bool) -> Judgement:
    (judgement,) = judge([shown(values, rules.looks, **rest)], rules)
    return judgement


def test_at_one_look_a_single_comparison_is_a_t_test() -> None:
    values = around(0.3, 0.5, 15)
    judgement = one(values, replace(RULES, looks=(15,)))
    expected = stats.ttest_1samp(values, 0.0)
    assert judgement.p_different == pytest.approx(expected.pvalue, rel=1e-9)
    assert judgement.adjusted_different == judgement.p_different
    interval = expected.confidence_interval(0.95)
    assert (judgement.estimate.low, judgement.estimate.high) == pytest.approx((interval.low, interval.high))
    assert judgement.estimate == judgement.simultaneous
    assert (judgement.verdict, judgement.candidate_better) == (Verdict.DIFFERENT, True)


@pytest.mark.parametrize(
    ("mean", "sd", "verdict"),
    [
        (0.5, 0.2, Verdict.DIFFERENT),
        (-0.5, 0.2, Verdict.DIFFERENT),
        (0.01, 0.1, Verdict.EQUIVALENT),
        (0.05, 0.3, Verdict.UNDECIDED),
        (0.05, 0.05, Verdict.DIFFERENT),
    ],
)
def test_verdicts(mean: float, sd: float, verdict: Verdict) -> None:
    judgement = one(around(mean, sd))
    assert judgement.verdict is verdict
    assert judgement.final
    assert judgement.candidate_better is ((mean > 0) if verdict is Verdict.DIFFERENT else None)
    assert judgement.negligible == (mean == 0.05 and sd == 0.05)
    assert (judgement.more_pairs is not None) == (verdict is Verdict.UNDECIDED)


def test_less_may_be_better() -> None:
    assert one(around(-0.5, 0.2), replace(ONCE, higher_is_better=False)).candidate_better is True


@pytest.mark.parametrize(
    ("n", "reason"),
    [
        (0, "no pair is complete"),
        (1, "only 1 pair, an interval needs 5 and a verdict 10"),
        (4, "only 4 pairs, an interval needs 5 and a verdict 10"),
        (5, "only 5 pairs, a verdict needs 10"),
        (9, "only 9 pairs, a verdict needs 10"),
    ],
)
def test_few_pairs_have_no_verdict(n: int, reason: str) -> None:
    judgement = one(around(5.0, 0.1, n) if n else [], replace(RULES, looks=(max(n, 1),)))
    assert (judgement.verdict, judgement.reason) == (Verdict.NONE, reason)
    assert judgement.estimate.has_interval == (n >= 5)
    assert judgement.p_different is judgement.adjusted_different is judgement.more_pairs is None


def test_before_the_first_look() -> None:
    (judgement,) = judge([Evidence(())], RULES)
    assert (judgement.verdict, judgement.look, judgement.final) == (Verdict.NONE, 0, False)
    assert (judgement.estimate.count, judgement.estimate.level) == (0, 0.95)


def test_nothing_to_judge() -> None:
    assert judge([], RULES) == []


def test_equal_differences_bound_nothing() -> None:
    judgement = one([0.5] * 40)
    assert (judgement.verdict, judgement.estimate.low, judgement.p_different) == (Verdict.NONE, None, None)
    assert judgement.reason == "all 40 differences are equal, which bounds nothing"


@pytest.mark.parametrize("better", [True, False])
def test_an_arm_that_lost_every_run_beside_one_that_lost_none_is_different(better: bool) -> None:
    """What varies is which arm loses its run: ten times the same one is once in 512, whatever a lost run counts as."""
    rules = replace(RULES, looks=(10,), higher_is_better=better)
    (found,) = judge([Evidence(((-32.0,) * 10,), lost=(True,))], rules)
    assert (found.verdict, found.candidate_better, found.negligible) == (Verdict.DIFFERENT, not better, False)
    assert found.p_different == pytest.approx(2 / 2**10)
    assert found.reason == "one arm lost all 10 runs, the other none"
    assert (found.estimate.mean, found.estimate.low) == (-32.0, None)


@pytest.mark.parametrize(
    ("differences", "lost"),
    [((-32.0,) * 9, True), ((-32.0,) * 10, False), ((0.0,) * 10, True), ((-32.0,) * 5 + (32.0,) * 5, True)],
    ids=["too few", "not lost", "counts like the other arm's", "either arm's"],
)
def test_anything_less_than_that_is_judged_by_its_differences(differences: tuple[float, ...], lost: bool) -> None:
    rules = replace(RULES, looks=(len(differences),))
    (found,) = judge([Evidence((differences,), lost=(lost,))], rules)
    assert found == judge([Evidence((differences,))], rules)[0]
    assert found.verdict not in (Verdict.DIFFERENT, Verdict.EQUIVALENT)


def test_with_looks_it_takes_as_many_pairs_as_the_first_bounds_ask() -> None:
    rules = replace(RULES, looks=(10, 20, 40))
    looks = ((-32.0,) * 10, (-32.0,) * 20)
    (first,) = judge([Evidence(looks[:1], lost=(True,))], rules)
    assert (first.verdict, first.final) == (Verdict.UNDECIDED, False)
    (second,) = judge([Evidence(looks, lost=(True, True))], rules)
    assert (second.verdict, second.look) == (Verdict.DIFFERENT, 2)


def test_differences_that_are_all_zero_are_equivalent_once_the_guard_holds() -> None:
    assert one([0.0] * 30, replace(RULES, looks=(30,))).verdict is Verdict.EQUIVALENT
    few = one([0.0] * 29, replace(RULES, looks=(29,)))
    assert (few.verdict, few.estimate.low, few.estimate.high) == (Verdict.UNDECIDED, 0.0, 0.0)
    assert (few.reason, few.more_pairs) == ("inside ±0.1 but the rare-failure guard needs 30 pairs", 1)


def test_vacuous_comparisons_are_of_no_family() -> None:
    values = around(0.16, 0.48)
    alone = one(values)
    assert alone.adjusted_different is not None
    assert 0.025 < alone.adjusted_different < 0.05
    with_vacuous = judge([shown([0.0] * 40, (40,), vacuous=True), shown(values, (40,))], ONCE)
    assert with_vacuous[0].verdict is Verdict.VACUOUS
    assert with_vacuous[0].p_different is with_vacuous[0].simultaneous.low is None
    assert with_vacuous[1] == alone
    assert judge([shown([0.3] * 40, (40,), primary=False), shown(values, (40,))], ONCE)[1] == alone
    second = judge([shown(around(0, 1), (40,)), shown(values, (40,))], ONCE)[1]
    assert second.adjusted_different == pytest.approx(2 * alone.adjusted_different)
    assert second.verdict is Verdict.UNDECIDED
    assert second.reason == "interval excludes 0 but not after correction for 2 comparisons"
    assert second.estimate == alone.estimate
    assert second.simultaneous.level == pytest.approx(0.975)


def test_what_a_comparison_that_cannot_be_judged_costs_is_its_place_in_the_family() -> None:
    found = judge([Evidence(()), shown(around(0.16, 0.48), (40,))], ONCE)
    assert found[1].verdict is Verdict.UNDECIDED


def test_looks_by_hand() -> None:
    """At look 2 of four t must reach 3.25, at look 1 7.18: here it is 4 throughout."""
    values = [*around(4 / math.sqrt(10), 1, 10)]
    values += around(8 / math.sqrt(20) - values_mean(values), 1, 10)
    judgement = one(values + around(0, 1, 20), RULES)
    assert (judgement.verdict, judgement.look, judgement.final) == (Verdict.DIFFERENT, 2, True)
    assert judgement.estimate.count == 20
    first = one(values[:10], RULES)
    assert (first.verdict, first.look, first.final) == (Verdict.UNDECIDED, 1, False)
    half = stats.t.isf(nominal_levels(FOUR, 0.05)[0] / 2, 9) / math.sqrt(10)
    assert first.estimate.low == pytest.approx(4 / math.sqrt(10) - half)
    assert first.estimate.level == 0.95


def values_mean(values: list[float]) -> float:
    return sum(values) / len(values)


def test_a_decided_comparison_takes_no_further_data() -> None:
    early = around(2.0, 0.2, 10)
    rest = [judge([shown(early + tail), shown(around(0, 1))], RULES)[0] for tail in ([], around(-9, 5, 30))]
    assert rest[0] == rest[1]
    assert (rest[0].verdict, rest[0].look) == (Verdict.DIFFERENT, 1)


def test_a_comparison_that_lags_behind_is_judged_by_what_it_has() -> None:
    ahead, behind = judge([shown(around(0.05, 0.3)), shown(around(0.05, 0.3, 20))], RULES)
    assert (ahead.look, ahead.final, behind.look, behind.final) == (4, True, 2, False)
    assert behind.verdict is Verdict.UNDECIDED
    assert behind.estimate.count == 20


def test_quiet_before_the_first_failure_is_no_evidence_of_equality() -> None:
    """29 pairs agree to a hair, then one fails: at no look is that EQUIVALENT."""
    values = [*around(0.0, 1e-9, 29), -1.0, *around(0.0, 1e-9, 10)]
    judgement = one(values, RULES)
    assert judgement.verdict is Verdict.UNDECIDED
    assert judgement.estimate.low is None
    assert judgement.reason == "too few of the 40 differences vary to bound their mean"


@pytest.mark.parametrize(
    ("span", "margin", "pairs"), [(1.05, 0.10, 30), (1.05, 0.05, 62), (1.0, 1.0, 1), (0.1, 0.2, 1)]
)
def test_guard_is_that_of_the_text(span: float, margin: float, pairs: int) -> None:
    assert guard_pairs(replace(RULES, span=span, margin=margin)) == pairs
    if pairs > 1:
        assert (1 - 0.05 ** (1 / pairs)) * span <= margin < (1 - 0.05 ** (1 / (pairs - 1))) * span


def test_negligible_asks_what_equivalent_asks() -> None:
    """Ten pairs that agree on 0.02 to a hair are DIFFERENT; that no rare failure hides behind them they cannot say."""
    few = one(around(0.02, 0.001, 10), replace(RULES, looks=(10,)))
    assert (few.verdict, few.negligible, few.reason) == (Verdict.DIFFERENT, False, "interval excludes 0")
    enough = one(around(0.02, 0.001, 30), replace(RULES, looks=(30,)))
    assert (enough.verdict, enough.negligible) == (Verdict.DIFFERENT, True)


def test_where_nothing_says_how_low_a_run_can_fall_nothing_is_equivalent() -> None:
    judgement = one(around(0.0, 0.01), replace(ONCE, span=math.inf))
    assert judgement.verdict is Verdict.UNDECIDED
    assert judgement.reason.startswith("inside ±0.1 but nothing says how low a run can fall")
    assert guard_pairs(replace(RULES, margin=1e-300)) == guard_pairs(replace(RULES, span=math.inf)) == NEVER


def test_a_comparison_is_not_decided_between_its_looks_by_what_befalls_others() -> None:
    waiting, strong = around(0.35, 0.5, 10), around(2.0, 0.1, 20)
    rules = replace(RULES, looks=(10, 20))
    alone = judge([Evidence((tuple(waiting),)), shown(strong[:10], (10, 20))], rules)[0]
    beside = judge([Evidence((tuple(waiting),)), shown(strong, (10, 20))], rules)[0]
    assert (alone.verdict, alone.final) == (beside.verdict, beside.final) == (Verdict.UNDECIDED, False)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]).tolist() == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]).tolist() == [1.0, 1.0]
    adjusted = holm([0.02, math.nan])
    assert adjusted[0] == 0.04
    assert math.isnan(adjusted[1])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_rejects_what_its_definition_does(p: list[float]) -> None:
    """Step down from the smallest: reject while p_(i) ≤ α / (m - i + 1)."""
    for alpha in (0.01, 0.05, 0.3):
        rejected = 0
        for rank, value in enumerate(sorted(p)):
            if value * (len(p) - rank) > alpha:
                break
            rejected += 1
        assert np.count_nonzero(holm(p) <= alpha) == rejected


studies = st.tuples(
    st.integers(0, 2**32), st.lists(st.tuples(st.floats(-0.3, 0.3), st.floats(0, 0.6)), min_size=1, max_size=5)
)


def drawn(study: tuple[int, list[tuple[float, float]]]) -> list[list[float]]:
    seed, cells = study
    return [list(np.random.default_rng([seed, i]).normal(mean, sd, 40)) for i, (mean, sd) in enumerate(cells)]


@settings(max_examples=60, deadline=None)
@given(studies)
def test_the_verdict_and_what_is_shown_agree(study: tuple[int, list[tuple[float, float]]]) -> None:
    for judgement in judge([shown(values) for values in drawn(study)], RULES):
        estimate = judgement.estimate
        if judgement.verdict is Verdict.DIFFERENT:
            assert estimate.side == (1 if judgement.candidate_better else -1)
            assert judgement.adjusted_different is not None
            assert judgement.adjusted_different <= 0.05
        if judgement.verdict is Verdict.EQUIVALENT:
            assert estimate.low is not None
            assert estimate.high is not None
            assert -0.1 <= estimate.low <= estimate.high <= 0.1
            assert estimate.count >= 30
        if judgement.simultaneous.has_interval and estimate.has_interval:
            assert judgement.simultaneous.low <= estimate.low  # type: ignore[operator]
            assert judgement.simultaneous.high >= estimate.high  # type: ignore[operator]
        if judgement.simultaneous.side:
            assert judgement.verdict is Verdict.DIFFERENT


@settings(max_examples=40, deadline=None)
@given(studies)
def test_arms_that_change_places_get_the_mirror_image(study: tuple[int, list[tuple[float, float]]]) -> None:
    values = drawn(study)
    there = judge([shown(one) for one in values], RULES)
    back = judge([shown([-x for x in one]) for one in values], RULES)
    for one_way, other_way in zip(there, back, strict=True):
        assert (one_way.verdict, one_way.look, one_way.p_different) == (
            other_way.verdict,
            other_way.look,
            other_way.p_different,
        )
        if one_way.candidate_better is not None:
            assert one_way.candidate_better is not other_way.candidate_better


@settings(max_examples=40, deadline=None)
@given(studies)
def test_more_comparisons_never_make_a_verdict_easier(study: tuple[int, list[tuple[float, float]]]) -> None:
    values = drawn(study)
    for alone, within in zip(
        [one(each, ONCE) for each in values], judge([shown(each, (40,)) for each in values], ONCE), strict=True
    ):
        negligible = (
            {Verdict.EQUIVALENT} if alone.negligible else set()
        )  # what is both is called DIFFERENT while it can
        assert within.verdict in {alone.verdict, Verdict.UNDECIDED, *negligible}


def test_thousands_of_studies_at_once_are_judged_as_each_alone() -> None:
    rng = np.random.default_rng(11)
    many = rng.normal([[0.0], [0.08], [0.2]], [[0.1], [0.2], [0.3]], (60, 3, 40))
    decisions = decide(stacked_grounds(many, RULES), RULES)
    words = {OPEN: Verdict.UNDECIDED, DIFFERENT: Verdict.DIFFERENT, EQUIVALENT: Verdict.EQUIVALENT}
    assert {*decisions.verdict.ravel().tolist()} == {OPEN, DIFFERENT, EQUIVALENT}
    for i, study in enumerate(many):
        alone = judge([shown(list(values)) for values in study], RULES)
        assert [judgement.verdict for judgement in alone] == [words[v] for v in decisions.verdict[i].tolist()]
        assert [judgement.look for judgement in alone] == decisions.look[i].tolist()
        assert [j.adjusted_different for j in alone] == pytest.approx(decisions.adjusted_different[i].tolist())


@pytest.mark.parametrize(("mean", "sd"), [(0.1, 0.4), (0.0, 0.4)])
def test_more_pairs_bring_a_verdict_about_as_often_as_said(mean: float, sd: float) -> None:
    judgement = one(around(mean, sd))
    assert judgement.more_pairs is not None
    n = 40 + judgement.more_pairs
    rules = replace(RULES, looks=(n,))
    many = np.random.default_rng(5).normal(mean, sd, (2_000, 1, n))
    share = (decide(stacked_grounds(many, rules), rules).verdict != OPEN).mean()
    assert 0.76 < share < 0.88  # of 0.8; where the arms are equal some come out DIFFERENT by chance on top


def test_too_many_more_pairs_are_none_and_correction_asks_for_more() -> None:
    assert one(around(0.09, 2.5)).more_pairs is None
    judgement = one(around(0.1, 0.4))
    counts = [pairs_to_settle(judgement.estimate, 0.4, ONCE, family) for family in (1, 5, 20)]
    assert counts[0] is not None
    assert counts == sorted(counts)  # type: ignore[type-var]
    assert len({*counts}) == 3
