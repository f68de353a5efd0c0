"""Windows at many cutoffs at once, without a join of cutoffs with rows.

A version of a row counts at the cutoffs of one interval: from the moment it has happened and is known, up to its successor. A
window (cutoff - span, cutoff] therefore counts the intervals that have begun, less those that are over or have left the window:
both are prefix sums in order of time, found by binary search. O((N + M) log N) for N versions and M cutoffs, exact in counts.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, cast

import numpy as np
import polars as pl

from epic22.core.data.table import SUPERSEDED, Table
from epic22.core.errors import ColumnError
from epic22.core.history import Array

FOREVER = np.iinfo(np.int64).max
MICROSECOND = timedelta(microseconds=1)
DAY_MICROSECONDS = timedelta(days=1) // MICROSECOND

MOST_KEPT = 12_000_000
"""Rows of states that one table keeps for the next question."""


@dataclass(frozen=True)
class States:
    """States of rows in order of (entity, event, key), N each; times in microseconds since 1970.

    A state counts at cutoffs in [start, end). `code` is the entity's place in `entities` [entity, code], `place` the row of the
    table's frame that the state is of.
    """

    entities: pl.DataFrame
    code: Array
    place: Array
    event: Array
    start: Array
    end: Array
    value: Array | None

    def asked(self, at: pl.DataFrame) -> tuple[Array, Array]:
        """Code (-1 where the entity has no states) and cutoff of each row of `at`."""
        wanted = at.select("entity").join(self.entities, on="entity", how="left", maintain_order="left")
        code = wanted["code"].fill_null(-1).to_numpy()
        cutoff = microseconds(at["cutoff"])
        return np.where(cutoff == FOREVER, -1, code), cutoff


def microseconds(times: pl.Series) -> Array:
    """Times as int64 microseconds since 1970, (n,); nulls as FOREVER."""
    return cast(Array, times.cast(pl.Datetime("us")).to_physical().fill_null(FOREVER).to_numpy())


def answerable(table: Table, where: pl.Expr | None) -> bool:
    """Whether `where` looks at the table's own columns alone, so that it holds for a state at every cutoff of it.

    Raises ColumnError for a condition that looks at other rows: those may belong to later cutoffs.
    """
    if where is None:
        return True
    if not _row_by_row(where):
        raise ColumnError(
            f"table {table.name}: the condition {where} looks at other rows than the one it is asked of, which may belong to "
            "later cutoffs; state it of one row's columns, and compare with others after `window`."
        )
    return set(where.meta.root_names()) <= set(table.frame.columns)


def _row_by_row(part: pl.Expr) -> bool:
    # Polars answers for the outermost operation alone.
    return part.meta.is_row_separable() and all(_row_by_row(inner) for inner in part.meta.pop())


def states(table: Table, by: str, column: str | None, where: pl.Expr | None) -> States:
    """The table's states matched by column `by`; with a column, of the rows where it has a value. Kept for the next question."""
    name = (by, column, None if where is None else where.meta.serialize())
    found = table.kept.pop(name, None)
    built = found if isinstance(found, States) else _built(table, by, column, where)
    table.kept[name] = built
    while len(table.kept) > 1 and sum(len(s.code) for s in table.kept.values() if isinstance(s, States)) > MOST_KEPT:
        table.kept.pop(next(iter(table.kept)))
    return built


def _built(table: Table, by: str, column: str | None, where: pl.Expr | None) -> States:
    frame = _intervals(table, by, column, where)
    entities = frame.select(pl.col("entity").unique().sort()).with_row_index("code").with_columns(pl.col("code").cast(pl.Int64))
    coded = frame.join(entities, on="entity", how="left", maintain_order="left")
    places = _in_order(coded, table.keys)
    placed = coded.select("code", "place", "event", "start", "end", "value")[places] if places is not None else coded
    return States(
        entities,
        placed["code"].to_numpy(),
        placed["place"].to_numpy(),
        microseconds(placed["event"]),
        microseconds(placed["start"]),
        microseconds(placed["end"]),
        None if column is None else placed["value"].to_numpy(),
    )


