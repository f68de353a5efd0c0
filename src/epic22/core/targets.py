"""The kinds of target: one class for each, which holds all that differs by kind and needs nothing but arrays.

What is not pure (metrics, calibration, assessment) stands in its own module; the kind names it, and the module looks it up.
n = rows, k = classes, h = horizons.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

import numpy as np
import scipy
from numpy.typing import NDArray

Array = NDArray[Any]
Kind = Literal["binary", "multiclass", "regression", "quantiles", "hazard"]
LossName = Literal["squared", "absolute", "quantile", "poisson", "tweedie"]

LOG_LINK_LOSSES: frozenset[LossName] = frozenset({"poisson", "tweedie"})
"""Losses of counts and sums, whose models score the logarithm of the mean."""

CLASS_METRICS: tuple[str, ...] = (
    "brier_score",
    "accuracy",
    "balanced_accuracy",
    "f1",
    "precision",
    "recall",
    "matthews_corrcoef",
)
"""What is reported of all classes, behind the metrics that decide."""

MIN_EVENTS = 10
"""A hazard's training rows with fewer events are too few to learn from."""

MIN_SHARE = 1e-12


class Predictor(Protocol):
    """The part of an estimator that answers."""

    def predict(self, X: Array) -> Array:
        """Class codes or values, (n,)."""

    def predict_proba(self, X: Array) -> Array:
        """Probabilities, (n, k) or (n, h)."""


class TargetKind:
    """What differs by the kind of target. The defaults are those of values.

    `name` is that of the table KINDS, `stored_name` the one that tasks, bundles and trained models state. `is_stratified`: folds
    are stratified by outcome and hold every one. `has_score_per_class`: raw scores are (n, k), not (n,). `uncertainty` says what
    is given with an answer. `metrics` are the names of those reported, the first of which decides. `link_formula` says
    `inverse_link` for people of other programs.
    """

    name: str
    stored_name: Kind
    metrics: tuple[str, ...] = ()
    is_classification = False
    is_regression = False
    is_time_to_event = False
    is_stratified = False
    has_positive_class = False
    has_score_per_class = False
    has_log_link = False
    supports_search = True
    supports_feature_engineering = True
    uncertainty: Literal["interval", "set"] | None = None
    sample_unit = "rows"
    link_formula = "value = score"

    def inverse_link(self, raw: Array) -> Array:
        """The response that belongs to raw scores: the scores themselves where there is no link that holds for every model."""
        return raw

    def link(self, response: Array) -> Array:
        """Raw scores whose response this is; of classes but for what is the same for all of a row's."""
        return np.asarray(response, dtype=np.float64)

    def expand_response(self, response: Array) -> Array:
        """The response with a column for each class, (n, k), where there are classes."""
        return response

    def predict_response(self, estimator: Predictor, X: Array) -> Array:
        """What metrics judge, by an estimator for a matrix: values (n,)."""
        return estimator.predict(X)

    def get_outcomes(self, y: Array) -> Array:
        """What a fold must hold of each, and what statistics of a category are of, (n,): the labels themselves."""
        return np.asarray(y)

    def count_sample(self, y: Array) -> int:
        """How many `sample_unit` these labels hold."""
        return len(y)

    def can_learn_from(self, y: Array, y_all: Array) -> bool:
        """Whether some labels `y` out of `y_all` are enough to learn from."""
        return True

    def get_label_horizon(self, horizon: float) -> float:
        """Days from a training row until its label is known."""
        return horizon

    def get_min_follow_up(self, horizons: Sequence[float]) -> float:
        """Days that the data must go on after a row for the row to be an example; 0 without horizons."""
        return max(horizons, default=0.0)

    def name_objective(self, loss: LossName) -> str:
        """The name of what models of this kind make small: of values the loss."""
        return loss

    def compute_row_losses(self, raw: Array, y: Array) -> Array:
        """The loss of each row, (n,), of raw scores against labels: squared error."""
        return np.asarray((raw - y) ** 2)

    def compute_residuals(self, raw: Array, y: Array) -> Array:
        """Label minus response, (n, outputs)."""
        return np.asarray(y - self.inverse_link(raw))[:, None]

    def describe_score_unit(self, target: str, unit: str | None, horizon: float | None, log: bool) -> str:
        """What raw scores and reasons are measured in."""
        return f"log of {unit or target}" if log else unit or target


