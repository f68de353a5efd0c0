"""Where a service tells how far it is."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """Where progress goes: `begin(what, steps)` opens a bar, `step()` moves it on."""

    begin: Callable[[str, int], None] = lambda what, steps: None
    step: Callable[[], None] = lambda: None
