"""How much a search may spend: trials, which make it repeatable, or seconds, which do not."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from epic22.core.errors import UserError


@dataclass(frozen=True)
class Budget:
    """At most so many `trials` a search, and at most so many `seconds` for all that shares a clock; None = no such limit."""

    trials: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        if self.trials is None and self.seconds is None:
            raise UserError("a search needs a budget: give --trials or --time-limit.")
        if (self.trials is not None and self.trials < 1) or (self.seconds is not None and self.seconds <= 0):
            raise UserError(f"a search needs a budget above zero, not {self.trials or self.seconds}.")


@dataclass(frozen=True)
class Clock:
    """The time that is left until `end` (seconds of `now`, None = no end).

    >>> Clock(None).left
    inf
    """

    end: float | None
    now: Callable[[], float] = field(default=time.monotonic, repr=False)

    @property
    def left(self) -> float:
        """Seconds until the end; below zero after it."""
        return float("inf") if self.end is None else self.end - self.now()

    @property
    def over(self) -> bool:
        """Whether the end has come."""
        return self.left <= 0

    def share(self, part: float) -> "Clock":
        """A clock that ends after this part of the time that is left."""
        return self if self.end is None else Clock(self.now() + max(self.left, 0.0) * part, self.now)

    def sooner(self, seconds: float) -> "Clock":
        """A clock that ends so many seconds sooner."""
        return self if self.end is None else Clock(self.end - seconds, self.now)
