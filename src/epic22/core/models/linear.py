"""Regularised linear models: logistic regression for classes; ridge, Poisson, Tweedie and quantile regression for values.

Missing numbers become the training median beside an indicator, categories become indicators, everything is standardised, so
the intercept is the average score and a column's contribution is the sum over its own terms: exact Shapley values of a
linear model with independent columns. Numbers far outside the bulk of the training's count as its edge: a single wild value
would else decide what a standard deviation is.

An additive model (Hastie and Tibshirani 1986) is one whose numbers have hinges as well, which bend their line at quantiles.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

import numpy as np

from epic22.core.data.folds import Fold
from epic22.core.lineage import canonical_json
from epic22.core.models.base import BaseEstimator, Family, Hyperparameters, check_fit_arrays
from epic22.core.models.loss import EVALUATION_POWER, SQUARED, TWEEDIE_POWERS, Loss
from epic22.core.models.offset import add_offset_support
from epic22.core.models.target_transform import add_log_support
from epic22.core.models.value_scale import EXPONENTIAL, IDENTITY, ValueScale
from epic22.core.targets import KINDS, MIN_SHARE, get_kind
from epic22.core.task import Array, Kind

PENALTIES = (0.01, 0.1, 1.0, 10.0, 100.0)
"""Strengths tried on the inner fold: the inverse of scikit-learn's C for classes, ridge's alpha a hundred rows for values."""
BULK_QUANTILES = (0.01, 0.99)
"""Quantiles between which the bulk of a column lies; an edge is as far outside them again."""
MAX_NEWTON_TERMS = 2000
MAX_STEPS = 60
MIN_ERROR = 1e-3
"""Errors below this share of the label's scatter weigh as if they were as large, so that quantile regression converges."""


