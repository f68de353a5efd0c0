"""Time to an event by discrete-time hazards: for each interval of a grid, the chance of the event among what had none before.

A row that was at risk in so many intervals becomes so many observations of a classifier, with the number of the interval as one
more column (Allison 1982; Tutz and Schmid 2016). An interval in which a row was censored counts by the share of it that
was seen. The intervals end at the task's horizons, so that the probability up to a horizon is a product over them and never
crosses another's.

n = rows, p = input columns, h = horizons = intervals. y is (n, 2): duration in days, and 1 where the event ended it.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
from scipy.special import logit

from epic22.core.data.examples import censor_outcomes
from epic22.core.data.folds import Fold
from epic22.core.errors import InternalError
from epic22.core.lineage import canonical_json
from epic22.core.models import linear
from epic22.core.models.base import BaseEstimator, Family, LibraryParams, check_fit_arrays
from epic22.core.models.trees.boosted import CELLS_PER_THREAD, TREE_PARTS, XGBoostTrees, load_booster
from epic22.core.task import Array, Kind

if TYPE_CHECKING:
    import xgboost

GRID_FILE = "grid.json"
MIN_HAZARD = 1e-12


def compute_at_risk(y: Array, edges: tuple[float, ...]) -> tuple[Array, Array]:
    """What each row tells of each interval (edge before, edge]: the share of it that it was at risk, and the event: (n, h) each.

    The interval of an event counts whole, and nothing after it; one in which a row was lost counts as far as it was seen.

    >>> at_risk, events = compute_at_risk(np.array([[45.0, 1.0], [60.0, 0.0]]), (30.0, 90.0))
    >>> at_risk.tolist(), events.tolist()
    ([[1.0, 1.0], [1.0, 0.5]], [[0.0, 1.0], [0.0, 0.0]])
    """
    ends = np.asarray(edges, dtype=np.float64)
    starts = np.concatenate([[0.0], ends[:-1]])
    at_risk = np.clip((y[:, :1] - starts) / (ends - starts), 0.0, 1.0)
    events = np.zeros_like(at_risk)
    interval = np.searchsorted(ends, y[:, 0])
    happened = np.flatnonzero((y[:, 1] == 1) & (interval < len(ends)))
    events[happened, interval[happened]] = at_risk[happened, interval[happened]] = 1.0
    return at_risk, events


def estimate_cumulative_incidence(y: Array, horizons: Array) -> tuple[Array, Array]:
    """Share that had the event up to each horizon by Kaplan and Meier's curve, and its standard error (Greenwood), (h,) each.

    Ends of another kind leave a row at risk of an event that cannot come any more: this is Aalen and Johansen's incidence.

    >>> y = np.array([[1.0, 1.0], [2.0, 0.0], [3.0, 1.0], [4.0, 0.0]])
    >>> estimate_cumulative_incidence(y, np.array([0.5, 1.0, 3.5]))[0].tolist()
    [0.0, 0.25, 0.625]
    """
    moments, code = np.unique(y[:, 0], return_inverse=True)
    n_events, n_leaving = np.bincount(code, weights=y[:, 1], minlength=len(moments)), np.bincount(code, minlength=len(moments))
    at_risk = len(y) - (np.cumsum(n_leaving) - n_leaving)
    curve = np.concatenate([[1.0], np.cumprod(1 - n_events / at_risk)])
    denominator = at_risk * (at_risk - n_events)
    variance = np.concatenate(
        [[0.0], np.cumsum(np.divide(n_events, denominator, out=np.zeros(len(denominator)), where=denominator > 0))]
    )
    place = np.searchsorted(moments, horizons, side="right")
    return 1 - curve[place], curve[place] * np.sqrt(variance[place])


def compute_hazard_log_odds(incidence: Array) -> Array:
    """Log-odds of the hazard in each interval, (n, h), of probabilities up to each horizon, (n, h): the link's way back."""
    survival = 1 - np.asarray(incidence, dtype=np.float64)
    before = np.concatenate([np.ones((len(survival), 1)), survival[:, :-1]], axis=1)
    hazard = 1 - np.divide(survival, before, out=np.zeros_like(survival), where=before > 0)
    return np.asarray(logit(np.clip(hazard, MIN_HAZARD, 1 - MIN_HAZARD)))


