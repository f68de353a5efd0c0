"""The leak audit: what a table gives away, by evidence and never by a column's name.

A finding states figures, and says whether training leaves the column out unless told to keep it. Rules look at whole
columns and at single values of columns with few of them; they do not cut measured quantities into tails, where a strong
cause and a leak look alike.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

import numpy as np
import polars as pl
from scipy import stats

from epic22.core.targets import KINDS
from epic22.core.task import Array, Column, Kind

SuspicionKind = Literal[
    "id",
    "row number",
    "near-key",
    "label echo",
    "implies the label",
    "duplicate rows",
    "time overlap",
    "group overlap",
    "post-event column",
    "implausible score",
    "known_at violation",
]

KEY_SHARE = 0.95
"""A column of which at least this share of values is distinct is a key, not a quantity."""

MIN_ROWS = 20
SPARSITY = 1000
"""Whole numbers spread over a range this many times the number of rows are numbers of accounts, not measurements."""

MAX_VALUES = 50
"""Columns with up to this many values are looked at value by value."""

MIN_SUPPORT = 10
MIN_COVERAGE = 0.02
"""A value must account for this share of the class it forces; less cannot flatter a score by much."""

MAX_EXCEPTIONS = 0.002
SIGNIFICANCE = 1e-6
MIN_ECHO_SHARE = 0.999
MIN_ECHO_RANK = 0.9995


@dataclass(frozen=True)
class Suspicion:
    """A finding. `column` is None where it is about rows or the split; `withheld`: training leaves the column out."""

    column: str | None
    suspicion: SuspicionKind
    evidence: str
    withheld: bool


def audit_columns(
    frame: pl.DataFrame,
    columns: tuple[Column, ...],
    label: pl.Series,
    kind: Kind,
    clusters: pl.Series | None = None,
) -> tuple[Suspicion, ...]:
    """What the columns give away about the rows' identity and the label; at most one finding a column, the gravest first.

    `frame` is typed; only inputs, and free text that was put aside, are judged. `label` holds class values or numbers.
    `clusters` says which rows are not independent (a group, a day): a value seen on one day only is one piece of evidence.
    """
    candidates = [c for c in columns if c.role == "input" or (c.dtype == "text" and c.role == "never")]
    suspicions: list[Suspicion] = []
    for column in candidates:
        series = frame[column.name]
        suspicion = _detect_key(series) or (
            _detect_label_leak(series, label, kind, len(candidates), clusters) if column.role == "input" else None
        )
        if suspicion is not None:
            suspicions.append(suspicion)
    return tuple(suspicions)


def _detect_key(series: pl.Series) -> Suspicion | None:
    """Ids: nearly all-distinct text; whole numbers that count the rows; whole numbers sparse in their range."""
    present = series.drop_nulls()
    n, distinct = len(present), present.n_unique()
    if n < MIN_ROWS or distinct < KEY_SHARE * n or series.dtype.is_float() or series.dtype.is_temporal():
        return None
    if not series.dtype.is_integer():
        kind: SuspicionKind = "id" if distinct == n else "near-key"
        return Suspicion(series.name, kind, f"{distinct:,} different texts in {n:,} rows: it names the row.", True)
    return _detect_number_key(present, n, distinct)


def _detect_number_key(present: pl.Series, n: int, distinct: int) -> Suspicion | None:
    span = int(present.max()) - int(present.min()) + 1  # type: ignore[arg-type]
    if distinct == n and span <= 2 * n:
        ordered = present.is_sorted() or present.is_sorted(descending=True)
        kind: SuspicionKind = "row number" if ordered else "id"
        return Suspicion(present.name, kind, f"{n:,} different whole numbers out of {span:,} in a row: it counts the rows.", True)
    if n >= 1000 and span >= SPARSITY * n:
        hint = "" if distinct == n else f"; {n - distinct:,} rows repeat one: name it with --id or --group"
        evidence = f"{distinct:,} different whole numbers in {n:,} rows, spread over {span:,}: it names the row{hint}."
        return Suspicion(present.name, "near-key", evidence, True)
    return None


def _detect_label_leak(
    series: pl.Series, label: pl.Series, kind: Kind, n_columns: int, clusters: pl.Series | None
) -> Suspicion | None:
    if len(series) < MIN_ROWS:
        return None
    if KINDS[kind].is_regression:
        return _detect_value_echo(series, label) or _detect_zero_echo(series, label)
    return (
        _detect_class_echo(series, label)
        or _detect_separation(series, label)
        or _detect_implication(series, label, n_columns, clusters)
    )


def _detect_value_echo(series: pl.Series, label: pl.Series) -> Suspicion | None:
    """A number that orders the rows as the label does: |Spearman| of at least 0.9995."""
    if not series.dtype.is_numeric():
        return None
    both = pl.DataFrame({"x": series, "y": label}).drop_nulls()
    if both.height < max(MIN_ROWS, 0.5 * len(series)) or both["x"].n_unique() < MIN_ROWS:
        return None
    rank = both.select(pl.corr("x", "y", method="spearman")).item()
    if rank is None or math.isnan(rank) or abs(rank) < MIN_ECHO_RANK:
        return None
    evidence = f"it orders {both.height:,} rows as {label.name} does (rank correlation {rank:.5f})."
    return Suspicion(series.name, "label echo", evidence, True)


def _detect_zero_echo(series: pl.Series, label: pl.Series) -> Suspicion | None:
    """Zero or missing exactly where the label is zero, when between 2 % and 98 % of labels are."""
    zero = label == 0
    share = zero.mean()
    if not isinstance(share, float) or not 0.02 <= share <= 0.98 or not (series.dtype.is_numeric()):
        return None
    empty = (series == 0).fill_null(value=True)
    agree = float((empty == zero).mean())  # type: ignore[arg-type]
    if agree < MIN_ECHO_SHARE:
        return None
    evidence = f"it is zero or empty exactly where {label.name} is zero ({agree:.2%} of rows; {share:.1%} of labels are zero)."
    return Suspicion(series.name, "implies the label", evidence, True)


def _detect_class_echo(series: pl.Series, label: pl.Series) -> Suspicion | None:
    """Few values, each of which stands for one class: the label in other words."""
    counts = _count_values(series, label)
    if counts is None:
        return None
    right = counts.group_by("x").agg(pl.col("n").max())["n"].sum() / len(series)
    best_of_y = counts.group_by("y").agg(pl.col("n").max())["n"].sum() / len(series)
    if right < MIN_ECHO_SHARE or best_of_y < 0.5 or not _is_informative(counts, len(series)):
        return None
    evidence = f"each of its values stands for one value of {label.name} in {right:.2%} of {len(series):,} rows."
    return Suspicion(series.name, "label echo", evidence, True)


def _is_informative(counts: pl.DataFrame, n: int) -> bool:
    """Whether every class has a value of its own; else a rare class could hide in the 0.1 % that may err."""
    majority = counts.sort("n", descending=True).unique("x", keep="first", maintain_order=True)
    rarest = int(counts.group_by("y").agg(pl.col("n").sum())["n"].to_numpy().min())
    return majority["y"].n_unique() == counts["y"].n_unique() and rarest > (1 - MIN_ECHO_SHARE) * n


def _count_values(series: pl.Series, label: pl.Series) -> pl.DataFrame | None:
    """Counts [x, y, n] of value against class, missing as a value; None for columns with many values."""
    text = series.cast(pl.String).fill_null("(missing)")
    if text.n_unique() > MAX_VALUES:
        return None
    return pl.DataFrame({"x": text, "y": label.cast(pl.String)}).group_by("x", "y").agg(pl.len().alias("n"))


def _detect_separation(series: pl.Series, label: pl.Series) -> Suspicion | None:
    """A number that tells two classes apart by one threshold: an area under the ROC curve of at least 0.9995."""
    classes = label.unique().sort()
    if not series.dtype.is_numeric() or len(classes) != 2 or series.n_unique() <= MAX_VALUES:
        return None
    both = pl.DataFrame({"x": series.cast(pl.Float64), "y": label == classes[1]}).drop_nulls()
    positives = int(both["y"].sum())
    negatives = both.height - positives
    if min(positives, negatives) < MIN_SUPPORT or both.height < 0.9 * len(series):
        return None
    ranks = both.select(pl.col("x").rank().filter(pl.col("y")).sum()).item()
    area = (ranks - positives * (positives + 1) / 2) / (positives * negatives)
    if max(area, 1 - area) < MIN_ECHO_RANK:
        return None
    evidence = f"one threshold on it tells {label.name} apart (area under the ROC curve {max(area, 1 - area):.5f})."
    return Suspicion(series.name, "label echo", evidence, True)


def _detect_implication(series: pl.Series, label: pl.Series, n_columns: int, clusters: pl.Series | None) -> Suspicion | None:
    """A value, or being missing, present, or other than usual, that forces a class held by at most half of the rows.

    At least 10 rows and 2 % of the class, at most 0.2 % exceptions, and a chance below one in a million that this many
    independent rows (or clusters) fall into the class by themselves, over all values and columns asked.
    """
    best: tuple[float, str] | None = None
    indicators = _list_indicators(series)
    for words, holds in indicators:
        support = int(holds.sum())
        if support < MIN_SUPPORT:
            continue
        counts = label.filter(holds).alias("value").value_counts(sort=True)
        forced, n_forced = counts["value"][0], int(counts["count"][0])
        base = int((label == forced).sum()) / len(label)
        if base > 0.5 or support - n_forced > MAX_EXCEPTIONS * support or n_forced < MIN_COVERAGE * base * len(label):
            continue
        n_independent = support if clusters is None else clusters.filter(holds).n_unique()
        chance = float(stats.binom.sf(min(n_forced, n_independent) - 1, n_independent, base)) * len(indicators) * n_columns
        if chance < SIGNIFICANCE and (best is None or chance < best[0]):
            evidence = f"{words} means {label.name} = {forced} in {n_forced:,} of {support:,} rows ({base:.1%} of all rows are)."
            best = (chance, evidence)
    return None if best is None else Suspicion(series.name, "implies the label", best[1], True)


def _list_indicators(series: pl.Series) -> list[tuple[str, pl.Series]]:
    """Yes-no questions a column can answer, in words and as booleans."""
    indicators: list[tuple[str, pl.Series]] = []
    missing = series.is_null()
    if missing.any():
        indicators += [("missing", missing), ("present", ~missing)]
    counts = series.drop_nulls().alias("value").value_counts().sort(["count", "value"], descending=[True, False])
    if not counts.height:
        return indicators
    values = counts["value"]
    if len(values) <= MAX_VALUES:
        indicators += [(str(value), (series == value).fill_null(value=False)) for value in values]
    if int(counts["count"][0]) >= 0.5 * len(series):
        indicators.append((f"other than {values[0]}", (series != values[0]).fill_null(value=False)))
    return indicators


def audit_folds(
    inputs: pl.DataFrame,
    folds: Sequence[tuple[Array, Array]],
    at: Array | None,
    embargo: timedelta,
    groups: Array | None,
) -> tuple[Suspicion, ...]:
    """What training and test parts share: copies of rows, time, groups. `folds` are (train, test) row numbers."""
    suspicions = (
        _detect_duplicate_rows(inputs, folds),
        _detect_time_overlap(folds, at, embargo),
        _detect_group_overlap(folds, groups),
    )
    return tuple(suspicion for suspicion in suspicions if suspicion is not None)


def _detect_duplicate_rows(inputs: pl.DataFrame, folds: Sequence[tuple[Array, Array]]) -> Suspicion | None:
    if not inputs.width:
        return None
    row_hashes = inputs.hash_rows(seed=0).to_numpy()
    n_shared = sum(int(np.isin(row_hashes[test], row_hashes[train]).sum()) for train, test in folds)
    n_test = sum(len(test) for _, test in folds)
    if not n_shared:
        return None
    evidence = f"{n_shared:,} of {n_test:,} test rows ({n_shared / n_test:.1%}) have the same inputs as a training row."
    return Suspicion(None, "duplicate rows", evidence, False)


def _detect_time_overlap(folds: Sequence[tuple[Array, Array]], at: Array | None, embargo: timedelta) -> Suspicion | None:
    if at is None:
        return None
    span = np.timedelta64(embargo)
    n_early = sum(int((at[test] < (at[train] + span).max()).sum()) for train, test in folds if len(train))
    if not n_early:
        return None
    n_test = sum(len(test) for _, test in folds)
    evidence = (
        f"{n_early:,} of {n_test:,} test rows are earlier than some training row's label: "
        "the scores say how well gaps in a known period are filled, not how well the future is met."
    )
    return Suspicion(None, "time overlap", evidence, False)


def _detect_group_overlap(folds: Sequence[tuple[Array, Array]], groups: Array | None) -> Suspicion | None:
    if groups is None:
        return None
    n_shared = sum(int(np.isin(groups[test], groups[train]).sum()) for train, test in folds)
    if not n_shared:
        return None
    n_test = sum(len(test) for _, test in folds)
    evidence = (
        f"{n_shared:,} of {n_test:,} test rows belong to a group that trained too: the scores hold for groups already known."
    )
    return Suspicion(None, "group overlap", evidence, False)
