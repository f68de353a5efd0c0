"""One comparison of a table with its own past: what it found, how large it is, how likely by chance."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from epic22.core.quality.finding import FindingKind
from epic22.core.statistics import adjust_p_values

ALPHA = 0.01
"""The chance that a sound version is accused at all, over all that is tested of it."""


@dataclass(frozen=True)
class Histogram:
    """Shares of the bins or levels `labels`, before and now."""

    labels: tuple[str, ...]
    before: tuple[float, ...]
    now: tuple[float, ...]


@dataclass(frozen=True)
class MovementTest:
    """A table's column (None: its rows) against its past.

    `effect` is in the unit of the check's limit: PSI, a difference of shares, a ratio. `p_adjusted` is Holm's, over all tests of
    the version; NaN until then. `evidence` says in one sentence what was found.
    """

    table: str
    column: str | None
    what: FindingKind
    effect: float
    p: float
    evidence: str
    p_adjusted: float = math.nan
    histogram: Histogram | None = field(default=None, repr=False)


def adjust_tests(tests: Sequence[MovementTest]) -> tuple[MovementTest, ...]:
    """The tests with their adjusted p: whatever depends on whatever, the chance of one false alarm stays at alpha (Holm 1979)."""
    adjusted = adjust_p_values([test.p for test in tests])
    return tuple(replace(test, p_adjusted=p) for test, p in zip(tests, adjusted, strict=True))
