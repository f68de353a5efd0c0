"""Decisions in money: thresholds, this period's list, what it would have saved."""

import numpy as np
import pytest
from scipy.special import expit

from epic22.core.errors import UserError
from epic22.core.evaluation.costs import CandidateScores, Capacity, CostMatrix, rank_entities
from epic22.core.evaluation.metrics import top_decile_lift
from epic22.core.evaluation.savings import Cases, estimate_savings, select_listed_rows
from epic22.core.statistics import Interval
from epic22.core.task import Array, RowMetadata

COSTS = CostMatrix(1500, 150)
MONDAY = np.datetime64("2026-01-05", "us")
WEEK = np.timedelta64(7, "D")


def weekly(entities: list[str], y: list[list[int]], costs: CostMatrix = COSTS, horizon: float = 30) -> Cases:
    """One row an entity and week; y[week][entity]."""
    n, weeks = len(entities), len(y)
    at = np.repeat(MONDAY + np.arange(weeks) * WEEK, n)
    return Cases(np.tile(np.array(entities), weeks), at, np.array(y).ravel(), costs, horizon)


def portfolio(seed: int = 0, entities: int = 200, weeks: int = 52, spread: float = 1.5) -> tuple[Cases, Array]:
    """Independent weeks with a known true probability."""
    rng = np.random.default_rng(seed)
    truth = expit(rng.normal(-3, spread, (weeks, entities))).ravel()
    names = np.tile([f"e{i:03}" for i in range(entities)], weeks)
    at = np.repeat(MONDAY + np.arange(weeks) * WEEK, entities)
    y = (rng.uniform(size=len(truth)) < truth).astype(int)
    return Cases(names, at, y, COSTS, 7.0), truth


def test_acting_pays_just_above_the_threshold_for_each_rows_own_costs() -> None:
    costs = CostMatrix(np.array([3000.0, 1500.0, 0.0]), np.array([200.0, 150.0, 10.0]))
    at = costs.threshold()
    assert at.tolist() == pytest.approx([200 / 3200, 150 / 1650, 1.0])
    assert (costs.compute_expected_saving(at + 1e-6)[:2] > 0).all()
    assert (costs.compute_expected_saving(at - 1e-6) < 0).all()
    p = np.array([0.1, 0.2, 0.3])
    assert p * costs.miss - (1 - p) * costs.false_alarm == pytest.approx(costs.compute_expected_saving(p))


def test_acting_that_helps_half_the_time_is_worth_half() -> None:
    half = CostMatrix(1500, 150, effect=0.5)
    assert half.threshold().item() == pytest.approx(150 / 900)
    assert half.compute_realised_saving(np.array([1, 0])).tolist() == [750, -150]
    assert half.compute_expected_saving(np.array([0.2])).tolist() == pytest.approx([0.2 * 750 - 0.8 * 150])


@pytest.mark.parametrize("effect", [0.0, 1.1])
def test_an_effect_outside_its_bounds_is_refused(effect: float) -> None:
    with pytest.raises(UserError, match="effect"):
        CostMatrix(1, 1, effect)


def test_the_list_is_sorted_by_money_not_by_probability_and_ends_where_it_no_longer_pays() -> None:
    costs = CostMatrix(np.array([100.0, 9000.0, 100.0, 500.0]), 50.0)
    places = rank_entities(["a", "b", "c", "d"], np.array([0.9, 0.2, 0.1, 0.4]), costs)
    assert [place.entity for place in places] == ["b", "d", "a"]
    assert [place.rank for place in places] == [1, 2, 3]
    assert places[0].saving == pytest.approx(0.2 * 9000 - 0.8 * 50)
    assert [place.entity for place in rank_entities(["a", "b", "c", "d"], np.array([0.9, 0.2, 0.1, 0.4]), costs, k=1)] == ["b"]


def test_ties_on_the_list_are_broken_by_entity() -> None:
    places = rank_entities(["z", "m", "a"], np.array([0.5, 0.5, 0.5]), COSTS, k=2)
    assert [place.entity for place in places] == ["a", "m"]


def test_an_entity_that_was_just_listed_rests_for_a_horizon() -> None:
    cases = weekly(["a", "b"], [[1, 0]] * 6)
    always = CandidateScores("m", np.tile([0.9, 0.5], 6))
    rows = select_listed_rows(always, cases, Capacity(1)).reshape(6, 2)
    assert rows[:, 0].tolist() == [True, False, False, False, False, True]
    assert rows[:, 1].tolist() == [False, True, False, False, False, False]
    assert select_listed_rows(always, cases, Capacity(1), cooldown=0).reshape(6, 2)[:, 0].all()


def test_a_failure_is_saved_once() -> None:
    cases = weekly(["a"], [[1], [1], [1], [1], [0], [0]])
    found = estimate_savings(cases, CandidateScores("m", np.full(6, 0.9)), Capacity(1), cooldown=0)
    assert (found.listed, found.hits, found.recall) == (6, 1, 1.0)
    assert found.total.value == 1500 - 5 * 150


def test_event_times_tell_two_failures_from_one_and_give_the_lead_time() -> None:
    when = MONDAY + np.array([10, 10, 20, 20], dtype="timedelta64[D]")
    at = MONDAY + np.array([0, 7, 14, 19], dtype="timedelta64[D]")
    cases = Cases(np.array(["a"] * 4), at, np.ones(4, dtype=int), COSTS, 30.0, when)
    found = estimate_savings(cases, CandidateScores("m", np.full(4, 0.9)), Capacity(1), cooldown=0)
    assert (found.hits, found.recall, found.lead_days) == (2, 1.0, 8.0)