@dataclass
class Linear(BaseEstimator):
    """A generalised linear model on standardised terms; the penalty is the one that is best on the inner fold, else 1.

    A number's line may bend at `n_knots` quantiles of its training values."""

    kind: Kind
    categorical: tuple[bool, ...]
    n_classes: int = 2
    penalty: float | None = None
    loss: Loss = SQUARED
    n_knots: int = 0

    def fit(self, X: Array, y: Array, inner: Fold | None = None, exposure: Array | None = None) -> Self:
        """Learn the terms' scales and coefficients; of counts with an exposure (n,) those for an exposure of 1."""
        check_fit_arrays(X, y)
        self.power_ = self._choose_power(X, y, inner, exposure)
        self.penalty_ = self.penalty if self.penalty is not None else self._choose_penalty(X, y, inner, exposure)
        return self._fit(X, y, self.penalty_, exposure=exposure)

    def fit_weighted(self, X: Array, y: Array, weight: Array, penalty: float) -> Self:
        """Learn classes of rows that weigh so much each, (n,), at a stated penalty."""
        check_fit_arrays(X, y)
        self.penalty_ = penalty
        return self._fit(X, y, penalty, weight)

    def _choose_power(self, X: Array, y: Array, inner: Fold | None, exposure: Array | None) -> float:
        """Tweedie's variance power: as stated, else the one with the least deviance on the inner fold."""
        if inner is None or self.loss.name != "tweedie" or self.loss.power is not None:
            return self.loss.power or EVALUATION_POWER
        trials = [self._build_trial(1.0, replace(self.loss, power=power)) for power in TWEEDIE_POWERS]
        train_exposure, valid_exposure = _take_rows(exposure, inner.train), _take_rows(exposure, inner.test)
        models = [trial.fit(X[inner.train], y[inner.train], exposure=train_exposure) for trial in trials]
        # Judged by one power, for which `self.loss` without a power stands.
        exposure_factor = 1.0 if valid_exposure is None else valid_exposure
        losses = [
            np.mean(self.loss.compute_losses(y[inner.test], trial.predict(X[inner.test]) * exposure_factor)) for trial in models
        ]
        return TWEEDIE_POWERS[int(np.argmin(losses))]

    def _build_trial(self, penalty: float, loss: Loss) -> "Linear":
        return Linear(self.kind, self.categorical, self.n_classes, penalty, loss, self.n_knots)

    def best_params(self) -> Hyperparameters:
        """The penalty, and the power where it was looked for."""
        tweedie = {"loss": replace(self.loss, power=self.power_)} if self.loss.name == "tweedie" else {}
        return {"penalty": self.penalty_, **tweedie}

    @property
    def value_scale_(self) -> ValueScale:
        """Counts and sums are predicted by their logarithms."""
        return EXPONENTIAL if get_kind(self.kind, self.loss.name).has_log_link else IDENTITY

    def _choose_penalty(self, X: Array, y: Array, inner: Fold | None, exposure: Array | None = None) -> float:
        if inner is None:
            return 1.0
        trials = [self._build_trial(penalty, self.loss) for penalty in PENALTIES]
        y_train, train_exposure = y[inner.train], _take_rows(exposure, inner.train)
        Z = trials[0]._learn_terms(X[inner.train])
        for trial, penalty in zip(trials, PENALTIES, strict=True):
            vars(trial).update(vars(trials[0]) | {"penalty": penalty, "power_": self.power_})  # the same terms for all
            trial._fit_terms(Z, y_train, penalty, exposure=train_exposure)
        losses = [trial._compute_loss(X[inner.test], y[inner.test], _take_rows(exposure, inner.test)) for trial in trials]
        return PENALTIES[int(np.argmin(losses))]

    def _compute_loss(self, X: Array, y: Array, exposure: Array | None) -> float:
        if KINDS[self.kind].is_regression:
            return float(np.mean(self.loss.compute_losses(y, self.predict(X) * (1.0 if exposure is None else exposure))))
        label_proba = self.predict_proba(X)[np.arange(len(y)), y.astype(np.int64)]
        return float(-np.mean(np.log(np.maximum(label_proba, 1e-15))))

    def _fit(self, X: Array, y: Array, penalty: float, weight: Array | None = None, exposure: Array | None = None) -> Self:
        return self._fit_terms(self._learn_terms(X), y, penalty, weight, exposure)

    def _fit_terms(self, Z: Array, y: Array, penalty: float, weight: Array | None = None, exposure: Array | None = None) -> Self:
        """Learn the coefficients of standardised terms (n, t)."""
        if KINDS[self.kind].is_classification:
            self._fit_logistic(Z, y, penalty, weight)
        elif self.loss.log_link:
            self._fit_tweedie(Z, y, penalty, exposure)
        elif self.loss.name == "squared":
            self._fit_ridge(Z, y, penalty)
        else:
            self._fit_quantile(Z, y, penalty)
        return self

    def _fit_ridge(self, Z: Array, y: Array, penalty: float) -> None:
        self.intercept_ = np.array([y.mean()])
        gram = Z.T @ Z + penalty * len(y) / 100 * np.eye(Z.shape[1])
        self.coef_ = np.linalg.solve(gram, Z.T @ (y - y.mean()))[None, :]

    def _fit_tweedie(self, Z: Array, y: Array, penalty: float, exposure: Array | None = None) -> None:
        """Newton's method for the mean deviance, halved, and the penalty; it is convex, and a step that overshoots is halved.

        The label is taken in units of its mean, so that the penalty weighs the same whatever the unit. The logarithm of an
        exposure is added to what the terms give.
        """
        power = 1.0 if self.loss.name == "poisson" else self.loss.power or self.power_
        unit = self.loss.fit_constant(y, exposure) or 1.0
        offset = 0.0 if exposure is None else np.log(exposure)
        terms = np.column_stack([np.ones(len(Z)), Z])
        ridge = np.append(0.0, np.full(Z.shape[1], penalty / 100))
        y, beta = y / unit, np.zeros(terms.shape[1])

        def cost(beta: Array) -> float:
            eta = terms @ beta + offset
            return float(np.mean(_compute_tweedie_costs(y, eta, power)) + ridge @ beta**2 / 2)

        current_cost = cost(beta)
        for _ in range(MAX_STEPS):
            eta = terms @ beta + offset
            up, down = np.exp((2 - power) * eta), y * np.exp((1 - power) * eta)
            gradient = terms.T @ (up - down) / len(y) + ridge * beta
            hessian = (terms * ((2 - power) * up + (power - 1) * down)[:, None]).T @ terms / len(y) + np.diag(ridge + 1e-9)
            step = np.linalg.solve(hessian, gradient)
            step_size = 1.0
            while step_size > 1e-6 and not cost(beta - step_size * step) < current_cost:
                step_size /= 2
            if step_size <= 1e-6:
                break
            beta = beta - step_size * step
            previous_cost, current_cost = current_cost, cost(beta)
            if previous_cost - current_cost < 1e-10:
                break
        self.intercept_, self.coef_ = beta[:1] + np.log(unit), beta[None, 1:]

    def _fit_quantile(self, Z: Array, y: Array, penalty: float) -> None:
        """Quantile regression by a weighted least squares a step, each above the loss and touching it (Hunter and Lange 2000)."""
        q = 0.5 if self.loss.name == "absolute" else self.loss.quantile
        level = float(np.quantile(y, q))
        unit = float(np.mean(np.abs(y - level))) or 1.0
        terms = np.column_stack([np.ones(len(Z)), Z])
        ridge = np.diag(np.append(0.0, np.full(Z.shape[1], penalty * len(y) / 100)))
        y, beta = (y - level) / unit, np.zeros(terms.shape[1])
        for _ in range(MAX_STEPS):
            weight = 1 / (MIN_ERROR + np.abs(y - terms @ beta))
            weighted_terms = terms * weight[:, None]
            next_beta = np.linalg.solve(
                weighted_terms.T @ terms + 2 * ridge + 1e-9 * np.eye(len(beta)),
                weighted_terms.T @ y + (2 * q - 1) * terms.sum(axis=0),
            )
            change, beta = np.abs(next_beta - beta).max(), next_beta
            if change < 1e-5:
                break
        self.intercept_, self.coef_ = level + unit * beta[:1], unit * beta[None, 1:]

    def _fit_logistic(self, Z: Array, y: Array, penalty: float, weight: Array | None = None) -> None:
        from sklearn.linear_model import LogisticRegression

        # Newton steps need terms², and converge in a handful on standardised terms where lbfgs takes thousands.
        solver = "newton-cholesky" if Z.shape[1] * self.n_classes <= MAX_NEWTON_TERMS else "lbfgs"
        model = LogisticRegression(C=1 / penalty, solver=solver, max_iter=500).fit(Z, y.astype(np.int64), weight)
        self.coef_, self.intercept_ = model.coef_, model.intercept_
        if KINDS[self.kind].has_score_per_class and len(model.classes_) < self.n_classes:
            self._add_missing_classes(model.classes_)

    def _add_missing_classes(self, classes: Array) -> None:
        """Scores of all classes from those of the ones that the rows have; of the others that they are next to impossible."""
        # Of two classes scikit-learn has one score, the log-odds of the second.
        coef, intercept = (
            (np.vstack([0 * self.coef_, self.coef_]), np.append(0.0, self.intercept_))
            if len(classes) == 2
            else (self.coef_, self.intercept_)
        )
        self.coef_ = np.zeros((self.n_classes, coef.shape[1]))
        self.intercept_ = np.full(self.n_classes, np.log(MIN_SHARE))
        self.coef_[classes], self.intercept_[classes] = coef, intercept

    def _learn_terms(self, X: Array) -> Array:
        """What the terms of these rows are, and they themselves, standardised, (n, t)."""
        self.medians_ = np.zeros(X.shape[1])
        self.edges_ = np.tile([-np.inf, np.inf], (X.shape[1], 1))
        self.level_counts_ = np.zeros(X.shape[1], dtype=np.int64)
        knots: list[Array] = [np.zeros(0)] * X.shape[1]
        for j, is_category in enumerate(self.categorical):
            present = X[:, j][~np.isnan(X[:, j])]
            if is_category:
                self.level_counts_[j] = int(present.max()) + 1 if len(present) else 0
            elif len(present):
                self.medians_[j] = np.median(present)
                self.edges_[j] = _compute_edges(present)
                knots[j] = _place_knots(present, self.n_knots)
        self._set_knots(knots)
        Z = self._build_terms(X)
        self.mean_, self.scale_ = Z.mean(axis=0), Z.std(axis=0)
        self.scale_[self.scale_ < 1e-12] = np.inf
        return np.asarray((Z - self.mean_) / self.scale_)

    def _set_knots(self, knots: Sequence[Array]) -> None:
        """Where the numbers' lines bend, an array a column, and with it which column each term belongs to."""
        self.knots_ = tuple(knots)
        counts = [len(one) for one in self.knots_]
        is_category = np.asarray(self.categorical, dtype=bool)
        self.owner_ = np.repeat(np.arange(len(counts)), np.where(is_category, self.level_counts_ + 1, 2 + np.array(counts, int)))
        self._bent = np.repeat(np.arange(len(counts)), counts)

    def _build_terms(self, X: Array) -> Array:
        """Columns spread into terms, (n, t): value, missing indicator and hinges, or an indicator a level and one for missing."""
        terms, begin = np.zeros((len(X), len(self.owner_))), self._first_terms()
        categorical = np.asarray(self.categorical, dtype=bool)
        numbers = X[:, ~categorical].astype(np.float64)
        missing = np.isnan(numbers)
        numbers = np.clip(numbers, *self.edges_[~categorical].T)
        terms[:, begin[~categorical]] = np.where(missing, self.medians_[~categorical], numbers)
        terms[:, begin[~categorical] + 1] = missing
        if len(self._bent):
            place = np.concatenate([np.arange(len(one)) for one in self.knots_])
            hinges = terms[:, begin[self._bent]] - np.concatenate(self.knots_)
            terms[:, begin[self._bent] + 2 + place] = np.maximum(hinges, 0.0)
        codes, last = X[:, categorical].astype(np.float64), self.level_counts_[categorical]
        level = np.minimum(np.where(np.isnan(codes), last, codes).astype(np.int64), last)
        terms[np.arange(len(X))[:, None], begin[categorical] + level] = 1.0
        return terms

    def _first_terms(self) -> Array:
        """The first term of each column, (p,)."""
        return np.searchsorted(self.owner_, np.arange(len(self.categorical)))

    def _compute_products(self, X: Array) -> Array:
        """Coefficient × standardised term, (n, outputs, t)."""
        Z = (self._build_terms(X) - self.mean_) / self.scale_
        return np.asarray(np.multiply(Z[:, None, :], self.coef_[None, :, :], order="C"))

    def decision_function(self, X: Array) -> Array:
        """Log-odds or values; summed term by term, so that a row alone and in a batch agree to the last bit."""
        raw = self._compute_products(X).sum(axis=-1) + self.intercept_
        return np.asarray(raw if KINDS[self.kind].has_score_per_class else raw[:, 0])

    def shap_values(self, X: Array) -> Array:
        """A column's terms summed, and the intercept last."""
        products = self._compute_products(X)
        values = np.zeros((*products.shape[:2], X.shape[1] + 1))
        if X.shape[1]:
            values[:, :, :-1] = np.add.reduceat(products, self._first_terms(), axis=-1)
        values[:, :, -1] = self.intercept_
        return values if KINDS[self.kind].has_score_per_class else values[:, 0, :]

    def files(self) -> dict[str, bytes]:
        """One JSON file."""
        scale = np.where(np.isinf(self.scale_), 0.0, self.scale_)
        state: dict[str, Any] = {
            "kind": self.kind,
            "categorical": [bool(c) for c in self.categorical],
            "n_classes": self.n_classes,
            "penalty": self.penalty_,
            "medians": self.medians_.tolist(),
            "levels": self.level_counts_.tolist(),
            "mean": self.mean_.tolist(),
            "scale": scale.tolist(),
            "coef": self.coef_.tolist(),
            "intercept": self.intercept_.tolist(),
        }
        edges = {str(j): [low, high] for j, (low, high) in enumerate(self.edges_.tolist()) if np.isfinite(low)}
        if edges:
            state["edges"] = edges
        if len(self._bent):
            state["knots"] = {str(j): one.tolist() for j, one in enumerate(self.knots_) if len(one)}
        if self.loss != SQUARED:
            state["loss"] = asdict(replace(self.loss, power=self.power_) if self.loss.name == "tweedie" else self.loss)
        return {"linear.json": canonical_json(state)}


