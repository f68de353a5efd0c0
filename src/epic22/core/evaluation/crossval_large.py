"""Families on the folds of a table that is larger than memory.

Boosting sees every row, block by block, through one quantised matrix a fold; the constant sees every label; what else there is
sees the training rows of the sample. All are scored on every test row. Intervals, and what rests on them, come from the test rows
of the sample: wider than all rows would give.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from epic22.core.data.examples import Examples
from epic22.core.data.large_table import LargeTable
from epic22.core.data.preprocess import Preprocessor
from epic22.core.data.sides import LATE, TEST, TRAIN, WATCH, SidesPlan
from epic22.core.data.split import Fold, FoldPlan
from epic22.core.evaluation.crossval import (
    Evaluation,
    FittedFold,
    FoldResponse,
    Score,
    row_milliseconds,
    scores_with_intervals,
)
from epic22.core.evaluation.metrics import metrics_of
from epic22.core.models.base import Estimator, Family, response_of
from epic22.core.models.boosting import Boosting
from epic22.core.models.boosting_blocks import LARGE, Sample, fit_on, quantised, quantised_bytes, search_on
from epic22.core.models.catalog import family_named
from epic22.core.task import Array, Rows, Task

if TYPE_CHECKING:
    import xgboost

RACED = ("constant", "linear", "boosting")
"""The families that are trained on a table larger than memory."""

CAP_SHARE = 0.5
"""A quantised matrix that would hold more than this share of the cap is kept on disk."""


TERMS_SHARE, BYTES_A_TERM = 0.25, 40
"""The share of the cap that the terms of a linear model may take, and the bytes of a term: it is scaled, solved and kept."""

MOST_LINEAR_ROWS = 50_000
"""Rows of the sample that a linear model is fitted on: many times its terms."""

BLOCK_TERMS = 4_000_000
"""Terms of the rows that are answered at once."""


@dataclass(frozen=True)
class Setting:
    """What training has to work with: threads, a memory cap in bytes, a folder on disk, the seed.

    With `shape` and `rounds` of boosting given, nothing is searched for.
    """

    threads: int
    cap: int
    scratch: Path
    seed: int = 0
    shape: dict[str, float] | None = None
    rounds: int | None = None


@dataclass(frozen=True, eq=False)
class Measured:
    """A family on a plan: `whole` has the scores of all test rows, `drawn` those of the sample's; `chosen` is what its last fold
    found: shape and rounds of boosting, else None."""

    whole: Evaluation
    drawn: Evaluation
    chosen: tuple[dict[str, float], int] | None


def on_disk(table: LargeTable, setting: Setting) -> bool:
    """Whether the quantised matrix is kept on disk under that cap."""
    return quantised_bytes(len(table), len(table.columns)) > CAP_SHARE * setting.cap


def evaluate(
    family: Family,
    task: Task,
    table: LargeTable,
    sides: SidesPlan,
    examples: Examples,
    plan: FoldPlan,
    setting: Setting,
    progress: Callable[[], None] = lambda: None,
) -> Measured:
    """The family on every fold of `sides`. `examples` and `plan` are the sample's: the same folds, of its rows alone."""
    metrics, chosen = metrics_of(task.target), None
    values, parts, seconds, row_ms = [], [], [], float("nan")
    for number, fold in enumerate(plan.folds):
        side = sides.sides(number)
        began = time.perf_counter()
        fitted, chosen = fit_fold(family, task, table, side, setting)
        seconds.append(time.perf_counter() - began)
        tested, response = responses(fitted, table, side == TEST, task)
        y = table.y[tested]
        values.append([metric.score(y, response, Rows()) for metric in metrics])
        parts.append(FoldResponse(fold, response[np.searchsorted(tested, table.places[fold.test])], fitted))
        row_ms = row_milliseconds(fitted, task, examples.take(fold.test[:50]))
        progress()
    drawn = scores_with_intervals(metrics, tuple(parts), examples, plan, setting.seed)
    whole = tuple(_recentred(score, folds) for score, folds in zip(drawn, np.array(values).T, strict=True))
    target = task.target
    fingerprint = plan.fingerprint(examples.data_version)
    told = Evaluation(family.name, target.name, target.horizon, drawn, tuple(parts), fingerprint, float(np.mean(seconds)), row_ms)
    return Measured(replace(told, scores=whole), told, chosen)


def _recentred(drawn: Score, folds: Array) -> Score:
    """The score of all test rows, with the sample's interval about it."""
    value = float(np.nanmean(folds)) if not np.isnan(folds).all() else float("nan")
    shift = value - drawn.value
    return Score(drawn.metric, value, drawn.low + shift, drawn.high + shift, tuple(folds.tolist()))


def fit_fold(
    family: Family, task: Task, table: LargeTable, side: Array, setting: Setting
) -> tuple[FittedFold, tuple[dict[str, float], int] | None]:
    """The family fitted on the training rows of one fold, and what it chose."""
    train = (side == TRAIN) | (side == WATCH) | (side == LATE)
    preprocessor = table.preprocessor(train)
    if family.name == "boosting":
        estimator, chosen = boost(task, table, preprocessor, train, side, setting)
        return FittedFold(preprocessor, estimator), chosen
    return FittedFold(preprocessor, _from_sample(family, task, table, preprocessor, train, side, setting)), None


