"""How large a simulated portfolio is, and the time it spans."""

from dataclasses import dataclass
from datetime import datetime

from epic22.core.errors import UserError

END = datetime(2026, 1, 1)
"""Up to here everything is simulated; the first of a month."""


@dataclass(frozen=True)
class PortfolioSize:
    """The extent of a portfolio; years count back from the end, burn-in comes before the ledger begins.

    `units` and `equipment` are what the properties have on average together; `reading_days` is the distance of two readings
    of a sensor. `replicates` is how often the reporting figures are simulated again from each cutoff.
    """

    name: str
    properties: int
    metros: int
    zips: int
    units: int
    reading_days: int
    years_of_leases: int = 3
    years_of_ledger: int = 8
    years_of_burn_in: int = 2
    replicates: int = 200


SMALL = PortfolioSize("small", properties=40, metros=3, zips=12, units=1000, reading_days=3)
LARGE = PortfolioSize("large", properties=1000, metros=10, zips=80, units=25_000, reading_days=2)
SIZES = (SMALL, LARGE)


def resolve_size(size: str | PortfolioSize) -> PortfolioSize:
    """The size of that name; a Size is itself. Raises UserError with the names there are."""
    if isinstance(size, PortfolioSize):
        return size
    for preset in SIZES:
        if preset.name == size:
            return preset
    raise UserError(f"no size {size!r}; there are {', '.join(s.name for s in SIZES)}.")
