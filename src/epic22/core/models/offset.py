"""Counts and sums that grow with an exposure: years insured, hours run, doors watched.

The exposure is the last word of the row, never a column to learn from: the model within sees the other columns and answers for an
exposure of 1, its raw score a logarithm, to which the exposure's own is added. So the value is of the row's exposure, and the
contributions still sum to the score. With the logarithm as offset, errors count as they would on the counts themselves.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self, cast

import numpy as np

from epic22.core.data.folds import Fold
from epic22.core.errors import RowError
from epic22.core.lineage import canonical_json
from epic22.core.models.base import (
    BaseEstimator,
    Family,
    FoldData,
    Hyperparameters,
    check_fit_arrays,
    get_value_scale,
    never_expires,
)
from epic22.core.models.learning_problem import LearningProblem
from epic22.core.models.value_scale import ValueScale
from epic22.core.task import Array, Kind

STATE_FILE = "exposure.json"


@dataclass
class OffsetRegressor(BaseEstimator):
    """`model` fitted to the columns but that at `place`, the exposure, which is called `name` and is above zero."""

    model: Any
    place: int
    name: str
    kind: Kind = "regression"

    def fit(self, X: Array, y: Array, inner: Fold | None = None) -> Self:
        """Learn what is counted for an exposure of 1. Raises RowError for an exposure that is missing, or not above zero."""
        check_fit_arrays(X, y)
        self.model.fit(self.drop_offset_column(X), y, inner, exposure=np.exp(self.compute_offset(X)))
        return self

    def fit_with_validation(self, data: FoldData, expired: Callable[[], bool] = never_expires) -> Array:
        """The model fitted to the part's rows; the validation rows' scores are of their own exposure."""
        inner_data = data.get_cached("exposure apart", lambda: self._split_offset(data))
        raw = self.model.fit_with_validation(inner_data, expired)
        return np.asarray(raw + self.compute_offset(data.X_valid)) if len(data.y_valid) else np.asarray(raw)

    def _split_offset(self, data: FoldData) -> FoldData:
        train_exposure, valid_exposure = np.exp(self.compute_offset(data.X)), np.exp(self.compute_offset(data.X_valid))
        return replace(
            data,
            X=self.drop_offset_column(data.X),
            X_valid=self.drop_offset_column(data.X_valid),
            exposure=train_exposure,
            exposure_valid=valid_exposure,
            cache={},
        )

    def drop_offset_column(self, X: Array) -> Array:
        """The matrix without the exposure, (n, p - 1)."""
        return np.ascontiguousarray(np.delete(X, self.place, axis=1))

    def compute_offset(self, X: Array) -> Array:
        """The logarithms of the exposures, (n,). Raises RowError for one that is missing, or not above zero."""
        exposure = np.ascontiguousarray(X[:, self.place], dtype=np.float64)
        invalid = np.flatnonzero(~((exposure > 0) & np.isfinite(exposure)))
        if len(invalid):
            row, value = int(invalid[0]), exposure[invalid[0]]
            problem = (
                f"the exposure {self.name!r} is {'missing' if np.isnan(value) else f'{value:g}'}, expected a number above zero"
            )
            raise RowError(f"row {row + 1:,}: {problem}; the value predicted is of so much of it.", ((row, self.name, problem),))
        return np.log(exposure)

    def insert_offset(self, values: Array, X: Array) -> Array:
        """Contributions (n, p) of the other columns and the average with that of the exposure at its place, (n, p + 1)."""
        return np.insert(values, self.place, self.compute_offset(X), axis=1)

    def best_params(self) -> Hyperparameters:
        """What the model's inner fold picked, by its own parameters."""
        return cast(BaseEstimator, self.model).best_params()

    @property
    def value_scale_(self) -> ValueScale:
        """That of the model."""
        return get_value_scale(self.model)

    def decision_function(self, X: Array) -> Array:
        """Logarithms of what is counted for the rows' exposures, (n,)."""
        return np.asarray(self.model.decision_function(self.drop_offset_column(X)) + self.compute_offset(X))

    def shap_values(self, X: Array) -> Array:
        """What each column adds to the logarithm; the average, last, is that for an exposure of 1."""
        return self.insert_offset(np.asarray(self.model.shap_values(self.drop_offset_column(X))), X)

    def files(self) -> dict[str, bytes]:
        """The model's files, and where the exposure stands as JSON."""
        return {**self.model.files(), STATE_FILE: canonical_json({"place": self.place, "name": self.name})}


def unwrap_offset(estimator: BaseEstimator) -> BaseEstimator:
    """The model for an exposure of 1 within, or the estimator itself."""
    return cast(BaseEstimator, estimator.model) if isinstance(estimator, OffsetRegressor) else estimator


def add_offset_support(family: Family) -> Family:
    """The family, whose estimators' `fit` takes an exposure, for targets that have one; all else as before."""

    def build(problem: LearningProblem, seed: int = 0, threads: int = 1, **params: Any) -> BaseEstimator:
        name = problem.offset
        if name is None:
            return family.build(problem, seed=seed, threads=threads, **params)
        model = family.build(problem.drop_column(name), seed=seed, threads=threads, **params)
        return OffsetRegressor(model, problem.columns.index(name), name)

    def restore(files: Mapping[str, bytes]) -> BaseEstimator:
        if STATE_FILE not in files:
            return family.restore(files)
        model = family.restore({name: content for name, content in files.items() if name != STATE_FILE})
        return OffsetRegressor(model, **json.loads(files[STATE_FILE]))

    return replace(family, build=build, restore=restore, supports_offset=True)
