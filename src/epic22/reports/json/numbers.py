"""Numbers as JSON has them."""

import math


def finite_or_none(value: float) -> float | None:
    """The number, or null where it is undefined.

    >>> finite_or_none(float("nan")) is None
    True
    """
    return float(value) if math.isfinite(value) else None
