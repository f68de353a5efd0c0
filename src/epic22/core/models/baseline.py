"""What a model must beat: the constant, which of a hazard is the life table of all rows (Kaplan and Meier)."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from epic22.core.lineage import canonical_json
from epic22.core.models.base import Estimator, Family, InnerFold, LinkMixin, ParamsMixin, check_fit_arrays
from epic22.core.models.hazard import LIFE_TABLE_FILE, LifeTable
from epic22.core.models.learning_problem import LearningProblem
from epic22.core.models.loss import MIN_MEAN, SQUARED, Loss
from epic22.core.models.offset import add_offset_support
from epic22.core.models.value_scale import EXPONENTIAL, IDENTITY, ValueScale
from epic22.core.targets import CLASS_KINDS, KINDS
from epic22.core.task import Array, Kind


@dataclass
class Constant(LinkMixin, ParamsMixin):
    """The class shares, or the value with the least loss on the training part, whatever the row says; with `log` in logarithms.

    >>> import numpy as np
    >>> Constant("binary", 2).fit(np.zeros((4, 1)), np.array([0, 0, 0, 1])).predict_proba(np.zeros((1, 1)))
    array([[0.75, 0.25]])
    """

    kind: Kind
    n_classes: int = 2
    loss: Loss = SQUARED
    log: bool = False

    def fit(self, X: Array, y: Array, inner: InnerFold | None = None, exposure: Array | None = None) -> Self:
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


def _build(problem: LearningProblem, seed: int = 0, threads: int = 1) -> Constant | LifeTable:
    if KINDS[problem.kind].is_time_to_event:
        return LifeTable(problem.horizons)
    return Constant(problem.kind, problem.n_classes, problem.loss, problem.log)


def _restore(files: Mapping[str, bytes]) -> Estimator:
    if LIFE_TABLE_FILE in files:
        return LifeTable.restore(files)
    state = json.loads(files["constant.json"])
    constant = Constant(state["kind"], max(2, len(state["level"])), log=state.get("log", False))
    constant.level_ = np.array(state["level"])
    return constant


FAMILY = add_offset_support(
    Family("constant", frozenset({"binary", "multiclass", "regression", "hazard"}), _build, _restore, is_baseline=True)
)
