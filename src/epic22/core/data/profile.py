"""What the columns of a table hold, found by reading it once a batch at a time: types, roles, levels, bounds, what is missing.

The same rules as `contract.infer`, applied to counts instead of whole columns. Rows without a label are left out and do not
count.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from epic22.core.data.batches import Batch, Batches
from epic22.core.data.contract import (
    JOINED,
    LARGEST,
    NUMERIC_SHARE,
    STEPS,
    TIME_FORMATS,
    Roles,
    blanks_out,
    category_or_text,
    enormous,
    in_digits,
    number_of,
    own_type,
    read_as,
    refuse_roles,
    role_of,
    times_of,
    told_in_digits,
    told_joined,
)
from epic22.core.errors import ColumnError
from epic22.core.task import Column, Dtype

MOST_COUNTED = 10_000
"""Different values of a column are counted up to so many; beyond, it is known to have more."""


@dataclass
class Counts:
    """What has been seen of one column. `counted` holds how often a value came, None once there were too many.

    `forms` are the formats of time that every text so far fits. `rising` is whether whole numbers only ever rose. `digits` is
    whether every number of a text was written in digits alone, `endless` the first that was too long to be one, and its row.
    """

    name: str
    text: bool = False
    own: pl.DataType | None = None
    rows: int = 0
    missing: int = 0
    numeric: bool = True
    whole: bool = True
    low: float = float("inf")
    high: float = float("-inf")
    rising: bool = True
    odd: int = 0
    odd_first: tuple[str, str] | None = None
    digits: bool = True
    joined: bool = True
    endless: tuple[str, str] | None = None
    forms: tuple[str, ...] = TIME_FORMATS
    counted: Counter[object] | None = field(default_factory=Counter)

    def add(self, raw: pl.Series, where: "Where") -> None:
        """Take the values of a batch in."""
        self.text = raw.dtype == pl.String
        values = blanks_out(raw) if self.text else own_type(raw, strict=False)
        self.rows += len(values)
        self.missing += values.null_count()
        present = values.drop_nulls()
        if not len(present):
            return
        self._count(present)
        if self.text:
            self._add_text(values, present, where)
        else:
            self._add_own(values, where)

    def _count(self, present: pl.Series) -> None:
        if self.counted is None:
            return
        found = present.alias("value").value_counts()
        if found.height > MOST_COUNTED or len(self.counted) > MOST_COUNTED:
            self.counted = None
            return
        self.counted.update(dict(found.iter_rows()))

    def _add_text(self, values: pl.Series, present: pl.Series, where: "Where") -> None:
        if self.numeric or self.odd:
            number = number_of(values)
            bad = number.is_null() & values.is_not_null()
            if bad.any():
                self.numeric = False
                row = bad.arg_true()[0]
                self.odd_first = self.odd_first or (str(values[row]), where.row(row))
                self.odd += int(bad.sum())
                self.joined &= bool(values.filter(bad).str.contains(JOINED).all())
            self.whole &= number.dtype == pl.Int64
            if self.digits:
                self.digits = in_digits(values, number)
            self._bounds(self._without_endless(values, number, where), where)
        if self.forms:
            self.forms = () if self.numeric else self._fitting(present)

    def _without_endless(self, values: pl.Series, number: pl.Series, where: "Where") -> pl.Series:
        """The numbers without what digits alone make enormous, which is damage only where other numbers have decimals."""
        endless = enormous(number)
        if not endless.any() or not in_digits(values.filter(endless), number.filter(endless)):
            return number
        row = int(endless.arg_true()[0])
        self.endless = self.endless or (str(values[row]), where.row(row))
        return number.set(endless, None)

    @property
    def named_in_digits(self) -> bool:
        """Whether it is text that happens to be written in digits (`contract.named_in_digits`)."""
        return self.endless is not None and self.digits

    @property
    def joined_names(self) -> bool:
        """Whether its numbers are names, for some are two in one (`contract.joined_names`)."""
        return 0 < self.odd < self.rows - self.missing and self.joined and self.digits

    def _fitting(self, present: pl.Series) -> tuple[str, ...]:
        few = present.head(20)
        near = [form for form in self.forms if not read_as(few, form).null_count()]
        return tuple(form for form in near if not read_as(present, form).null_count())

    def _add_own(self, values: pl.Series, where: "Where") -> None:
        self.own = values.dtype
        if values.dtype.is_numeric():
            self.whole &= values.dtype.is_integer()
            self._bounds(values, where)

    def _bounds(self, number: pl.Series, where: "Where") -> None:
        values = number.drop_nulls()
        if not len(values):
            return
        low, high = float(values.min()), float(values.max())  # type: ignore[arg-type]
        if self.rising:
            self.rising = float(values[0]) > self.high and bool((values.diff().drop_nulls() > 0).all())
        self.low, self.high = min(self.low, low), max(self.high, high)
        if max(-low, high) > LARGEST and not where.lenient(self.name):
            row = int((number.abs() > LARGEST).fill_null(value=False).arg_true()[0])
            raise _infinite(self.name, where.row(row))

    @property
    def distinct(self) -> int:
        """How many different values there are, as far as they are counted."""
        if self.counted is not None:
            return len(self.counted)
        return MOST_COUNTED + 1

    def kind(self) -> tuple[Dtype, str | None]:
        """The type, and the format of a time that comes as text."""
        if not self.text:
            return self._own_kind(), None
        if self.missing == self.rows:
            return "category", None
        if self.numeric and not self.named_in_digits:
            return ("int" if self.whole else "float"), None
        if self.counted is not None and {str(value).lower() for value in self.counted} <= {"true", "false"}:
            return "bool", None
        if self.forms:
            return "time", self.forms[0]
        return category_or_text(self.distinct, self.rows - self.missing), None

    def _own_kind(self) -> Dtype:
        if self.own is None or self.own == pl.String:
            return category_or_text(self.distinct, self.rows - self.missing)
        if self.own == pl.Boolean:
            return "bool"
        if self.own.is_temporal():
            return "time"
        return "int" if self.whole else "float"

    def refuse_damage(self) -> None:
        """Raise ColumnError where a column of numbers has a few values that are none, or that no number holds."""
        if self.named_in_digits or self.joined_names:
            return
        if self.endless is not None and self.numeric:
            raise _infinite(self.name, self.endless[1])
        present = self.rows - self.missing
        if self.odd and self.distinct > 50 and self.odd <= (1 - NUMERIC_SHARE) * present and self.odd_first is not None:
            value, row = self.odd_first
            raise ColumnError(
                f"column {self.name!r} holds numbers, but {self.odd:,} of its values are none: {value!r} in {row}; "
                "mend them, leave them empty, or use --drop."
            )


def _infinite(name: str, row: str) -> ColumnError:
    return ColumnError(
        f"column {name!r}: an infinite or enormous value in {row}; "
        "expected finite numbers: mend them, leave them empty, or use --drop."
    )


@dataclass(frozen=True)
class Where:
    """Where the rows of a batch stand in their file; `kept` are their places in the batch."""

    batch: Batch
    kept: pl.Series
    put_aside: frozenset[str | None] = frozenset()

    def row(self, position: int) -> str:
        """The row at a position, for messages: counted from 1, without the header."""
        return f"row {self.batch.first + int(self.kept[position]) + 1:,} of {self.batch.path.name}"

    def lenient(self, name: str) -> bool:
        """Whether nothing is learned from the column, so that it need not be whole."""
        return name in self.put_aside


@dataclass(frozen=True)
class Profile:
    """The columns with types, roles and levels, and how each is read; `counts` by name. `rows` have a label."""

    columns: tuple[Column, ...]
    counts: dict[str, Counts]
    roles: Roles
    rows: int
    notes: tuple[str, ...]

    def typed(self, batches: Batches) -> Iterator[tuple[pl.DataFrame, pl.Series | None]]:
        """The labelled rows in the columns' types, with their times (naive UTC) where there are any, batch by batch.

        Raises ColumnError naming the row whose time cannot be read.
        """
        kinds = {name: counts.kind() for name, counts in self.counts.items()}
        lenient = frozenset((*self.roles.drop, self.roles.id, self.roles.group))
        for where, frame in _labelled(batches, self.roles.label, lenient):
            made = pl.DataFrame([_as(frame[name], *kinds[name]) for name in frame.columns])
            yield made, _times(made, self.counts, self.roles, where) if self.roles.time else None


def profile(batches: Batches, roles: Roles) -> Profile:
    """One pass over the rows. Raises ColumnError for roles that do not fit, FileError and ColumnError for broken rows."""
    refuse_roles(batches.names, roles)
    lenient = frozenset((*roles.drop, roles.id, roles.group))
    counts = {name: Counts(name) for name in batches.names}
    read = 0
    for where, frame in _labelled(batches, roles.label, lenient):
        read += where.batch.frame.height
        for name in frame.columns:
            counts[name].add(frame[name], where)
    rows = counts[roles.label].rows
    if not rows:
        raise ColumnError(f"label {roles.label!r} is missing in all {read:,} rows; there is nothing to learn, name another.")
    for name, seen in counts.items():
        if name not in lenient:
            seen.refuse_damage()
    notes = [f"{read - rows:,} rows without a label were left out."] if read > rows else []
    notes += [
        f"{seen.name}: {_order(seen.forms[0])}." for seen in counts.values() if seen.kind()[0] == "time" and _order_told(seen)
    ]
    notes += [told_in_digits(s.name, s.endless[0]) for s in counts.values() if s.named_in_digits and s.endless is not None]
    notes += [told_joined(s.name, s.odd_first[0]) for s in counts.values() if s.joined_names and s.odd_first is not None]
    columns = tuple(_column(seen, roles, notes) for seen in counts.values())
    return Profile(columns, counts, roles, rows, (*notes, *_time_notes(counts, roles)))


def _order_told(seen: Counts) -> bool:
    """Whether day and month could be taken for one another, or the day comes first."""
    day_first = any(form.startswith("%d/%m") for form in seen.forms)
    return seen.text and day_first and seen.forms[0][:5] in ("%m/%d", "%d/%m")


def _order(form: str) -> str:
    return "month/day/year" if form.startswith("%m") else "day/month/year"


def _labelled(batches: Batches, label: str, lenient: frozenset[str | None]) -> Iterator[tuple[Where, pl.DataFrame]]:
    """The rows of each batch that have a label, as they are."""
    for batch in batches:
        raw = batch.frame[label]
        there = (blanks_out(raw) if raw.dtype == pl.String else own_type(raw, strict=False)).is_not_null()
        kept = there.arg_true()
        frame = batch.frame if len(kept) == batch.frame.height else batch.frame.filter(there)
        yield Where(batch, kept, lenient), frame


def _column(seen: Counts, roles: Roles, notes: list[str]) -> Column:
    dtype, _ = seen.kind()
    role = role_of(seen.name, dtype, seen.distinct, bool(seen.missing), roles, notes)
    levels: tuple[str, ...] = ()
    if dtype == "category" and role in ("input", "label") and seen.counted is not None:
        levels = tuple(sorted(str(value) for value in seen.counted))
    return Column(seen.name, dtype, role=role, levels=levels)


def _as(raw: pl.Series, dtype: Dtype, form: str | None) -> pl.Series:
    """A batch's values in the type that the whole column has."""
    if raw.dtype != pl.String:
        own = own_type(raw, strict=False)
        return own.cast(pl.Float64) if dtype == "float" else own
    text = blanks_out(raw)
    if dtype in ("int", "float"):
        return number_of(text).cast(pl.Int64 if dtype == "int" else pl.Float64)
    if dtype == "bool":
        return text.str.to_lowercase() == "true"
    return read_as(text, form) if form is not None else text


