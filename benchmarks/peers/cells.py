"""How figures and tables are written in the page's sections."""

import math
import statistics
from collections.abc import Iterable, Sequence


def figure(value: float | None, digits: int = 4) -> str:
    """A number for a table: thousands in groups, else so many decimals; a dash for none.

    >>> figure(116912.3), figure(0.84771), figure(None)
    ('116,912', '0.8477', '–')
    """
    if value is None or math.isnan(value):
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.{digits}f}"


def table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A table of Markdown and the blank line after it."""
    return [f"| {' | '.join(headers)} |", f"|{'---|' * len(headers)}", *(f"| {' | '.join(row)} |" for row in rows), ""]


def interval(three: tuple[float, float, float], digits: int) -> str:
    """A signed value with its interval.

    >>> interval((0.0123, -0.004, 0.0286), 3)
    '+0.012 (-0.004 … +0.029)'
    """
    value, low, high = (f"{part:+,.{digits}f}" for part in three)
    return f"{value} ({low} … {high})"


def spread(values: Sequence[float]) -> str:
    """Median, and the least and most.

    >>> spread([1.0, 2.0, 400.0])
    '2 (1 … 400)'
    """
    if not values:
        return "–"
    return f"{three_digits(statistics.median(values))} ({three_digits(min(values))} … {three_digits(max(values))})"


def three_digits(value: float) -> str:
    """A positive number to three digits."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def listed(names: Sequence[str]) -> str:
    """How many, and which."""
    return f"{len(names)} ({', '.join(names)})" if names else "none"