def _in_order(coded: pl.DataFrame, keys: tuple[str, ...]) -> Array | None:
    """Positions in order of (code, event, key), or None where the frame is in that order; ties alone look at the key."""
    code, event = coded["code"].to_numpy(), microseconds(coded["event"])
    step, later = np.diff(code), np.diff(event)
    if np.all((step > 0) | ((step == 0) & (later > 0))):
        return None
    named = [f"key {k}" for k in keys]
    places = np.lexsort((event, code))
    tied = (np.diff(code[places]) == 0) & (np.diff(event[places]) == 0)
    if not tied.any():
        return cast(Array, places)
    return cast(Array, coded.select(pl.arg_sort_by("code", "event", *named, maintain_order=True)).to_series().to_numpy())


def _intervals(table: Table, by: str, column: str | None, where: pl.Expr | None) -> pl.DataFrame:
    """Frame [entity, place, event, start, end, value, key …] of the states in which `where` holds and the column has a value."""
    roots = () if where is None else tuple(where.meta.root_names())
    hiding = sorted({when for root in roots if (when := table.hidden_by(root)) is not None})
    frame = table.versions.with_row_index("__place")
    if where is not None and not hiding:
        frame = frame.filter(where)
    needed = [by, table.event_at] + ([] if column is None else [column])
    times = [pl.col(when) for name in needed if (when := table.hidden_by(name)) is not None]
    # A null among the times that hide a needed column means that it is never known.
    frame = frame.filter(*(pl.col(n).is_not_null() for n in (*needed, table.known_at)), *(t.is_not_null() for t in times))
    value = pl.lit(None, pl.Float64) if column is None else pl.col(column).cast(pl.Float64)
    laid = frame.select(
        entity=pl.col(by),
        place=pl.col("__place"),
        event=pl.col(table.event_at),
        start=pl.max_horizontal(table.visible_from(), *times),
        end=pl.col(SUPERSEDED),
        value=value,
        **{f"key {k}": pl.col(k) for k in table.keys},
        **{f"root {r}": pl.col(r) for r in roots if hiding},
        **{f"when {w}": pl.col(w) for w in hiding},
    )
    for when in hiding:
        laid = _split(laid, when, [r for r in roots if table.hidden_by(r) == when])
    if where is not None and hiding:
        seen = laid.select(pl.col(f"root {r}").alias(r) for r in dict.fromkeys(roots))
        laid = laid.filter(seen.select(where.alias("holds")).to_series())
    return laid.filter(pl.col("end").is_null() | (pl.col("start") < pl.col("end")))


def _split(laid: pl.DataFrame, when: str, hidden: list[str]) -> pl.DataFrame:
    """Each state as two: before the time `when`, with the columns it hides null, and from it on."""
    time = pl.col(f"when {when}")
    nulls = [pl.lit(None).cast(laid.schema[f"root {name}"]).alias(f"root {name}") for name in hidden]
    before = laid.with_columns(pl.min_horizontal("end", time).alias("end"), *nulls)
    after = laid.filter(time.is_not_null()).with_columns(pl.max_horizontal("start", time).alias("start"))
    return pl.concat([before, after]).filter(pl.col("end").is_null() | (pl.col("start") < pl.col("end")))


@dataclass(frozen=True)
class Windows:
    """The windows (cutoff - span, cutoff] of M rows over N states; binary searches done once for all their sums.

    `begun` and `over` are, per row, how many states have begun, and how many of them count no more, in the order of
    `by_start` and `by_end` (positions of states; None = their own order).
    """

    states: States
    code: Array
    cutoff: Array
    span: int | None
    by_start: Array | None
    by_end: Array | None
    begun: Array
    over: Array

    @property
    def counts(self) -> Array:
        """How many states count in each window: (M,) integers."""
        return self.begun - self.over

    def sums(self, values: Array) -> Array:
        """The sum of the states' values (N,) over each window, (M,), as exact as a sum over its rows alone."""
        high, low = _prefix(values if self.by_start is None else values[self.by_start])
        begun = high[self.begun], low[self.begun]
        if self.by_start is not self.by_end:
            high, low = _prefix(values if self.by_end is None else values[self.by_end])
        return cast(Array, (begun[0] - high[self.over]) + (begun[1] - low[self.over]))


def _prefix(values: Array) -> tuple[Array, Array]:
    """Prefix sums from 0, and the sum of what rounding took from them (two-sum of Knuth), (N + 1,) each."""
    high = np.concatenate([[0.0], np.cumsum(values)])
    before, after = high[:-1], high[1:]
    added = after - before
    lost = (before - (after - added)) + (values - added)
    return high, np.concatenate([[0.0], np.cumsum(lost)])


