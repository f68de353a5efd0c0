"""Figures of a column over windows: count, total, mean, spread, slope and last value, from prefix sums or row by row."""

import numpy as np
import polars as pl

from epic22.core.data.windows import DAY_MICROSECONDS, CutoffWindows, find_last_positions, find_members
from epic22.core.time_series import Array

SUMMARY = ("count", "total", "mean", "sd", "slope", "last", "days_since_last")

ILL_CONDITIONED_SHARE = 1e-6
"""Where squares about the mean are a smaller share of the squares than this, their difference loses more than 1e-9 of it."""

ROUNDING_SHARE = 1e-24
"""Sums of squares below this share of all squares may be nothing but rounding."""

MAX_SUMMABLE = 1e100
"""Greater values would overflow when squared."""

ROWS_AT_ONCE = 50_000


def is_summable(values: Array) -> bool:
    """Whether prefix sums of the values and their squares are safe: all finite, none too large."""
    return bool(np.all(np.abs(values) < MAX_SUMMABLE))


def build_summary_expressions() -> list[pl.Expr]:
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


def compute_summary(windows: CutoffWindows) -> pl.DataFrame:
    """The figures of each window, M rows; null where it is empty, but for `count`.

    Values and times are taken from the entity's first, so that squares stay small; where even so the squares about the mean
    would lose digits, the window's rows are looked at themselves.
    """
    states, n = windows.states, windows.counts
    value = states.value if states.value is not None else np.zeros(len(states.code))
    heads = np.flatnonzero(np.diff(states.code, prepend=-1))
    centre = np.append(value[heads], 0.0)
    x = value - centre[states.code]
    t = (states.event - states.event[heads][states.code]) / DAY_MICROSECONDS
    s1, t1 = windows.sums(x), windows.sums(t)
    size = np.maximum(n, 1)
    (sd, ill_x), (spread_t, ill_t) = _sum_squares_about_mean(windows, x, s1, size), _sum_squares_about_mean(windows, t, t1, size)
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = (windows.sums(x * t) - s1 * t1 / size) / spread_t
    total = s1 + n * centre[windows.code]
    frame = _build_frame(windows, value, n, total, np.sqrt(sd / size), np.where(spread_t > 0, slope, np.nan))
    ill = np.flatnonzero((n > 1) & (ill_x | ill_t))
    return _recompute_exactly(windows, frame, value, ill) if len(ill) else frame


def compute_days_since(windows: CutoffWindows) -> pl.Series:
    """Days from each window's latest event to its cutoff, null where it is empty: M floats."""
    place = find_last_positions(windows)
    event = np.append(windows.states.event, 0)[place]
    days = pl.Series("days_since", (windows.cutoff - event) / DAY_MICROSECONDS)
    return pl.select(pl.when(pl.Series(place >= 0)).then(days).alias("days_since")).to_series()


def _sum_squares_about_mean(windows: CutoffWindows, values: Array, total: Array, size: Array) -> tuple[Array, Array]:
    """Per window the sum of squares about the mean, and whether it lost digits."""
    squares = windows.sums(values * values)
    spread = np.where(size > 1, np.maximum(squares - total * total / size, 0.0), 0.0)
    is_inexact = (squares != 0) & (
        (spread < ILL_CONDITIONED_SHARE * squares) | (squares < ROUNDING_SHARE * float(values @ values))
    )
    return spread, is_inexact


def _build_frame(windows: CutoffWindows, value: Array, n: Array, total: Array, sd: Array, slope: Array) -> pl.DataFrame:
    place = find_last_positions(windows)
    there = pl.col("count") > 0
    # Place -1, of an empty window, finds the entry that is appended.
    last, event = np.append(value, 0.0)[place], np.append(windows.states.event, 0)[place]
    columns = {
        "total": total,
        "mean": total / np.maximum(n, 1),
        "sd": sd,
        "slope": slope,
        "last": last,
        "days_since_last": (windows.cutoff - event) / DAY_MICROSECONDS,
    }
    frame = pl.DataFrame({"count": n.astype(np.int64), **columns})
    return frame.with_columns(pl.when(there).then(pl.col(name).fill_nan(None)).alias(name) for name in columns)


def _recompute_exactly(windows: CutoffWindows, frame: pl.DataFrame, value: Array, rows: Array) -> pl.DataFrame:
    """The frame with sd and slope of some rows (indices) taken from the windows' rows themselves."""
    exact = []
    for begin in range(0, len(rows), ROWS_AT_ONCE):
        row, place = find_members(windows, rows[begin : begin + ROWS_AT_ONCE])
        t = (windows.states.event[place] - windows.cutoff[row]) / DAY_MICROSECONDS
        pairs = pl.DataFrame({"row": row, "x": value[place], "t": t})
        exact.append(pairs.group_by("row", maintain_order=True).agg(build_summary_expressions()).select("row", "sd", "slope"))
    exact_statistics = pl.concat(exact).with_columns(pl.lit(True).alias("sure"))
    numbered = frame.with_row_index("row").with_columns(pl.col("row").cast(pl.Int64))
    joined = numbered.join(exact_statistics, on="row", how="left", suffix="_sure", maintain_order="left")
    sure = pl.col("sure")
    chosen = [pl.when(sure).then(pl.col(f"{name}_sure")).otherwise(pl.col(name)).alias(name) for name in ("sd", "slope")]
    return joined.with_columns(chosen).select(SUMMARY)
