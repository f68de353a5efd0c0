"""Which series of a panel are learned from: an odd one never refuses the others.

A series that cannot be used is left out, named and counted; what most series have is no oddity but a wrong option, and refused.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import polars as pl

from epic22.core.data.forecast_task import MAX_SILENT_CYCLES, MIN_VALUES
from epic22.core.errors import ColumnError
from epic22.core.time_series import FLAT_SHARE, MIN_FLAT_VALUES, Frequency

MIXED_SHARE = 0.5
"""What more than this share of the series have is the panel's own way, which the options do not fit."""

MIN_STEPS = 4
"""A series with fewer steps than that may only have gaps."""

MAX_STRAY_SHARE = 0.05
"""Values beyond a long jump in time are strays where they are at most this share of all."""

MAX_CELLS, MIN_FILLED_SHARE = 20_000_000, 0.02
"""Beyond as many places for values, at least this share of them must be filled."""

MAX_NAMES = 5

MIN_PERIODS, DROP_SHARE, UNLIKE_SHARE = 12, 0.6, 0.8
"""After as many periods or more, a last one with less than this share of the one before, and less than this share of the least
such share before, is like one that is not over yet."""


class SeriesRules(Protocol):
    """What a file says of its series."""

    @property
    def frequency(self) -> Frequency:
        """How long a period is."""

    @property
    def cycle(self) -> int:
        """Periods in a cycle."""

    @property
    def complete_last(self) -> int | None:
        """Only series without a gap in this many last periods."""

    @property
    def strict(self) -> bool:
        """Whether an odd series refuses the file."""


@dataclass(frozen=True)
class OddSeries:
    """Series that cannot be used, by name: `what` they are ("with fewer than 3 values"), and what a file of such series is told.

    `share`: above it, or where all are so, the file is refused.
    """

    names: pl.Series
    what: str
    refusal: str
    share: float = MIXED_SHARE


def select_series(values: pl.DataFrame, rules: SeriesRules, notes: list[str]) -> pl.DataFrame:
    """The values [entity, period, value, …] of the series that can be forecast; which were left out, and why, is noted.

    Raises ColumnError where most series are odd, where `strict` any is, and where none is left.
    """
    for find in CHECKS:
        values = _leave_out(values, find(values, rules), rules, notes)
    _refuse_wide_span(values, rules)
    values = _select_complete(values, rules, notes)
    if not values.height:
        raise ColumnError(f"no series has {MIN_VALUES} values or more; bring a longer history.")
    _tell_ended(values, rules, notes)
    return values


def tell_empty(names: pl.Series, present: pl.Series, rules: SeriesRules, notes: list[str]) -> None:
    """Note the series that have rows (n,) but no value in any of them. Raises ColumnError where `strict`."""
    empty = names.filter(~names.is_in(names.filter(present).unique().implode())).unique()
    if len(empty):
        what = "without any value"
        _refuse_strictly(len(empty), names.n_unique(), what, empty, rules)
        notes.append(f"{len(empty):,} series {what} were left out: {list_names(empty)}.")


def describe_series(values: pl.DataFrame, rules: SeriesRules) -> list[str]:
    """What the user should know of the series that are learned from."""
    of_values = [*_describe_signs(values), *_describe_flat(values), *_describe_drop(values, rules)]
    return [*_describe_late(values, rules), *_describe_gaps(values), *of_values]


def _refuse_wide_span(values: pl.DataFrame, rules: SeriesRules) -> None:
    """Raise ColumnError where series and periods between the first and the last value are more than a table of them can hold."""
    first, end = int(values["period"].min()), _find_end(values)  # type: ignore[arg-type]
    n_cells = values["entity"].n_unique() * (end - first + 1)
    if n_cells > MAX_CELLS and values.height < MIN_FILLED_SHARE * n_cells:
        frequency = rules.frequency
        raise ColumnError(
            f"the values lie from {frequency.label(first)} to {frequency.label(end)}: {end - first + 1:,} {frequency.noun}s, "
            "nearly all of them empty; mend the times, give the right --frequency, or keep other times in a file of their own."
        )


def _leave_out(values: pl.DataFrame, odd: OddSeries, rules: SeriesRules, notes: list[str]) -> pl.DataFrame:
    n, total = len(odd.names), values["entity"].n_unique()
    if not n:
        return values
    if n == total or n > odd.share * total:
        raise ColumnError(odd.refusal)
    _refuse_strictly(n, total, odd.what, odd.names, rules)
    notes.append(f"{n:,} series {odd.what} were left out: {list_names(odd.names)}.")
    return values.filter(~pl.col("entity").is_in(odd.names.implode()))


