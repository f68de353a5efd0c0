"""A training at the times of a cron line; however many were missed, one is made."""

from dataclasses import dataclass
from datetime import UTC, datetime

from epic22.core.errors import FileError, UserError
from epic22.core.retraining.moment import TaskMoment
from epic22.core.retraining.trigger import TriggerKind
from epic22.core.schedule import compute_next_time, refuse_machine_zone
from epic22.core.tables.mapping_record import check_record

UTC_ZONE = "UTC"
MAX_TIMES = 20_000
"""So many times of a line are listed at most: one of every half hour in a year has fewer."""


@dataclass(frozen=True)
class OnSchedule:
    """Due where the cron line fired since the last training, by the clocks of a time zone."""

    cron: str
    zone: str = UTC_ZONE

    def find_reason(self, moment: TaskMoment) -> str | None:
        """The time that came, or that there is no model yet."""
        if moment.trained_at is None:
            return "it was never trained"
        at = compute_next_time(self.cron, self.zone, moment.trained_at)
        return f"'{self.cron}' ({self.zone}) came at {at:%Y-%m-%d %H:%M} UTC" if at <= moment.now else None

    def list_times(self, since: datetime, until: datetime) -> list[datetime]:
        """The times at which the line fires after a moment and up to another. Raises UserError where they are too many."""
        times: list[datetime] = []
        at = compute_next_time(self.cron, self.zone, since)
        while at <= until:
            if len(times) == MAX_TIMES:
                raise UserError(
                    f"the schedule '{self.cron}' fires more than {MAX_TIMES:,} times in the {(until - since).days:,} days of the "
                    "replay, each of which would be looked at; replay fewer days, or give a line that fires less often."
                )
            times.append(at)
            at = compute_next_time(self.cron, self.zone, at)
        return times


def _read(place: str, content: object) -> OnSchedule:
    record = {"cron": content} if isinstance(content, str) else check_record(place, content, ("cron", "zone"))
    cron, zone = record.get("cron"), record.get("zone", UTC_ZONE)
    if not isinstance(cron, str) or not isinstance(zone, str):
        raise FileError(f"{place}: expected a cron line such as '0 3 1 * *', alone or as cron: beside zone: Europe/Berlin.")
    return OnSchedule(cron, zone)


def read_schedule(place: str, content: object) -> OnSchedule:
    """The trigger of a cron line, or of a record of `cron` and `zone`. Raises FileError, also where it never fires."""
    schedule = _read(place, content)
    try:
        refuse_machine_zone(schedule.zone)
        compute_next_time(schedule.cron, schedule.zone, datetime.now(UTC))
    except UserError as error:
        raise FileError(f"{place}: {error}") from None
    return schedule


KIND = TriggerKind("schedule", "the time of a cron line has come since the last training", read_schedule)
