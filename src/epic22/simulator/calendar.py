"""Days and months as whole numbers since 1970, so that arrays of dates add and compare fast."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from epic22.simulator.size import END, PortfolioSize

Array = NDArray[Any]
NEVER = np.iinfo(np.int32).max
"""A day that does not come."""


def first_day(month: Array | int) -> Array:
    """The day number of the first of a month."""
    days: Array = np.asarray(month, dtype="int64").astype("datetime64[M]").astype("datetime64[D]").astype("int64")
    return days


def last_day(month: Array | int) -> Array:
    """The day number of the last day of a month."""
    return np.asarray(first_day(np.asarray(month) + 1) - 1)


def month_of_day(day: Array | int) -> Array:
    """The month number in which a day lies."""
    months: Array = np.asarray(day, dtype="int64").astype("datetime64[D]").astype("datetime64[M]").astype("int64")
    return months


def month_of_year(month: Array | int) -> Array:
    """0 for January to 11 for December."""
    return np.asarray(month) % 12


def to_datetime(day: Array, hours: Array | float = 0.0) -> Array:
    """Datetimes of day numbers and hours after midnight; NEVER becomes missing."""
    whole = np.asarray(day, dtype="int64")
    micros = (
        np.where(whole == NEVER, 0, whole) * 86_400_000_000
        + np.round(np.asarray(hours, dtype=float) * 60).astype("int64") * 60_000_000
    )
    times: Array = micros.astype("datetime64[us]")
    times[whole == NEVER] = np.datetime64("NaT")
    return times


class Span:
    """The months and days of one simulation; ends are exclusive."""

    def __init__(self, size: PortfolioSize) -> None:
        self.end_month = (END.year - 1970) * 12 + END.month - 1
        self.window_month = self.end_month - 12 * size.years_of_leases
        self.ledger_month = self.end_month - 12 * size.years_of_ledger
        self.first_month = self.ledger_month - 12 * size.years_of_burn_in
        self.end_day = int(first_day(self.end_month))
        self.window_day = int(first_day(self.window_month))
        self.ledger_day = int(first_day(self.ledger_month))
        self.first_day = int(first_day(self.first_month))

    def mondays(self) -> Array:
        """The Mondays of the window, as day numbers."""
        days = np.arange(self.window_day, self.end_day + 1)
        return np.asarray(days[(days + 3) % 7 == 0])

    def monthly_cutoffs(self) -> Array:
        """The months on whose first day a prediction is made, the end included."""
        return np.arange(self.window_month, self.end_month + 1)
