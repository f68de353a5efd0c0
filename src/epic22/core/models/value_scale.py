"""From raw scores to values: as they are, or their exponential, put right so that it is the mean.

The exponential of a mean of logarithms is too low a mean by what the scatter of the logarithms adds (Duan 1983): its smearing
estimate is the mean of exp(residual). Where the scatter differs with the prediction the estimate does too; then it is taken by
thirds of the prediction. Residuals are those of rows that the model was not fitted on: its own are too small.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from epic22.core.models.loss import compute_tweedie_deviances
from epic22.core.task import Array

MAX_SEGMENTS = 3
N_FOLDS = 5
MIN_ROWS = 60
"""Below this many held-out rows a third is too few to tell its own scatter."""


@dataclass(frozen=True)
class ValueScale:
    """A value is the raw score, or exp(raw + shift), where the shift goes straight from centre to centre of raw scores."""

    log: bool = False
    centres: tuple[float, ...] = (0.0,)
    shifts: tuple[float, ...] = (0.0,)

    def __call__(self, raw: Array) -> Array:
        """Values of raw scores, in the label's unit."""
        if not self.log:
            return raw
        return np.asarray(np.exp(raw + np.interp(raw, self.centres, self.shifts)))

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> "ValueScale":
        """From JSON."""
        return cls(bool(state["log"]), tuple(state["centres"]), tuple(state["shifts"]))


IDENTITY = ValueScale()
EXPONENTIAL = ValueScale(log=True)


def fit_smearing_scale(raw: Array, y: Array) -> ValueScale:
    """The scale from held-out logarithmic predictions raw (n,) and labels y (n,) > 0: one factor, or one a third.

    Which of the two is decided by turns, each part of the rows judged with factors from the others, by Poisson deviance: like
    squared error it is least at the mean, and no single large row decides it.
    """
    by_size = np.argsort(raw, kind="stable")
    raw, y = raw[by_size], y[by_size]
    if len(y) < MIN_ROWS:
        return estimate_smearing(raw, y, 1)
    fold = np.arange(len(y)) % N_FOLDS
    losses = [
        np.mean(
            [
                compute_tweedie_deviances(
                    y[fold == k], estimate_smearing(raw[fold != k], y[fold != k], parts)(raw[fold == k]), 1.0
                ).mean()
                for k in range(N_FOLDS)
            ]
        )
        for parts in (1, MAX_SEGMENTS)
    ]
    return estimate_smearing(raw, y, 1 if losses[0] <= losses[1] else MAX_SEGMENTS)


def estimate_smearing(raw: Array, y: Array, n_segments: int) -> ValueScale:
    """Duan's estimate in each of this many equal parts of the rows, which come in the order of raw."""
    residuals = np.log(y) - raw
    segments = list(zip(np.array_split(raw, n_segments), np.array_split(residuals, n_segments), strict=True))
    centres = tuple(float(scores.mean()) for scores, _ in segments)
    shifts = tuple(float(np.log(np.mean(np.exp(scatter)))) for _, scatter in segments)
    return ValueScale(True, centres, shifts)
