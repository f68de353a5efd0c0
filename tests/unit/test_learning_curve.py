"""Would more data help? The share, the power law, and a verdict in words that keeps to the interval."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.folds import cross_validate
from tests.toy import daily, toy

from epic22.core.data.examples import Examples
from epic22.core.data.folds import SplitRequest
from epic22.core.data.split import plan_folds
from epic22.core.evaluation.inner_folds import select_training_share
from epic22.core.evaluation.learning_curve import EXPONENTS, LearningCurve, compute_doubling_gain, measure_learning_curve
from epic22.core.evaluation.metrics import ROOT_MEAN_SQUARED_ERROR
from epic22.core.experiment import Experiment
from epic22.core.models.catalog import get_family
from epic22.core.statistics import Interval
from epic22.core.task import Array, Column, Target, Task

ROWS = np.array([100.0, 200.0, 400.0, 800.0])


@given(st.floats(-2, 2), st.floats(-5, 5), st.sampled_from(EXPONENTS.tolist()))
def test_a_power_law_is_read_off_exactly(a: float, b: float, c: float) -> None:
    found = compute_doubling_gain(ROWS, a + b * ROWS[None, :] ** -c)[0]
    assert found == pytest.approx(b * (1600**-c - 800**-c), abs=1e-9)


def test_noise_round_a_power_law_leaves_its_gain_in_the_middle() -> None:
    rng = np.random.default_rng(0)
    truth = -3 * (1600**-0.5 - 800**-0.5)
    found = compute_doubling_gain(ROWS, 0.9 - 3 * ROWS**-0.5 + 0.004 * rng.normal(size=(2000, 4)))
    assert np.median(found) == pytest.approx(truth, rel=0.2)
    assert 0.7 * truth < np.mean(found) < 1.4 * truth


def test_of_timed_rows_the_share_is_the_latest_of_each_training_part() -> None:
    """Broken once on purpose: with the earliest rows taken, this fails."""
    order = np.random.default_rng(0).permutation(400)
    made = toy("binary", 400, at=daily(400)[order])
    plan = plan_folds(made.examples, "binary", SplitRequest(label_delay=2.0))
    for fold in plan.folds:
        share = select_training_share(Experiment(made.task, made.examples, plan), fold.train, 2)
        assert len(share) == round(len(fold.train) / 4)
        others = np.setdiff1d(fold.train, share)
        assert made.examples.at[share].min() > made.examples.at[others].max()
        assert not set(share) & set(fold.test)


@pytest.mark.parametrize("grouped", [True, False], ids=["by group", "by row"])
def test_other_shares_are_nested_keep_clusters_whole_and_classes_in_proportion(grouped: bool) -> None:
    group = np.repeat(np.arange(80).astype(str), 5) if grouped else None
    made = toy("binary", 400, group=group)
    plan = plan_folds(made.examples, "binary", SplitRequest(repeats=1))
    train = plan.folds[0].train
    experiment = Experiment(made.task, made.examples, plan)
    shares = [set(select_training_share(experiment, train, k)) for k in (1, 2, 4, 8)]
    assert all(small < large for small, large in pairwise(shares))
    assert shares[-1] == set(train)
    assert len(shares[1]) == pytest.approx(len(train) / 4, rel=0.2)
    if grouped:
        assert plan.clusters is not None
        half = plan.clusters[list(shares[2])]
        assert not set(half) & set(plan.clusters[list(set(train) - shares[2])])
    else:
        assert made.examples.y[list(shares[1])].mean() == pytest.approx(made.examples.y[train].mean(), abs=0.03)


def linear_task(columns: int, n: int, noise: float) -> tuple[Task, Examples]:
    """Values that are a sum over all columns: the more columns, the more rows a regression needs."""
    rng = np.random.default_rng(columns)
    X: Array = rng.normal(size=(n, columns))
    y = X.sum(axis=1) / np.sqrt(columns) + noise * rng.normal(size=n)
    names = [f"c{i}" for i in range(columns)]
    frame = pl.DataFrame(X, schema=names)
    target = Target("y", "regression", lambda known, later: pl.DataFrame(), ROOT_MEAN_SQUARED_ERROR)
    columns_of = tuple(Column(name, "float") for name in names)
    task = Task("sum", columns_of, (target,), lambda known, at: at, lambda known: pl.LazyFrame(), ())
    moments = np.full(n, np.datetime64(0, "us"))
    return task, Examples(frame, y[:, None], np.arange(n).astype(str), moments, "v0")


@pytest.mark.slow
@pytest.mark.parametrize(("columns", "n", "verdict"), [(30, 360, "would help:"), (1, 1600, "would not help:")])
def test_many_columns_want_more_rows_and_one_column_does_not(columns: int, n: int, verdict: str) -> None:
    task, examples = linear_task(columns, n, 1.0)
    plan = plan_folds(examples, "regression", SplitRequest(repeats=1))
    family = get_family("linear")
    champion = cross_validate(Experiment(task, examples, plan), family)
    steps: list[int] = []
    found = measure_learning_curve(Experiment(task, examples, plan), family, champion, progress=lambda: steps.append(1))
    assert verdict in found.words, found.words
    assert [point.rows for point in found.points] == pytest.approx([n * k // 10 for k in (1, 2, 4, 8)], abs=1)
    assert len(steps) == 9
    assert found.points[-1].value == pytest.approx(np.mean(champion.score("root_mean_squared_error").folds[:3]))
    if columns == 30:  # least squares of n rows: error² = 1 + p / (n − p)
        assert found.points[0].value > found.points[3].value
        assert found.gain.low < np.sqrt(1 + 30 / 258) - np.sqrt(1 + 30 / 546) < found.gain.high


def test_a_curve_that_would_take_too_long_is_refused_or_measured_on_fewer_folds() -> None:
    task, examples = linear_task(2, 200, 1.0)
    plan = plan_folds(examples, "regression", SplitRequest(repeats=1))
    champion = replace(cross_validate(Experiment(task, examples, plan), get_family("constant")), fit_seconds=10.0)
    curves = [
        measure_learning_curve(Experiment(task, examples, plan), get_family("constant"), champion, seconds)
        for seconds in (5.0, 10.0, 60.0)
    ]
    assert [curve.folds for curve in curves] == [0, 1, 3]
    assert curves[0].words == "no learning curve: it would take about 9 s, more than 5 s"


@pytest.mark.parametrize(
    ("gain", "low", "high", "words"),
    [
        (0.02, 0.01, 0.03, "more data would help: doubling the rows is expected to gain 0.02 (0.01 … 0.03) in auc"),
        (0.002, 0.001, 0.03, "more data would help little (less than 0.01, the least that matters): doubling"),
        (0.002, -0.001, 0.005, "more data would not help: doubling"),
        (0.02, -0.01, 0.05, "can't tell whether more data would help: doubling"),
    ],
)
def test_the_words_keep_to_the_interval(gain: float, low: float, high: float, words: str) -> None:
    assert LearningCurve("auc", 3, (), Interval(gain, low, high), 0.01).words.startswith(words)
