"""Intervals and p-values that need nothing but numbers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from epic22.core.text import format_figure

CONFIDENCE = 0.95
NORMAL_QUANTILE = 1.959963984540054
"""Of (1 + CONFIDENCE) / 2, written out so that an interval needs no library."""


@dataclass(frozen=True)
class Interval:
    """A figure with its 95 % interval; NaN where it is not known."""

    value: float
    low: float
    high: float

    @staticmethod
    def around(value: float, half_width: float) -> "Interval":
        """Symmetric about the figure."""
        return Interval(value, value - half_width, value + half_width)

    @property
    def excludes_zero(self) -> bool:
        """Whether zero lies outside; False where an end is NaN."""
        return bool(self.low > 0 or self.high < 0)

    @property
    def is_defined(self) -> bool:
        """Whether anything is known: the figure or one of its ends."""
        return not all(map(math.isnan, (self.value, self.low, self.high)))

    @property
    def ends(self) -> str:
        """Both ends in words; a dash stands for one that is not known."""
        return f"{format_figure(self.low)} … {format_figure(self.high)}"

    def __str__(self) -> str:
        """The figure and its ends; a dash alone where nothing is known.

        >>> str(Interval(0.2, 0.1, 0.3)), str(UNDEFINED_INTERVAL)
        ('0.2 (0.1 … 0.3)', '–')
        """
        return f"{format_figure(self.value)} ({self.ends})" if self.is_defined else format_figure(None)


UNDEFINED_INTERVAL = Interval(math.nan, math.nan, math.nan)


@dataclass(frozen=True)
class MetricBounds:
    """Between what a figure lies; infinite where nothing bounds it."""

    minimum: float = -math.inf
    maximum: float = math.inf

    def clip(self, value: float) -> float:
        """The value, or the bound that it lies beyond; NaN stays NaN."""
        return value if math.isnan(value) else min(max(value, self.minimum), self.maximum)

    @property
    def of_difference(self) -> "MetricBounds":
        """Between what the difference of two such figures lies."""
        return MetricBounds(self.minimum - self.maximum, self.maximum - self.minimum)

    def clip_interval(self, interval: Interval) -> Interval:
        """The interval with no end beyond a bound."""
        return Interval(interval.value, self.clip(interval.low), self.clip(interval.high))

    def compute_interval(self, value: float, error: float, quantile: float, units: int) -> tuple[float, float]:
        """The ends of an interval that holds a figure with such a standard error; `quantile` is Student's or the normal one.

        Within two bounds it is Wilson's (1927) of a share at the effective number of rows (Korn and Graubard 1998); where no
        variance is seen each of the independent `units` counts as one row, so that none is without width. With one bound the
        distance to it has a logarithm, with an error by the delta method; with none it is symmetric.

        >>> [round(x, 3) for x in MetricBounds(0.0, 1.0).compute_interval(1.0, 0.0, 2.0, 10)]
        [0.714, 1.0]
        >>> [round(x, 3) for x in MetricBounds(0.0).compute_interval(2.0, 1.0, 2.0, 10)]
        [0.736, 5.437]
        """
        if math.isnan(value + error + quantile):
            return math.nan, math.nan
        if math.isfinite(self.minimum) and math.isfinite(self.maximum):
            return self._compute_share_interval(value, error, quantile, units)
        if math.isfinite(self.minimum):
            low, high = _compute_log_interval(value - self.minimum, error, quantile)
            return self.minimum + low, self.minimum + high
        if math.isfinite(self.maximum):
            low, high = _compute_log_interval(self.maximum - value, error, quantile)
            return self.maximum - high, self.maximum - low
        return value - quantile * error, value + quantile * error

    def _compute_share_interval(self, value: float, error: float, quantile: float, units: int) -> tuple[float, float]:
        span = self.maximum - self.minimum
        share, variance = (self.clip(value) - self.minimum) / span, (error / span) ** 2
        n = max(share * (1 - share) / variance, 1e-9) if variance > NO_VARIANCE and 0 < share < 1 else float(units)
        low, high = compute_wilson_interval(share * n, n, quantile)
        return self.minimum + span * low, self.minimum + span * high


def _compute_log_interval(distance: float, error: float, quantile: float) -> tuple[float, float]:
    """The ends of a positive figure; above a zero that nothing varied from nothing is known."""
    if distance <= 0:
        return 0.0, math.nan
    factor = math.exp(min(quantile * error / distance, MAX_EXPONENT))
    return distance / factor, distance * factor


UNBOUNDED = MetricBounds()

NO_VARIANCE = 1e-20
"""Of a share: what rounding leaves of none."""

MAX_EXPONENT = 700.0
"""Of the largest number that there is."""


def compute_wilson_interval(hits: float, n: float, quantile: float = NORMAL_QUANTILE) -> tuple[float, float]:
    """The interval of a share of `hits` in `n` (Wilson 1927), of 95 % unless another quantile is given; 0 to 1 where n is 0.

    It holds the share, whatever rounding does: that of no hit begins at 0.

    >>> [round(x, 3) for x in compute_wilson_interval(2, 10)]
    [0.057, 0.51]
    """
    if n <= 0:
        return 0.0, 1.0
    z = quantile
    share, spread = hits / n, z * math.sqrt(hits / n * (1 - hits / n) / n + z * z / (4 * n * n))
    middle, scale = share + z * z / (2 * n), 1 + z * z / n
    return min(share, max(0.0, (middle - spread) / scale)), max(share, min(1.0, (middle + spread) / scale))


def adjust_p_values(ps: Sequence[float]) -> tuple[float, ...]:
    """Holm's (1979) adjusted p of each: the chance that any comparison is wrongly called certain stays at 5 %.

    What is NaN was not tested, stays NaN and does not count.

    >>> adjust_p_values([0.01, 0.04, 0.03])
    (0.03, 0.06, 0.06)
    """
    tested = sorted((p, i) for i, p in enumerate(ps) if not math.isnan(p))
    adjusted, reached = [math.nan] * len(ps), 0.0
    for rank, (p, i) in enumerate(tested):
        reached = max(reached, min(1.0, (len(tested) - rank) * p))
        adjusted[i] = reached
    return tuple(adjusted)
