"""Metrics agree with scikit-learn, weights included."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import sklearn.metrics as sk
from tests.toy import task

from epic22.core.errors import ColumnError
from epic22.core.evaluation import metrics as ours
from epic22.core.task import Array, Metric, RowMetadata

RNG = np.random.default_rng(22)
Y = (RNG.uniform(size=300) < 0.3).astype(float)
P = np.round(np.clip(0.4 * Y + RNG.uniform(size=300) * 0.6, 0.01, 0.99), 2)
W = RNG.integers(0, 4, 300).astype(float)
K = RNG.integers(0, 3, 300)
PK = RNG.dirichlet([1, 1, 1], 300) * 0.6 + 0.4 * np.eye(3)[K]
PK = PK / PK.sum(axis=1, keepdims=True)
V = RNG.normal(10, 2, 300)
F = V + RNG.normal(size=300)

BINARY: list[tuple[Callable[..., float], Callable[[Any], float]]] = [
    (ours.average_precision, lambda w: sk.average_precision_score(Y, P, sample_weight=w)),
    (ours.roc_auc, lambda w: sk.roc_auc_score(Y, P, sample_weight=w)),
    (ours.log_loss, lambda w: sk.log_loss(Y, P, sample_weight=w)),
    (ours.brier_score, lambda w: sk.brier_score_loss(Y, P, sample_weight=w)),
    (ours.accuracy, lambda w: sk.accuracy_score(Y, P >= 0.5, sample_weight=w)),
    (ours.balanced_accuracy, lambda w: sk.balanced_accuracy_score(Y, P >= 0.5, sample_weight=w)),
    (ours.f1, lambda w: sk.f1_score(Y, P >= 0.5, sample_weight=w)),
    (ours.precision, lambda w: sk.precision_score(Y, P >= 0.5, sample_weight=w)),
    (ours.recall, lambda w: sk.recall_score(Y, P >= 0.5, sample_weight=w)),
    (ours.matthews_corrcoef, lambda w: sk.matthews_corrcoef(Y, P >= 0.5, sample_weight=w)),
]
MANY: list[tuple[Callable[..., float], Callable[[Any], float]]] = [
    (ours.log_loss, lambda w: sk.log_loss(K, PK, sample_weight=w)),
    (ours.roc_auc, lambda w: sk.roc_auc_score(K, PK, sample_weight=w, multi_class="ovr")),
    (ours.accuracy, lambda w: sk.accuracy_score(K, PK.argmax(1), sample_weight=w)),
    (ours.balanced_accuracy, lambda w: sk.balanced_accuracy_score(K, PK.argmax(1), sample_weight=w)),
    (ours.f1, lambda w: sk.f1_score(K, PK.argmax(1), sample_weight=w, average="macro")),
    (ours.precision, lambda w: sk.precision_score(K, PK.argmax(1), sample_weight=w, average="macro")),
    (ours.recall, lambda w: sk.recall_score(K, PK.argmax(1), sample_weight=w, average="macro")),
    (ours.matthews_corrcoef, lambda w: sk.matthews_corrcoef(K, PK.argmax(1), sample_weight=w)),
]
VALUES: list[tuple[Callable[..., float], Callable[[Any], float]]] = [
    (ours.root_mean_squared_error, lambda w: sk.root_mean_squared_error(V, F, sample_weight=w)),
    (ours.mean_absolute_error, lambda w: sk.mean_absolute_error(V, F, sample_weight=w)),
    (ours.mean_absolute_percentage_error, lambda w: sk.mean_absolute_percentage_error(V, F, sample_weight=w)),
    (ours.r2, lambda w: sk.r2_score(V, F, sample_weight=w)),
]


@pytest.mark.parametrize("weight", [None, W], ids=["unweighted", "weighted"])
@pytest.mark.parametrize(
    ("y", "response", "pair"),
    [(Y, P, pair) for pair in BINARY] + [(K, PK, pair) for pair in MANY] + [(V, F, pair) for pair in VALUES],
)
def test_a_metric_agrees_with_scikit_learn(y: Array, response: Array, pair: Any, weight: Array | None) -> None:
    mine, theirs = pair
    assert mine(y, response, RowMetadata(weight=weight)) == pytest.approx(theirs(weight), abs=1e-12)


def test_the_median_percentage_error_is_the_median() -> None:
    found = ours.median_absolute_percentage_error(V, F)
    assert found == pytest.approx(np.median(np.abs(F - V) / np.abs(V)))


LABELS_AND_RESPONSES: dict[str, tuple[Array, Array, Array]] = {
    "binary": (Y, P, Y),
    "multiclass": (K, PK, np.eye(3)[K]),
    "regression": (V, F, V),
    "counts": (V, F, V),
}
"""By kind of target: labels, responses, and the responses of who knows the labels."""


@pytest.mark.parametrize(
    ("kind", "metric"),
    [pytest.param(kind, metric, id=f"{metric.name}-{kind}") for kind, metrics in ours.METRICS.items() for metric in metrics],
)
class TestEveryMetric:
    def test_weights_of_two_are_rows_given_twice(self, kind: str, metric: Metric) -> None:
        y, response, _ = LABELS_AND_RESPONSES[kind]
        twice = metric.score(np.repeat(y, 2), np.repeat(response, 2, axis=0), RowMetadata())
        assert metric.score(y, response, RowMetadata(weight=np.full(len(y), 2.0))) == pytest.approx(twice)

    def test_the_order_of_the_rows_does_not_matter(self, kind: str, metric: Metric) -> None:
        y, response, _ = LABELS_AND_RESPONSES[kind]
        assert metric.score(y[::-1], response[::-1], RowMetadata()) == pytest.approx(metric.score(y, response, RowMetadata()))

    def test_no_answer_scores_better_than_the_truth(self, kind: str, metric: Metric) -> None:
        y, response, truth = LABELS_AND_RESPONSES[kind]
        sign = 1 if metric.greater_is_better else -1
        assert sign * metric.score(y, truth, RowMetadata()) > sign * metric.score(y, response, RowMetadata())

    def test_it_is_looked_up_by_its_name(self, kind: str, metric: Metric) -> None:
        assert ours.BY_NAME[metric.name] is metric


def test_scores_that_one_class_cannot_define_are_nan() -> None:
    assert math.isnan(ours.average_precision(np.zeros(5), P[:5]))
    assert math.isnan(ours.roc_auc(np.ones(5), P[:5]))
    assert math.isnan(ours.precision(Y[:5], np.zeros(5)))
    assert math.isnan(ours.recall(np.zeros(5), P[:5]))
    assert math.isnan(ours.r2(np.ones(5), F[:5]))


def test_a_constant_has_the_average_precision_that_a_random_order_has_on_average() -> None:
    """In a fold of ten rows as well, where that lies far above the share of positives."""
    rng = np.random.default_rng(0)
    few = np.arange(10) < 4
    orders = [ours.average_precision(few, rng.permutation(10).astype(float)) for _ in range(4000)]
    constant = ours.average_precision(few, np.full(10, 0.2))
    assert constant == pytest.approx(np.mean(orders), abs=0.01)
    assert constant > 0.5
    assert ours.average_precision(np.tile(Y, 100), np.full(30_000, 0.2)) == pytest.approx(Y.mean(), abs=3e-4)


def test_a_gain_is_positive_for_the_better_score_whichever_way_it_runs() -> None:
    assert ours.AVERAGE_PRECISION.gain(0.8, 0.7) > 0
    assert ours.LOG_LOSS.gain(0.3, 0.5) > 0


def test_no_percentage_error_is_reported_where_a_label_is_zero_and_none_may_decide() -> None:
    values = task("regression")
    labels = np.array([0.0, 0.0, 2.35, 4.0])
    bounded, notes = ours.note_zero_labels(values, labels)
    assert not {metric.name for metric in ours.list_metrics(bounded.target)} & {m.name for m in ours.PERCENTAGE_METRICS}
    assert notes == ("y is 0 in 2 of 4 rows, where an error in percent of it is undefined: none is reported.",)
    by_percent = values.replace_target(replace(values.target, metric=ours.MEAN_ABSOLUTE_PERCENTAGE_ERROR))
    with pytest.raises(ColumnError, match="--metric mean_absolute_percentage_error: y is 0 in 2 of 4 rows"):
        ours.note_zero_labels(by_percent, labels)


@pytest.mark.parametrize(
    ("labels", "floor"),
    [([0.0, 1.0, 3.0], 0.0), ([-1.0, 0.0, 3.0], None), ([1.0, 2.0, 3.0], 0.0), ([0.0, *range(1, 200)], 0.0)],
    ids=["a count", "values of both signs", "a price", "a zero by chance"],
)
def test_answers_have_a_floor_where_no_label_lies_below_zero(labels: list[float], floor: float | None) -> None:
    assert ours.note_zero_labels(task("regression"), np.array(labels))[0].target.floor == floor