def test_a_months_list_has_the_places_of_its_weeks() -> None:
    at = np.repeat(np.array(["2026-01-01", "2026-02-01", "2026-03-01"], dtype="datetime64[us]"), 40)
    cases = Cases(np.tile(np.arange(40).astype(str), 3), at, np.ones(120, dtype=int), COSTS, 1.0)
    rows = select_listed_rows(CandidateScores("m", np.full(120, 0.9)), cases, Capacity(2, "week")).reshape(3, 40)
    assert rows.sum(axis=1).tolist() == [8, 8, 8]
    rows = select_listed_rows(CandidateScores("m", np.full(120, 0.9)), cases, Capacity(2, "month")).reshape(3, 40)
    assert rows.sum(axis=1).tolist() == [2, 2, 2]


def test_an_entity_with_several_rows_in_a_period_takes_one_place_with_its_best() -> None:
    at = MONDAY + np.array([0, 1, 2, 0], dtype="timedelta64[D]")
    cases = Cases(np.array(["a", "a", "a", "b"]), at, np.ones(4, dtype=int), COSTS, 30.0)
    rows = select_listed_rows(CandidateScores("m", np.array([0.6, 0.9, 0.7, 0.5])), cases, Capacity(2))
    assert rows.tolist() == [False, True, False, True]


def test_a_ranking_lists_its_top_k_as_it_stands_and_has_no_threshold() -> None:
    cases = weekly(["a", "b", "c"], [[0, 1, 0]])
    rule = CandidateScores("rule", np.array([3.0, 1.0, 2.0]), "ranking")
    assert select_listed_rows(rule, cases, Capacity(2)).tolist() == [True, False, True]
    with pytest.raises(UserError, match="rule is a ranking score"):
        select_listed_rows(rule, cases, Capacity(None))


def test_without_a_capacity_all_above_the_threshold_are_listed() -> None:
    cases, truth = portfolio()
    assert np.array_equal(select_listed_rows(CandidateScores("t", truth), cases, Capacity(None)), truth > COSTS.threshold())


def test_the_truth_saves_most_a_noisy_score_less_and_noise_least() -> None:
    cases, truth = portfolio()
    rng = np.random.default_rng(1)
    noisy = expit(np.log(truth / (1 - truth)) + rng.normal(0, 1, len(truth)))
    noise = CandidateScores("noise", rng.uniform(size=len(truth)), "ranking")
    found = estimate_savings(
        cases, CandidateScores("model", noisy), Capacity(10), (noise, CandidateScores("best possible", truth))
    )
    against = {one.against: one.saved for one in found.differences}
    assert found.total.low > 0
    assert against["noise"].low > 0
    assert against["best possible"].value < 0
    assert against["best possible"].value <= against["best possible"].high
    best = estimate_savings(cases, CandidateScores("truth", truth), Capacity(10))
    assert best.yearly.value == pytest.approx(found.yearly.value - against["best possible"].value)
    assert best.yearly.value == pytest.approx(best.total.value * 5 / (52 * 7 / 365.25))
    assert "…" in str(best.yearly)


@pytest.mark.slow
def test_whole_clusters_widen_the_interval_where_they_err_together() -> None:
    cases, truth = portfolio()
    block = np.repeat(np.arange(4), len(truth) // 4)
    y = np.where(block % 2 == 0, 1, 0)
    alone = Cases(cases.entity, cases.at, y, COSTS, 7.0, cluster=np.arange(len(y)))
    together = Cases(cases.entity, cases.at, y, COSTS, 7.0, cluster=block)
    wide, narrow = (estimate_savings(c, CandidateScores("t", truth), Capacity(5)).total for c in (together, alone))
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)


def test_nobody_listed_saves_nothing() -> None:
    cases = weekly(["a", "b"], [[1, 0]])
    found = estimate_savings(cases, CandidateScores("m", np.zeros(2)), Capacity(1))
    assert (found.total.value, found.listed) == (0, 0)
    assert np.isnan(found.precision)


def test_lift_of_a_constant_is_one_and_of_foresight_is_the_most() -> None:
    y = (np.arange(100) < 5).astype(int)
    assert top_decile_lift(y, np.full(100, 0.3)) == pytest.approx(1)
    assert top_decile_lift(y, y.astype(float)) == pytest.approx(10)
    assert top_decile_lift(y, y.astype(float), RowMetadata(weight=np.full(100, 3.0))) == pytest.approx(10)


@pytest.mark.parametrize("k", [0, -1])
def test_a_capacity_of_nobody_is_refused(k: int) -> None:
    with pytest.raises(UserError, match="lists nobody"):
        Capacity(k)


def test_an_estimate_reads_as_a_report_shows_it() -> None:
    assert str(Interval(533943.3, 490033.0, 577697.0)) == "533,943 (490,033 … 577,697)"
    assert str(Interval(0.12345, -0.1, 0.2)) == "0.1235 (-0.1 … 0.2)"


def test_costs_of_another_length_are_refused() -> None:
    with pytest.raises(UserError, match=r"other lengths: \[1, 2\]"):
        weekly(["a", "b"], [[1, 0]], CostMatrix(np.array([100.0]), 10))


def test_no_test_rows_have_no_saving() -> None:
    nobody = Cases(np.array([], dtype=str), np.array([], dtype="datetime64[us]"), np.array([], dtype=int), COSTS, 30.0)
    with pytest.raises(UserError, match="no test rows"):
        estimate_savings(nobody, CandidateScores("m", np.array([])))