def compute_median_days(incidence: Array, edges: tuple[float, ...]) -> Array:
    """Days until the event is as likely as not, (n,), NaN where the grid ends before; the hazard is constant in an interval.

    >>> compute_median_days(np.array([[0.2, 0.6], [0.1, 0.3]]), (30.0, 90.0)).round(1).tolist()
    [70.7, nan]
    """
    cumulative_hazard = -np.log1p(-np.minimum(incidence, 1 - MIN_HAZARD))
    reached, rows = cumulative_hazard >= np.log(2), np.arange(len(cumulative_hazard))
    j = reached.argmax(axis=1)
    ends = np.asarray(edges, dtype=np.float64)
    begin, before = np.where(j > 0, ends[j - 1], 0.0), np.where(j > 0, cumulative_hazard[rows, j - 1], 0.0)
    share = np.divide(
        np.log(2) - before,
        cumulative_hazard[rows, j] - before,
        out=np.zeros(len(cumulative_hazard)),
        where=cumulative_hazard[rows, j] > before,
    )
    return np.where(reached.any(axis=1), begin + share * (ends[j] - begin), np.nan)


def compute_interval_shares(edges: tuple[float, ...], horizon: float | None) -> Array:
    """The share of the days up to a horizon that lies in each interval, (h,); of the whole grid where there is no horizon.

    >>> compute_interval_shares((7.0, 28.0, 90.0), 28.0).tolist()
    [0.25, 0.75, 0.0]
    """
    last = edges[-1] if horizon is None else horizon
    widths = np.where(np.asarray(edges) <= last, np.diff(edges, prepend=0.0), 0.0)
    return np.asarray(widths / last)


def check_survival_data(X: Array, y: Array) -> None:
    """Refuse what no hazard can be learned from.

    Raises ValueError for shapes that do not match, missing or negative durations, and rows of which none had the event.
    """
    check_fit_arrays(X, y)
    if y.ndim != 2 or y.shape[1] != 2 or (y[:, 0] < 0).any() or not np.isin(y[:, 1], (0, 1)).all():
        raise ValueError("y of a hazard must be (n, 2): durations of at least 0 days, and observed 0 or 1")
    if not y[:, 1].any():
        raise ValueError(f"none of {len(y)} rows had the event while it was followed: a hazard has nothing to learn from")


class HazardEstimator(BaseEstimator):
    """Answers from the log-odds of the hazard in each interval."""

    kind: Kind = "hazard"
    edges: tuple[float, ...]

    def predict(self, X: Array) -> Array:
        """Days until the event is as likely as not, (n,); NaN where that is beyond the last horizon."""
        return compute_median_days(self.predict_proba(X), self.edges)


class IntervalMixin(HazardEstimator):
    """Answers of what gives log-odds a column matrix whose last column is the number of the interval."""

    def interval_decision_function(self, X: Array) -> Array:
        """Log-odds of the hazard (n,) of observations (n, p + 1), the interval's number last; each estimator has its own."""
        raise InternalError(f"{type(self).__name__} gives no score of observations.")

    def interval_shap_values(self, X: Array) -> Array:
        """What each column of observations adds, (n, p + 2), the average last; each estimator has its own."""
        raise InternalError(f"{type(self).__name__} gives no score of observations.")

    def decision_function(self, X: Array) -> Array:
        """Log-odds of the hazard in each interval, (n, h); the same bits for a row alone and in a batch."""
        return np.stack(self._score_intervals(X, self.interval_decision_function), axis=1)

    def shap_values(self, X: Array) -> Array:
        """What each column adds to `decision_function`, (n, h, p + 1); what the interval itself adds is part of the last entry,
        the average."""
        parts = np.stack(self._score_intervals(X, self.interval_shap_values), axis=1)
        return np.concatenate([parts[..., :-2], parts[..., -2:].sum(axis=-1, keepdims=True)], axis=-1)

    def _score_intervals(self, X: Array, score: Callable[[Array], Array]) -> list[Array]:
        """The answer in each interval; one copy of X serves all."""
        observations = np.empty((len(X), X.shape[1] + 1), dtype=np.float32)
        observations[:, :-1] = X
        scores = []
        for interval in range(len(self.edges)):
            observations[:, -1] = interval
            scores.append(score(observations))
        return scores


