"""Logistic regression on a few features, for calibration and its judgement: exact, without a training stack."""

from collections.abc import Callable

import numpy as np
from scipy.special import expit

from epic22.core.task import Array

PULL = 1e-3
"""Strength of the pull towards "no change" in the fit, in rows: it makes the solution unique where the scores are constant."""


def logistic_fit(features: Array, target: Array, weight: Array | None = None) -> Array:
    """Weights of features (n, q) and the intercept last, (q + 1,), by Newton's method with halved steps.

    Pulled towards (1, …, 1, 0), "no change", with the strength of a thousandth of a row.
    """
    design = np.column_stack([features, np.ones(len(target))])
    rows = np.ones(len(target)) if weight is None else weight
    start = np.append(np.ones(features.shape[1]), 0.0)

    def loss(theta: Array) -> float:
        z = design @ theta
        return float((rows * (np.logaddexp(0, z) - target * z)).sum() + PULL / 2 * ((theta - start) ** 2).sum())

    theta, now = start, loss(start)
    for _ in range(60):
        p = expit(design @ theta)
        gradient = design.T @ (rows * (p - target)) + PULL * (theta - start)
        hessian = (design * (rows * p * (1 - p))[:, None]).T @ design + PULL * np.eye(len(theta))
        step = np.linalg.solve(hessian, gradient)
        before = now
        theta, now = _halved(loss, theta, step, now)
        if before - now <= 1e-10 * (1 + abs(now)):
            break
    return np.asarray(theta)


def _halved(loss: Callable[[Array], float], theta: Array, step: Array, now: float) -> tuple[Array, float]:
    for _ in range(30):
        tried = theta - step
        found = loss(tried)
        if found <= now:
            return tried, found
        step = step / 2
    return theta, now