def _restore(files: Mapping[str, bytes]) -> BaseEstimator:
    state = json.loads(files["linear.json"])
    model = Linear(state["kind"], tuple(state["categorical"]), state["n_classes"], state["penalty"])
    model.loss = Loss(**state["loss"]) if "loss" in state else SQUARED
    model.penalty_ = state["penalty"]
    model.power_ = model.loss.power or EVALUATION_POWER
    model.medians_ = np.array(state["medians"], dtype=np.float64)
    model.level_counts_ = np.array(state["levels"], dtype=np.int64)
    model.edges_ = np.tile([-np.inf, np.inf], (len(state["levels"]), 1))
    for j, edges in state.get("edges", {}).items():
        model.edges_[int(j)] = edges
    model.mean_ = np.array(state["mean"], dtype=np.float64)
    model.scale_ = np.array(state["scale"], dtype=np.float64)
    model.scale_[model.scale_ == 0.0] = np.inf
    model.coef_ = np.array(state["coef"], dtype=np.float64).reshape(-1, len(model.mean_))
    model.intercept_ = np.array(state["intercept"], dtype=np.float64)
    knots = state.get("knots", {})
    model._set_knots([np.array(knots.get(str(j), ()), dtype=np.float64) for j in range(len(state["levels"]))])
    return model


