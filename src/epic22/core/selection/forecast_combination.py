"""Weights of a combination of forecasts, chosen on earlier origins alone.

The less evidence there is, the nearer the weights stay to equal ones: overlapping horizons make 24 monthly origins of 12-month
forecasts worth two, and weights estimated from two lose to equal ones (Stock and Watson 2004, Claeskens et al. 2016).
"""

import numpy as np

from epic22.core.time_series import Array

N_ROUNDS = 20


def compute_combination_weights(errors: Array, naive_errors: Array, n_blocks: float) -> Array:
    """Weights (m,) of m members from their signed relative errors (m, n) at one horizon, beside those of a naive rule (n,).

    A member that the naive rule beats gets nothing. The others share equally, moved towards the best mixture (greedy selection
    with replacement, Caruana et al. 2004) as far as `n_blocks`, the number of independent stretches of evidence, exceeds theirs.
    All zero where no member is left: then the naive rule is the forecast.

    >>> errors = np.array([[0.1, -0.1, 0.1, -0.1], [2.0, 2.0, 2.0, 2.0]])
    >>> compute_combination_weights(errors, np.ones(4), n_blocks=30).tolist()
    [1.0, 0.0]
    """
    losses = np.abs(errors).mean(axis=1)
    chosen = np.flatnonzero(losses < np.abs(naive_errors).mean())
    weights = np.zeros(len(errors))
    if not len(chosen):
        return weights
    surplus_blocks = max(0.0, n_blocks - len(chosen))
    greedy_share = surplus_blocks / (surplus_blocks + 1.0)
    weights[chosen] = greedy_share * _select_greedy(errors[chosen]) + (1 - greedy_share) / len(chosen)
    return weights


def _select_greedy(errors: Array) -> Array:
    picked, total = np.zeros(len(errors)), np.zeros(errors.shape[1])
    for count in range(1, N_ROUNDS + 1):
        losses = np.abs((total[None, :] + errors) / count).mean(axis=1)
        best = int(np.argmin(losses))
        picked[best] += 1
        total = total + errors[best]
    return picked / N_ROUNDS
