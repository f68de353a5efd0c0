"""A family fitted to another form of the label: its logarithm, or its distance from a centre.

Logarithms are for labels above zero that spread over orders of magnitude: raw scores and contributions are in them, add there,
and multiply the value. A centre is for labels that are large beside their spread, which libraries of trees hold as float32, where
1,700,000,000 and 1,700,000,060 are one; scores are values, and the centre belongs to the average. A scale is for labels whose
spread is too small or too large for the amounts that such libraries take for nothing or can square.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self, cast

import numpy as np

from epic22.core.data.folds import Fold
from epic22.core.lineage import canonical_json
from epic22.core.models.base import (
    BaseEstimator,
    Family,
    FoldData,
    Hyperparameters,
    check_fit_arrays,
    never_expires,
)
from epic22.core.models.learning_problem import LearningProblem
from epic22.core.models.value_scale import EXPONENTIAL, ValueScale, fit_smearing_scale
from epic22.core.serialization import to_json
from epic22.core.task import Array, Kind

STATE_FILE = "scale.json"
CENTER_FILE = "center.json"
HOLDOUT_EVERY = 5
"""Without an inner fold, each so manieth row is held out for the residuals."""


@dataclass
class LogTargetRegressor(BaseEstimator):
    """`model` fitted to log y. `use_smearing`: values are means, by smearing; else exp(raw), which keeps medians and
    quantiles."""

    model: Any
    use_smearing: bool = True
    kind: Kind = "regression"

    def fit(self, X: Array, y: Array, inner: Fold | None = None) -> Self:
        """Learn the logarithms, then from rows held out what their scatter adds to the mean.

        Raises ValueError for labels of zero or less.
        """
        check_fit_arrays(X, y)
        if (y <= 0).any():
            raise ValueError("y must be above zero to have a logarithm")
        self.model.fit(X, np.log(y), inner)
        self.value_scale_ = self._fit_scale(X, y, inner) if self.use_smearing else EXPONENTIAL
        return self

    def fit_with_validation(self, data: FoldData, expired: Callable[[], bool] = never_expires) -> Array:
        """The model fitted to the logarithms of the part's labels; values are their exponentials, until someone smears them."""
        if (data.y <= 0).any() or (data.y_valid <= 0).any():
            raise ValueError("y must be above zero to have a logarithm")
        self.value_scale_ = EXPONENTIAL
        log_data = FoldData(data.X, np.log(data.y), data.X_valid, np.log(data.y_valid), data.cache)
        return np.asarray(self.model.fit_with_validation(log_data, expired))

    def _fit_scale(self, X: Array, y: Array, inner: Fold | None) -> ValueScale:
        is_test = np.arange(len(y)) % HOLDOUT_EVERY == HOLDOUT_EVERY - 1
        train, test = (np.flatnonzero(~is_test), np.flatnonzero(is_test)) if inner is None else (inner.train, inner.test)
        if not len(train) or not len(test):
            return EXPONENTIAL
        probe = _copy_with_best_params(self.model).fit(X[train], np.log(y[train]))
        return fit_smearing_scale(probe.decision_function(X[test]), y[test])

    def best_params(self) -> Hyperparameters:
        """The model with what its inner fold picked."""
        return {"model": _copy_with_best_params(self.model)}

    def decision_function(self, X: Array) -> Array:
        """Logarithms, (n,), before the scale."""
        return np.asarray(self.model.decision_function(X))

    def predict_quantiles(self, X: Array) -> Array | None:
        """Exponentials of the logarithm's quantiles, which are the value's."""
        quantiles = self.model.predict_quantiles(X)
        return None if quantiles is None else np.asarray(np.exp(quantiles))

    def shap_values(self, X: Array) -> Array:
        """What each column adds to the logarithm, the average last."""
        return np.asarray(self.model.shap_values(X))

    def files(self) -> dict[str, bytes]:
        """The model's files, and the scale as JSON."""
        return {**self.model.files(), STATE_FILE: canonical_json(to_json(self.value_scale_))}


