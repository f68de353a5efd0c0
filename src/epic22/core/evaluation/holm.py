"""Holm's correction (1979): of several comparisons, the chance that any is wrongly called certain stays at 5 %."""

import math
from collections.abc import Sequence


def adjust_p_values(ps: Sequence[float]) -> tuple[float, ...]:
    """The adjusted p of each; what is NaN was not tested, stays NaN and does not count.

    >>> adjust_p_values([0.01, 0.04, 0.03])
    (0.03, 0.06, 0.06)
    """
    tested = sorted((p, i) for i, p in enumerate(ps) if not math.isnan(p))
    adjusted, reached = [math.nan] * len(ps), 0.0
    for rank, (p, i) in enumerate(tested):
        reached = max(reached, min(1.0, (len(tested) - rank) * p))
        adjusted[i] = reached
    return tuple(adjusted)
