"""Intervals that hold: split conformal from out-of-fold residuals (Lei et al. 2018; out of fold as in Barber et al. 2021)."""

import math
from dataclasses import dataclass

import numpy as np

from epic22.core.data.examples import Examples
from epic22.core.evaluation.crossval import Evaluation
from epic22.core.task import Array, Kind

COVERAGE = 0.9


@dataclass(frozen=True)
class Band:
    """value ± `half_width` covers a share `coverage` of outcomes, if the future is like the rows seen."""

    coverage: float
    half_width: float

    def around(self, value: float) -> tuple[float, float]:
        """The interval around a value."""
        return value - self.half_width, value + self.half_width


def fit_band(evaluation: Evaluation, examples: Examples, kind: Kind) -> Band | None:
    """The band for values, from out-of-fold residuals alone; None for classes, whose probability is the statement."""
    if kind != "regression":
        return None
    residuals = np.concatenate([np.abs(part.response - examples.y[part.fold.test]) for part in evaluation.parts])
    return Band(COVERAGE, _upper_quantile(residuals, COVERAGE))


def _upper_quantile(residuals: Array, coverage: float) -> float:
    """The ⌈(n + 1)·coverage⌉-th smallest residual, which gives the coverage for any n large enough."""
    rank = min(math.ceil((len(residuals) + 1) * coverage), len(residuals))
    return float(np.sort(residuals)[rank - 1])