@dataclass
class CenteredRegressor(BaseEstimator):
    """`model` fitted to (y - center) / scale, in float64."""

    model: Any
    center: float
    scale: float = 1.0
    kind: Kind = "regression"

    def fit(self, X: Array, y: Array, inner: Fold | None = None) -> Self:
        """Learn the distances from the centre."""
        check_fit_arrays(X, y)
        self.model.fit(X, self._compute_distances(y), inner)
        return self

    def _compute_distances(self, y: Array) -> Array:
        return np.asarray((np.asarray(y, dtype=np.float64) - self.center) / self.scale)

    def _restore_values(self, distances: Array) -> Array:
        return np.asarray(np.asarray(distances, dtype=np.float64) * self.scale + self.center)

    def fit_with_validation(self, data: FoldData, expired: Callable[[], bool] = never_expires) -> Array:
        """The model fitted to the distances of the part's labels; scores are values."""
        y, y_valid = self._compute_distances(data.y), self._compute_distances(data.y_valid)
        return self._restore_values(
            self.model.fit_with_validation(FoldData(data.X, y, data.X_valid, y_valid, data.cache), expired)
        )

    def best_params(self) -> Hyperparameters:
        """The model with what its inner fold picked."""
        return {"model": _copy_with_best_params(self.model)}

    def decision_function(self, X: Array) -> Array:
        """Values, (n,)."""
        return self._restore_values(self.model.decision_function(X))

    def predict_quantiles(self, X: Array) -> Array | None:
        """Quantiles of values, (n, q)."""
        quantiles = self.model.predict_quantiles(X)
        return None if quantiles is None else self._restore_values(quantiles)

    def shap_values(self, X: Array) -> Array:
        """What each column adds to the value; the average, last, holds the centre."""
        values = np.asarray(self.model.shap_values(X), dtype=np.float64) * self.scale
        values[..., -1] += self.center
        return values

    def files(self) -> dict[str, bytes]:
        """The model's files, and the centre as JSON, with the scale where there is one."""
        scale = {} if self.scale == 1.0 else {"scale": self.scale}
        return {**self.model.files(), CENTER_FILE: canonical_json({"center": self.center, **scale})}


def _copy_with_best_params(model: Any) -> Any:
    """A copy that needs no inner fold, for what it picked is stated."""
    return type(model)(**{**model.get_params(), **model.best_params()})


def unwrap_log_target(estimator: BaseEstimator) -> BaseEstimator:
    """The model of logarithms within, or the estimator itself where it learns the label as it is."""
    return cast(BaseEstimator, estimator.model) if isinstance(estimator, LogTargetRegressor) else estimator


def unwrap_target_transform(estimator: BaseEstimator) -> BaseEstimator:
    """The model of logarithms or of distances from a centre within, or the estimator itself."""
    return cast(BaseEstimator, estimator.model) if isinstance(estimator, CenteredRegressor) else unwrap_log_target(estimator)


def add_log_support(family: Family) -> Family:
    """The family, which also fits logarithms, or distances from a centre, where a target asks; all else as before."""

    def build(problem: LearningProblem, seed: int = 0, threads: int = 1, **params: Any) -> BaseEstimator:
        model = family.build(problem, seed=seed, threads=threads, **params)
        if problem.log:
            return LogTargetRegressor(model, problem.smearing)
        is_plain = (problem.center, problem.scale) == (0.0, 1.0)
        return model if is_plain else CenteredRegressor(model, problem.center, problem.scale)

    def restore(files: Mapping[str, bytes]) -> BaseEstimator:
        if CENTER_FILE in files:
            inner_files = {name: content for name, content in files.items() if name != CENTER_FILE}
            state = json.loads(files[CENTER_FILE])
            return CenteredRegressor(family.restore(inner_files), float(state["center"]), float(state.get("scale", 1.0)))
        if STATE_FILE not in files:
            return family.restore(files)
        model = LogTargetRegressor(family.restore({name: content for name, content in files.items() if name != STATE_FILE}))
        model.value_scale_ = ValueScale.from_state(json.loads(files[STATE_FILE]))
        return model

    return replace(family, build=build, restore=restore)