def _times(frame: pl.DataFrame, counts: dict[str, Counts], roles: Roles, where: Where) -> pl.Series:
    """The rows' times; whole numbers are read alike in every batch."""
    seen = counts[roles.time[0]]
    series = frame[roles.time[0]]
    if len(roles.time) > 1 or not series.dtype.is_integer():
        rows = where.kept + where.batch.first
        return times_of(frame, roles.time, [], rows)
    if series.null_count():
        raise ColumnError(f"--time {seen.name}: {where.row(int(series.is_null().arg_true()[0]))} has none; fill it in.")
    if _whole_times(seen) == "years":
        return pl.select(pl.datetime(series, 1, 1, time_unit="us")).to_series().alias(series.name)
    if _whole_times(seen) == "dates":
        moments = read_as(series.cast(pl.String), "%Y%m%d")
        if moments.null_count():
            row = int(moments.is_null().arg_true()[0])
            raise ColumnError(f"--time {seen.name}: {series[row]} in {where.row(row)} is no date; write it as 2024-03-01.")
        return moments
    return (series * 86_400_000_000).cast(pl.Datetime("us"))


def _whole_times(seen: Counts) -> str:
    if seen.low >= 1000 and seen.high <= 3000:
        return "years"
    if seen.low >= 10**7 and seen.high < 10**8:
        return "dates"
    if seen.low < STEPS[0] or seen.high > STEPS[1]:
        raise ColumnError(
            f"--time {seen.name}: from {seen.low:,.0f} to {seen.high:,.0f} are neither years nor numbers of days; "
            "write the times as 2024-03-01 or 2024-03-01T13:00."
        )
    return "days"


