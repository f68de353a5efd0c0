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

from epic22.core.errors import ColumnError
from epic22.core.tables.table import SUPERSEDED, Table
from epic22.core.time_series import Array

FOREVER = np.iinfo(np.int64).max
MICROSECOND = timedelta(microseconds=1)
DAY_MICROSECONDS = timedelta(days=1) // MICROSECOND

MAX_CACHED_STATES = 12_000_000
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

    def encode_rows(self, at: pl.DataFrame) -> tuple[Array, Array]:
        """Code (-1 where the entity has no states) and cutoff of each row of `at`."""
        matches = at.select("entity").join(self.entities, on="entity", how="left", maintain_order="left")
        code = matches["code"].fill_null(-1).to_numpy()
        cutoff = to_microseconds(at["cutoff"])
        return np.where(cutoff == FOREVER, -1, code), cutoff


def to_microseconds(times: pl.Series) -> Array:
    """Times as int64 microseconds since 1970, (n,); nulls as FOREVER."""
    return cast(Array, times.cast(pl.Datetime("us")).to_physical().fill_null(FOREVER).to_numpy())


def uses_own_columns_only(table: Table, where: pl.Expr | None) -> bool:
    """Whether `where` looks at the table's own columns alone, so that it holds for a state at every cutoff of it.

    Raises ColumnError for a condition that looks at other rows: those may belong to later cutoffs.
    """
    if where is None:
        return True
    if not _is_row_wise(where):
        raise ColumnError(
            f"table {table.name}: the condition {where} looks at other rows than the one it is asked of, which may belong to "
            "later cutoffs; state it of one row's columns, and compare with others after `window`."
        )
    return set(where.meta.root_names()) <= set(table.frame.columns)


def _is_row_wise(part: pl.Expr) -> bool:
    # Polars answers for the outermost operation alone.
    return part.meta.is_row_separable() and all(_is_row_wise(inner) for inner in part.meta.pop())


def get_states(table: Table, by: str, column: str | None, where: pl.Expr | None) -> States:
    """The table's states matched by column `by`; with a column, of the rows where it has a value. Kept for the next question."""
    cache_key = (by, column, None if where is None else where.meta.serialize())
    cached = table.cache.pop(cache_key, None)
    built = cached if isinstance(cached, States) else _build_states(table, by, column, where)
    table.cache[cache_key] = built
    while len(table.cache) > 1 and sum(len(s.code) for s in table.cache.values() if isinstance(s, States)) > MAX_CACHED_STATES:
        table.cache.pop(next(iter(table.cache)))
    return built


def _build_states(table: Table, by: str, column: str | None, where: pl.Expr | None) -> States:
    frame = _build_intervals(table, by, column, where)
    entities = frame.select(pl.col("entity").unique().sort()).with_row_index("code").with_columns(pl.col("code").cast(pl.Int64))
    coded = frame.join(entities, on="entity", how="left", maintain_order="left")
    places = _find_sort_order(coded, table.keys)
    ordered = coded.select("code", "place", "event", "start", "end", "value")[places] if places is not None else coded
    return States(
        entities,
        ordered["code"].to_numpy(),
        ordered["place"].to_numpy(),
        to_microseconds(ordered["event"]),
        to_microseconds(ordered["start"]),
        to_microseconds(ordered["end"]),
        None if column is None else ordered["value"].to_numpy(),
    )


def _find_sort_order(coded: pl.DataFrame, keys: tuple[str, ...]) -> Array | None:
    """Positions in order of (code, event, key), or None where the frame is in that order; ties alone look at the key."""
    code, event = coded["code"].to_numpy(), to_microseconds(coded["event"])
    code_step, event_step = np.diff(code), np.diff(event)
    if np.all((code_step > 0) | ((code_step == 0) & (event_step > 0))):
        return None
    named = [f"key {k}" for k in keys]
    places = np.lexsort((event, code))
    tied = (np.diff(code[places]) == 0) & (np.diff(event[places]) == 0)
    if not tied.any():
        return cast(Array, places)
    return cast(Array, coded.select(pl.arg_sort_by("code", "event", *named, maintain_order=True)).to_series().to_numpy())


