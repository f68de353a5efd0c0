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

from epic22.core.data.copies import encode_copies
from epic22.core.data.implications import (
    MAX_VALUES,
    MIN_ECHO_RANK,
    MIN_SUPPORT,
    SIGNIFICANCE,
    ClassCover,
    cover_classes,
    find_implication,
    find_separation,
    list_markers,
    prove_leaks,
)
from epic22.core.serialization import collect_views, view
from epic22.core.statistics import Interval
from epic22.core.targets import KINDS, TargetKind
from epic22.core.task import Array, Column, Kind
from epic22.core.text import describe_difference, format_figure

SuspicionKind = Literal[
    "id",
    "row number",
    "near-key",
    "label echo",
    "implies the label",
    "label means",
    "duplicate rows",
    "time overlap",
    "group overlap",
    "post-event column",
    "implausible score",
    "known_at violation",
    "code for missing",
    "merged values",
    "far label",
]

KEY_SHARE = 0.95
"""A column of which at least this share of values is distinct is a key, not a quantity."""

MIN_ROWS = 20
SPARSITY = 1000
"""Whole numbers spread over a range this many times the number of rows are numbers of accounts, not measurements."""

MIN_ECHO_SHARE = 0.999
RARE_SHARE, MAX_RARE_ERROR = 0.02, 0.05
"""Of a class of fewer rows than this share, a column errs in no more than this share of as many rows."""
MIN_ORDERED_ROWS = 200
MIN_MEANS = 5
"""So many different means at least, over most of the rows, make a column of the label's means."""

MIN_MEAN_ROWS = 0.5
MIN_SAME_LENGTH = 0.8
"""Numbers of accounts have as many digits nearly all; amounts differ in length."""

MIN_REPEATS = 20.0
"""Where chance would repeat this many numbers and none is repeated, someone gave them out."""


LABEL_SUSPICIONS: frozenset[SuspicionKind] = frozenset(
    ("id", "row number", "near-key", "label echo", "implies the label", "label means", "post-event column", "implausible score")
)
"""Findings by which a column may know more than there is to know: where it is used, its price is told."""


@dataclass(frozen=True)
class ColumnPrice:
    """The scores of a family with a column and without it on the same folds; `difference` > 0: better with it."""

    column: str
    family: str
    metric: str
    with_column: float
    without_column: float
    difference: Interval

    @property
    def words(self) -> str:
        """The race in words."""
        scores = f"{format_figure(self.with_column)} with it, {format_figure(self.without_column)} without"
        difference = describe_difference(self.difference)
        return f"{self.family} has {self.metric} {scores}: {difference} with it; --drop {self.column} if it is known later."


@dataclass(frozen=True)
class Suspicion:
    """A finding. `column` is None where it is about rows or the split; `withheld`: training leaves the column out.

    `price` is what a doubtful column that is used is worth, where that was measured. `overruled`: it would be left out, and a
    person says that it is to be used.
    """

    column: str | None
    suspicion: SuspicionKind
    evidence: str
    withheld: bool
    price: ColumnPrice | None = None
    overruled: bool = False

    @property
    def words(self) -> str:
        """The evidence, and the price where there is one."""
        return self.evidence if self.price is None else f"{self.evidence} {self.price.words}"


SUSPICION_VIEWS = collect_views(
    view(Suspicion, "column suspicion evidence withheld price?"),
    view(
        ColumnPrice,
        "family metric with=with_column without=without_column difference=difference.value low=difference.low "
        "high=difference.high",
    ),
)
"""What JSON says of findings."""


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
    suspicions: dict[str, Suspicion] = {}
    for column in candidates:
        series = frame[column.name]
        suspicion = _detect_key(series) or (
            _detect_label_leak(series, label, KINDS[kind]) if column.role == "input" and len(series) >= MIN_ROWS else None
        )
        if suspicion is not None:
            suspicions[column.name] = suspicion
    if frame.height >= MIN_ROWS:
        inputs = [c.name for c in candidates if c.role == "input" and not (c.name in suspicions and suspicions[c.name].withheld)]
        if KINDS[kind].is_regression:
            times = pl.selectors.datetime() - pl.selectors.by_name(label.name, require_all=False)
            suspicions = _audit_zeros(frame.select(inputs), label, clusters, frame.select(times)) | suspicions
        else:
            suspicions |= _audit_class_markers(frame.select(inputs), label, len(candidates), clusters)
    return tuple(suspicions[c.name] for c in candidates if c.name in suspicions)


