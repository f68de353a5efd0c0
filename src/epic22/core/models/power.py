"""How Tweedie's variance goes with its mean: the power is found on the inner fold where none is stated."""

from dataclasses import replace
from typing import Any

import numpy as np

from epic22.core.models.base import Inner
from epic22.core.models.loss import JUDGED_POWER, POWERS, tweedie_deviances
from epic22.core.task import Array

POWER_ROUNDS = 100


def power_of(model: Any, X: Array, y: Array, inner: Inner | None, exposure: Array | None = None) -> float:
    """The power that the trees' `loss` states, else the one whose trees, few and of the first shape, are best on the inner fold.

    1.5 where neither is there.
    """
    if model.loss.power is not None or inner is None or model.loss.name != "tweedie":
        return float(model.loss.power or JUDGED_POWER)
    losses = []
    for power in POWERS:
        stated = {"loss": replace(model.loss, power=power), "default_rounds": POWER_ROUNDS}
        more = {} if exposure is None else {"exposure": exposure[inner.train]}
        trial = type(model)(**model.get_params() | stated).fit(X[inner.train], y[inner.train], **more)
        mean = trial.predict(X[inner.test]) * (1.0 if exposure is None else exposure[inner.test])
        losses.append(tweedie_deviances(y[inner.test], mean, JUDGED_POWER).mean())
    return POWERS[int(np.argmin(losses))]
