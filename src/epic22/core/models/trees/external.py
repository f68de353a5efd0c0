"""What the optional libraries of boosted trees share: they train, and a forest of flat arrays answers.

A model is stored as its library's own text and opens without the library. A row alone has the same bits as in a batch, and SHAP
values are exact, for the arrays are walked as XGBoost's are.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self

import numpy as np

from epic22.core.data.folds import Fold
from epic22.core.errors import InternalError
from epic22.core.lineage import canonical_json
from epic22.core.models.base import (
    FoldData,
    Hyperparameters,
    check_fit_arrays,
    never_expires,
    require_library,
)
from epic22.core.models.loss import EVALUATION_POWER, SQUARED, Loss
from epic22.core.models.trees.boosted import CELLS_PER_THREAD, ForestMixin, choose_tweedie_power, rescale_forest
from epic22.core.models.trees.forest import Forest
from epic22.core.targets import KINDS
from epic22.core.task import Array, Kind

STATE_FILE = "trees.json"


@dataclass(frozen=True)
class BoostingData:
    """What trees grow on: X (n, p) and y (n,) in their unit, this many rounds at most; validation rows may end them sooner,
    and time that has `expired`."""

    X: Array
    y: Array
    rounds: int
    validation: tuple[Array, Array] | None = None
    expired: Callable[[], bool] = never_expires


@dataclass
class ExternalTrees(ForestMixin):
    """Boosted trees of an optional library. The inner fold picks the rounds, up to `rounds`; without one, or with a `patience` of
    0, they are `default_rounds`."""

    library: ClassVar[str]

    kind: Kind
    categorical: tuple[bool, ...]
    n_classes: int = 2
    seed: int = 0
    threads: int = 1
    rounds: int = 1500
    patience: int = 50
    learning_rate: float = 0.04
    default_rounds: int = 100
    loss: Loss = SQUARED

    def fit(self, X: Array, y: Array, inner: Fold | None = None) -> Self:
        """Find the rounds on the inner fold, then fit all rows with them.

        Raises NotInstalledError without the library.
        """
        check_fit_arrays(X, y)
        require_library(self.library, self.library)
        self.unit_, self.power_ = self._compute_unit(y), choose_tweedie_power(self, X, y, inner)
        y = y if self.unit_ == 1.0 else y / self.unit_
        self.rounds_ = self.default_rounds
        if inner is not None and self.patience:
            validation = X[inner.test], y[inner.test]
            self.rounds_ = self._train(BoostingData(X[inner.train], y[inner.train], self.rounds, validation))[1]
        self.text_ = self._train(BoostingData(X, y, self.rounds_))[0]
        self._set_forest(X.shape[1])
        return self

    def fit_with_validation(self, data: FoldData, expired: Callable[[], bool] = never_expires) -> Array:
        """Fit the part's rows until the loss on the validation rows no longer falls."""
        require_library(self.library, self.library)
        self.unit_, self.power_ = self._compute_unit(data.y), float(self.loss.power or EVALUATION_POWER)
        self.rounds_, y = self.default_rounds, data.y / self.unit_
        if len(data.y_valid):
            validation = data.X_valid, data.y_valid / self.unit_
            self.text_, self.rounds_ = self._train(BoostingData(data.X, y, self.rounds, validation, expired))
        else:
            self.text_ = self._train(BoostingData(data.X, y, self.rounds_))[0]
        self._set_forest(data.X.shape[1])
        return self.decision_function(data.X_valid) if len(data.y_valid) else np.zeros(0)

    @property
    def forest(self) -> Forest:
        """The trees."""
        return self.forest_

    def _train(self, training: BoostingData) -> tuple[bytes, int]:
        """The library's text of the trained trees, and how many rounds were best on the watched rows: the text ends with them."""
        raise InternalError(f"{type(self).__name__} grows no trees.")

    def _parse_forest(self) -> Forest:
        """The text as a forest."""
        raise InternalError(f"{type(self).__name__} reads no trees.")

    def _set_forest(self, n_columns: int) -> None:
        self.columns_ = n_columns
        self.forest_ = rescale_forest(self._parse_forest(), self.unit_)

    def best_params(self) -> Hyperparameters:
        """The rounds, and the power where it was looked for."""
        return {"default_rounds": self.rounds_, **self._loss_params()}

    @property
    def _objective_name(self) -> str:
        return KINDS[self.kind].name_objective(self.loss.name)

    def _choose_threads(self, X: Array) -> int:
        return 1 if X.size < CELLS_PER_THREAD else self.threads

    def files(self) -> dict[str, bytes]:
        """The library's text of the trees, and what is needed to read it as JSON."""
        state = {
            "kind": self.kind,
            "categorical": [bool(c) for c in self.categorical],
            "n_classes": self.n_classes,
            "loss": asdict(self.loss),
            "unit": self.unit_,
            "columns": self.columns_,
            **self._extra_state(),
        }
        return {f"{self.library}.txt": self.text_, STATE_FILE: canonical_json(state)}

    def _extra_state(self) -> Mapping[str, object]:
        return {}

    def _restore_extra_state(self, state: Mapping[str, Any]) -> None:
        """Take in what `_extra_state` gave."""

    @classmethod
    def restore(cls, files: Mapping[str, bytes]) -> Self:
        """From its files, without the library."""
        state = json.loads(files[STATE_FILE])
        model = cls(state["kind"], tuple(state["categorical"]), state["n_classes"], loss=Loss(**state["loss"]))
        model.text_, model.unit_ = files[f"{cls.library}.txt"], state["unit"]
        model._restore_extra_state(state)
        model._set_forest(state["columns"])
        return model
