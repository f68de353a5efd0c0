"""Schedules: jobs that are submitted at the times of a cron line, in a time zone."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from epic22.core.errors import UserError
from epic22.core.job import JobRequest

LONGEST_WAIT = timedelta(days=366 * 8 + 1)
"""29 February comes again after eight years at most: what does not fire within them never fires."""
CHANCE = re.compile(r"(?<![A-Za-z])[RrHh](?![A-Za-z])")
"""What some programs read as a time of their own choice: every worker would choose another."""
MACHINE_ZONES = ("localtime", "posixrules", "factory")
"""Names under which a system keeps its own clock: on every machine another."""
ONE_VALUE = re.compile(r"(?<![\w-])(\w+)-\1(?:/\d+)?(?![\w/-])", re.IGNORECASE)
"""A range of one value, which every program reads as that value and the library as all of them."""
CRON_EXAMPLE = "give five fields, such as '0 3 * * 1' for Mondays at three"


@dataclass(frozen=True)
class Schedule:
    """A job that is submitted whenever a cron line says so on the clocks of a time zone, next at `next_at` (UTC)."""

    name: str
    cron: str
    zone: str
    request: JobRequest
    next_at: datetime
    last_at: datetime | None = None


def compute_next_time(cron: str, zone: str, after: datetime) -> datetime:
    """The first moment after another at which a cron line fires, in UTC. Raises UserError for a line or zone that is none, and
    for a line that never fires.

    An hour that comes twice, as clocks go back, counts once for a line that names its hours; one of every hour fires in both.

    >>> compute_next_time("0 3 * * 1", "Europe/Berlin", datetime(2026, 3, 28, tzinfo=UTC)).isoformat()
    '2026-03-30T01:00:00+00:00'
    """
    from croniter import CroniterBadDateError, CroniterError, croniter

    place = read_zone(zone)
    if CHANCE.search(cron):
        raise UserError(f"the cron line {cron[:60]!r} cannot be read (it leaves a time to chance); {CRON_EXAMPLE}.")
    if len(cron.split()) != 5:
        count = len(cron.split())
        raise UserError(f"the cron line {cron[:60]!r} has {count} field{'s' if count != 1 else ''}; {CRON_EXAMPLE}.")
    try:
        moments = croniter(ONE_VALUE.sub(r"\1", cron), after.astimezone(place), max_years_between_matches=9)
        moment: datetime = moments.get_next(datetime)
        while moment.fold and not cron.split()[1].startswith("*"):
            moment = moments.get_next(datetime)
    except CroniterBadDateError:
        raise UserError(f"the cron line {cron[:60]!r} never fires; name a day that its month has.") from None
    except (CroniterError, ValueError, KeyError) as error:
        raise UserError(f"the cron line {cron[:60]!r} cannot be read ({error}); {CRON_EXAMPLE}.") from None
    if moment - after > LONGEST_WAIT:
        raise UserError(f"the cron line {cron[:60]!r} never fires; name a day that its month has.")
    return moment.astimezone(UTC)


def refuse_machine_zone(name: str) -> None:
    """Raise UserError for a zone that is another on every machine: workers would submit the same job at different times."""
    if name.casefold() in MACHINE_ZONES:
        raise UserError(f"the time zone {name[:60]!r} is another on every machine; give one such as Europe/Berlin or UTC.")


def read_zone(name: str) -> ZoneInfo:
    """The time zone of that name. Raises UserError where there is none."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise UserError(f"there is no time zone {name[:60]!r}; give one such as Europe/Berlin or UTC.") from None
