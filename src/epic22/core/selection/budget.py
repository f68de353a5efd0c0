"""How much a search may spend: trials, which make it repeatable, or seconds, which do not."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from epic22.core.errors import UserError

LOOP_STEPS, LOOP_SECONDS, N_LOOPS = 500_000, 0.016, 5
"""Steps of a loop of additions, and what they take on the machine that seconds are stated for (x86_64, 2026, all to itself)."""
MIN_SLOWNESS, MAX_SLOWNESS = 0.5, 10.0


@dataclass(frozen=True)
class Budget:
    """At most this many `trials` a search, and `seconds` for all that shares a deadline; None = no such limit."""

    trials: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        if self.trials is None and self.seconds is None:
            raise UserError("a search needs a budget: give --trials or --time-limit.")
        if (self.trials is not None and self.trials < 1) or (self.seconds is not None and self.seconds <= 0):
            raise UserError(f"a search needs a budget above zero, not {self.trials or self.seconds}.")


@dataclass(frozen=True)
class Deadline:
    """The time that is left until `end` (seconds of `now`, None = no end).

    >>> Deadline(None).remaining
    inf
    """

    end: float | None
    now: Callable[[], float] = field(default=time.monotonic, repr=False)

    @property
    def remaining(self) -> float:
        """Seconds until the end; below zero after it."""
        return float("inf") if self.end is None else self.end - self.now()

    @property
    def is_over(self) -> bool:
        """Whether the end has come."""
        return self.remaining <= 0

    def take_share(self, part: float) -> "Deadline":
        """The deadline after this part of the time that is left."""
        return self if self.end is None else Deadline(self.now() + max(self.remaining, 0.0) * part, self.now)

    def move_earlier(self, seconds: float) -> "Deadline":
        """The deadline this many seconds sooner."""
        return self if self.end is None else Deadline(self.end - seconds, self.now)


def measure_slowness() -> float:
    """How many times as long as on the machine that seconds are stated for the same work takes on this one, as busy as it is.

    Seconds of the clock: what a slow processor and what neighbours take are both in them, and waiting for a disk is not.

    >>> MIN_SLOWNESS <= measure_slowness() <= MAX_SLOWNESS
    True
    """
    began, total = time.perf_counter(), 0
    for _ in range(N_LOOPS):
        for step in range(LOOP_STEPS):
            total += step
    slowness = (time.perf_counter() - began) / (N_LOOPS * LOOP_SECONDS)
    return min(max(slowness, MIN_SLOWNESS), MAX_SLOWNESS)
