"""The detectors of anomalies in a panel of series: each gives every row a p-value, and p ≤ rate is an alarm.

`residuals`: how far the value lies from its one-step forecast (`anomaly`). `autoencoder`: how badly its last rows come back
(`window_autoencoder`). `combined`: the smaller of both p-values, doubled, which holds the rate however the two depend on each
other (Bonferroni; Vovk and Wang 2020, "Combining p-values via averaging"). Fisher's product needs them independent, and both
rise with the same odd value.

s = series, t = rows.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from epic22.core.errors import UserError
from epic22.core.evaluation.anomaly import WARM_UP, detect_anomalies, suppress_repeats
from epic22.core.evaluation.window_autoencoder import EXTRA, LIBRARIES, WindowAutoencoder, choose_window, fit_window_autoencoder
from epic22.core.models.base import require_library
from epic22.core.task import Array

FALSE_ALARM_RATE = 0.01


@dataclass(frozen=True)
class DetectorData:
    """A panel (s, t) with a gap as NaN, what is needed to fit detectors on it, and who hears of each fit."""

    values: Array
    season: int | None
    seed: int = 0
    threads: int = 1
    step: Callable[[], None] = field(default=lambda: None, compare=False)

    @property
    def window(self) -> int:
        """Rows that are looked at together."""
        return choose_window(self.season)

    @cached_property
    def autoencoder(self) -> WindowAutoencoder:
        """Fitted once for all detectors that read it."""
        return fit_window_autoencoder(self.values, self.season, self.seed, self.threads, self.step)


@dataclass(frozen=True)
class FittedDetector:
    """A detector of a panel: `score` gives p-values (s, t) of values of such series, NaN where there is no value; before
    `first_row` there is no alarm."""

    name: str
    score: Callable[[Array], Array]
    first_row: float


@dataclass(frozen=True)
class AnomalyDetector:
    """A detector: what an alarm of it `says` of values, and what no alarm `denies` of any; `needs` libraries, which an `extra`
    brings."""

    name: str
    says: str
    denies: str
    fit: Callable[[DetectorData], FittedDetector]
    needs: tuple[str, ...] = ()
    extra: str | None = None

    def require_libraries(self) -> None:
        """Raise NotInstalledError where a library is absent."""
        for library in self.needs:
            require_library(self.name, library, self.extra)


def score_residuals(values: Array, season: int | None) -> Array:
    """p-values (s, t) of the residuals of one-step forecasts; a series begins with its first value."""
    p_values = np.full(values.shape, np.nan)
    for row, series in enumerate(values):
        known = np.flatnonzero(np.isfinite(series))
        if len(known):
            p_values[row, known[0] :] = 1 - detect_anomalies(series[known[0] :], FALSE_ALARM_RATE, season).score
    return p_values


def combine_p_values(first: Array, second: Array) -> Array:
    """The smaller of both, doubled, at most 1; one that is not known counts as 1, and where neither is, NaN.

    >>> combine_p_values(np.array([0.01, 0.9, np.nan]), np.array([0.5, np.nan, np.nan])).tolist()
    [0.02, 1.0, nan]
    """
    smaller = np.fmin(first, second)
    return np.asarray(np.where(np.isnan(smaller), np.nan, np.minimum(1.0, 2 * np.where(np.isnan(smaller), 1.0, smaller))))


def drop_repeats(p_values: Array, quiet: int) -> Array:
    """The p-values, 1 where one of the `quiet` rows before was as low: an event in a window is alarmed once."""
    scores = np.stack([suppress_repeats(1 - row, quiet) for row in p_values]) if len(p_values) else p_values
    return np.where(scores == 0, 1.0, p_values)


def _fit_residuals(data: DetectorData) -> FittedDetector:
    return FittedDetector("residuals", lambda values: score_residuals(values, data.season), WARM_UP)


def _fit_autoencoder(data: DetectorData) -> FittedDetector:
    model = data.autoencoder
    return FittedDetector(
        "autoencoder", lambda values: drop_repeats(model.compute_p_values(values), data.window - 1), model.first_row
    )


def _fit_combined(data: DetectorData) -> FittedDetector:
    model = data.autoencoder

    def score(values: Array) -> Array:
        both = combine_p_values(score_residuals(values, data.season), model.compute_p_values(values))
        return drop_repeats(both, data.window - 1)

    return FittedDetector("combined", score, model.first_row)


RESIDUALS = AnomalyDetector(
    "residuals", "outside the calibrated interval of the one-step forecast", "lies outside its band", _fit_residuals
)
DETECTORS: tuple[AnomalyDetector, ...] = (
    RESIDUALS,
    AnomalyDetector(
        "autoencoder",
        "the value and those just before it have an unusual shape",
        "has an unusual shape with those before it",
        _fit_autoencoder,
        LIBRARIES,
        EXTRA,
    ),
    AnomalyDetector(
        "combined",
        "outside the interval of the one-step forecast, or of an unusual shape with those just before",
        "lies outside its band or has an unusual shape",
        _fit_combined,
        LIBRARIES,
        EXTRA,
    ),
)
"""A new detector is one line here."""


def list_detector_names() -> tuple[str, ...]:
    """The names of the detectors."""
    return tuple(detector.name for detector in DETECTORS)


def get_detector(name: str) -> AnomalyDetector:
    """The detector of that name. Raises UserError."""
    for detector in DETECTORS:
        if detector.name == name:
            return detector
    raise UserError(f"--detector: no anomaly detector {name!r}; there are {', '.join(list_detector_names())}, or leave it out.")
