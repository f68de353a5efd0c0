"""What triggers look at: a task at a moment, its last training, and the data versions that came since."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from epic22.core.quality.checks import Level


@dataclass(frozen=True)
class DataGrowth:
    """A data version by its number and when it was made (UTC): rows of each table, and how many of them it added."""

    number: int
    at: datetime
    rows: Mapping[str, int]
    added: Mapping[str, int]


@dataclass(frozen=True)
class QualityAlarm:
    """What a data version's quality check says of a table, and how grave that is."""

    version: int
    table: str
    level: Level
    text: str


ReadAlarms = Callable[[int], tuple[QualityAlarm, ...]]
"""The alarms of a data version by its number; read only where a trigger looks at them, for that takes seconds."""


@dataclass(frozen=True)
class TaskMoment:
    """A task at `now` (UTC).

    `trained_at` is when it was last trained, promoted or not, and `learned` the data version that that training saw; None where
    there is none. `newer` are the versions after it, oldest first; `tables` those that the task reads.
    """

    task: str
    now: datetime
    trained_at: datetime | None
    learned: DataGrowth | None
    newer: tuple[DataGrowth, ...]
    tables: frozenset[str]
    read_alarms: ReadAlarms
