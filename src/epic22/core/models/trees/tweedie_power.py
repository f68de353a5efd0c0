"""How Tweedie's variance goes with its mean: the power is found on the inner fold where none is stated."""

from dataclasses import replace
from typing import Any

import numpy as np

from epic22.core.models.base import InnerFold
from epic22.core.models.loss import EVALUATION_POWER, TWEEDIE_POWERS, compute_tweedie_deviances
from epic22.core.task import Array

POWER_ROUNDS = 100


def choose_tweedie_power(model: Any, X: Array, y: Array, inner: InnerFold | None, exposure: Array | None = None) -> float:
    """The power that the trees' `loss` states, else the one whose trees, few and of the first shape, are best on the inner fold.

    1.5 where neither is there.
    """
    if model.loss.power is not None or inner is None or model.loss.name != "tweedie":
        return float(model.loss.power or EVALUATION_POWER)
    losses = []
    for power in TWEEDIE_POWERS:
        params = {"loss": replace(model.loss, power=power), "default_rounds": POWER_ROUNDS}
        fit_params = {} if exposure is None else {"exposure": exposure[inner.train]}
        trial = type(model)(**model.get_params() | params).fit(X[inner.train], y[inner.train], **fit_params)
        mean = trial.predict(X[inner.test]) * (1.0 if exposure is None else exposure[inner.test])
        losses.append(compute_tweedie_deviances(y[inner.test], mean, EVALUATION_POWER).mean())
    return TWEEDIE_POWERS[int(np.argmin(losses))]
