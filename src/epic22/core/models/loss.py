"""What a model of values is asked to make small: the loss of a row, and the constant that makes it least.

Squared error asks for the mean, absolute error for the median, the pinball loss for a quantile. Poisson and Tweedie deviance ask
for the mean of what cannot be negative, on a scale where errors count by proportion: counts, sums of claims that are mostly zero.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import xlogy

from epic22.core.targets import LOG_LINK_LOSSES
from epic22.core.task import Array, LossName, Target

TWEEDIE_POWERS = (1.2, 1.5, 1.8)
"""Variance powers tried where none is stated: between counts (1) and sizes (2)."""
EVALUATION_POWER = 1.5
"""Deviances of different powers are on different scales, so powers are compared by the deviance of this one."""
MIN_MEAN = 1e-12


@dataclass(frozen=True)
class Loss:
    """A loss by name; `quantile` serves the pinball loss, `power` Tweedie's (None: found on the inner fold)."""

    name: LossName = "squared"
    quantile: float = 0.5
    power: float | None = None

    @classmethod
    def of(cls, target: Target) -> "Loss":
        """The loss of a target of values."""
        return cls(target.loss, target.quantile, target.power)

    @property
    def log_link(self) -> bool:
        """Whether raw scores are logarithms of the mean."""
        return self.name in LOG_LINK_LOSSES

    @property
    def estimate(self) -> str:
        """What the value of the least loss is of all outcomes, in words: losses that ask for the same are comparable.

        >>> Loss("poisson").estimate, Loss("absolute").estimate, Loss("quantile", 0.9).estimate
        ('the mean', 'the median', 'the 0.9 quantile')
        """
        if self.name not in ("absolute", "quantile"):
            return "the mean"
        level = 0.5 if self.name == "absolute" else self.quantile
        return "the median" if level == 0.5 else f"the {level:g} quantile"

    def compute_losses(self, y: Array, prediction: Array) -> Array:
        """The loss of each row, (n,), in the unit of the loss."""
        if self.name == "squared":
            return np.asarray((prediction - y) ** 2)
        if self.name == "absolute":
            return np.asarray(np.abs(prediction - y))
        if self.name == "quantile":
            return np.asarray(np.where(y >= prediction, self.quantile * (y - prediction), (1 - self.quantile) * (prediction - y)))
        return compute_tweedie_deviances(y, prediction, 1.0 if self.name == "poisson" else self.power or EVALUATION_POWER)

    def fit_constant(self, y: Array, exposure: Array | None = None) -> float:
        """The value that, said of every row (for an `exposure` of 1, where there are any), has the least loss."""
        if exposure is not None:
            return float(np.sum(y) / np.sum(exposure))
        if self.name in ("absolute", "quantile"):
            return float(np.quantile(y, 0.5 if self.name == "absolute" else self.quantile))
        return float(np.mean(y))


SQUARED = Loss()

ROW_LEVELS: tuple[float, ...] = (0.05, 0.25, 0.5, 0.75, 0.95)
"""Levels of the quantiles that a model which learns several at once states of a row; the outer ones hold 90 % between them."""


def list_quantile_levels(loss: Loss) -> tuple[float, ...]:
    """The levels that are learned at once where one of them is asked for, ascending; empty for a loss that asks for a mean.

    >>> list_quantile_levels(Loss("quantile", 0.8))
    (0.05, 0.25, 0.5, 0.75, 0.8, 0.95)
    """
    return tuple(sorted({*ROW_LEVELS, loss.quantile})) if loss.name in ("absolute", "quantile") else ()


def needs_smearing(target: Target) -> bool:
    """Whether exponentials of logarithms are put right to be means.

    The median's logarithm is the logarithm's median; and who is judged by logarithms wants no mean.
    """
    return target.loss == "squared" and target.metric.name != "root_mean_squared_log_error"


HUBER_QUANTILE = 0.9
"""Share of errors that count by their square where squared errors are tamed."""


def compute_huber_delta(errors: Array) -> float:
    """The size above which errors like these (n,) are tamed: all but a tenth are smaller."""
    return float(np.quantile(np.abs(errors), HUBER_QUANTILE))


def compute_huber_losses(errors: Array, delta: float) -> Array:
    """Squared errors up to `delta`, from there on the tangent (Huber 1964), (n,).

    Of prices a handful of mansions make most of the squared error, and they are others in the rows to come: who must choose among
    models by few rows chooses better by these.

    >>> import numpy as np
    >>> compute_huber_losses(np.array([1.0, -3.0]), 2.0).tolist()
    [1.0, 8.0]
    """
    size = np.abs(errors)
    return np.asarray(np.where(size <= delta, size**2, delta * (2 * size - delta)))


def compute_tweedie_deviances(y: Array, mean: Array, power: float) -> Array:
    """Deviance of each row, (n,), for a variance that goes with mean ** power, power in [1, 2]; 1 is Poisson, 2 gamma.

    >>> import numpy as np
    >>> compute_tweedie_deviances(np.array([0.0, 1.0]), np.array([2.0, 1.0]), 1.0).tolist()
    [4.0, 0.0]
    """
    mean = np.maximum(mean, MIN_MEAN)
    if power == 1.0:
        return np.asarray(2 * (xlogy(y, y / mean) - y + mean))
    if power == 2.0:
        return np.asarray(2 * (np.log(mean / y) + y / mean - 1))
    p, q = 1 - power, 2 - power
    return np.asarray(2 * (np.maximum(y, 0.0) ** q / (p * q) - y * mean**p / p + mean**q / q))
