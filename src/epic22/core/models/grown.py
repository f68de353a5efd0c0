"""What the optional libraries of boosted trees share: they train, and a forest of flat arrays answers.

A model is stored as its library's own text and opens without the library. A row alone has the same bits as in a batch, and SHAP
values are exact, for the arrays are walked as XGBoost's are.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self

import numpy as np

from epic22.core.errors import InternalError
from epic22.core.lineage import canonical_json
from epic22.core.models.base import CLASSIFIED, Estimator, Inner, Parameters, Part, check_fit, never, require
from epic22.core.models.forest import Forest, Nodes, assembled, bits_of
from epic22.core.models.loss import JUDGED_POWER, SQUARED, Loss
from epic22.core.models.power import power_of
from epic22.core.models.trees import SMALL_CELLS, LabelTrees, in_unit
from epic22.core.task import Array, Kind, Task

STATE = "trees.json"


@dataclass(frozen=True)
class Ground:
    """What trees grow on: X (n, p) and y (n,) in their unit, so many rounds at most; rows that are watched may end them sooner,
    and time that has `expired`."""

    X: Array
    y: Array
    rounds: int
    watched: tuple[Array, Array] | None = None
    expired: Callable[[], bool] = never


@dataclass(frozen=True)
class Tree:
    """One tree as Nodes has it, its children numbered from its own root; `sets` of categories that go right, by node."""

    split: Array
    threshold: Array
    default_left: Array
    left: Array
    right: Array
    leaf: Array
    cover: Array
    sets: tuple[tuple[int, Array], ...]


def forest_of_trees(trees: Sequence[Tree], columns: int, base: Array) -> Forest:
    """The forest of these trees, which serve the outputs in turn; `base` (k,) is the score before any of them."""
    sizes = np.array([len(tree.left) for tree in trees], np.int64)
    roots = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)
    start = np.repeat(roots, sizes)
    sets = [(int(root + node), codes) for tree, root in zip(trees, roots, strict=True) for node, codes in tree.sets]

    def joined(name: str) -> Array:
        return np.concatenate([getattr(tree, name) for tree in trees])

    left, right = (np.where(child >= 0, child + start, -1) for child in (joined("left"), joined("right")))
    nodes = Nodes(
        roots=roots,
        output=np.arange(len(trees)) % len(base),
        split=joined("split"),
        threshold=joined("threshold"),
        default_left=joined("default_left"),
        left=left,
        right=right,
        leaf=joined("leaf"),
        cover=joined("cover"),
    )
    return assembled(nodes, bits_of(sets, len(start)), columns, base)


@dataclass
class Grown(LabelTrees, Parameters):
    """Boosted trees of an optional library. The inner fold picks the rounds, up to `rounds`; without one `default_rounds`."""

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
        self.unit_, self.power_ = self._unit_of(y), power_of(self, X, y, inner)
        y = y if self.unit_ == 1.0 else y / self.unit_
        self.rounds_ = self.default_rounds
        if inner is not None:
            watched = X[inner.test], y[inner.test]
            self.rounds_ = self._grow(Ground(X[inner.train], y[inner.train], self.rounds, watched))[1]
        self.text_ = self._grow(Ground(X, y, self.rounds_))[0]
        self._plant(X.shape[1])
        return self

    def fit_watched(self, part: Part, expired: Callable[[], bool] = never) -> Array:
        """Fit the part's rows until the loss on the watched rows no longer falls."""
        require(self.library, self.library)
        self.unit_, self.power_ = self._unit_of(part.y), float(self.loss.power or JUDGED_POWER)
        self.rounds_, y = self.default_rounds, part.y / self.unit_
        if len(part.y_watched):
            watched = part.X_watched, part.y_watched / self.unit_
            self.text_, self.rounds_ = self._grow(Ground(part.X, y, self.rounds, watched, expired))
        else:
            self.text_ = self._grow(Ground(part.X, y, self.rounds_))[0]
        self._plant(part.X.shape[1])
        return self.raw(part.X_watched) if len(part.y_watched) else np.zeros(0)

    @property
    def forest(self) -> Forest:
        """The trees."""
        return self.forest_

    def _grow(self, ground: Ground) -> tuple[bytes, int]:
        """The library's text of the trained trees, and how many rounds were best on the watched rows: the text ends with them."""
        raise InternalError(f"{type(self).__name__} grows no trees.")

    def _read(self) -> Forest:
        """The text as a forest."""
        raise InternalError(f"{type(self).__name__} reads no trees.")

    def _plant(self, columns: int) -> None:
        self.columns_ = columns
        self.forest_ = in_unit(self._read(), self.unit_)

    def settled(self) -> Mapping[str, Any]:
        """The rounds, and the power where it was looked for."""
        return {"default_rounds": self.rounds_, **self._chosen_loss()}

    @property
    def _asked(self) -> str:
        return self.kind if self.kind in CLASSIFIED else self.loss.name

    def _threads(self, X: Array) -> int:
        return 1 if X.size < SMALL_CELLS else self.threads

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
