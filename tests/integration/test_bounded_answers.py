"""Answers end at zero only where no label of the training lies below it, and what is scored is what is served."""

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import epic22
from epic22.bootstrap import assemble, train_file
from epic22.config import Settings
from epic22.core.task import RowMetadata
from epic22.services.training_run import RowRun
from epic22.spec.training_spec import build_spec

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


@pytest.mark.parametrize("memory_cap", [1 << 40, 1], ids=["in memory", "in batches"])
@pytest.mark.parametrize("lowest", [0.01, 0.0], ids=["above zero", "a zero among them"])
def test_scores_and_intervals_are_of_the_values_that_are_served(tmp_path: Path, memory_cap: int, lowest: float) -> None:
    rng = np.random.default_rng(0)
    x, z = rng.uniform(size=(2, 600))
    y = 10 * x * z + 0.01
    y[0] = lowest
    pl.DataFrame({"x": x, "z": z, "y": y}).write_csv(tmp_path / "sums.csv")
    spec = build_spec(csv=tmp_path / "sums.csv", label="y", task="toy", families=("linear",), repeats=1)
    run = train_file(assemble(Settings(tmp_path, 1, memory_cap=memory_cap)), spec).run
    assert isinstance(run, RowRun)
    champion, bundle = run.champion, run.bundle
    assert champion.family == "linear"
    parts = [(part.response, run.examples.y[part.fold.test]) for part in champion.fold_predictions]
    assert min(response.min() for response, _ in parts) == 0
    score = champion.score("root_mean_squared_error")
    assert score.folds == pytest.approx([run.task.target.metric.score(y, response, RowMetadata()) for response, y in parts])
    assert bundle.interval is not None
    for response, _ in parts:
        low, high = bundle.interval.compute_intervals(response)
        assert low.min() == 0
        assert (high > low).all()
