"""What a gate of promotion says of a model, in figures and in words."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from epic22.core.statistics import UNDEFINED_INTERVAL, Interval

GateOutcome = Literal["passed", "refused", "inconclusive", "not applicable"]
"""`inconclusive`: neither is shown; what follows from that the gate itself says."""

OUTCOMES: tuple[GateOutcome, ...] = ("passed", "refused", "inconclusive", "not applicable")


@dataclass(frozen=True)
class GateFinding:
    """What the gate of that name says, why, in a sentence, and of which quantity: its value beside the limit, where there are
    figures."""

    gate: str
    outcome: GateOutcome
    why: str
    value: Interval | None = None
    limit: float | None = None

    @property
    def interval(self) -> Interval:
        """The value, NaN where there is none."""
        return self.value or UNDEFINED_INTERVAL


def count_outcomes(results: Sequence[GateFinding]) -> str:
    """How many gates said what, in words; those that did not pass by name.

    >>> count_outcomes([GateFinding("a", "passed", ""), GateFinding("b", "passed", ""), GateFinding("c", "not applicable", "")])
    '3 gates: 2 passed, 1 not applicable'
    """
    names = {outcome: [one.gate for one in results if one.outcome == outcome] for outcome in OUTCOMES}
    words = [_count_outcome(outcome, gates) for outcome, gates in names.items() if gates]
    return f"{len(results)} gates: {', '.join(words)}"


def _count_outcome(outcome: GateOutcome, gates: Sequence[str]) -> str:
    return f"{len(gates)} {outcome}" + (f" ({', '.join(gates)})" if outcome in ("refused", "inconclusive") else "")
