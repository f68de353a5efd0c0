"""Figures of a column over windows: count, total, mean, spread, slope and last value, from prefix sums or row by row."""

import numpy as np
import polars as pl

from epic22.core.data.windows import DAY_MICROSECONDS, Windows, last_places, members
from epic22.core.history import Array

SUMMARY = ("count", "total", "mean", "sd", "slope", "last", "days_since_last")

ILL_CONDITIONED = 1e-6
"""Where squares about the mean are a smaller share of the squares than this, their difference loses more than 1e-9 of it."""

LOST = 1e-24
"""Sums of squares below this share of all squares may be nothing but rounding."""

LARGEST = 1e100
"""Greater values would overflow when squared."""

ROWS_AT_ONCE = 50_000


def summable(values: Array) -> bool:
    """Whether prefix sums of the values and their squares are safe: all finite, none too large."""
    return bool(np.all(np.abs(values) < LARGEST))


def figures() -> list[pl.Expr]:
    """The figures of one window's rows, in order of time: columns x (value) and t (days from the cutoff, at most 0)."""
    x, t = pl.col("x"), pl.col("t")
    away = t - t.mean()
    slope = (away * (x - x.mean())).sum() / (away**2).sum()
    return [
        pl.len().cast(pl.Int64).alias("count"),
        x.sum().alias("total"),
        x.mean().alias("mean"),
        pl.when(x.n_unique() > 1).then(x.std(ddof=0)).otherwise(0.0).alias("sd"),
        pl.when(t.n_unique() > 1).then(slope).alias("slope"),
        x.last().alias("last"),
        (-t.last()).alias("days_since_last"),
    ]


def summary(found: Windows) -> pl.DataFrame:
    """The figures of each window, M rows; null where it is empty, but for `count`.

    Values and times are taken from the entity's first, so that squares stay small; where even so the squares about the mean
    would lose digits, the window's rows are looked at themselves.
    """
    own, n = found.states, found.counts
    value = own.value if own.value is not None else np.zeros(len(own.code))
    heads = np.flatnonzero(np.diff(own.code, prepend=-1))
    centre = np.append(value[heads], 0.0)
    x = value - centre[own.code]
    t = (own.event - own.event[heads][own.code]) / DAY_MICROSECONDS
    s1, t1 = found.sums(x), found.sums(t)
    size = np.maximum(n, 1)
    (sd, ill_x), (spread_t, ill_t) = _about_mean(found, x, s1, size), _about_mean(found, t, t1, size)
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = (found.sums(x * t) - s1 * t1 / size) / spread_t
    total = s1 + n * centre[found.code]
    frame = _frame(found, value, n, total, np.sqrt(sd / size), np.where(spread_t > 0, slope, np.nan))
    ill = np.flatnonzero((n > 1) & (ill_x | ill_t))
    return _looked_at(found, frame, value, ill) if len(ill) else frame


def days_since(found: Windows) -> pl.Series:
    """Days from each window's latest event to its cutoff, null where it is empty: M floats."""
    place = last_places(found)
    event = np.append(found.states.event, 0)[place]
    days = pl.Series("days_since", (found.cutoff - event) / DAY_MICROSECONDS)
    return pl.select(pl.when(pl.Series(place >= 0)).then(days).alias("days_since")).to_series()


def _about_mean(found: Windows, values: Array, total: Array, size: Array) -> tuple[Array, Array]:
    """Per window the sum of squares about the mean, and whether it lost digits."""
    squares = found.sums(values * values)
    spread = np.where(size > 1, np.maximum(squares - total * total / size, 0.0), 0.0)
    unsure = (squares != 0) & ((spread < ILL_CONDITIONED * squares) | (squares < LOST * float(values @ values)))
    return spread, unsure


def _frame(found: Windows, value: Array, n: Array, total: Array, sd: Array, slope: Array) -> pl.DataFrame:
    place = last_places(found)
    there = pl.col("count") > 0
    # Place -1, of an empty window, finds the entry that is appended.
    last, event = np.append(value, 0.0)[place], np.append(found.states.event, 0)[place]
    columns = {
        "total": total,
        "mean": total / np.maximum(n, 1),
        "sd": sd,
        "slope": slope,
        "last": last,
        "days_since_last": (found.cutoff - event) / DAY_MICROSECONDS,
    }
    frame = pl.DataFrame({"count": n.astype(np.int64), **columns})
    return frame.with_columns(pl.when(there).then(pl.col(name).fill_nan(None)).alias(name) for name in columns)


def _looked_at(found: Windows, frame: pl.DataFrame, value: Array, rows: Array) -> pl.DataFrame:
    """The frame with sd and slope of some rows (indices) taken from the windows' rows themselves."""
    exact = []
    for begin in range(0, len(rows), ROWS_AT_ONCE):
        row, place = members(found, rows[begin : begin + ROWS_AT_ONCE])
        t = (found.states.event[place] - found.cutoff[row]) / DAY_MICROSECONDS
        pairs = pl.DataFrame({"row": row, "x": value[place], "t": t})
        exact.append(pairs.group_by("row", maintain_order=True).agg(figures()).select("row", "sd", "slope"))
    sure = pl.concat(exact)
    placed = frame.with_row_index("row").with_columns(pl.col("row").cast(pl.Int64))
    return _replaced(placed, sure)


def _replaced(frame: pl.DataFrame, sure: pl.DataFrame) -> pl.DataFrame:
    joined = frame.join(
        sure.with_columns(pl.lit(True).alias("sure")), on="row", how="left", suffix="_sure", maintain_order="left"
    )
    names = ("sd", "slope")
    chosen = [pl.when(pl.col("sure")).then(pl.col(f"{name}_sure")).otherwise(pl.col(name)).alias(name) for name in names]
    return joined.with_columns(chosen).select(SUMMARY)
