"""Numbers that stand for missing, such as -999: told by their nines, and by how far all other numbers of the column lie.

One rule for a column that is in memory and for one that is read a batch at a time: what it needs is summed up in `NumberSpread`.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

MIN_VALUES_BESIDE = 5
"""A number stands for missing only beside this many different others."""

MAX_NINES = 12
NINES: tuple[float, ...] = tuple(float(sign * (10**k - 1)) for k in range(1, MAX_NINES + 1) for sign in (-1, 1))
"""Numbers that are written in nines alone."""


@dataclass
class NumberSpread:
    """What is known of numbers that were seen: `nines` holds how often each that is written in nines alone came; of the others
    there are `count`, from `low` to `high`, and `few` holds some different ones."""

    nines: Counter[float] = field(default_factory=Counter)
    count: int = 0
    low: float = float("inf")
    high: float = float("-inf")
    few: frozenset[float] = frozenset()

    def add(self, numbers: pl.Series, counts: pl.Series | None = None) -> None:
        """Take numbers in; with `counts`, each as often as it says there. What is missing does not count.

        >>> spread = NumberSpread()
        >>> spread.add(pl.Series([20.0, -999.0, None, 35.0]))
        >>> spread.count, spread.low, dict(spread.nines)
        (2, 20.0, {-999.0: 1})
        """
        frame = pl.DataFrame({"value": numbers.cast(pl.Float64), "n": 1 if counts is None else counts}).drop_nulls("value")
        is_nines = frame["value"].is_in(NINES)
        for value, n in frame.filter(is_nines).group_by("value").agg(pl.col("n").sum()).iter_rows():
            self.nines[value] += n
        others = frame.filter(~is_nines) if is_nines.any() else frame
        if others.is_empty():
            return
        values = others["value"]
        self.count += int(others["n"].sum())
        low, high = float(values.min()), float(values.max())  # type: ignore[arg-type]
        self.low, self.high = min(self.low, low), max(self.high, high)
        if len(self.few) < MIN_VALUES_BESIDE:
            self.few = frozenset(sorted(self.few | set(values.unique()))[:MIN_VALUES_BESIDE])

    def find_sentinels(self) -> Mapping[float, int]:
        """The numbers at either end that stand for missing, and how often each came.

        >>> spread = NumberSpread()
        >>> spread.add(pl.Series([20.0, 25.0, 31.0, 35.0, 44.0, -999.0, -999.0]))
        >>> dict(spread.find_sentinels())
        {-999.0: 2}
        """
        low, high = self.compute_range()
        return {one: n for one, n in sorted(self.nines.items()) if one in (low, high) and self._stands_apart(one)}

    def compute_range(self, without: Sequence[float] = ()) -> tuple[float, float]:
        """The least and the greatest number but for these of nines; infinity and its negative where there is none."""
        nines = [one for one in self.nines if one not in without]
        return min([self.low, *nines]), max([self.high, *nines])

    def _stands_apart(self, sentinel: float) -> bool:
        """Whether a number comes more than once, and all others are many and far away: on the other side of zero, or apart by
        more than their own range, five times where it is above them."""
        n_others = self.count + self.nines.total() - self.nines[sentinel]
        n_different = len(self.few) + len(self.nines) - 1
        if not 2 <= self.nines[sentinel] <= n_others or n_different < MIN_VALUES_BESIDE:
            return False
        low, high = self.compute_range(without=(sentinel,))
        if sentinel < low:
            return sentinel < 0 <= low or low - sentinel > high - low
        return sentinel - high > 5 * (high - low)


def are_sentinels(numbers: pl.Series, sentinels: Sequence[float]) -> pl.Series:
    """Which numbers are among those that stand for missing."""
    return numbers.cast(pl.Float64).is_in(list(sentinels)).fill_null(value=False)


def is_sentinel(value: object, sentinels: Sequence[float]) -> bool:
    """Whether a value that is not read as text is among the numbers that stand for missing; a truth value is none.

    >>> is_sentinel(-999, (-999.0,)), is_sentinel(True, (1.0,))
    (True, False)
    """
    return not isinstance(value, bool) and value in sentinels


def is_nines(number: object) -> bool:
    """Whether a number is written in nines alone, as those are that stand for missing.

    >>> is_nines(-999), is_nines(9999.0), is_nines(-99.5)
    (True, True, False)
    """
    return number in NINES


def describe_sentinels(name: str, sentinels: Mapping[float, int]) -> str:
    """The column and its numbers that stand for missing, for a remark.

    >>> describe_sentinels("pressure", {-999.0: 12})
    'pressure (-999 in 12 rows)'
    """
    return f"{name} ({', '.join(f'{one:,g} in {n:,} rows' for one, n in sentinels.items())})"
