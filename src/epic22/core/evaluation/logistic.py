"""Logistic regression on a few features, for calibration and its judgement: exact, without a training stack."""

from collections.abc import Callable

import numpy as np
from scipy.special import expit

from epic22.core.task import Array

PRIOR_STRENGTH = 1e-3
"""Strength of the pull towards "no change" in the fit, in rows: it makes the solution unique where the scores are constant."""


def fit_logistic(columns: Array, target: Array, weight: Array | None = None) -> Array:
    """Weights of features (n, q) and the intercept last, (q + 1,), by Newton's method with halved steps.

    Pulled towards (1, …, 1, 0), "no change", with the strength of a thousandth of a row.
    """
    design = np.column_stack([columns, np.ones(len(target))])
    rows = np.ones(len(target)) if weight is None else weight
    start = np.append(np.ones(columns.shape[1]), 0.0)

    def loss(theta: Array) -> float:
        z = design @ theta
        return float((rows * (np.logaddexp(0, z) - target * z)).sum() + PRIOR_STRENGTH / 2 * ((theta - start) ** 2).sum())

    theta, current_loss = start, loss(start)
    for _ in range(60):
        p = expit(design @ theta)
        gradient = design.T @ (rows * (p - target)) + PRIOR_STRENGTH * (theta - start)
        hessian = (design * (rows * p * (1 - p))[:, None]).T @ design + PRIOR_STRENGTH * np.eye(len(theta))
        step = np.linalg.solve(hessian, gradient)
        before = current_loss
        theta, current_loss = _halve_step(loss, theta, step, current_loss)
        if before - current_loss <= 1e-10 * (1 + abs(current_loss)):
            break
    return np.asarray(theta)


def _halve_step(loss: Callable[[Array], float], theta: Array, step: Array, current_loss: float) -> tuple[Array, float]:
    for _ in range(30):
        candidate = theta - step
        new_loss = loss(candidate)
        if new_loss <= current_loss:
            return candidate, new_loss
        step = step / 2
    return theta, current_loss