def fit_all(
    family: Family, task: Task, table: LargeTable, chosen: tuple[dict[str, float], int] | None, setting: Setting
) -> FittedFold:
    """The family fitted on all rows, boosting with the shape and the rounds that were chosen on the last fold."""
    train = np.ones(len(table), dtype=bool) if table.learned is None else table.learned
    preprocessor = table.preprocessor(table.learned)
    if family.name == "boosting" and chosen is not None:
        setting = replace(setting, shape=chosen[0], rounds=chosen[1])
        return FittedFold(preprocessor, boost(task, table, preprocessor, train, None, setting)[0])
    return FittedFold(preprocessor, _from_sample(family, task, table, preprocessor, train, None, setting))


def boost(
    task: Task, table: LargeTable, preprocessor: Preprocessor, train: Array, side: Array | None, setting: Setting
) -> tuple[Estimator, tuple[dict[str, float], int]]:
    """Boosting on the rows of a mask (n,), through one quantised matrix; its shape and rounds as set, else found on `side`."""
    sample = fold_sample(task, table, preprocessor, train, side)
    model, matrix = matrix_of(task, table, preprocessor, train, sample, setting)
    shape, rounds = setting.shape, setting.rounds
    if shape is None or rounds is None:
        assert side is not None
        found = search_on(model, matrix, side[train] != TRAIN, sample)
        shape, rounds = dict(found[0]), found[1]
    return fit_on(model, matrix, shape, rounds), (shape, rounds)


def fold_sample(task: Task, table: LargeTable, preprocessor: Preprocessor, train: Array, side: Array | None) -> Sample:
    """The sample's rows within a mask (n,); what is late or watched by `side` is put aside while rounds are found."""
    inside = train[table.places]
    places = table.places[inside]
    X = preprocessor.transform(_inputs(table, task, inside))
    if side is None:
        return Sample(X, table.y[places])
    return Sample(X, table.y[places], side[places] == TRAIN, side[places] == WATCH)


def matrix_of(
    task: Task, table: LargeTable, preprocessor: Preprocessor, train: Array, sample: Sample, setting: Setting
) -> tuple[Boosting, "xgboost.QuantileDMatrix"]:
    """Unfitted boosting, and the rows of a mask (n,) quantised for it: in memory, or on disk where the cap asks for it."""
    model = family_named("boosting").build(task, seed=setting.seed, threads=setting.threads, **LARGE)
    assert isinstance(model, Boosting)

    def blocks() -> Iterator[tuple[Array, Array]]:
        return ((X, table.y[rows]) for rows, X in table.matrices(preprocessor, train))

    cache = setting.scratch / "quantised" if on_disk(table, setting) else None
    return model, quantised(model, blocks, sample, int(train.sum()) * len(table.columns), cache)


def _inputs(table: LargeTable, task: Task, rows: Array) -> pl.DataFrame:
    return table.sample.filter(rows).select([column.name for column in task.input_columns])


def _from_sample(
    family: Family,
    task: Task,
    table: LargeTable,
    preprocessor: Preprocessor,
    train: Array,
    side: Array | None,
    setting: Setting,
) -> Estimator:
    estimator = family.build(task, seed=setting.seed, threads=setting.threads)
    if family.is_baseline:
        # It looks at the labels alone: a matrix that takes no room stands for the rows.
        nothing = np.broadcast_to(np.float32(0), (int(train.sum()), len(table.columns)))
        return estimator.fit(nothing, table.y[train])
    room = int(TERMS_SHARE * setting.cap) // (BYTES_A_TERM * max(1, _width(preprocessor)))
    sample = _thinned(fold_sample(task, table, preprocessor, train, side), min(MOST_LINEAR_ROWS, max(1000, room)))
    if sample.used is None or sample.watched is None:
        return estimator.fit(sample.X, sample.y)
    return estimator.fit(sample.X, sample.y, inner=Fold(np.flatnonzero(sample.used), np.flatnonzero(sample.watched)))


def _width(preprocessor: Preprocessor) -> int:
    """How many terms a linear model makes of a row: a value and whether it is missing, or one a level and one for missing."""
    return sum(len(preprocessor.levels.get(c.name, ())) + 1 if c.dtype == "category" else 2 for c in preprocessor.columns)


def _thinned(sample: Sample, most: int) -> Sample:
    """At most so many rows of the sample, evenly out of it."""
    rows = np.unique(np.linspace(0, len(sample.y) - 1, min(len(sample.y), most)).astype(np.int64))
    used, watched = (None if mask is None else mask[rows] for mask in (sample.used, sample.watched))
    return Sample(sample.X[rows], sample.y[rows], used, watched)


def responses(fitted: FittedFold, table: LargeTable, rows: Array, task: Task) -> tuple[Array, Array]:
    """The row numbers of a mask (n,) and the responses to them, (m,) or (m, k), block by block."""
    numbers, found = [], []
    for part, X in table.matrices(fitted.preprocessor, rows, max(1000, BLOCK_TERMS // max(1, _width(fitted.preprocessor)))):
        numbers.append(part)
        found.append(response_of(fitted.estimator, X, task.target.kind))
    return np.concatenate(numbers), np.concatenate(found)


def plan_of(sides: SidesPlan, table: LargeTable, clusters: Array | None) -> FoldPlan:
    """The folds of the sample's rows; `clusters` are theirs."""
    folds = []
    for number in range(sides.folds):
        side = sides.sides(number)[table.places]
        folds.append(Fold(np.flatnonzero((side == TRAIN) | (side == WATCH) | (side == LATE)), np.flatnonzero(side == TEST)))
    return FoldPlan(sides.kind, tuple(folds), 1, sides.gap, sides.why, sides.period, clusters)
