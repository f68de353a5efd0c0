"""The benchmark of time limits: what it draws, how it compares, and the page that it writes."""

from typing import Any

import numpy as np
import polars as pl
import pytest
from tests.benchmark_modules import benchmark_module

budgets = benchmark_module("budgets")


def test_the_rows_that_judge_are_the_same_at_every_call_and_no_training_row() -> None:
    frame = pl.DataFrame({"row": range(100)})
    train, test = budgets.split_rows(frame)
    assert (train.height, test.height) == (70, 30)
    assert not set(train["row"]) & set(test["row"])
    assert test.equals(budgets.split_rows(frame)[1])


def test_a_gain_above_zero_is_of_the_system_that_errs_less(monkeypatch: pytest.MonkeyPatch) -> None:
    label = np.linspace(0, 10, 200)
    monkeypatch.setattr(budgets.PublicTable, "read", lambda table: pl.DataFrame({"y": label}))
    table = budgets.PublicTable("any", "y", "regression")
    truth = budgets.split_rows(table.read())[1]["y"].to_numpy()
    noise = np.random.default_rng(0).normal(size=len(truth))
    answers = {budgets.UNTUNED: truth + noise, budgets.PLAIN: truth + noise, "--time-limit 5": truth + 0.1 * noise}
    outcome = budgets.judge(table, answers, "--time-limit 5")
    value, low, high = outcome.gains[budgets.UNTUNED]
    assert 0 < low < value < high
    assert set(outcome.gains) == {budgets.UNTUNED, budgets.PLAIN}


def test_the_page_says_what_was_run_what_was_lost_and_what_is_missing() -> None:
    gain: dict[str, Any] = {budgets.UNTUNED: [0.1, -0.1, 0.3], budgets.PLAIN: [-0.2, -0.3, -0.1]}
    one = {"load_before": 9.5, "seconds": 31.0, "champion": "boosting", "score": 0.5, "gains": gain}
    systems = {budgets.PLAIN: one, "--time-limit 5": one}
    page = budgets.describe_results({"machine": "here", "metrics": {"wage": "r2"}, "runs": {"busy": {"wage": systems}}})
    assert "| wage | r2 | 5 | 9.5 | 31 | boosting | 0.5 | +0.1 (-0.1 … +0.3) | -0.2 (-0.3 … -0.1) |" in page
    assert "Certain losses: wage --time-limit 5." in page
    assert "Not run yet: quiet." in page
    assert "car_prices" in page