class RegressionTarget(TargetKind):
    """A value, of any sign."""

    name = "regression"
    stored_name = "regression"
    is_regression = True
    uncertainty = "interval"
    metrics: tuple[str, ...] = (
        "root_mean_squared_error",
        "mean_absolute_error",
        "mean_absolute_percentage_error",
        "median_absolute_percentage_error",
        "r2",
    )


class CountTarget(RegressionTarget):
    """A count or a sum, zero or above, of which models score the logarithm of the mean; stored as a regression with its loss."""

    name = "counts"
    has_log_link = True
    metrics = ("root_mean_squared_error", "mean_absolute_error", "r2")


class QuantileTarget(TargetKind):
    """Values to come, period by period, whose models state their own quantiles."""

    name = "quantiles"
    stored_name = "quantiles"


class _ClassTarget(TargetKind):
    """One of several classes, by their codes 0…k-1."""

    is_classification = True
    is_stratified = True
    uncertainty = "set"

    def can_learn_from(self, y: Array, y_all: Array) -> bool:
        """Only labels that hold every class are."""
        return len(np.unique(y)) == len(np.unique(y_all))

    def name_objective(self, loss: LossName) -> str:
        """The kind's own name, for its loss is log loss."""
        return self.name

    def describe_score_unit(self, target: str, unit: str | None, horizon: float | None, log: bool) -> str:
        """Log-odds."""
        return "log-odds"

    def compute_base_scores(self, shares: Array) -> Array:
        """Raw scores whose response is these shares of the classes, (k,)."""
        return np.asarray(np.log(np.maximum(shares, MIN_SHARE)))


class BinaryTarget(_ClassTarget):
    """One of two classes, the second of which is the positive one; the response is its probability, (n,)."""

    name = "binary"
    stored_name = "binary"
    has_positive_class = True
    sample_unit = "positives"
    metrics = ("average_precision", "roc_auc", "log_loss", *CLASS_METRICS)
    link_formula = "probability = 1 / (1 + exp(−score))"

    def inverse_link(self, raw: Array) -> Array:
        """The logistic function of log-odds."""
        return np.asarray(scipy.special.expit(raw))

    def link(self, response: Array) -> Array:
        """Log-odds of probabilities (n,), finite for those of 0 and 1 too: no farther out than 27.6, where one row would outweigh
        all others.

        >>> BinaryTarget().link(np.array([0.5, 1.0])).round(1).tolist()
        [0.0, 27.6]
        """
        return np.asarray(scipy.special.logit(np.clip(np.asarray(response, dtype=np.float64), MIN_SHARE, 1 - MIN_SHARE)))

    def predict_response(self, estimator: Predictor, X: Array) -> Array:
        """The probability of the positive class, (n,)."""
        return np.asarray(estimator.predict_proba(X)[:, 1])

    def count_sample(self, y: Array) -> int:
        """Rows of the positive class."""
        return int((y == 1).sum())

    def compute_row_losses(self, raw: Array, y: Array) -> Array:
        """Log loss of log-odds (n,)."""
        return np.asarray(np.logaddexp(0.0, raw) - y * raw)

    def compute_base_scores(self, shares: Array) -> Array:
        """The log-odds of the positive class, (1,)."""
        logs = super().compute_base_scores(shares)
        return np.array([logs[1] - logs[0]])

    def expand_response(self, response: Array) -> Array:
        """Both classes' probabilities, (n, 2)."""
        return np.column_stack([1 - response, response])


class MulticlassTarget(_ClassTarget):
    """One of three classes or more; the response are their probabilities, (n, k)."""

    name = "multiclass"
    stored_name = "multiclass"
    has_score_per_class = True
    metrics = ("log_loss", "roc_auc", *CLASS_METRICS)
    link_formula = "probabilities = softmax(score)"

    def inverse_link(self, raw: Array) -> Array:
        """The softmax of scores (…, k)."""
        shifted = np.exp(raw - raw.max(axis=-1, keepdims=True))
        return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True))

    def link(self, response: Array) -> Array:
        """Logarithms of probabilities (n, k), finite for those of 0 too."""
        return np.asarray(np.log(np.maximum(np.asarray(response, dtype=np.float64), MIN_SHARE)))

    def predict_response(self, estimator: Predictor, X: Array) -> Array:
        """Class probabilities, (n, k)."""
        return estimator.predict_proba(X)

    def compute_row_losses(self, raw: Array, y: Array) -> Array:
        """Log loss of scores (n, k)."""
        return np.asarray(np.logaddexp.reduce(raw, axis=1) - raw[np.arange(len(y)), y.astype(np.int64)])

    def compute_residuals(self, raw: Array, y: Array) -> Array:
        """Indicator of the class minus its probability, (n, k)."""
        return np.asarray(np.eye(raw.shape[1])[y.astype(np.int64)] - scipy.special.softmax(raw, axis=1))


