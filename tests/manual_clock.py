"""A clock that a test moves."""

from dataclasses import dataclass, field
from datetime import datetime

from epic22.adapters.http.policy import SystemClock

NOW = datetime(2026, 3, 1, 12)


@dataclass
class ManualClock:
    """A clock that a test moves, and that notes the pauses it was asked for."""

    now: datetime = NOW
    seconds: float = 0.0
    pauses: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.seconds += seconds

    @property
    def clock(self) -> SystemClock:
        return SystemClock(lambda: self.now, lambda: self.seconds, self.sleep)