def _audit_class_markers(
    inputs: pl.DataFrame, label: pl.Series, n_columns: int, clusters: pl.Series | None
) -> dict[str, Suspicion]:
    """Columns whose values settle a class: withheld where only the label can have filled them, else told."""
    suspicions, covers = {}, []
    for series in inputs:
        markers = list_markers(series, label)
        covers += find_separation(series, label) or cover_classes(series.name, markers, label, n_columns, clusters)
        implication = find_implication(markers, label, n_columns, clusters)
        if implication is not None:
            marker, coverage = implication
            evidence = (
                f"{marker.words} means {label.name} = {marker.value} in {marker.n_right:,} of {marker.n_rows:,} rows "
                f"({(label == marker.value).to_numpy().mean():.1%} of all rows are; this is {coverage:.1%} of them)."
            )
            suspicions[series.name] = Suspicion(series.name, "implies the label", evidence, False)
    for proof in prove_leaks(covers, {series.name: series for series in inputs}, label, clusters):
        name = proof.cover.column
        marked = f"{suspicions[name].evidence[:-1]}; " if name in suspicions else ""
        if proof.is_proved or marked:
            kind: SuspicionKind = "label echo" if proof.cover.by_threshold else "implies the label"
            suspicions[name] = Suspicion(name, kind, marked + proof.evidence, proof.is_proved)
    return suspicions


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
    if distinct == n and (expected := _count_chance_repeats(present)) >= MIN_REPEATS:
        evidence = (
            f"{n:,} different whole numbers in {n:,} rows, where measured ones so close would repeat about {expected:,.0f} "
            "times: it names the row."
        )
        return Suspicion(present.name, "id", evidence, True)
    if n >= 1000 and span >= SPARSITY * n:
        hint = "" if distinct == n else f"; {n - distinct:,} rows repeat one: name it with --id or --group"
        numbers = f"{distinct:,} different whole numbers in {n:,} rows, spread over {span:,}"
        if _measure_same_length(present) >= MIN_SAME_LENGTH:
            return Suspicion(present.name, "near-key", f"{numbers}, nearly all of one length: it names the row{hint}.", True)
        return Suspicion(present.name, "near-key", f"{numbers}: does it name the row, or is it an amount?{hint}", False)
    return None


def _measure_same_length(present: pl.Series) -> float:
    """The share of the numbers that have the most frequent count of digits."""
    return float(present.abs().cast(pl.String).str.len_chars().alias("length").value_counts()["count"].to_numpy().max()) / len(
        present
    )


def _count_chance_repeats(present: pl.Series) -> float:
    """How many pairs of equal numbers chance would make of whole numbers that lie as these do, twenty neighbours at a time."""
    values = present.sort().to_numpy().astype(float)
    ends = np.append(np.arange(0, len(values) - 1, 20), len(values) - 1)
    counts, widths = np.diff(ends), np.diff(values[ends])
    return float((counts**2 / (2 * np.maximum(widths, 1.0))).sum())