@dataclass(frozen=True)
class PersonPeriods:
    """Rows by interval: X (m, p + 1) float32 with the interval's number last, whether the event came, and what each weighs."""

    X: Array
    y: Array
    weight: Array


def expand_person_periods(X: Array, y: Array, edges: tuple[float, ...]) -> Iterator[PersonPeriods]:
    """Interval by interval, the rows that were at risk in it: no more than one interval's copy of X is held at a time."""
    at_risk, events = compute_at_risk(y, edges)
    for interval in range(len(edges)):
        rows = np.flatnonzero(at_risk[:, interval] > 0)
        if len(rows):
            X_interval = np.empty((len(rows), X.shape[1] + 1), dtype=np.float32)
            X_interval[:, :-1] = X[rows]
            X_interval[:, -1] = interval
            yield PersonPeriods(X_interval, events[rows, interval], at_risk[rows, interval])


def split_inner_arrays(X: Array, y: Array, inner: Fold) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """X and y to fit on, as known when the validation part begins, and to validate on."""
    y_train = y[inner.train] if inner.follow_up_days is None else censor_outcomes(y[inner.train], inner.follow_up_days)
    return (X[inner.train], y_train), (X[inner.test], y[inner.test])


@dataclass
class HazardTrees(IntervalMixin, XGBoostTrees):
    """XGBoost trees over rows and intervals.

    The matrix is quantised interval by interval, a byte a cell, so that the expansion is never held in full.
    """

    edges: tuple[float, ...]
    categorical: tuple[bool, ...]
    seed: int = 0
    threads: int = 1
    _: KW_ONLY
    rounds: int = 1000
    patience: int = 40
    learning_rate: float = 0.05
    default_rounds: int = 150

    def fit(self, X: Array, y: Array, inner: Fold | None = None) -> Self:
        """Find shape and rounds on the inner fold, then fit all rows with them."""
        check_survival_data(X, y)
        matrices = None if inner is None else self._build_inner_matrices(X, y, inner)
        self.booster_ = self._train(matrices, lambda: self._build_matrix(X, y), self._choose_threads(X))
        return self

    def _build_inner_matrices(self, X: Array, y: Array, inner: Fold) -> "tuple[xgboost.QuantileDMatrix, xgboost.DMatrix] | None":
        """Rows to fit and validation rows; None where nothing can be learned from those to fit."""
        train, valid = split_inner_arrays(X, y, inner)
        if not train[1][:, 1].any():
            return None
        dtrain = self._build_matrix(*train)
        return dtrain, self._build_matrix(*valid, reference=dtrain)

    def _build_matrix(self, X: Array, y: Array, reference: "xgboost.DMatrix | None" = None) -> "xgboost.QuantileDMatrix":
        import xgboost

        types = ["c" if is_category else "q" for is_category in (*self.categorical, False)]

        class Intervals(xgboost.DataIter):
            """The observations, one interval at a time, as often as the quantising asks for them."""

            def __init__(self, edges: tuple[float, ...]) -> None:
                self.edges, self.parts = edges, expand_person_periods(X, y, edges)
                super().__init__()

            def next(self, input_data: Callable[..., None]) -> bool:
                part = next(self.parts, None)
                if part is not None:
                    input_data(data=part.X, label=part.y, weight=part.weight, feature_types=types)
                return part is not None

            def reset(self) -> None:
                self.parts = expand_person_periods(X, y, self.edges)

        return xgboost.QuantileDMatrix(
            Intervals(self.edges), enable_categorical=True, max_bin=self.max_bin, ref=reference, nthread=self._choose_threads(X)
        )

    def _choose_threads(self, X: Array) -> int:
        return 1 if X.size * len(self.edges) < CELLS_PER_THREAD else self.threads

    def _objective(self) -> LibraryParams:
        return {"objective": "binary:logistic", "eval_metric": "logloss"}

    def interval_decision_function(self, X: Array) -> Array:
        """Log-odds of the hazard as the trees sum them."""
        return self.forest.decision_function(X, self._choose_threads(X))

    def interval_shap_values(self, X: Array) -> Array:
        """Exact SHAP values of the log-odds."""
        return self.forest.shap_values(X, self._choose_threads(X))

    def files(self) -> dict[str, bytes]:
        """The booster in XGBoost's UBJ format, and the grid."""
        return {**super().files(), GRID_FILE: canonical_json({"edges": list(self.edges)})}


