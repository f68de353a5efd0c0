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
    def ends(self) -> str:
        """Both ends in words."""
        return f"{format_figure(self.low)} … {format_figure(self.high)}"

    def __str__(self) -> str:
        return f"{format_figure(self.value)} ({self.ends})"


UNDEFINED_INTERVAL = Interval(math.nan, math.nan, math.nan)


def compute_wilson_interval(hits: float, n: float) -> tuple[float, float]:
    """The 95 % interval of a share of `hits` in `n` (Wilson 1927); 0 to 1 where n is 0.

    >>> [round(x, 3) for x in compute_wilson_interval(2, 10)]
    [0.057, 0.51]
    """
    if n <= 0:
        return 0.0, 1.0
    z = NORMAL_QUANTILE
    share, spread = hits / n, z * math.sqrt(hits / n * (1 - hits / n) / n + z * z / (4 * n * n))
    middle, scale = share + z * z / (2 * n), 1 + z * z / n
    return max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale)


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
