"""The month in fast time: which rows a day brings, whom the lists name, what they are worth, and the page."""

from datetime import date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from epic22.reports.html.month import describe_outcome, write_month_report
from epic22.services.month import (
    ListMoney,
    Month,
    MonthDay,
    MonthTraining,
    VisitBook,
    compute_expected_money,
    list_by_rule,
    list_by_truth,
    select_day,
    select_truth_at,
)

AT = datetime(2026, 1, 5)
COSTS = {"miss": 1500.0, "false_alarm": 150.0}
CASES = pl.DataFrame(
    {"entity": ["a", "b", "c", "d"], "rule": [0.1, 0.9, None, 0.5], "truth": [0.5, 0.05, 0.2, 0.2]},
    schema={"entity": pl.String, "rule": pl.Float64, "truth": pl.Float64},
)


def test_a_day_brings_the_rows_that_became_known_in_it_and_the_first_day_all_of_old() -> None:
    rows = pl.DataFrame({"x": [1, 2, 3], "known_at": [AT, AT + timedelta(hours=1), AT + timedelta(days=1)]})
    tables = {"orders": rows, "empty": rows.clear()}
    assert select_day(tables, None, AT)["orders"]["x"].to_list() == [1]
    day = select_day(tables, AT, AT + timedelta(days=1))
    assert (list(day), day["orders"]["x"].to_list()) == (["orders"], [2, 3])
    assert select_day(tables, AT + timedelta(days=1), AT + timedelta(days=2)) == {}


def test_lists_are_ranked_by_the_truth_and_by_the_rule_of_today() -> None:
    # Acting saves 0.05 × 1500 - 0.95 × 150 < 0 with b.
    assert list_by_truth(CASES, COSTS) == ["a", "c", "d"]
    assert list_by_rule(CASES) == ["b", "d", "a", "c"]
    assert compute_expected_money(CASES, ["a", "b"], COSTS) == pytest.approx(0.55 * 1500 - 1.45 * 150)
    assert compute_expected_money(CASES, [], COSTS) == 0


def test_who_was_named_is_on_no_list_for_thirty_days() -> None:
    book = VisitBook({})
    assert book.choose_next(["a", "b", "c"], AT, 2) == ("a", "b")
    assert book.choose_next(["a", "b", "c"], AT + timedelta(days=29), 2) == ("c",)
    assert book.choose_next(["a", "b", "c"], AT + timedelta(days=30), 2) == ("a", "b")


def test_the_truth_is_the_newest_that_is_not_of_later() -> None:
    truth = pl.DataFrame(
        {"entity": ["a", "a", "b"], "cutoff": [AT, AT + timedelta(days=7), AT + timedelta(days=7)], "truth": [0.1, 0.2, 0.3]}
    )
    assert select_truth_at(truth, AT + timedelta(days=6)).rows() == [("a", 0.1)]
    assert sorted(select_truth_at(truth, AT + timedelta(days=7)).rows()) == [("a", 0.2), ("b", 0.3)]


def test_the_page_has_every_day_and_training_and_escapes_names(tmp_path: Path) -> None:
    days = tuple(MonthDay(date(2026, 1, n), n, 10 * n, "1", ("<b>", "c"), ListMoney(100.0, 60.0, 200.0)) for n in range(1, 4))
    trainings = (
        MonthTraining(date(2026, 1, 2), "new_rows", "12 rows came", 7, "2", False, "challenger: not shown to be as good"),
    )
    month = Month("predictive_maintenance", 2, days, trainings)
    assert describe_outcome(month) == (
        "The lists of 3 days are expected to save 300, 50 % of the best possible; those of the rule of today to save 180"
    )
    text = write_month_report(tmp_path / "month.html", month, "seed 0").read_text()
    assert text.count("<svg") == 2
    assert "&lt;b&gt;, c" in text
    assert "does not serve; challenger: not shown to be as good" in text
    assert "http" not in text.replace("http://www.w3.org", "")