def _take_rows(values: Array | None, rows: Array) -> Array | None:
    return None if values is None else values[rows]


def _compute_edges(present: Array) -> tuple[float, float]:
    """Where a column's numbers are cut; infinite where none of them (n,) lies that far outside."""
    values = present.astype(np.float64)
    low, high = np.quantile(values, BULK_QUANTILES)
    low, high = low - (high - low), high + (high - low)
    has_outliers = high > low and (values.min() < low or values.max() > high)
    return (float(low), float(high)) if has_outliers else (-np.inf, np.inf)


def _place_knots(present: Array, n_knots: int) -> Array:
    """At most so many quantiles of a column's numbers (n,), all different and none at an end; none of a column of two values."""
    if not n_knots:
        return np.zeros(0)
    values = present.astype(np.float64)
    knots = np.unique(np.quantile(values, np.arange(1, n_knots + 1) / (n_knots + 1)))
    return np.asarray(knots[(knots > values.min()) & (knots < values.max())])


def _compute_tweedie_costs(y: Array, eta: Array, power: float) -> Array:
    """Half the deviance of each row but for what the mean has no part in; exp(eta) is the mean, power in [1, 2]."""
    up = np.exp((2 - power) * eta) / (2 - power) if power < 2 else eta
    down = -np.exp((1 - power) * eta) / (power - 1) if power > 1 else eta
    return np.asarray(up - y * down)


PARTS: Mapping[str, Hyperparameters] = {
    "choice of penalty": {"penalty": 1.0},
    "penalty": {"penalty": 1e-4},
}
"""What an ablation switches off: with so small a penalty the coefficients are all but those without any."""


@dataclass
class Additive(Linear):
    """A linear model whose numbers each follow a line that bends at quantiles."""

    n_knots: int = 8


FAMILY = add_offset_support(
    add_log_support(
        Family(
            "linear",
            frozenset({"binary", "multiclass", "regression"}),
            Linear.of,
            _restore,
            space={"penalty": (1e-3, 1e3, "log")},
            initial_points=({"penalty": 1.0}, {"penalty": 30.0}),
            parts=PARTS,
        )
    )
)

ADDITIVE_FAMILY = add_offset_support(
    add_log_support(
        Family(
            "additive",
            frozenset({"binary", "multiclass", "regression"}),
            Additive.of,
            _restore,
            space={"penalty": (1e-3, 1e3, "log"), "n_knots": (2, 24, "log")},
            races_by_default=False,
            initial_points=({"penalty": 1.0}, {"penalty": 10.0, "n_knots": 16}),
            parts={**PARTS, "bends": {"n_knots": 0}},
        )
    )
)