def _detect_label_leak(series: pl.Series, label: pl.Series, kind: TargetKind) -> Suspicion | None:
    """The label in other words, whatever the other columns are."""
    if kind.is_regression:
        return _detect_value_echo(series, label) or _detect_label_means(series, label)
    positive = label == label.unique().sort()[-1]
    return _detect_class_echo(series, label) or (
        _detect_label_means(series, positive.cast(pl.Float64).alias(label.name)) if kind.has_positive_class else None
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
    return Suspicion(series.name, "label echo", evidence, both.height >= MIN_ORDERED_ROWS or _is_linear(both))


def _is_linear(both: pl.DataFrame) -> bool:
    """Whether y is x in another unit, to six digits: in few rows a smooth cause orders them as the label does too."""
    x, y = (both[name].cast(pl.Float64).to_numpy() for name in ("x", "y"))
    slope, level = np.polyfit(x - x.mean(), y, 1)
    return bool(np.abs(y - level - slope * (x - x.mean())).max() <= 1e-6 * np.ptp(y))


def _detect_label_means(series: pl.Series, label: pl.Series) -> Suspicion | None:
    """Each value is the mean of the label over the rows that have it, to the last digit written: a category encoded by labels.

    Means over single rows are passed over. Judged by the chance that so many independent means match their value as nearly.
    """
    if not series.dtype.is_float() or series.n_unique() < MIN_MEANS:
        return None
    both = pl.DataFrame({"x": series, "y": label.cast(pl.Float64)}).drop_nulls()
    groups = both.group_by("x").agg(n=pl.len(), mean=pl.col("y").mean(), spread=pl.col("y").std()).filter(pl.col("n") > 1)
    spread = float(both["y"].std() or 0.0)  # type: ignore[arg-type]
    if groups.height < MIN_MEANS or spread == 0 or int(groups["n"].sum()) < MIN_MEAN_ROWS * both.height:
        return None
    difference = (groups["x"] - groups["mean"]).abs()
    tolerance = max(1e-9 * spread, 0.5 * 10.0 ** -_count_decimals(series))
    # A mean of n labels lies within the tolerance of a number chosen without it this often at most.
    chance = (2 * tolerance * groups["n"].sqrt() / (spread * math.sqrt(2 * math.pi))).clip(0.0, 1.0)
    if (difference > 1.001 * tolerance).any() or float(chance.log().sum()) > math.log(SIGNIFICANCE):
        return None
    evidence = f"each of its {groups.height:,} values is the mean of {label.name} over the rows that have it: made of the labels."
    return Suspicion(series.name, "label means", evidence, True)


def _count_decimals(series: pl.Series) -> int:
    """How many decimals numbers are written with, at most 9."""
    values = series.drop_nulls().unique().to_numpy()
    return next((d for d in range(9) if np.allclose(values, values.round(d), rtol=0.0, atol=1e-12)), 9)


def _audit_zeros(inputs: pl.DataFrame, label: pl.Series, clusters: pl.Series | None, times: pl.DataFrame) -> dict[str, Suspicion]:
    """Numbers that are zero or missing exactly where the label is zero, where that is so in rows enough, and not so in as many.

    Told, as any value that goes with one class is, and withheld where that is proved: sunshine is zero by night as a plant's
    power is, and the hour tells the night as well, be it a column or that of one of the `times`. Without any, the rows around one
    tell it, where zeros come in runs again and again. Where there is nothing else to tell the zeros, only the label can.
    """
    is_zero = (label == 0).fill_null(value=False).to_numpy()
    share = float(is_zero.mean())
    n_rarer = min(int(is_zero.sum()), int((~is_zero).sum()))
    is_rare = not RARE_SHARE <= share <= 1 - RARE_SHARE
    if not n_rarer or (is_rare and n_rarer < MIN_SUPPORT):
        return {}
    # A boosted model of all other columns is asked which labels are zero: two classes, as for any other mark of one. The rarer
    # is looked for: of the more frequent one chance gets nearly every row right.
    zero, other = "0", "any value but 0"
    classes, agreement = pl.Series(label.name, np.where(is_zero, zero, other)), {}
    value, is_value = (zero, is_zero) if share <= 0.5 else (other, ~is_zero)
    covers: list[ClassCover] = []
    for series in inputs.select(pl.selectors.numeric()):
        is_empty = (series == 0).fill_null(value=True).to_numpy()
        agreement[series.name] = float((is_empty == is_zero).mean())
        n_errors = int((is_empty != is_zero).sum())
        # Of a rare class a column that is nearly never, or nearly always, zero has few rows wrong whatever it says.
        if agreement[series.name] >= MIN_ECHO_SHARE and not (is_rare and n_errors > MAX_RARE_ERROR * n_rarer):
            rows = is_empty if value == zero else ~is_empty
            covers.append(ClassCover(series.name, value, rows, float((rows & is_value).sum() / is_value.sum())))
    if not covers:
        return {}
    hours = {f"hour of {series.name}": series.dt.hour() for series in times}
    neighbours = {} if hours else _list_neighbours(is_zero)
    columns = {series.name: series for series in inputs} | hours | neighbours
    proofs = {one.cover.column: one for one in prove_leaks(covers, columns, classes, clusters)}
    is_alone = len(covers) == len(columns)
    suspicions = {}
    for cover in covers:
        agree = f"{agreement[cover.column]:.2%} of rows; {share:.1%} of labels are zero"
        evidence, proof = f"it is zero or empty exactly where {label.name} is zero ({agree})", proofs.get(cover.column)
        evidence += "; zeros come in runs, as those of nights do" if neighbours else ""
        evidence += f"; {proof.evidence}" if proof else "; no other column tells the zeros." if is_alone else "."
        is_proved = proof.is_proved if proof else is_alone
        suspicions[cover.column] = Suspicion(cover.column, "implies the label", evidence, is_proved)
    return suspicions


def _list_neighbours(is_zero: Array) -> dict[str, pl.Series]:
    """Whether the label is zero in the row before and in the one behind, where zeros come in runs far more than by chance.

    Of rows that are sorted by the label there are two runs, which say nothing.
    """
    share, n_changes = float(is_zero.mean()), int((is_zero[1:] != is_zero[:-1]).sum())
    if not 2 * MIN_SUPPORT <= n_changes < share * (1 - share) * len(is_zero):
        return {}
    zeros = pl.Series(is_zero.astype(np.int64))
    return {"row before": zeros.shift(1), "row behind": zeros.shift(-1)}


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
    codes = encode_copies(inputs)
    n_shared = sum(int(np.isin(codes[test], codes[train]).sum()) for train, test in folds)
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
