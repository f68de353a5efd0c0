"""Forecasts that end at zero, of series that were never below it: lifted there when they are scored as when they are served."""

import numpy as np

from epic22.core.time_series import Array, Histories


def find_floored_series(histories: Histories, never_negative: bool) -> Array:
    """Which histories (n,) have no forecast below zero: those that have been zero and never less, as counts are, and those of
    values above zero where no series of the panel was ever below it, as of prices.

    >>> from epic22.core.time_series import MONTHLY
    >>> histories = Histories.of_lines(np.array([[0.0, 2.0], [1.0, 3.0], [-1.0, 0.0]]), np.array(["a", "b", "c"]), 0, MONTHLY)
    >>> find_floored_series(histories, never_negative=False).tolist()
    [True, False, False]
    """
    least = _compute_least_values(histories)
    return np.asarray((least >= 0) if never_negative else (least == 0))


def find_floored_origins(histories: Histories) -> Array:
    """The same of the histories of many origins (n,), each by what was known of all series at its own."""
    least, (origins, place) = _compute_least_values(histories), np.unique(histories.origin, return_inverse=True)
    least_at = np.full(len(origins), np.inf)
    np.fmin.at(least_at, place, least)
    return np.asarray(np.where(least_at[place] >= 0, least >= 0, least == 0))


def lift_quantiles(quantiles: Array, is_floored: Array) -> Array:
    """The quantiles (n, horizon, q), none of a floored series below zero."""
    return np.where(is_floored[:, None, None] & (quantiles <= 0), 0.0, quantiles)


def _compute_least_values(histories: Histories) -> Array:
    """The least value that each history knows, (n,); NaN where it knows none."""
    return np.asarray(np.fmin.accumulate(histories.lines, axis=1)[histories.line, np.maximum(histories.end - 1, 0)])
