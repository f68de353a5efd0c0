"""What a model must beat: the constant, which of a hazard is the life table of all rows (Kaplan and Meier)."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from scipy.special import logit

from epic22.core.data.folds import Fold
from epic22.core.lineage import canonical_json
from epic22.core.models.base import BaseEstimator, Family, check_fit_arrays
from epic22.core.models.hazard import (
    MIN_HAZARD,
    HazardEstimator,
    check_survival_data,
    compute_hazard_log_odds,
    estimate_cumulative_incidence,
)
from epic22.core.models.learning_problem import LearningProblem
from epic22.core.models.loss import MIN_MEAN, SQUARED, Loss
from epic22.core.models.offset import add_offset_support
from epic22.core.models.value_scale import EXPONENTIAL, IDENTITY, ValueScale
from epic22.core.targets import CLASS_KINDS, KINDS
from epic22.core.task import Array, Kind


@dataclass
class LifeTable(HazardEstimator):
    """Kaplan and Meier's incidence up to each horizon, whatever the row says: the constant of a hazard.

    An interval that no row was followed through goes on with the daily rate of the one before.
    """

    state_file: ClassVar[str] = "life_table.json"

    edges: tuple[float, ...]

    def fit(self, X: Array, y: Array, inner: Fold | None = None) -> Self:
        """Read the curve at the horizons."""
        check_survival_data(X, y)
        incidence, _ = estimate_cumulative_incidence(y, np.asarray(self.edges))
        interval_hazard = np.logaddexp(0.0, compute_hazard_log_odds(incidence[None, :])[0])
        widths = np.diff(self.edges, prepend=0.0)
        for j in range(1, len(interval_hazard)):
            if y[:, 0].max() < self.edges[j]:
                interval_hazard[j] = interval_hazard[j - 1] * widths[j] / widths[j - 1]
        self.level_ = logit(np.clip(-np.expm1(-interval_hazard), MIN_HAZARD, 1 - MIN_HAZARD))
        return self

    def decision_function(self, X: Array) -> Array:
        """The same log-odds for every row, (n, h)."""
        return np.tile(self.level_, (len(X), 1))

    def shap_values(self, X: Array) -> Array:
        """Nothing from any column; all from the average."""
        raw = self.decision_function(X)
        return np.concatenate([np.zeros((*raw.shape, X.shape[1])), raw[..., None]], axis=-1)


@dataclass
class Constant(BaseEstimator):
    """The class shares, or the value with the least loss on the training part, whatever the row says; with `log` in logarithms.

    >>> import numpy as np
    >>> Constant("binary", 2).fit(np.zeros((4, 1)), np.array([0, 0, 0, 1])).predict_proba(np.zeros((1, 1)))
    array([[0.75, 0.25]])
    """

    kind: Kind
    n_classes: int = 2
    loss: Loss = SQUARED
    log: bool = False

    def fit(self, X: Array, y: Array, inner: Fold | None = None, exposure: Array | None = None) -> Self:
        """Learn the class shares or the value; of rows with an exposure (n,) the value for an exposure of 1."""
        check_fit_arrays(X, y)
        self.n_columns_ = X.shape[1]
        classes = CLASS_KINDS.get(self.kind)
        if classes is None:
            level = self.loss.fit_constant(y, exposure)
            self.level_ = np.array([float(np.log(max(level, MIN_MEAN))) if self.value_scale_.log else level])
            return self
        self.level_ = classes.compute_base_scores(np.bincount(y.astype(np.int64), minlength=self.n_classes) / len(y))
        return self

    @property
    def value_scale_(self) -> ValueScale:
        """Logarithms for a log target and for the losses that have them."""
        return EXPONENTIAL if self.log or self.loss.log_link else IDENTITY

    def decision_function(self, X: Array) -> Array:
        """The same log-odds or value for every row."""
        if KINDS[self.kind].has_score_per_class:
            return np.tile(self.level_, (len(X), 1))
        return np.full(len(X), self.level_[0])

    def shap_values(self, X: Array) -> Array:
        """Nothing from any column; all from the average."""
        raw = self.decision_function(X)
        return np.concatenate([np.zeros((*raw.shape, X.shape[1])), raw[..., None]], axis=-1)

    def files(self) -> dict[str, bytes]:
        """One JSON file."""
        logs = {"log": True} if self.value_scale_.log else {}
        return {"constant.json": canonical_json({"kind": self.kind, "level": self.level_.tolist(), **logs})}


def _build(problem: LearningProblem, **params: Any) -> BaseEstimator:
    return (LifeTable if KINDS[problem.kind].is_time_to_event else Constant).of(problem, **params)


def _restore(files: Mapping[str, bytes]) -> BaseEstimator:
    if LifeTable.state_file in files:
        return LifeTable.restore(files)
    state = json.loads(files["constant.json"])
    constant = Constant(state["kind"], max(2, len(state["level"])), log=state.get("log", False))
    constant.level_ = np.array(state["level"])
    return constant


FAMILY = add_offset_support(
    Family("constant", frozenset({"binary", "multiclass", "regression", "hazard"}), _build, _restore, is_baseline=True)
)
