"""Columns of the rows known since the parent against those of the windows before: missing cells, distribution, levels."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import polars as pl

from epic22.core.column import Column
from epic22.core.quality.finding import FindingKind
from epic22.core.quality.movement_tests import Histogram, MovementTest
from epic22.core.quality.psi import MIN_ROWS, Movement, count_in_bins, find_edges, measure_movement, pool_windows
from epic22.core.tables.canonical import KNOWN_AT, CanonicalTable
from epic22.core.task import Array
from epic22.core.text import format_figure, format_percent

SPLIT_COLUMNS = {("sensor_readings", "value"): "kind", ("ledger", "amount"): "account"}
"""Columns whose values mean another thing for each level of another: they are compared level by level."""

MAX_LEVELS = 20
MIN_EXPECTED = 5.0
"""Rows of a level in the window before; rarer levels are taken together."""

EMPTIED_SHARE, FILLED_SHARE = 0.95, 0.5
"""A column is emptied that is missing in the first share of rows and was in no more than the second before."""

OTHER_LEVELS = "(others)"


@dataclass(frozen=True)
class Samples:
    """Rows of one table in windows, the newest first. `year_before` are the places of those of about a year before.

    The last `n_same_days` are of the same days of the months before, and overlap the others.
    """

    table: CanonicalTable
    frames: Sequence[pl.DataFrame]
    year_before: tuple[int, ...] = ()
    n_same_days: int = 0
    since: str = "since the parent"
    earlier: str = "in the windows before"

    @property
    def n_sequence(self) -> int:
        """How many windows there are that do not overlap."""
        return len(self.frames) - self.n_same_days

    @property
    def groups(self) -> tuple[tuple[int, ...], ...]:
        """The places of the windows of a year before, and of those of the same days: the newest is compared with each group."""
        same_days = tuple(range(self.n_sequence, len(self.frames)))
        return tuple(group for group in (self.year_before, same_days) if group)

    def measure(self, counts: Array) -> Movement:
        """How far the counts of the newest window lie from those of the others."""
        return measure_movement(counts[: self.n_sequence], [counts[list(group)].sum(axis=0) for group in self.groups])

    def pool(self, counts: Array) -> list[Array]:
        """The counts of the windows before taken together, and those of each group."""
        return [pool_windows(counts, 0), *(counts[list(group)].sum(axis=0) for group in self.groups)]


def compare_columns(samples: Samples) -> Iterator[MovementTest]:
    """The tests of all columns that the table declares."""
    if min(frame.height for frame in samples.frames[:2]) < MIN_ROWS:
        return
    for column in samples.table.columns:
        if column.name not in samples.frames[0].columns:
            continue
        yield from _test_missing_share(samples, column)
        if column.dtype in ("category", "bool"):
            yield from _test_levels(samples, column)
        elif column.name not in samples.table.key and column.dtype != "text" and column.role not in ("id", "never", "protected"):
            yield from _test_values(samples, column)


def _test_missing_share(samples: Samples, column: Column) -> Iterator[MovementTest]:
    missing = np.array([frame[column.name].null_count() for frame in samples.frames], dtype=float)
    if not missing.any():
        return
    counts = np.column_stack([missing, [frame.height for frame in samples.frames] - missing])
    share, *usual = (one[0] / max(one.sum(), 1) for one in (counts[0], *samples.pool(counts)))
    change = min((share - one for one in usual), key=abs)
    is_emptied = share >= EMPTIED_SHARE and max(usual) <= FILLED_SHARE
    evidence = (
        f"{format_percent(share)} of {column.name} is missing in the {samples.frames[0].height:,} rows {samples.since}, "
        f"{format_percent(usual[0])} {samples.earlier}."
    )
    what: FindingKind = "column emptied" if is_emptied else "missing share moved"
    p = samples.measure(counts).p
    yield MovementTest(samples.table.name, column.name, what, abs(float(change)), p, evidence)


def _test_values(samples: Samples, column: Column) -> Iterator[MovementTest]:
    """The distribution of a number, money or time (in days from `known_at`) in bins of the past's quantiles."""
    split = SPLIT_COLUMNS.get((samples.table.name, column.name))
    split = split if split in samples.frames[0].columns else None
    for level in [None] if split is None else samples.frames[0][split].drop_nulls().unique().sort():
        frames = samples.frames if split is None else [frame.filter(pl.col(split) == level) for frame in samples.frames]
        values = [_to_numbers(frame, column) for frame in frames]
        if min(len(values[0]), len(values[1])) < MIN_ROWS:
            continue
        bins = int(np.clip(min(len(values[0]), len(values[1])) // MIN_EXPECTED, 2, 10))
        edges = find_edges(np.concatenate(values[1:]), bins)
        counts = np.array([count_in_bins(one, edges) for one in values])
        name = column.name if level is None else f"{column.name} of {level}"
        middles = [format_figure(float(np.median(one)), 3) for one in (values[0], np.concatenate(values[1:4]))]
        words = f"median {middles[0]} against {middles[1]} {'days from known_at ' if column.dtype == 'time' else ''}"
        yield _build_distribution_test(samples, name, counts, _label_bins(edges), words.strip())


def _to_numbers(frame: pl.DataFrame, column: Column) -> Array:
    if column.dtype == "time":
        return (
            frame.select((pl.col(column.name) - pl.col(KNOWN_AT)).dt.total_seconds() / 86400).to_series().drop_nulls().to_numpy()
        )
    values = frame[column.name].cast(pl.Float64, strict=False).drop_nulls().to_numpy()
    finite: Array = values[np.isfinite(values)]
    return finite


def _label_bins(edges: Array) -> tuple[str, ...]:
    marks = [format_figure(float(edge), 3) for edge in edges]
    if not marks:
        return ("all",)
    return (f"< {marks[0]}", *(f"{a} … {b}" for a, b in pairwise(marks)), f"≥ {marks[-1]}")


def _build_distribution_test(samples: Samples, name: str, counts: Array, labels: tuple[str, ...], words: str) -> MovementTest:
    movement = samples.measure(counts)
    now, before = (one / max(one.sum(), 1) for one in (counts[0], pool_windows(counts, 0)))
    evidence = (
        f"{name} is distributed otherwise in the {int(counts[0].sum()):,} values {samples.since} than {samples.earlier} "
        f"(PSI {format_figure(movement.psi, 2)}, {words})."
    )
    histogram = Histogram(labels, tuple(map(float, before)), tuple(map(float, now)))
    column = name.split(" of ")[0]
    what: FindingKind = "distribution moved"
    return MovementTest(samples.table.name, column, what, movement.psi, movement.p, evidence, histogram=histogram)


def _test_levels(samples: Samples, column: Column) -> Iterator[MovementTest]:
    """The distribution over levels, levels that are new, and levels that came in every window and no longer do."""
    counted = [_count_levels(frame[column.name]) for frame in samples.frames]
    by_level = [dict(zip(one[column.name], one["count"], strict=True)) for one in counted]
    if min(sum(one.values()) for one in by_level[:2]) < MIN_ROWS:
        return
    levels = sorted(set().union(*by_level))
    counts = np.array([[one.get(level, 0) for level in levels] for one in by_level], dtype=float)
    yield from _test_level_changes(samples, column, levels, counts)
    if len(levels) < 2:
        return
    usual = pool_windows(counts, 0)
    common = np.argsort(-usual, kind="stable")[:MAX_LEVELS]
    common = np.sort(common[usual[common] >= MIN_EXPECTED])
    rest = counts.sum(axis=1) - counts[:, common].sum(axis=1)
    together = np.column_stack([counts[:, common], rest]) if rest.any() else counts[:, common]
    names = (*(levels[i] for i in common), *([OTHER_LEVELS] if rest.any() else []))
    now, before = (one / max(one.sum(), 1) for one in (together[0], pool_windows(together, 0)))
    largest = int(np.argmax(np.abs(now - before)))
    words = f"{names[largest]} {format_percent(now[largest])} against {format_percent(before[largest])}"
    yield _build_distribution_test(samples, column.name, together, names, words)


def _count_levels(values: pl.Series) -> pl.DataFrame:
    """The levels as text and how often each comes."""
    return values.drop_nulls().value_counts().with_columns(pl.col(values.name).cast(pl.String))


def _test_level_changes(samples: Samples, column: Column, levels: list[str], counts: Array) -> Iterator[MovementTest]:
    n_now = counts[0].sum()
    for i, level in enumerate(levels):
        if counts[0, i] and not counts[1:, i].any():
            share, p = counts[0, i] / n_now, _compute_new_level_p(samples, column, level)
            rows = f"{int(counts[0, i]):,} of {int(n_now):,} rows {samples.since}"
            evidence = f"{column.name} is {level} in {rows}; no row before had that."
            yield MovementTest(samples.table.name, column.name, "new level", float(share), p, evidence)
        elif not counts[0, i] and counts[1:, i].all():
            share = counts[1, i] / counts[1].sum()
            past = counts[1 : samples.n_sequence]
            p = _compute_absence_p(past[:, i] / np.maximum(past.sum(axis=1), 1) * n_now)
            evidence = (
                f"no row of {int(n_now):,} {samples.since} has {column.name} {level}; {format_percent(share)} had it "
                f"{samples.earlier}, and some in each window."
            )
            yield MovementTest(samples.table.name, column.name, "lost level", float(share), p, evidence)


def _compute_new_level_p(samples: Samples, column: Column, level: str) -> float:
    """The chance that all entities with a level lie in the newest window, were they shuffled over all windows."""
    entity = samples.table.entity if samples.table.entity in samples.frames[0].columns else samples.table.key[0]
    now, before = samples.frames[0], samples.frames[1 : samples.n_sequence]
    with_level = now.filter(pl.col(column.name).cast(pl.String) == level)[entity].n_unique()
    n_now, n_before = now[entity].n_unique(), sum(frame[entity].n_unique() for frame in before)
    return float((n_now / (n_now + n_before)) ** with_level)


def _compute_absence_p(expected: Array) -> float:
    """The chance of no row at all, by a negative binomial with the mean and spread of what the windows before led to expect."""
    mean = float(expected.mean())
    ratio = float(expected.var(ddof=1)) / mean if len(expected) > 1 and mean > 0 else 1.0
    return float(np.exp(-mean) if ratio <= 1 else ratio ** (-mean / (ratio - 1)))
