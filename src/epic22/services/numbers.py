"""Numbers as JSON has them."""

import math


def number(value: float) -> float | None:
    """The number, or null where it is undefined.

    >>> number(float("nan")) is None
    True
    """
    return float(value) if math.isfinite(value) else None