class HazardTarget(TargetKind):
    """The time to an event: labels are (n, 2), duration and observed; the response is the probability up to each horizon, (n, h).

    Rows may be censored, so nothing waits for a whole horizon: a row counts as far as it was followed.
    """

    name = "hazard"
    stored_name = "hazard"
    is_time_to_event = True
    is_stratified = True
    supports_search = False
    supports_feature_engineering = False
    sample_unit = "events"
    link_formula = "probability up to horizon j = 1 − Π over i ≤ j of 1 / (1 + exp(score i))"

    def inverse_link(self, raw: Array) -> Array:
        """1 − Π(1 − hazard) of the log-odds (…, h) of the event in each interval among what had none before.

        It never falls from one horizon to the next.
        """
        return np.asarray(-np.expm1(-np.cumsum(np.logaddexp(0.0, raw), axis=-1)))

    def predict_response(self, estimator: Predictor, X: Array) -> Array:
        """The probability of the event up to each horizon, (n, h)."""
        return estimator.predict_proba(X)

    def get_outcomes(self, y: Array) -> Array:
        """Whether the event was seen, (n,)."""
        return np.asarray(y[:, 1])

    def count_sample(self, y: Array) -> int:
        """Events seen."""
        return int(y[:, 1].sum())

    def can_learn_from(self, y: Array, y_all: Array) -> bool:
        """At least MIN_EVENTS events are needed."""
        return bool(y[:, 1].sum() >= MIN_EVENTS)

    def get_label_horizon(self, horizon: float) -> float:
        """None: a training row counts as far as it was followed when the test part began."""
        return 0.0

    def get_min_follow_up(self, horizons: Sequence[float]) -> float:
        """Rows need to be followed over the first interval only; where the data ends before the last, they are censored."""
        return min(horizons, default=0.0)

    def name_objective(self, loss: LossName) -> str:
        """The kind's own name."""
        return self.name

    def describe_score_unit(self, target: str, unit: str | None, horizon: float | None, log: bool) -> str:
        """Log-odds of the hazard over the intervals up to the horizon that decides."""
        return f"log-odds of the hazard, mean over the days up to {horizon:g}"


KINDS: Mapping[str, TargetKind] = {
    kind.name: kind
    for kind in (BinaryTarget(), MulticlassTarget(), RegressionTarget(), CountTarget(), HazardTarget(), QuantileTarget())
}
"""The kinds by name."""

CLASS_KINDS: Mapping[str, _ClassTarget] = {name: kind for name, kind in KINDS.items() if isinstance(kind, _ClassTarget)}
"""The kinds of targets that have classes."""


def lift_to_floor(values: Array, floor: float | None) -> Array:
    """The values, none of which lies below the floor; as they are where there is none.

    >>> lift_to_floor(np.array([-1.0, 2.0]), 0.0).tolist()
    [0.0, 2.0]
    """
    return values if floor is None else np.maximum(values, floor)


def get_kind(stored_name: Kind, loss: LossName = "squared") -> TargetKind:
    """The kind of a target by the name it is stored under and its loss, which tells counts from other values.

    >>> get_kind("regression", "poisson").name
    'counts'
    """
    kind = KINDS[stored_name]
    return KINDS["counts"] if kind.is_regression and loss in LOG_LINK_LOSSES else kind


def find_kind_of_objective(name: str) -> Kind:
    """The stored name of the kind whose models make this small: that of a class kind, or of values for a loss.

    >>> find_kind_of_objective("multiclass"), find_kind_of_objective("tweedie")
    ('multiclass', 'regression')
    """
    return CLASS_KINDS[name].stored_name if name in CLASS_KINDS else KINDS["regression"].stored_name
