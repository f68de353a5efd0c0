"""What a trigger is, and how its line in a plan is read."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from epic22.core.retraining.moment import TaskMoment


class Trigger(Protocol):
    """Decides whether a task is due for another training."""

    def find_reason(self, moment: TaskMoment) -> str | None:
        """Why the task is to be trained again at that moment, in a clause; None where it is not."""


@dataclass(frozen=True)
class TriggerKind:
    """A kind of trigger by the key that it has in a plan.

    `read(place, content)` gives the trigger of a line; it raises FileError, naming the place, for what it cannot be.
    """

    name: str
    about: str
    read: Callable[[str, object], Trigger]
