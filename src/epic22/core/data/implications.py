"""Values that go with one class: which of them may be an honest column's, and which only the label can have written.

A rare level whose few rows are all of one class is what an honest column has too: eight late payments, all of them defaulted. It
is told, and kept. A leak is proved where the values settle most of a class and the other columns come nowhere near: of as many
rows, those that a model of all the others is surest of, it gets far more wrong. In a table of leaves "needle" settles a species,
but so do the measured shapes: nothing is proved. Nor is it by a mark of one class among very many, whatever the others tell.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import scipy

from epic22.core.data.column_scores import assign_folds, bin_values, sample_entities, score_boosting
from epic22.core.task import Array

MAX_VALUES = 50
"""Columns with up to this many values are looked at value by value."""

MIN_SUPPORT = 10
MIN_COVERAGE = 0.02
"""A value must account for this share of the class it forces to be told; less cannot flatter a score by much."""

MAX_EXCEPTIONS = 0.002
SIGNIFICANCE = 1e-6
MIN_ECHO_RANK = 0.9995

MIN_CLASS_SHARE = 0.5
"""A leak settles at least this share of a class, alone or together with columns that settle `MIN_PART` of it each."""

MIN_PART = 0.1
MAX_ERROR = 0.02
"""A value that settles most of a class by itself may err this often: a label that was copied by hand does."""

MIN_OTHERS_ERROR = 0.1
MIN_OTHERS_ERROR_BESIDE_THRESHOLD = 0.02
MIN_ERROR_RATIO = 5.0
"""How often, and how many times as often, all other columns together err on as many rows, where a leak is proved. A number that
parts two classes entirely needs less beside it than a level does."""

MIN_COVERED_CLASSES = 0.1
"""Of so many of the classes a leak settles a part: of thirty species one or two have a mark of their own, and that flatters a
score by no more than their rows."""


@dataclass(frozen=True)
class Marker:
    """What a column says in one case: `rows` (n,) are those where it holds, of which `n_right` are of the class `value`."""

    words: str
    rows: Array
    value: object
    n_right: int

    @property
    def n_rows(self) -> int:
        """In how many rows it holds."""
        return int(self.rows.sum())

    @property
    def error(self) -> float:
        """The share of its rows that are of another class."""
        return 1 - self.n_right / self.n_rows


@dataclass(frozen=True)
class ClassCover:
    """The rows (n,) that a column settles of the class `value`: by values without exceptions, or by one for most of the class."""

    column: str
    value: object
    rows: Array
    coverage: float
    by_threshold: bool = False


@dataclass(frozen=True)
class Proof:
    """What is said of a column that settles most of a class, and whether it is proved that only the label can have filled it."""

    cover: ClassCover
    evidence: str
    is_proved: bool


def list_markers(series: pl.Series, label: pl.Series) -> list[Marker]:
    """The markers of a column that hold in at least 10 rows, each with the class that is most frequent there."""
    markers = []
    for words, holds in _list_indicators(series):
        if int(holds.sum()) >= MIN_SUPPORT:
            counts = label.filter(holds).alias("value").value_counts().sort(["count", "value"], descending=[True, False])
            markers.append(Marker(words, holds.to_numpy(), counts["value"][0], int(counts["count"][0])))
    return markers


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


def find_implication(
    markers: Sequence[Marker], label: pl.Series, n_columns: int, clusters: pl.Series | None
) -> tuple[Marker, float] | None:
    """The marker that most surely forces a class held by at most half of the rows, and its share of that class; None for none.

    At least 10 rows and 2 % of the class, at most 0.2 % exceptions, and a chance below one in a million that this many
    independent rows (or clusters) fall into the class by themselves, over all values and columns asked.
    """
    best: tuple[float, Marker, float] | None = None
    for marker in markers:
        n_class = int((label == marker.value).sum())
        base = n_class / len(label)
        if base > 0.5 or marker.error > MAX_EXCEPTIONS or marker.n_right < MIN_COVERAGE * n_class:
            continue
        chance = _compute_chance(marker, base, clusters) * len(markers) * n_columns
        if chance < SIGNIFICANCE and (best is None or chance < best[0]):
            best = (chance, marker, marker.n_right / n_class)
    return None if best is None else best[1:]


def _compute_chance(marker: Marker, base: float, clusters: pl.Series | None) -> float:
    """The chance that so many independent rows, or clusters, are of a class that has this share of all."""
    n_independent = marker.n_rows if clusters is None else clusters.filter(pl.Series(marker.rows)).n_unique()
    return float(scipy.stats.binom.sf(min(marker.n_right, n_independent) - 1, n_independent, base))


def cover_classes(
    column: str, markers: Sequence[Marker], label: pl.Series, n_columns: int, clusters: pl.Series | None
) -> list[ClassCover]:
    """Of each class, the rows that a column settles, beyond the same chance."""
    covers = []
    for value in dict.fromkeys(marker.value for marker in markers):
        is_class = (label == value).to_numpy()
        n_class, base = int(is_class.sum()), float(is_class.mean())
        clear = [
            marker.rows
            for marker in markers
            if marker.value == value
            and marker.error <= (MAX_ERROR if marker.n_right >= MIN_CLASS_SHARE * n_class else MAX_EXCEPTIONS)
            and _compute_chance(marker, base, clusters) * len(markers) * n_columns < SIGNIFICANCE
        ]
        if clear:
            rows = np.logical_or.reduce(clear)
            covers.append(ClassCover(column, value, rows, float((rows & is_class).sum() / is_class.sum())))
    return covers


def find_separation(series: pl.Series, label: pl.Series) -> list[ClassCover]:
    """The rows on one side of the threshold by which a number tells two classes apart: a ROC AUC of at least 0.9995."""
    classes = label.unique().sort()
    if not series.dtype.is_numeric() or len(classes) != 2 or series.n_unique() <= MAX_VALUES:
        return []
    both = pl.DataFrame({"x": series.cast(pl.Float64), "y": label == classes[1]})
    known = both.drop_nulls()
    positives = int(known["y"].sum())
    negatives = known.height - positives
    if min(positives, negatives) < MIN_SUPPORT or known.height < 0.9 * len(series):
        return []
    ranks = known.select(pl.col("x").rank().filter(pl.col("y")).sum()).item()
    area = (ranks - positives * (positives + 1) / 2) / (positives * negatives)
    if max(area, 1 - area) < MIN_ECHO_RANK:
        return []
    is_high = area > 0.5
    highest = known["x"].sort(descending=is_high)[positives - 1]
    rows = ((both["x"] >= highest) if is_high else (both["x"] <= highest)).fill_null(value=False).to_numpy()
    y = both["y"].to_numpy()
    return [ClassCover(series.name, classes[1], rows, float((rows & y).sum() / y.sum()), by_threshold=True)]


def prove_leaks(
    covers: Sequence[ClassCover], columns: Mapping[str, pl.Series], label: pl.Series, clusters: pl.Series | None, seed: int = 0
) -> tuple[Proof, ...]:
    """Of the columns that settle most of a class, alone or together, whether the others would come near.

    `columns` are all inputs that could be learned from, by name. Nothing is proved where there is none beside the suspects. About
    20,000 rows at most are looked at, clusters whole.
    """
    proofs: dict[str, Proof] = {}
    n_classes, n_covered = label.n_unique(), Counter(one.column for one in covers if one.coverage >= MIN_PART)
    entity = np.arange(len(label)) if clusters is None else clusters.cast(pl.String).fill_null("missing").to_numpy()
    for value in dict.fromkeys(one.value for one in covers):
        suspects = _select_suspects([one for one in covers if one.value == value], (label == value).to_numpy())
        if not suspects:
            continue
        names = {one.column for one in suspects}
        others = [bin_values(series) for name, series in columns.items() if name not in names]
        if not others:
            continue
        errors = _compare_errors(suspects, np.column_stack(others), (label == value).to_numpy(), entity, seed)
        by_threshold = any(one.by_threshold for one in suspects)
        least = MIN_OTHERS_ERROR_BESIDE_THRESHOLD if by_threshold else MIN_OTHERS_ERROR
        is_far_off = errors[1] >= max(least, MIN_ERROR_RATIO * errors[0])
        for one in suspects:
            is_proved = is_far_off and n_covered[one.column] >= MIN_COVERED_CLASSES * n_classes
            if one.column in proofs and proofs[one.column].is_proved:
                continue
            together = "" if len(suspects) == 1 else f" ({len(suspects)} such columns together {_unite(suspects, label):.0%})"
            evidence = (
                f"it settles {one.coverage:.0%} of the rows with {label.name} = {value}{together} and errs in {errors[0]:.1%}, "
                f"all other columns on as many rows in {errors[1]:.1%}"
            )
            ending = (
                ": only the label tells so much."
                if is_proved
                else f": but {n_covered[one.column]} of {n_classes} classes may have a mark of their own."
                if is_far_off
                else ": they tell it nearly as well."
            )
            proofs[one.column] = Proof(one, evidence + ending, is_proved)
    return tuple(proofs.values())


def _unite(suspects: Sequence[ClassCover], label: pl.Series) -> float:
    """The share of the class that the suspects settle together."""
    is_class = (label == suspects[0].value).to_numpy()
    return float((np.logical_or.reduce([one.rows for one in suspects]) & is_class).sum() / is_class.sum())


def _select_suspects(covers: Sequence[ClassCover], is_class: Array) -> list[ClassCover]:
    """The columns that settle most of the class each; else the parts of it that settle most of it together."""
    alone = [one for one in covers if one.coverage >= MIN_CLASS_SHARE]
    if alone:
        return alone
    parts = [one for one in covers if one.coverage >= MIN_PART]
    if not parts:
        return []
    union = np.logical_or.reduce([one.rows for one in parts])
    return parts if (union & is_class).sum() >= MIN_CLASS_SHARE * is_class.sum() else []


def _compare_errors(
    suspects: Sequence[ClassCover], others: Array, is_class: Array, entity: Array, seed: int
) -> tuple[float, float]:
    """How often the suspects err on the rows they settle, and all others on as many, those they are surest of."""
    rows = sample_entities(entity, seed)
    is_covered, y = np.logical_or.reduce([one.rows for one in suspects])[rows], is_class[rows].astype(float)
    if not is_covered.any():
        return 0.0, 0.0
    score = score_boosting(others[rows], y, assign_folds(entity[rows], seed), seed)
    surest = np.argsort(-score, kind="stable")[: int(is_covered.sum())]
    return float(1 - y[is_covered].mean()), float(1 - y[surest].mean())
