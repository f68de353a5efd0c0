"""Quantiles of a weighted combination of forecasters: its width follows from the members that carry weight."""

import numpy as np
from scipy.special import ndtri

from epic22.core.models.panel.base import MEDIAN_INDEX, QUANTILE_LEVELS, sort_quantiles
from epic22.core.time_series import Array

ERROR_CORRELATION = 0.4
"""Of two members' errors: averaging takes off what is not common to them."""

ALONE = 1 - 1e-9
QUANTILE_POSITIONS = ndtri(QUANTILE_LEVELS) / ndtri(QUANTILE_LEVELS[-1])
"""Where each of QUANTILE_LEVELS lies between the median (0) and the interval's upper end (1)."""


def spread_quantiles(median: Array, half: Array) -> Array:
    """QUANTILE_LEVELS around a median whose 80 % interval has this half-width, (…, q), ascending."""
    return sort_quantiles(median[..., None] + half[..., None] * QUANTILE_POSITIONS)


def combine_quantiles(members: Array, weights: Array) -> Array:
    """QUANTILE_LEVELS of a combination, (n, horizon, q), from members' (m, n, horizon, q) and weights (horizon, m).

    Half-width: the members' own by their weights, less what averaging takes off their errors, and their disagreement, added as
    independent errors are. A horizon where one member has all the weight keeps that member's own quantiles.
    """
    medians = members[..., MEDIAN_INDEX]
    median = np.einsum("hm,mnh->nh", weights, medians)
    own = np.einsum("hm,mnh->nh", weights, (members[..., -1] - members[..., 0]) / 2)
    left = ERROR_CORRELATION + (1 - ERROR_CORRELATION) * (weights**2).sum(axis=1)
    disagreement = np.einsum("hm,mnh->nh", weights, (medians - median[None]) ** 2)
    combined = spread_quantiles(median, np.sqrt(left[None, :] * own**2 + disagreement))
    alone = (weights.max(axis=1) >= ALONE)[None, :, None]
    return np.where(alone, np.einsum("hm,mnhq->nhq", weights, members), combined)


def stretch_quantiles(quantiles: Array, factors: Array) -> Array:
    """Quantiles (n, horizon, q) with their distances from the median multiplied by factors (horizon,) or (n, horizon)."""
    median = quantiles[..., MEDIAN_INDEX, None]
    return np.asarray(median + (quantiles - median) * np.broadcast_to(factors, quantiles.shape[:-1])[..., None])