def _build_intervals(table: Table, by: str, column: str | None, where: pl.Expr | None) -> pl.DataFrame:
    """Frame [entity, place, event, start, end, value, key …] of the states in which `where` holds and the column has a value."""
    roots = () if where is None else tuple(where.meta.root_names())
    hiding = sorted({when for root in roots if (when := table.get_visibility_column(root)) is not None})
    frame = table.versions.with_row_index("__place")
    if where is not None and not hiding:
        frame = frame.filter(where)
    needed = [by, table.event_at] + ([] if column is None else [column])
    times = [pl.col(when) for name in needed if (when := table.get_visibility_column(name)) is not None]
    # A null among the times that hide a needed column means that it is never known.
    frame = frame.filter(*(pl.col(n).is_not_null() for n in (*needed, table.known_at)), *(t.is_not_null() for t in times))
    value = pl.lit(None, pl.Float64) if column is None else pl.col(column).cast(pl.Float64)
    intervals = frame.select(
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
        intervals = _split_at_time(intervals, when, [r for r in roots if table.get_visibility_column(r) == when])
    if where is not None and hiding:
        visible = intervals.select(pl.col(f"root {r}").alias(r) for r in dict.fromkeys(roots))
        intervals = intervals.filter(visible.select(where.alias("holds")).to_series())
    return intervals.filter(pl.col("end").is_null() | (pl.col("start") < pl.col("end")))


def _split_at_time(intervals: pl.DataFrame, when: str, hidden: list[str]) -> pl.DataFrame:
    """Each state as two: before the time `when`, with the columns it hides null, and from it on."""
    time = pl.col(f"when {when}")
    nulls = [pl.lit(None).cast(intervals.schema[f"root {name}"]).alias(f"root {name}") for name in hidden]
    before = intervals.with_columns(pl.min_horizontal("end", time).alias("end"), *nulls)
    after = intervals.filter(time.is_not_null()).with_columns(pl.max_horizontal("start", time).alias("start"))
    return pl.concat([before, after]).filter(pl.col("end").is_null() | (pl.col("start") < pl.col("end")))


@dataclass(frozen=True)
class CutoffWindows:
    """The windows (cutoff - span, cutoff] of M rows over N states; binary searches done once for all their sums.

    `n_started` and `n_ended` are, per row, how many states have begun, and how many of them count no more, in the order of
    `by_start` and `by_end` (positions of states; None = their own order).
    """

    states: States
    code: Array
    cutoff: Array
    span: int | None
    by_start: Array | None
    by_end: Array | None
    n_started: Array
    n_ended: Array

    @property
    def counts(self) -> Array:
        """How many states count in each window: (M,) integers."""
        return self.n_started - self.n_ended

    def sums(self, values: Array) -> Array:
        """The sum of the states' values (N,) over each window, (M,), as exact as a sum over its rows alone."""
        high, low = _compute_prefix_sums(values if self.by_start is None else values[self.by_start])
        start_sums = high[self.n_started], low[self.n_started]
        if self.by_start is not self.by_end:
            high, low = _compute_prefix_sums(values if self.by_end is None else values[self.by_end])
        return cast(Array, (start_sums[0] - high[self.n_ended]) + (start_sums[1] - low[self.n_ended]))


def _compute_prefix_sums(values: Array) -> tuple[Array, Array]:
    """Prefix sums from 0, and the sum of what rounding took from them (two-sum of Knuth), (N + 1,) each."""
    high = np.concatenate([[0.0], np.cumsum(values)])
    before, after = high[:-1], high[1:]
    increment = after - before
    lost = (before - (after - increment)) + (values - increment)
    return high, np.concatenate([[0.0], np.cumsum(lost)])


class EntityTimeEncoder:
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


def find_windows(states: States, at: pl.DataFrame, span: timedelta | None) -> CutoffWindows:
    """The windows of the rows of `at` [entity, cutoff] over the states; without a span, all up to the cutoff."""
    code, cutoff = states.encode_rows(at)
    width = None if span is None else min(span // MICROSECOND, 2**61)
    expiry = states.end if width is None else np.minimum(states.end, states.event + width)
    nonempty = None if np.all(states.start < expiry) else np.flatnonzero(states.start < expiry)
    own, start, end = (a if nonempty is None else a[nonempty] for a in (states.code, states.start, expiry))
    encode = EntityTimeEncoder(states.entities.height, (start, end, cutoff))
    queries = encode(code, cutoff)
    by_start, n_started = _count_at_or_before(encode(own, start), queries)
    by_end, n_ended = _count_at_or_before(encode(own, end), queries)
    if nonempty is not None:
        by_start, by_end = (nonempty if order is None else nonempty[order] for order in (by_start, by_end))
    return CutoffWindows(states, code, cutoff, width, by_start, by_end, n_started, n_ended)


def _count_at_or_before(line: Array, queries: Array) -> tuple[Array | None, Array]:
    """The order that sorts the line (None where it is sorted), and how many of its places are at or before each one asked."""
    if np.all(line[:-1] <= line[1:]):
        return None, _search_sorted(line, queries)
    order = np.argsort(line, kind="stable")
    return order, _search_sorted(line[order], queries)


def _search_sorted(line: Array, queries: Array, side: Literal["left", "right"] = "right") -> Array:
    """`np.searchsorted`, asked in ascending order: neighbours share what is in the cache, which halves its time."""
    order = np.argsort(queries, kind="stable")
    positions = np.empty(len(queries), np.int64)
    positions[order] = np.searchsorted(line, queries[order], side=side)
    return positions


def _find_bounds(cutoff_windows: CutoffWindows) -> tuple[Array, Array]:
    """Per row the positions [first, stop) of the states with event time in its window, known or not."""
    states = cutoff_windows.states
    encode = EntityTimeEncoder(
        states.entities.height, (states.event, cutoff_windows.cutoff, cutoff_windows.cutoff - (cutoff_windows.span or 0))
    )
    line = encode(states.code, states.event)
    stop = _search_sorted(line, encode(cutoff_windows.code, cutoff_windows.cutoff))
    if cutoff_windows.span is None:
        return _search_sorted(line, cutoff_windows.code * encode.width, "left"), stop
    return _search_sorted(line, encode(cutoff_windows.code, cutoff_windows.cutoff - cutoff_windows.span)), stop


def find_last_positions(cutoff_windows: CutoffWindows) -> Array:
    """Per row the position of the window's latest state, -1 where it is empty: (M,)."""
    first, stop = _find_bounds(cutoff_windows)
    place = stop - 1
    states = cutoff_windows.states
    rest = np.flatnonzero(place >= first)
    # Steps back over states that do not count at the cutoff: late ones, and those that have a successor.
    while len(rest):
        cutoff, here = cutoff_windows.cutoff[rest], place[rest]
        rest = rest[~((states.start[here] <= cutoff) & (cutoff < states.end[here]))]
        place[rest] -= 1
        rest = rest[place[rest] >= first[rest]]
    return np.where(place >= first, place, -1)


def find_members(cutoff_windows: CutoffWindows, rows: Array) -> tuple[Array, Array]:
    """For some rows (indices): their windows' states as pairs (row, position), in order of both."""
    first, stop = (bound[rows] for bound in _find_bounds(cutoff_windows))
    length = np.maximum(stop - first, 0)
    row = np.repeat(rows, length)
    place = np.arange(length.sum()) - np.repeat(np.cumsum(length) - length, length) + np.repeat(first, length)
    counts = (cutoff_windows.states.start[place] <= cutoff_windows.cutoff[row]) & (
        cutoff_windows.cutoff[row] < cutoff_windows.states.end[place]
    )
    return row[counts], place[counts]
