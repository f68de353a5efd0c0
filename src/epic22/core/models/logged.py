"""A family fitted to the logarithm of the label, for labels above zero that spread over orders of magnitude.

Raw scores and contributions are in logarithms: they add there, and multiply the value.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self, cast

import numpy as np

from epic22.core.lineage import canonical_json
from epic22.core.models.base import Estimator, Family, Inner, Linked, Parameters, Part, check_fit, never
from epic22.core.models.scale import EXPONENTIAL, Scale, fit_smearing
from epic22.core.task import Array, Kind, Target, Task

STATE = "scale.json"
EVERY = 5
"""Without an inner fold, each so manieth row is held out for the residuals."""


@dataclass
class Logged(Linked, Parameters):
    """`model` fitted to log y. `smeared`: values are means, by smearing; else exp(raw), which keeps medians and quantiles."""

    model: Any
    smeared: bool = True
    kind: Kind = "regression"

    def fit(self, X: Array, y: Array, inner: Inner | None = None) -> Self:
        """Learn the logarithms, then from rows held out what their scatter adds to the mean.

        Raises ValueError for labels of zero or less.
        """
        check_fit(X, y)
        if (y <= 0).any():
            raise ValueError("y must be above zero to have a logarithm")
        self.model.fit(X, np.log(y), inner)
        self.value_scale_ = self._scale(X, y, inner) if self.smeared else EXPONENTIAL
        return self

    def fit_watched(self, part: Part, expired: Callable[[], bool] = never) -> Array:
        """The model fitted to the logarithms of the part's labels; values are their exponentials, until someone smears them."""
        if (part.y <= 0).any() or (part.y_watched <= 0).any():
            raise ValueError("y must be above zero to have a logarithm")
        self.value_scale_ = EXPONENTIAL
        logs = Part(part.X, np.log(part.y), part.X_watched, np.log(part.y_watched), part.made)
        return np.asarray(self.model.fit_watched(logs, expired))

    def _scale(self, X: Array, y: Array, inner: Inner | None) -> Scale:
        held = np.arange(len(y)) % EVERY == EVERY - 1
        train, test = (np.flatnonzero(~held), np.flatnonzero(held)) if inner is None else (inner.train, inner.test)
        if not len(train) or not len(test):
            return EXPONENTIAL
        probe = _unfitted(self.model).fit(X[train], np.log(y[train]))
        return fit_smearing(probe.raw(X[test]), y[test])

    def settled(self) -> Mapping[str, Any]:
        """The model with what its inner fold picked."""
        return {"model": _unfitted(self.model)}

    def raw(self, X: Array) -> Array:
        """Logarithms, (n,), before the scale."""
        return np.asarray(self.model.raw(X))

    def contributions(self, X: Array) -> Array:
        """What each column adds to the logarithm, the average last."""
        return np.asarray(self.model.contributions(X))

    def files(self) -> dict[str, bytes]:
        """The model's files, and the scale as JSON."""
        return {**self.model.files(), STATE: canonical_json(self.value_scale_.state())}


def _unfitted(model: Any) -> Any:
    """A copy that needs no inner fold, for what it picked is stated."""
    return type(model)(**{**model.get_params(), **model.settled()})


def is_smeared(target: Target) -> bool:
    """Whether exponentials of logarithms are put right to be means.

    The median's logarithm is the logarithm's median; and who is judged by logarithms wants no mean.
    """
    return target.loss == "squared" and target.metric.name != "root_mean_squared_log_error"


def unlogged(estimator: Estimator) -> Estimator:
    """The model of logarithms within, or the estimator itself where it learns the label as it is."""
    return cast(Estimator, estimator.model) if isinstance(estimator, Logged) else estimator


def with_logs(family: Family) -> Family:
    """The family, which also fits logarithms where a target asks for them; all else as before."""

    def build(task: Task, seed: int = 0, threads: int = 1, **params: Any) -> Estimator:
        model = family.build(task, seed=seed, threads=threads, **params)
        target = task.target
        if not target.log:
            return model
        return Logged(model, is_smeared(target))

    def restore(files: Mapping[str, bytes]) -> Estimator:
        if STATE not in files:
            return family.restore(files)
        again = Logged(family.restore({name: content for name, content in files.items() if name != STATE}))
        again.value_scale_ = Scale.restore(json.loads(files[STATE]))
        return again

    return replace(family, build=build, restore=restore)
