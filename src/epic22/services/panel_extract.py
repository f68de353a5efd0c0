"""A panel from its source: rows checked against its contract, in one order, as a file that forecasts are trained on."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import polars as pl

from epic22.core.errors import ColumnError
from epic22.core.ports import Source
from epic22.core.tables.canonical import KNOWN_AT, PANEL
from epic22.core.tables.row_contract import CheckResult, check_rows

FREQUENCIES = (("H", 0.0, 0.5), ("D", 0.5, 4.0), ("W", 4.0, 20.0), ("M", 20.0, 60.0), ("Q", 60.0, 200.0))
"""A frequency's letter, and between how many days the usual gap of its times lies; longer ones are years."""


@dataclass(frozen=True)
class PanelExtract:
    """The rows of a panel, frame [series, time, value] by series and time, and what there is to say of them."""

    rows: pl.DataFrame
    notes: tuple[str, ...]

    @property
    def frequency(self) -> str:
        """The letter of the frequency that the times of the longest series have, for the option --frequency."""
        longest = self.rows.group_by("series").len().sort("len", "series", descending=[True, False])["series"][0]
        days = self.rows.filter(pl.col("series") == longest)["time"].diff().drop_nulls().dt.total_minutes() / 1440
        gap = days.median()
        if not isinstance(gap, float):
            return "M"
        return next((letter for letter, low, high in FREQUENCIES if low <= gap < high), "Y")

    def format_csv(self) -> bytes:
        """The rows as CSV: the same rows are the same bytes."""
        has_hours = bool((self.rows["time"].dt.truncate("1d") != self.rows["time"]).any())
        text = pl.col("time").dt.strftime("%Y-%m-%dT%H:%M" if has_hours else "%Y-%m-%d")
        return self.rows.with_columns(text).write_csv().encode()


def extract_panel(sources: Sequence[Source]) -> PanelExtract:
    """The rows of all sources as one panel; broken ones are left out and counted.

    Raises ColumnError where no row is left, or one series has two values of one time; SourceError where rows cannot be read.
    """
    notes: list[str] = []
    frames = []
    for source in sources:
        notes += [f"{source.name}: {note}" for note in source.notes]
        checked = [_check_batch(batch) for batch in source.batches()]
        frames += [one.valid.select("series", "time", "value") for one in checked]
        rejected = pl.concat([one.rejected for one in checked])
        if rejected.height:
            notes.append(f"{source.name}: {rejected.height:,} rows were left out, the first because of: {rejected['reason'][0]}")
    rows = pl.concat(frames).unique().sort("series", "time")
    if not rows.height:
        raise ColumnError(f"no row of the panel can be used. {' '.join(notes)}")
    _refuse_two_values(rows)
    return PanelExtract(rows, tuple(notes))


def _check_batch(batch: pl.DataFrame) -> CheckResult:
    # The file says nothing of when a value was known: training takes it for known once its period is over.
    now = pl.lit(datetime.now(UTC).replace(tzinfo=None), dtype=pl.Datetime("us"))
    return check_rows(PANEL, batch.with_columns(now.alias(KNOWN_AT)), {})


def _refuse_two_values(rows: pl.DataFrame) -> None:
    twice = rows.filter(pl.struct("series", "time").is_duplicated())
    if twice.height:
        first = twice.row(0, named=True)
        raise ColumnError(
            f"series {first['series']} has two values at {first['time']:%Y-%m-%d %H:%M}; ask for one revision of it."
        )
