"""Answers end at zero only where no label of the training lies below it, and what is scored is what is served."""

from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest

import epic22

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("blank_pictures")]


@pytest.mark.parametrize("folds", [{"holdout_last": 40}, {"folds": 2}])
def test_answers_go_below_zero_where_labels_that_no_fold_tested_do(tmp_path: Path, folds: dict[str, int]) -> None:
    x = [*(i % 20 - 20 for i in range(60)), *(i % 20 + 1 for i in range(120))]
    days = [date(2024, 1, 1) + timedelta(days=i) for i in range(len(x))]
    frame = pl.DataFrame({"t": days, "x": x, "y": x})
    options = {"task": "toy", "keep": ["x"], "families": ["linear"], "learning_curve": False}
    epic22.train(frame, label="y", time="t", home=tmp_path, **options, **folds)
    answers = epic22.load("toy", home=tmp_path).predict(pl.DataFrame({"t": [date(2024, 7, 1)], "x": [-10]}))
    value, low, high = answers.select("value", "low", "high").row(0)
    assert value == pytest.approx(-10, abs=0.1)
    assert low <= value <= high