def _refuse_strictly(n: int, total: int, what: str, names: pl.Series, rules: SeriesRules) -> None:
    if rules.strict:
        raise ColumnError(
            f"--strict: {n:,} of {total:,} series {what}: {list_names(names)}; mend them, or go without "
            "--strict to leave them out."
        )


def list_names(names: pl.Series) -> str:
    """The first names in quotes, ascending, and how many more there are."""
    shown = ", ".join(repr(name) for name in names.sort().head(MAX_NAMES))
    return shown + (f" and {len(names) - MAX_NAMES:,} more" if len(names) > MAX_NAMES else "")


def _find_strays(values: pl.DataFrame, rules: SeriesRules) -> OddSeries:
    """Series with values beyond a jump in time longer than the panel's whole history: a mistyped year, most often."""
    periods = values["period"].unique().sort().to_numpy()
    jumps = np.flatnonzero(np.diff(periods) > max(len(periods), 2 * rules.cycle))
    stray = np.zeros(values.height, dtype=bool)
    for jump in jumps:
        is_late = values["period"].to_numpy() > periods[jump]
        small = is_late if is_late.mean() < 0.5 else ~is_late
        if small.mean() <= MAX_STRAY_SHARE:
            stray |= small
    names = values["entity"].filter(pl.Series(stray)).unique()
    if not len(names):
        return OddSeries(names, "", "")
    first = values.filter(pl.Series(stray)).row(0, named=True)
    where = f"{first['entity']!r} in {rules.frequency.label(first['period'])}"
    return OddSeries(
        names,
        f"with values far from all others in time ({where})",
        f"{int(stray.sum()):,} values lie far from all others in time, first {where}; mend their times or leave them out.",
    )


def _find_duplicates(values: pl.DataFrame, rules: SeriesRules) -> OddSeries:
    duplicates = values.filter(values.select("entity", "period").is_duplicated())
    if not duplicates.height:
        return OddSeries(duplicates["entity"], "", "")
    frequency, row = rules.frequency, duplicates.row(0, named=True)
    return OddSeries(
        duplicates["entity"].unique(),
        f"with several values a {frequency.noun} (first in {frequency.label(row['period'])})",
        f"{row['entity']!r} has {duplicates.filter(entity=row['entity']).height} values that share a {frequency.noun} with "
        f"another, first in {frequency.label(row['period'])}; expected one a series and {frequency.noun}: name every column that "
        "tells series apart with --id, give the right --frequency, and keep revisions in files of their own.",
    )


def _find_sparse(values: pl.DataFrame, rules: SeriesRules) -> OddSeries:
    """Series without two values in neighbouring periods: they are of another frequency, or hardly there."""
    frequency = rules.frequency
    steps = values.select(step=pl.col("period").diff().over("entity"), entity="entity").drop_nulls()
    if not steps.height:
        raise ColumnError(
            f"every series has one value only; a forecast needs at least {MIN_VALUES} {frequency.noun}s of a series."
        )
    usual = steps.group_by("entity").agg(pl.col("step").min().alias("usual"), pl.len().alias("steps"))
    sparse = usual.filter((pl.col("usual") > 1) & (pl.col("steps") >= MIN_STEPS))
    usual_step = float(np.median(sparse["usual"].to_numpy())) if sparse.height else 1.0
    each = f"every {usual_step:g} {frequency.noun}s"
    return OddSeries(
        sparse["entity"],
        f"with a value {each} at most",
        f"--frequency {frequency.name}: values come {each} in {sparse.height:,} of {usual.height:,} series; give the frequency "
        "they have.",
    )


def _find_short(values: pl.DataFrame, rules: SeriesRules) -> OddSeries:
    short = values.group_by("entity").len().filter(pl.col("len") < MIN_VALUES)
    refusal = f"no series has {MIN_VALUES} values or more; bring a longer history."
    return OddSeries(short["entity"], f"with fewer than {MIN_VALUES} values", refusal, share=1.0)


CHECKS: tuple[Callable[[pl.DataFrame, SeriesRules], OddSeries], ...] = (_find_strays, _find_duplicates, _find_sparse, _find_short)
"""What may be odd about a series, in the order of looking. One more oddity is one more line here."""


def _select_complete(values: pl.DataFrame, rules: SeriesRules, notes: list[str]) -> pl.DataFrame:
    if rules.complete_last is None:
        return values
    since = _find_end(values) - rules.complete_last
    complete = values.filter(pl.col("period") > since).group_by("entity").len().filter(pl.col("len") == rules.complete_last)
    notes.append(
        f"{values['entity'].n_unique() - complete.height:,} series with a gap in the last {rules.complete_last} "
        f"{rules.frequency.noun}s were left out (--complete-last)."
    )
    return values.join(complete.select("entity"), on="entity", how="semi", maintain_order="left")


