"""This week's list from answers that are written down: money first, never what does not pay, and changes where there is no money.

Broken once on purpose: with `abs` taken off the changes, a market that falls is last on the list.
"""

from dataclasses import replace
from datetime import datetime
from typing import cast

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.toy import task as toy_task

from epic22.core.artifact.answer_frame import build_answer_frame
from epic22.core.data.task_data import BoundTask
from epic22.core.errors import ColumnError
from epic22.core.lineage import ModelVersion
from epic22.core.prediction import PredictedValue, Prediction, PredictionScore
from epic22.core.task import Column, Task
from epic22.services.assess import build_cost_matrix
from epic22.services.decide import SHOWN_HORIZON, EligibleCases, rank_by_change, rank_by_saving, select_decision_value
from epic22.services.portfolio_predictions import RULES, RankedValues

NOW = datetime(2024, 7, 1)
VERSION = ModelVersion("toy", "1", "linear", "hash", "v0", "proven", "2024-07-01T00:00:00Z")
COSTS = {"miss": 1000.0, "false_alarm": 100.0}
TASK = replace(toy_task("binary"), name="toy")
STAKED = replace(TASK, columns=(*TASK.columns, Column("rent", "float")), stake_column="rent")
"""A miss costs the row's own rent times the factor of the costs."""


def answer(*values: float, losses: tuple[float | None, ...] = ()) -> Prediction:
    """One answer with a value a horizon."""
    expected = losses or (None,) * len(values)
    told = tuple(
        PredictedValue("y", float(h), value, expected_loss=loss)
        for h, (value, loss) in enumerate(zip(values, expected, strict=True), start=1)
    )
    return Prediction("row", None, told, PredictionScore(0.0, "log-odds"), (), VERSION, "receipt")


def cases(probabilities: dict[str, float], rents: list[float] | None = None) -> EligibleCases:
    entities = pl.DataFrame({"entity": list(probabilities), "cutoff": [NOW] * len(probabilities)})
    request = entities if rents is None else entities.with_columns(rent=pl.Series(rents))
    return EligibleCases(entities, request, tuple(answer(p) for p in probabilities.values()))


def listed(task: Task, eligible: EligibleCases, capacity: int = 10) -> list[tuple[int, str, float]]:
    found = rank_by_saving(COSTS, task, eligible, capacity)
    return [(case.rank, case.prediction.entity, round(case.saving or 0.0, 6)) for case in found]


def test_the_list_begins_where_acting_saves_most_and_ends_where_it_no_longer_pays() -> None:
    # Acting saves 1,000 with the probability and costs 100 without: it pays from one in eleven on.
    found = listed(TASK, cases({"low": 0.05, "middle": 0.2, "high": 0.5}))
    assert found == [(1, "high", 450.0), (2, "middle", 120.0)]


def test_the_list_is_no_longer_than_the_crew_can_work() -> None:
    assert [name for _, name, _ in listed(TASK, cases({"a": 0.3, "b": 0.4, "c": 0.5}), capacity=2)] == ["c", "b"]


def test_what_is_at_stake_counts_beside_how_likely_it_is() -> None:
    # Half as likely and three times the rent: the dear flat comes first.
    found = listed(STAKED, cases({"cheap": 0.4, "dear": 0.2}, rents=[1.0, 3.0]))
    assert [name for _, name, _ in found] == ["dear", "cheap"]
    assert found[0][2] == pytest.approx(0.2 * 3000 - 0.8 * 100)


def test_equal_savings_are_ranked_by_name() -> None:
    assert [name for _, name, _ in listed(TASK, cases({"b": 0.3, "a": 0.3, "c": 0.3}))] == ["a", "b", "c"]


def test_places_carry_whom_they_are_about_and_when() -> None:
    (case,) = rank_by_saving(COSTS, TASK, cases({"flat 7": 0.9}), 5)
    assert (case.prediction.entity, case.prediction.at, case.change) == ("flat 7", NOW, None)


def test_without_costs_nothing_can_be_ranked_in_money() -> None:
    with pytest.raises(ColumnError, match="task toy: its model has no costs"):
        rank_by_saving({}, TASK, cases({"a": 0.9}), 5)


