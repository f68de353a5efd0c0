"""What the optional libraries of boosted trees share: they train, and a forest of flat arrays answers.

A model is stored as its library's own text and opens without the library. A row alone has the same bits as in a batch, and SHAP
values are exact, for the arrays are walked as XGBoost's are.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np

from epic22.core.errors import InternalError
from epic22.core.lineage import canonical_json
from epic22.core.models.base import CLASSIFIED, Estimator, Inner, Linked, Parameters, Part, check_fit, never, require
from epic22.core.models.boosting import SMALL_CELLS
from epic22.core.models.forest import Forest
from epic22.core.models.loss import JUDGED_POWER, SQUARED, Loss
from epic22.core.models.power import power_of
from epic22.core.models.scale import EXPONENTIAL, IDENTITY, Scale
from epic22.core.task import Array, Kind, Task

STATE = "trees.json"


@dataclass
class Grown(Linked, Parameters):
    """Boosted trees of an optional library. The inner fold picks the rounds, up to `rounds`; without one `default_rounds`."""

    library: ClassVar[str]
    in_units: ClassVar[tuple[str, ...]] = ("tweedie",)

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

    @classmethod
    def of(cls, task: Task, seed: int = 0, threads: int = 1, **params: Any) -> Self:
        """For a task's columns and target."""
        target, categorical = task.target, tuple(bool(c) for c in task.categorical)
        return cls(target.kind, categorical, len(target.classes), seed, threads, **{"loss": Loss.of(target), **params})

    def fit(self, X: Array, y: Array, inner: Inner | None = None) -> Self:
        """Find the rounds on the inner fold, then fit all rows with them.

        Raises NotInstalledError without the library.
        """
        check_fit(X, y)
        require(self.library, self.library)
        self.unit_, self.power_ = 1.0, power_of(self, X, y, inner)
        if self.kind == "regression" and self.loss.name in self.in_units:
            # Leaves are shrunk and split by amounts that have the label's unit, and some libraries begin at one.
            self.unit_ = float(np.mean(y)) or 1.0
            y = y / self.unit_
        self.rounds_ = self.default_rounds
        if inner is not None:
            watched = X[inner.test], y[inner.test]
            self.rounds_ = self._grow(X[inner.train], y[inner.train], self.rounds, watched)[1]
        self.text_ = self._grow(X, y, self.rounds_)[0]
        self._plant(X.shape[1])
        return self

    def fit_watched(self, part: Part, expired: Callable[[], bool] = never) -> Array:
        """Fit the part's rows until the loss on the watched rows no longer falls."""
        require(self.library, self.library)
        self.unit_, self.power_, self.rounds_ = 1.0, float(self.loss.power or JUDGED_POWER), self.default_rounds
        if self.kind == "regression" and self.loss.name in self.in_units:
            self.unit_ = float(np.mean(part.y)) or 1.0
        if len(part.y_watched):
            watched = part.X_watched, part.y_watched / self.unit_
            self.text_, self.rounds_ = self._grow(part.X, part.y / self.unit_, self.rounds, watched, expired)
        else:
            self.text_ = self._grow(part.X, part.y / self.unit_, self.rounds_)[0]
        self._plant(part.X.shape[1])
        return self.raw(part.X_watched) if len(part.y_watched) else np.zeros(0)

    @property
    def forest(self) -> Forest:
        """The trees."""
        return self.forest_

    def _grow(
        self,
        X: Array,
        y: Array,
        rounds: int,
        watched: tuple[Array, Array] | None = None,
        expired: Callable[[], bool] = never,
    ) -> tuple[bytes, int]:
        """The library's text of the trained trees, and how many rounds were best on the watched rows: the text ends with them."""
        raise InternalError(f"{type(self).__name__} grows no trees.")

    def _read(self) -> Forest:
        """The text as a forest."""
        raise InternalError(f"{type(self).__name__} reads no trees.")

    def _plant(self, columns: int) -> None:
        self.columns_ = columns
        forest = self._read()
        shift = np.log(self.unit_) if self.unit_ != 1.0 else 0.0
        self.forest_ = replace(forest, base=forest.base + shift, average=forest.average + shift)

    def settled(self) -> Mapping[str, Any]:
        """The rounds, and the power where it was looked for."""
        tweedie = {"loss": replace(self.loss, power=self.power_)} if self.loss.name == "tweedie" else {}
        return {"default_rounds": self.rounds_, **tweedie}

    @property
    def value_scale_(self) -> Scale:
        """Counts and sums are predicted by their logarithms."""
        return EXPONENTIAL if self.kind == "regression" and self.loss.log_link else IDENTITY

    @property
    def _asked(self) -> str:
        return self.kind if self.kind in CLASSIFIED else self.loss.name

    def _threads(self, X: Array) -> int:
        return 1 if X.size < SMALL_CELLS else self.threads

    def raw(self, X: Array) -> Array:
        """Log-odds, values or their logarithms; the same bits for a row alone and in a batch."""
        return self.forest_.raw(np.ascontiguousarray(X, np.float32), self._threads(X))

    def contributions(self, X: Array) -> Array:
        """Exact path-dependent SHAP values, the average last."""
        return self.forest_.contributions(np.ascontiguousarray(X, np.float32), self._threads(X))

    def files(self) -> dict[str, bytes]:
        """The library's text of the trees, and what is needed to read it as JSON."""
        state = {
            "kind": self.kind,
            "categorical": [bool(c) for c in self.categorical],
            "n_classes": self.n_classes,
            "loss": asdict(self.loss),
            "unit": self.unit_,
            "columns": self.columns_,
            **self._more_state(),
        }
        return {f"{self.library}.txt": self.text_, STATE: canonical_json(state)}

    def _more_state(self) -> dict[str, Any]:
        return {}

    def _take_state(self, state: Mapping[str, Any]) -> None:
        """What `_more_state` gave."""

    @classmethod
    def restored(cls, files: Mapping[str, bytes]) -> Estimator:
        """From its files, without the library."""
        state = json.loads(files[STATE])
        model = cls(state["kind"], tuple(state["categorical"]), state["n_classes"], loss=Loss(**state["loss"]))
        model.text_, model.unit_ = files[f"{cls.library}.txt"], state["unit"]
        model._take_state(state)
        model._plant(state["columns"])
        return model
