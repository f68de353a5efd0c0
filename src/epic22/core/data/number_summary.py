"""What is known of the numbers of a column that is read a batch at a time: how they are spread, and what all of them are."""

from dataclasses import dataclass, field

import polars as pl

from epic22.core.data.column_reading import is_too_large
from epic22.core.data.column_remarks import FileStarts, Occurrences, describe_row
from epic22.core.data.sentinels import NumberSpread


@dataclass
class NumberSummary:
    """Numbers that were seen. `whole`: all are written or stored without decimals; `is_increasing`: they only ever rose.

    `n_infinite` are infinite to a model, the first of them in row `first_infinite`.
    """

    spread: NumberSpread = field(default_factory=NumberSpread)
    whole: bool = True
    is_increasing: bool = True
    n_infinite: int = 0
    first_infinite: int = 0

    def add(self, numbers: pl.Series, counts: pl.Series | None, rows: pl.Series) -> None:
        """Take numbers in, null where one is missing; with `counts`, each as often as it says there."""
        self.whole = self.whole and numbers.dtype.is_integer()
        present = numbers.drop_nulls()
        if present.is_empty():
            return
        if self.is_increasing:
            is_above = float(present[0]) > self.spread.compute_range()[1]
            is_once = counts is None or bool((counts == 1).all())
            self.is_increasing = is_above and is_once and bool((present.diff().drop_nulls() > 0).all())
        self.spread.add(numbers, counts)
        infinite = is_too_large(numbers)
        if infinite.any():
            self.first_infinite = self.first_infinite if self.n_infinite else int(rows[int(infinite.arg_true()[0])])
            self.n_infinite += Occurrences(counts).count(infinite)

    def describe_infinite(self, name: str, files: FileStarts) -> str | None:
        """What is wrong with the column of this name where some are infinite to a model; None where none is."""
        if not self.n_infinite:
            return None
        return (
            f"column {name!r}: {self.n_infinite:,} infinite or enormous values, first in "
            f"{describe_row(self.first_infinite, files)} where finite numbers are expected"
        )