@dataclass
class HazardLinear(IntervalMixin):
    """Logistic regression over rows and intervals, a level for each interval; the penalty is the one best on the inner fold."""

    edges: tuple[float, ...]
    categorical: tuple[bool, ...]
    penalty: float | None = None

    def fit(self, X: Array, y: Array, inner: Fold | None = None) -> Self:
        """Learn the coefficients; the expansion over intervals is held in full."""
        check_survival_data(X, y)
        penalty = self.penalty if self.penalty is not None else self._choose_penalty(X, y, inner)
        self.model_ = self._fit_linear(X, y, penalty)
        return self

    def _fit_linear(self, X: Array, y: Array, penalty: float) -> linear.Linear:
        parts = list(expand_person_periods(X, y, self.edges))
        X_periods, events, weight = (np.concatenate([getattr(part, name) for part in parts]) for name in ("X", "y", "weight"))
        return linear.Linear("binary", (*self.categorical, True)).fit_weighted(X_periods, events, weight, penalty)

    def _choose_penalty(self, X: Array, y: Array, inner: Fold | None) -> float:
        if inner is None:
            return 1.0
        train, valid = split_inner_arrays(X, y, inner)
        if not train[1][:, 1].any():
            return 1.0
        losses = [self._compute_loss(self._fit_linear(*train, penalty), *valid) for penalty in linear.PENALTIES]
        return linear.PENALTIES[int(np.argmin(losses))]

    def _compute_loss(self, model: linear.Linear, X: Array, y: Array) -> float:
        total = 0.0
        for part in expand_person_periods(X, y, self.edges):
            raw = model.decision_function(part.X)
            total += float((part.weight * (np.logaddexp(0.0, raw) - part.y * raw)).sum())
        return total

    def interval_decision_function(self, X: Array) -> Array:
        """Log-odds of the hazard."""
        return self.model_.decision_function(X)

    def interval_shap_values(self, X: Array) -> Array:
        """A column's terms summed, and the intercept last."""
        return self.model_.shap_values(X)

    def files(self) -> dict[str, bytes]:
        """The coefficients as JSON, and the grid."""
        return {**self.model_.files(), GRID_FILE: canonical_json({"edges": list(self.edges)})}


def _read_edges(files: Mapping[str, bytes]) -> tuple[float, ...]:
    return tuple(float(edge) for edge in json.loads(files[GRID_FILE])["edges"])


def _restore(files: Mapping[str, bytes]) -> BaseEstimator:
    booster = load_booster(files)
    model = HazardTrees(_read_edges(files), tuple(t == "c" for t in (booster.feature_types or ())[:-1]))
    model.booster_, model.rounds_ = booster, booster.num_boosted_rounds()
    return model


def _restore_linear(files: Mapping[str, bytes]) -> BaseEstimator:
    regression = linear.FAMILY.restore(files)
    assert isinstance(regression, linear.Linear)
    model = HazardLinear(_read_edges(files), regression.categorical[:-1], regression.penalty)
    model.model_ = regression
    return model


FAMILY = Family(
    "hazard",
    frozenset({"hazard"}),
    HazardTrees.of,
    _restore,
    space={
        "learning_rate": (0.01, 0.3, "log"),
        "max_depth": (2, 8),
        "min_child_weight": (0.5, 30.0, "log"),
        "subsample": (0.5, 1.0),
        "colsample_bytree": (0.4, 1.0),
        "reg_lambda": (0.01, 100.0, "log"),
    },
    parts=TREE_PARTS,
)
LINEAR_FAMILY = Family(
    "hazard_linear",
    frozenset({"hazard"}),
    HazardLinear.of,
    _restore_linear,
    space={"penalty": (1e-3, 1e3, "log")},
    parts=linear.PARTS,
)
