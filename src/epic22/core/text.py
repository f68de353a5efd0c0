"""How a value is said to people: with its unit, as a percentage, a date, yes or no; never as the number a matrix holds for it."""

import difflib
import math
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from epic22.core.column import Column
from epic22.core.errors import UserError

WORDED_UNITS = {"sd": "standard deviations"}
"""Units that stand short in a column's declaration, as people read them."""
PLURAL_UNITS = ("days", "weeks", "months", "years", "hours", "minutes", "standard deviations")
"""Units that have a singular: 1 day, 1 month of rent."""

MISSING = "missing"


def format_value(column: Column, value: Any) -> str:
    """A column's value in words; `value` as a row, JSON or the matrix has it (times there are days since 1970).

    >>> due, paid, rate = Column("due", "time"), Column("paid", "bool"), Column("rate", "float", "fraction")
    >>> format_value(due, 17897.5), format_value(paid, 0.0), format_value(rate, 0.384)
    ('2019-01-01 12:00', 'no', '38 %')
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return MISSING
    if column.dtype == "time":
        return format_time(value)
    if column.dtype == "bool":
        truth = value.lower() if isinstance(value, str) else "true" if value else "false"
        return {"true": "yes", "false": "no"}.get(truth, str(value))
    if isinstance(value, bool | str) or not isinstance(value, int | float):
        return str(value)
    if column.unit == "fraction":
        return format_percent(value)
    if column.unit == "year":
        return f"{value:.0f}"
    return format_quantity(value, column.unit, cents=column.dtype == "money")


def format_time(value: str | float | datetime) -> str:
    """A time as a day, with hours and minutes where it is not midnight; from ISO 8601, a datetime, or days since 1970."""
    if isinstance(value, str):
        try:
            return format_time(datetime.fromisoformat(value))
        except ValueError:
            return value
    at = value if isinstance(value, datetime) else datetime(1970, 1, 1) + timedelta(seconds=round(value * 86_400))
    return at.strftime("%Y-%m-%d" if (at.hour, at.minute) == (0, 0) else "%Y-%m-%d %H:%M")


def format_quantity(value: float, unit: str | None = None, cents: bool = False) -> str:
    """A number and its unit.

    >>> format_quantity(1.0, "days"), format_quantity(2.5, "months of rent"), format_quantity(1250, "EUR", cents=True)
    ('1 day', '2.5 months of rent', '1,250 EUR')
    >>> format_quantity(2.862, "sd"), format_quantity(1, "sd"), format_quantity(1, "months of rent")
    ('2.862 standard deviations', '1 standard deviation', '1 month of rent')
    >>> format_quantity(1987.0), format_quantity(9999.7)
    ('1987', '10,000')
    """
    if abs(value) >= 10_000 or (cents and value == round(value)):
        number = f"{value:,.0f}"
    elif cents:
        number = f"{value:,.2f}"
    else:
        # Thousands are set apart from 10,000 on, so that a year stays a year.
        number = str(int(value)) if value == int(value) else f"{value:.4g}"
        number = f"{value:,.0f}" if "e+" in number else number
    if not unit:
        return number
    unit = WORDED_UNITS.get(unit, unit)
    plural = next((one for one in PLURAL_UNITS if f"{unit} ".startswith(f"{one} ")), None) if number == "1" else None
    return f"{number} {unit if plural is None else plural[:-1] + unit[len(plural) :]}"


def format_percent(share: float) -> str:
    """A share as a percentage, finer the smaller it is.

    >>> format_percent(0.3771), format_percent(0.0317), format_percent(0.00042), format_percent(0.0)
    ('38 %', '3.2 %', '0.04 %', '0 %')
    """
    points = abs(100 * share)
    digits = f"{points:.0f}" if points >= 9.95 or points == 0 else f"{points:.1f}" if points >= 0.95 else f"{points:.1g}"
    return f"{'-' if share < 0 else ''}{digits} %"


def format_memory(n_bytes: float) -> str:
    """An amount of memory as people read it.

    >>> format_memory(3_140_000_000), format_memory(64_000_000), format_memory(900)
    ('3.1 GB', '64 MB', '1 kB')
    """
    for unit, size in (("GB", 1e9), ("MB", 1e6)):
        if n_bytes >= size:
            return f"{n_bytes / size:.1f} {unit}" if unit == "GB" else f"{n_bytes / size:.0f} {unit}"
    return f"{n_bytes / 1e3:.0f} kB"


def describe_odds(log_odds: float, what: str) -> str:
    """What a part of the log-odds does to the odds: a percentage up to twice or half, a factor beyond.

    >>> describe_odds(0.32, "leaving"), describe_odds(-0.32, "leaving"), describe_odds(1.1, "leaving")
    ('raises the odds of leaving by 38 %', 'lowers the odds of leaving by 27 %', 'multiplies the odds of leaving by 3')
    """
    factor = math.exp(min(abs(log_odds), 50.0))
    if factor >= 2:
        return (
            f"{'multiplies' if log_odds > 0 else 'divides'} the odds of {what} by "
            f"{f'{factor:.2g}' if factor < 100 else f'{factor:,.0f}'}"
        )
    return (
        f"raises the odds of {what} by {format_percent(factor - 1)}"
        if log_odds > 0
        else f"lowers the odds of {what} by {format_percent(1 - 1 / factor)}"
    )


def describe_amount(change: float, unit: str | None) -> str:
    """What a part adds to a value, in its unit; to a fraction in percentage points.

    >>> describe_amount(12.25, "EUR"), describe_amount(-0.02, "fraction")
    ('adds 12.25 EUR', 'takes off 2 percentage points')
    """
    size = format_quantity(100 * abs(change), "percentage points") if unit == "fraction" else format_quantity(abs(change), unit)
    return f"{'adds' if change > 0 else 'takes off'} {size}"


MAX_WHOLE = 2.0**53
"""Not every whole number above this has a float of its own."""


def format_figure(value: float | None, digits: int = 4) -> str:
    """A number with this many significant digits, thousands set apart, a dash for what is undefined; with a power of ten from
    where not all digits are known.

    >>> [format_figure(x) for x in (125193.4, 0.81237, None, float("nan"))], format_figure(0.81237, 2), format_figure(1e30 / 7)
    (['125,193', '0.8124', '–', '–'], '0.81', '1.429e+29')
    >>> format_figure(999.7, 3), format_figure(123.4, 2)
    ('1,000', '123')
    """
    if value is None or not math.isfinite(value):
        return "–"
    text = f"{value:.{digits}g}"
    # 999.7 in three digits is 1,000 too.
    return f"{value:,.0f}" if abs(value) < MAX_WHOLE and (abs(value) >= 1000 or "e+" in text) else text


class Difference(Protocol):
    """A difference and the ends of its interval; NaN where it is not known."""

    @property
    def value(self) -> float:
        """Above zero where the first is better, or more."""

    @property
    def low(self) -> float:
        """The lower end."""

    @property
    def high(self) -> float:
        """The upper end."""


def describe_difference(difference: Difference, note: str = "", directions: tuple[str, str] = ("better", "worse")) -> str:
    """A difference with its interval in the direction that it has, its amount never below zero; `note` ends the brackets.

    >>> from epic22.core.statistics import Interval
    >>> describe_difference(Interval(0.02, -0.01, 0.05)), describe_difference(Interval(-0.02, -0.05, 0.01))
    ('0.02 better (-0.01 … 0.05)', '0.02 worse (-0.01 … 0.05)')
    >>> describe_difference(Interval(-3.0, -5.0, -1.0), ", p = 0.01", ("more", "less"))
    '3 less (1 … 5, p = 0.01)'
    """
    value, (above, below) = difference.value, directions
    if math.isnan(value):
        return f"neither known to be {above} nor {below}"
    ends = (-difference.high, -difference.low) if value < 0 else (difference.low, difference.high)
    size = f"{format_figure(abs(value))} {above if value > 0 else below}" if value else f"neither {above} nor {below}"
    return f"{size} ({' … '.join(format_figure(end + 0.0) for end in ends)}{note})"


def find_near_names(name: str, names: Iterable[str], count: int = 1, cutoff: float = 0.6) -> list[str]:
    """Those of the names that a misspelt one may mean, the nearest first; capital letters tell none apart.

    >>> find_near_names("Tenure_Month", ["tenure_months", "rent"]), find_near_names("RENT", ["Rent", "rent", "plan"], 2)
    (['tenure_months'], ['Rent', 'rent'])
    """
    folded: dict[str, list[str]] = {}
    for other in names:
        folded.setdefault(other.casefold(), []).append(other)
    near = difflib.get_close_matches(name.casefold(), folded, n=count, cutoff=cutoff)
    return [other for one in near for other in folded[one]][:count]


def parse_timestamp(text: str, option: str) -> datetime:
    """The moment of an ISO text, in UTC. Raises UserError for another text, and for a moment before the year 1 or after 9999.

    >>> parse_timestamp("2024-03-01T02:00:00+02:00", "--as-of")
    datetime.datetime(2024, 3, 1, 0, 0)
    """
    try:
        timestamp = datetime.fromisoformat(text)
        return timestamp.astimezone(UTC).replace(tzinfo=None) if timestamp.tzinfo else timestamp
    except (ValueError, OverflowError):
        raise UserError(f"{option} {text!r} is no moment; write it as 2024-03-01 or 2024-03-01T12:00:00.") from None