class Clock:
    """Puts (entity, time) on one line of integers that sorts alike, for the entities and times it was made for."""

    def __init__(self, codes: int, times: tuple[Array, ...]) -> None:
        finite = [t[t != FOREVER] for t in times if len(t)]
        self.low = min((int(t.min()) for t in finite if len(t)), default=0)
        self.width = max((int(t.max()) for t in finite if len(t)), default=0) - self.low + 2
        self.ranks = None
        if (codes + 2) * self.width >= 2**62:
            self.ranks = np.unique(np.concatenate(finite))
            self.width = len(self.ranks) + 1

    def __call__(self, code: Array, time: Array) -> Array:
        """One integer for each pair; FOREVER comes after every time of its entity."""
        never = self.width - 1
        place = time - self.low if self.ranks is None else np.searchsorted(self.ranks, time)
        return code * self.width + np.where(time == FOREVER, never, place)


def windows(found: States, at: pl.DataFrame, span: timedelta | None) -> Windows:
    """The windows of the rows of `at` [entity, cutoff] over the states; without a span, all up to the cutoff."""
    code, cutoff = found.asked(at)
    width = None if span is None else min(span // MICROSECOND, 2**61)
    gone = found.end if width is None else np.minimum(found.end, found.event + width)
    kept = None if np.all(found.start < gone) else np.flatnonzero(found.start < gone)
    own, start, end = (a if kept is None else a[kept] for a in (found.code, found.start, gone))
    clock = Clock(found.entities.height, (start, end, cutoff))
    asked = clock(code, cutoff)
    by_start, begun = _ranked(clock(own, start), asked)
    by_end, over = _ranked(clock(own, end), asked)
    if kept is not None:
        by_start, by_end = (kept if order is None else kept[order] for order in (by_start, by_end))
    return Windows(found, code, cutoff, width, by_start, by_end, begun, over)


def _ranked(line: Array, asked: Array) -> tuple[Array | None, Array]:
    """The order that sorts the line (None where it is sorted), and how many of its places are at or before each one asked."""
    if np.all(line[:-1] <= line[1:]):
        return None, _searched(line, asked)
    order = np.argsort(line, kind="stable")
    return order, _searched(line[order], asked)


def _searched(line: Array, asked: Array, side: Literal["left", "right"] = "right") -> Array:
    """`np.searchsorted`, asked in ascending order: neighbours share what is in the cache, which halves its time."""
    order = np.argsort(asked, kind="stable")
    found = np.empty(len(asked), np.int64)
    found[order] = np.searchsorted(line, asked[order], side=side)
    return found


def _bounds(found: Windows) -> tuple[Array, Array]:
    """Per row the positions [first, stop) of the states with event time in its window, known or not."""
    own = found.states
    clock = Clock(own.entities.height, (own.event, found.cutoff, found.cutoff - (found.span or 0)))
    line = clock(own.code, own.event)
    stop = _searched(line, clock(found.code, found.cutoff))
    if found.span is None:
        return _searched(line, found.code * clock.width, "left"), stop
    return _searched(line, clock(found.code, found.cutoff - found.span)), stop


def last_places(found: Windows) -> Array:
    """Per row the position of the window's latest state, -1 where it is empty: (M,)."""
    first, stop = _bounds(found)
    place = stop - 1
    own = found.states
    rest = np.flatnonzero(place >= first)
    # Steps back over states that do not count at the cutoff: late ones, and those that have a successor.
    while len(rest):
        cutoff, here = found.cutoff[rest], place[rest]
        rest = rest[~((own.start[here] <= cutoff) & (cutoff < own.end[here]))]
        place[rest] -= 1
        rest = rest[place[rest] >= first[rest]]
    return np.where(place >= first, place, -1)


def members(found: Windows, rows: Array) -> tuple[Array, Array]:
    """For some rows (indices): their windows' states as pairs (row, position), in order of both."""
    first, stop = (bound[rows] for bound in _bounds(found))
    length = np.maximum(stop - first, 0)
    row = np.repeat(rows, length)
    place = np.arange(length.sum()) - np.repeat(np.cumsum(length) - length, length) + np.repeat(first, length)
    counts = (found.states.start[place] <= found.cutoff[row]) & (found.cutoff[row] < found.states.end[place])
    return row[counts], place[counts]