@settings(max_examples=30, deadline=None)
@given(
    probabilities=st.lists(st.floats(0, 1), min_size=1, max_size=12),
    capacity=st.integers(1, 12),
)
def test_every_place_pays_and_none_left_out_pays_more(probabilities: list[float], capacity: int) -> None:
    named = {f"e{i:02d}": p for i, p in enumerate(probabilities)}
    found = listed(TASK, cases(named), capacity)
    savings = [saving for _, _, saving in found]
    assert len(found) <= capacity
    assert all(saving > 0 for saving in savings)
    assert savings == sorted(savings, reverse=True)
    left_out = [1000 * p - 100 * (1 - p) for name, p in named.items() if name not in {name for _, name, _ in found}]
    if len(found) < capacity:
        assert all(saving <= 1e-6 for saving in left_out)
    else:
        assert all(saving <= savings[-1] + 1e-6 for saving in left_out)


def test_of_several_horizons_the_one_told_in_money_is_acted_on() -> None:
    many = answer(0.1, 0.2, 0.3, losses=(None, 200.0, None))
    assert select_decision_value(many).value == 0.2
    assert select_decision_value(answer(0.1, 0.2)).value == 0.1


def forecasts(series: dict[str, tuple[float, list[float]]]) -> EligibleCases:
    """Each series' last value and its forecast."""
    request = pl.DataFrame({"entity": list(series), "values": [[1.0, last] for last, _ in series.values()]})
    return EligibleCases(request, request, tuple(replace(answer(*path), entity=name) for name, (_, path) in series.items()))


def test_series_are_ranked_by_how_much_they_are_to_change_either_way() -> None:
    eligible = forecasts(
        {"still": (100.0, [100.0] * 6), "up": (100.0, [101.0, 103.0, 105.0, 300.0]), "down": (100.0, [99.0, 95.0, 90.0])}
    )
    found = rank_by_change({}, TASK, eligible, 3)
    assert [(case.prediction.entity, case.change) for case in found] == [("down", -0.1), ("up", 0.05), ("still", 0.0)]
    assert [case.rank for case in found] == [1, 2, 3]
    assert {case.saving for case in found} == {None}
    assert SHOWN_HORIZON == 3


def test_a_portfolio_s_forecasts_have_the_ranks_of_the_list() -> None:
    eligible = forecasts(
        {"still": (100.0, [100.0] * 6), "up": (0.0, [1.0] * 6), "down": (100.0, [99.0, 95.0, 90.0, 1.0, 1.0, 1.0])}
    )
    rule, answers = RULES["panel"], build_answer_frame(eligible.predictions)
    acted_on = rule.select_values(answers)
    values = RankedValues(answers["entity"].gather(acted_on).to_list(), answers["value"].gather(acted_on).to_list())
    ranked = rule.rank({}, cast(BoundTask, None), eligible.request, values).with_columns(entity=pl.Series(values.entities))
    found = rank_by_change({}, TASK, eligible, 3)
    assert ranked.sort("rank")["entity"].to_list() == [case.prediction.entity for case in found]
    assert ranked.sort("rank")["change"].to_list() == [case.change for case in found]


def test_a_shorter_forecast_is_judged_by_its_end() -> None:
    (case,) = rank_by_change({}, TASK, forecasts({"a": (200.0, [210.0, 220.0])}), 1)
    assert case.change == pytest.approx(0.1)


def test_of_equal_changes_the_fall_comes_first() -> None:
    eligible = forecasts({"up": (100.0, [110.0]), "down": (100.0, [90.0])})
    assert [case.prediction.entity for case in rank_by_change({}, TASK, eligible, 2)] == ["down", "up"]


def test_a_change_from_nothing_is_none() -> None:
    (case,) = rank_by_change({}, TASK, forecasts({"a": (0.0, [50.0])}), 1)
    assert case.change == 0.0


def test_a_miss_costs_what_is_at_stake_and_an_alarm_the_same_everywhere() -> None:
    plain = build_cost_matrix(COSTS, None)
    staked = build_cost_matrix(COSTS, pl.Series([1.0, 2.5]).to_numpy())
    assert plain.compute_expected_saving(pl.Series([0.5]).to_numpy()).tolist() == [450.0]
    assert staked.compute_expected_saving(pl.Series([0.5, 0.5]).to_numpy()).tolist() == [450.0, 1200.0]