def _time_notes(counts: dict[str, Counts], roles: Roles) -> tuple[str, ...]:
    if len(roles.time) > 1:
        return (f"The rows' time is made of {', '.join(roles.time)}; {roles.time[0]} itself is no input.",)
    seen = counts[roles.time[0]] if roles.time else None
    if seen is None or seen.kind()[0] != "int":
        return ()
    told = {
        "years": "holds years; each is taken for its 1 January.",
        "dates": "holds dates like 20240131 (year, month, day).",
        "days": "holds whole numbers, taken for days; --horizon and --gap count in them.",
    }
    return (f"{seen.name} {told[_whole_times(seen)]}",)


def values_of(seen: Counts, most: int) -> pl.Series | None:
    """A short series with every value of a column that has at most so many, the rarer ones fewer times; None for more.

    What decides on a label by its values and their order of frequency decides on this as on the whole.
    """
    dtype, form = seen.kind()
    if seen.counted is None or len(seen.counted) > most or dtype in ("time", "text") or form is not None:
        return None
    values = _as(pl.Series(seen.name, list(seen.counted), strict=False), dtype, form)
    merged: Counter[object] = Counter()
    for value, times in zip(values.to_list(), seen.counted.values(), strict=True):
        merged[value] += times
    rank = np.unique(list(merged.values()), return_inverse=True)[1] + 1
    repeated = [value for value, times in zip(merged, rank, strict=True) for _ in range(int(times))]
    return pl.Series(seen.name, repeated, dtype=values.dtype)