def _find_end(values: pl.DataFrame) -> int:
    return int(values["period"].max())  # type: ignore[arg-type]


def _tell_ended(values: pl.DataFrame, rules: SeriesRules, notes: list[str]) -> None:
    frequency, lasts, silent = rules.frequency, _find_lasts(values), _count_silent_periods(rules)
    end = _find_end(values)
    ended = lasts.filter(end - pl.col("last") > silent)
    if ended.height:
        what = f"that ended more than {frequency.format_periods(silent)} before {frequency.label(end)}"
        _refuse_strictly(ended.height, lasts.height, what, ended["entity"], rules)
        notes.append(f"{ended.height:,} series {what} are not forecast: {_list_ends(ended, frequency)}.")


def _count_silent_periods(rules: SeriesRules) -> int:
    """Periods without a value after which a series is over."""
    return MAX_SILENT_CYCLES * max(rules.cycle, 1)


def _find_lasts(values: pl.DataFrame) -> pl.DataFrame:
    return values.group_by("entity").agg(pl.col("period").max().alias("last")).sort("entity")


def _list_ends(lasts: pl.DataFrame, frequency: Frequency) -> str:
    shown = ", ".join(f"{name!r} (to {frequency.label(last)})" for name, last in lasts.head(MAX_NAMES).iter_rows())
    return shown + (f" and {lasts.height - MAX_NAMES:,} more" if lasts.height > MAX_NAMES else "")


def _describe_late(values: pl.DataFrame, rules: SeriesRules) -> list[str]:
    """Of series whose values stop a little before the others' do."""
    frequency, end = rules.frequency, _find_end(values)
    late = _find_lasts(values).filter((pl.col("last") < end) & (end - pl.col("last") <= _count_silent_periods(rules)))
    if not late.height:
        return []
    text = f"{late.height:,} series have no value in {frequency.label(end)}; their last one is carried forward to it"
    return [f"{text}: {_list_ends(late, frequency)}."]


def _describe_gaps(values: pl.DataFrame) -> list[str]:
    span = values.group_by("entity").agg((pl.col("period").max() - pl.col("period").min() + 1 - pl.len()).alias("gaps"))
    gaps = int(span["gaps"].sum())
    if not gaps:
        return []
    n = span.filter(pl.col("gaps") > 0).height
    return [f"{gaps:,} missing values within {n:,} series: carried forward as inputs, never scored."]


def _describe_signs(values: pl.DataFrame) -> list[str]:
    n_nonpositive = values.filter(pl.col("value") <= 0)["entity"].n_unique()
    return [f"{n_nonpositive:,} series hold zero or negative values: no logarithm is taken of them."] if n_nonpositive else []


def _describe_flat(values: pl.DataFrame) -> list[str]:
    """Of series that have never moved, where others have."""
    spread = pl.col("value").max() - pl.col("value").min() <= FLAT_SHARE * pl.col("value").abs().max()
    is_flat = values.group_by("entity").agg((spread & (pl.len() >= MIN_FLAT_VALUES)).alias("flat"))["flat"]
    n_flat = int(is_flat.sum())
    if not n_flat or n_flat == len(is_flat):
        return []
    return [f"{n_flat:,} series have never changed: widths of intervals, and what they held, are those of the others."]


def _describe_drop(values: pl.DataFrame, rules: SeriesRules) -> list[str]:
    """Of a last period whose values are less than ever beside those of the one before."""
    before = values.sort("entity", "period").with_columns(
        step=pl.col("period").diff().over("entity"), before=pl.col("value").shift(1).over("entity")
    )
    totals = before.filter(pl.col("step") == 1).group_by("period").agg(pl.col("value", "before").sum()).sort("period")
    if values.filter(pl.col("value") < 0).height or totals.height <= MIN_PERIODS or totals["period"][-1] != _find_end(values):
        return []
    shares = (totals["value"] / totals["before"]).fill_nan(1.0).to_numpy()
    if shares[-1] >= min(DROP_SHARE, UNLIKE_SHARE * shares[:-1].min()):
        return []
    label, noun = rules.frequency.label(totals["period"][-1]), rules.frequency.noun
    return [
        f"the values of {label} are together {shares[-1]:.0%} of those of the {noun} before, less than ever; where it is not "
        "over yet, leave it out."
    ]
