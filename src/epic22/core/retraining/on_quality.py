"""A training once the quality check of a newer data version says that its tables moved."""

from dataclasses import dataclass

from epic22.core.quality.checks import ALARMS, LEVELS, Level
from epic22.core.retraining.moment import TaskMoment
from epic22.core.retraining.trigger import TriggerKind
from epic22.core.tables.mapping_record import read_choice


@dataclass(frozen=True)
class OnQuality:
    """Due where a version after the one that was learned from has an alarm of at least this level in a table of the task."""

    level: Level

    def find_reason(self, moment: TaskMoment) -> str | None:
        """The newest version's gravest alarm, or that there is no model yet."""
        if moment.learned is None:
            return "it was never trained"
        grave = LEVELS[: LEVELS.index(self.level) + 1]
        for version in reversed(moment.newer):
            alarms = [one for one in moment.read_alarms(version.number) if one.table in moment.tables and one.level in grave]
            if alarms:
                first = min(alarms, key=lambda one: LEVELS.index(one.level))
                return f"data version {version.number} has an alarm: {first.text}"
        return None


def read_quality(place: str, content: object) -> OnQuality:
    """The trigger of a level. Raises FileError."""
    word = read_choice(place, content, ALARMS)
    return OnQuality(next(level for level in ALARMS if level == word))


KIND = TriggerKind("quality", "the quality check of a newer data version has an alarm of this level", read_quality)
