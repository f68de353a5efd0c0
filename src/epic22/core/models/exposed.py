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

from epic22.core.errors import RowError
from epic22.core.lineage import canonical_json
from epic22.core.models.base import Estimator, Family, Inner, Linked, Parameters, Part, check_fit, never, scale_of
from epic22.core.models.scale import Scale
from epic22.core.task import Array, Kind, Task

STATE = "exposure.json"


@dataclass
class Exposed(Linked, Parameters):
    """`model` fitted to the columns but that at `place`, the exposure, which is called `name` and is above zero."""

    model: Any
    place: int
    name: str
    kind: Kind = "regression"

    def fit(self, X: Array, y: Array, inner: Inner | None = None) -> Self:
        """Learn what is counted for an exposure of 1. Raises RowError for an exposure that is missing, or not above zero."""
        check_fit(X, y)
        self.model.fit(self.inputs(X), y, inner, exposure=np.exp(self.logs(X)))
        return self

    def fit_watched(self, part: Part, expired: Callable[[], bool] = never) -> Array:
        """The model fitted to the part's rows; the watched rows' scores are of their own exposure."""
        apart = part.once("exposure apart", lambda: self._apart(part))
        raw = self.model.fit_watched(apart, expired)
        return np.asarray(raw + self.logs(part.X_watched)) if len(part.y_watched) else np.asarray(raw)

    def _apart(self, part: Part) -> Part:
        fitted, watched = np.exp(self.logs(part.X)), np.exp(self.logs(part.X_watched))
        return replace(
            part, X=self.inputs(part.X), X_watched=self.inputs(part.X_watched), exposure=fitted, exposure_watched=watched, made={}
        )

    def inputs(self, X: Array) -> Array:
        """The matrix without the exposure, (n, p - 1)."""
        return np.ascontiguousarray(np.delete(X, self.place, axis=1))

    def logs(self, X: Array) -> Array:
        """The logarithms of the exposures, (n,). Raises RowError for one that is missing, or not above zero."""
        exposure = np.ascontiguousarray(X[:, self.place], dtype=np.float64)
        odd = np.flatnonzero(~((exposure > 0) & np.isfinite(exposure)))
        if len(odd):
            row, found = int(odd[0]), exposure[odd[0]]
            what = f"the exposure {self.name!r} is {'missing' if np.isnan(found) else f'{found:g}'}, expected a number above zero"
            raise RowError(f"row {row + 1:,}: {what}; the value predicted is of so much of it.", ((row, self.name, what),))
        return np.log(exposure)

    def whole(self, contributions: Array, X: Array) -> Array:
        """Contributions (n, p) of the other columns and the average with that of the exposure at its place, (n, p + 1)."""
        return np.insert(contributions, self.place, self.logs(X), axis=1)

    def settled(self) -> Mapping[str, Any]:
        """What the model's inner fold picked, by its own parameters."""
        return cast(Estimator, self.model).settled()

    @property
    def value_scale_(self) -> Scale:
        """That of the model."""
        return scale_of(self.model)

    def raw(self, X: Array) -> Array:
        """Logarithms of what is counted for the rows' exposures, (n,)."""
        return np.asarray(self.model.raw(self.inputs(X)) + self.logs(X))

    def contributions(self, X: Array) -> Array:
        """What each column adds to the logarithm; the average, last, is that for an exposure of 1."""
        return self.whole(np.asarray(self.model.contributions(self.inputs(X))), X)

    def files(self) -> dict[str, bytes]:
        """The model's files, and where the exposure stands as JSON."""
        return {**self.model.files(), STATE: canonical_json({"place": self.place, "name": self.name})}


def unexposed(estimator: Estimator) -> Estimator:
    """The model for an exposure of 1 within, or the estimator itself."""
    return cast(Estimator, estimator.model) if isinstance(estimator, Exposed) else estimator


def with_exposure(family: Family) -> Family:
    """The family, whose estimators' `fit` takes an exposure, for targets that have one; all else as before."""

    def build(task: Task, seed: int = 0, threads: int = 1, **params: Any) -> Estimator:
        name = task.target.offset
        if name is None:
            return family.build(task, seed=seed, threads=threads, **params)
        place = [column.name for column in task.input_columns].index(name)
        others = replace(task, columns=tuple(column for column in task.columns if column.name != name))
        return Exposed(family.build(others, seed=seed, threads=threads, **params), place, name)

    def restore(files: Mapping[str, bytes]) -> Estimator:
        if STATE not in files:
            return family.restore(files)
        model = family.restore({name: content for name, content in files.items() if name != STATE})
        return Exposed(model, **json.loads(files[STATE]))

    return replace(family, build=build, restore=restore, exposed=True)
