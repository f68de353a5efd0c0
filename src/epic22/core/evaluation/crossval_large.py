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

from epic22.core.data.folds import Fold, FoldPlan
from epic22.core.data.large_split import EMBARGO, TEST, TRAIN, VALIDATION, LargeFoldPlan
from epic22.core.data.large_table import LargeTable
from epic22.core.data.preprocess import Preprocessor
from epic22.core.evaluation.crossval import (
    Evaluation,
    MetricScore,
    build_evaluation,
    compute_scores,
    measure_ms_per_row,
    widen_scores,
)
from epic22.core.evaluation.metrics import list_metrics
from epic22.core.evaluation.predictions import FittedFold, FoldPredictions
from epic22.core.experiment import Experiment
from epic22.core.fit_store import FitForm, StoredFit, fit_once, list_array_bytes
from epic22.core.lineage import sha256
from epic22.core.models.base import BaseEstimator, Family, predict_response
from epic22.core.models.catalog import get_family
from epic22.core.models.learning_problem import LearningProblem
from epic22.core.models.xgboost import XGBoostEstimator
from epic22.core.models.xgboost_batches import (
    LARGE_TABLE_PARAMS,
    ReferenceSample,
    build_quantile_matrix,
    estimate_matrix_bytes,
    fit_matrix,
    search_matrix,
)
from epic22.core.task import Array, Metric, RowMetadata, Task

if TYPE_CHECKING:
    import xgboost

BestParams = tuple[dict[str, float], int]
"""Shape and rounds of boosting."""

LARGE_FAMILIES = ("constant", "linear", "boosting")
"""The families that are trained on a table larger than memory."""

MATRIX_CAP_SHARE = 0.5
"""A quantised matrix that would hold more than this share of the cap is kept on disk."""


TERMS_SHARE, BYTES_PER_TERM = 0.25, 40
"""The share of the cap that the terms of a linear model may take, and the bytes of a term: it is scaled, solved and kept."""

MAX_LINEAR_ROWS = 50_000
"""Rows of the sample that a linear model is fitted on: many times its terms."""

BLOCK_TERMS = 4_000_000
"""Terms of the rows that are answered at once."""


@dataclass(frozen=True)
class TrainingResources:
    """What training has to work with: threads, a memory cap in bytes, a folder on disk, the seed.

    With `shape` and `rounds` of boosting given, nothing is searched for.
    """

    threads: int
    memory_cap: int
    scratch: Path
    seed: int = 0
    shape: dict[str, float] | None = None
    rounds: int | None = None


@dataclass(frozen=True, eq=False)
class LargeEvaluation:
    """A family on a plan: `full` has the scores of all test rows, `sampled` those of the sample's; `best_params` is what its
    last fold found: shape and rounds of boosting, else None."""

    full: Evaluation
    sampled: Evaluation
    best_params: BestParams | None


def is_matrix_on_disk(table: LargeTable, resources: TrainingResources) -> bool:
    """Whether the quantised matrix is kept on disk under that cap."""
    return estimate_matrix_bytes(len(table), len(table.columns)) > MATRIX_CAP_SHARE * resources.memory_cap


def evaluate(
    experiment: Experiment,
    family: Family,
    table: LargeTable,
    large_split: LargeFoldPlan,
    resources: TrainingResources,
    progress: Callable[[], None] = lambda: None,
) -> LargeEvaluation:
    """The family on every fold of `large_split`. The experiment is the sample's: the same folds, of its rows alone."""
    task, examples, plan = experiment.task, experiment.examples, experiment.plan
    metrics, best_params = list_metrics(task.target), None
    values, predictions, seconds, ms_per_row = [], [], [], float("nan")
    for number, fold in enumerate(plan.folds):
        row_roles = large_split.assign_rows(number)
        fitted, best_params = fit_fold(family, task, table, row_roles, resources)
        seconds.append(fitted.seconds or 0.0)
        tested, response = compute_responses(fitted, table, row_roles == TEST, task)
        y = table.y[tested]
        values.append([metric.score(y, response, RowMetadata()) for metric in metrics])
        predictions.append(FoldPredictions(fold, response[np.searchsorted(tested, table.sample_rows[fold.test])], fitted))
        ms_per_row = measure_ms_per_row(fitted, task, examples.take(fold.test[:50]))
        progress()
    sampled_scores = compute_scores(experiment, metrics, tuple(predictions))
    full_scores = tuple(
        _recentre(metric, score, folds) for metric, score, folds in zip(metrics, sampled_scores, np.array(values).T, strict=True)
    )
    sampled = build_evaluation(experiment, family.name, sampled_scores, tuple(predictions), float(np.mean(seconds)), ms_per_row)
    return LargeEvaluation(replace(sampled, scores=full_scores), sampled, best_params)


def _recentre(metric: Metric, sampled: MetricScore, folds: Array) -> MetricScore:
    """The score of all test rows, with the sample's interval about it."""
    value = float(np.nanmean(folds)) if not np.isnan(folds).all() else float("nan")
    shift = value - sampled.value
    low, high = (metric.bounds.clip(end + shift) for end in (sampled.low, sampled.high))
    return MetricScore(value, low, high, sampled.metric, tuple(folds.tolist()), n_choices=sampled.n_choices)


def widen_large_scores(experiment: Experiment, evaluation: LargeEvaluation, n_choices: int) -> LargeEvaluation:
    """The evaluation with intervals that hold though it is the best of `n_choices`, see `crossval.widen_scores`."""
    sampled, metrics = widen_scores(experiment, evaluation.sampled, n_choices), list_metrics(experiment.task.target)
    pairs = zip(metrics, sampled.scores, evaluation.full.scores, strict=True)
    full = tuple(_recentre(metric, score, np.array(of_all.folds)) for metric, score, of_all in pairs)
    return replace(evaluation, sampled=sampled, full=replace(evaluation.full, scores=full))


@dataclass(frozen=True, eq=False)
class TableTrainingPart:
    """Rows of a table that train, a mask (n,), the preprocessing fitted on them, and where rounds are to be found on some of them
    the roles (n,) of all rows."""

    preprocessor: Preprocessor
    train: Array
    row_roles: Array | None = None


def fit_fold(
    family: Family, task: Task, table: LargeTable, row_roles: Array, resources: TrainingResources
) -> tuple[FittedFold, BestParams | None]:
    """The family fitted on the training rows of one fold, and what it chose."""
    began = time.perf_counter()
    train = (row_roles == TRAIN) | (row_roles == VALIDATION) | (row_roles == EMBARGO)
    part = TableTrainingPart(table.fit_preprocessor(train), train, row_roles)
    return _fit_part(family, task, table, part, resources, began)


def fit_all(
    family: Family, task: Task, table: LargeTable, best_params: BestParams | None, resources: TrainingResources
) -> FittedFold:
    """The family fitted on all rows, boosting with the shape and the rounds that were chosen on the last fold."""
    train = np.ones(len(table), dtype=bool) if table.trainable is None else table.trainable
    part = TableTrainingPart(table.fit_preprocessor(table.trainable), train)
    if family.name == "boosting" and best_params is not None:
        resources = replace(resources, shape=best_params[0], rounds=best_params[1])
    return _fit_part(family, task, table, part, resources, time.perf_counter())[0]


TableFit = tuple[BaseEstimator, BestParams | None]
"""A fitted estimator, and the shape and rounds that boosting chose or was given."""


def _fit_part(
    family: Family, task: Task, table: LargeTable, part: TableTrainingPart, resources: TrainingResources, began: float
) -> tuple[FittedFold, BestParams | None]:
    """The family fitted on a part's rows, and what it chose; read where a training that was interrupted left it."""

    def compute_digest(environment: bytes) -> str:
        setting = replace(resources, scratch=Path())
        how = (family.name, LearningProblem.of(task), setting, table.digest)
        return sha256(b"table", environment, repr(how).encode(), *list_array_bytes(part.train, part.row_roles))

    def fit() -> TableFit:
        if family.name == "boosting":
            return fit_xgboost(task, table, part, resources)
        return _fit_on_sample(family, task, table, part, resources), None

    def write(fitted: TableFit) -> StoredFit:
        return StoredFit(fitted[0].files(), facts={"best_params": fitted[1]})

    def read(stored: StoredFit) -> TableFit:
        best_params = stored.facts["best_params"]
        return family.restore(stored.files), None if best_params is None else (best_params[0], best_params[1])

    fitted = fit_once(compute_digest, fit, FitForm(write, read), began)
    return FittedFold(part.preprocessor, fitted.value[0], fitted.seconds), fitted.value[1]


def fit_xgboost(
    task: Task, table: LargeTable, part: TableTrainingPart, resources: TrainingResources
) -> tuple[BaseEstimator, BestParams]:
    """Boosting on the part's rows, through one quantised matrix; its shape and rounds as set, else found by the rows' roles."""
    sample = select_sample(task, table, part)
    model, matrix = build_matrix(task, table, part, sample, resources)
    shape, rounds = resources.shape, resources.rounds
    if shape is None or rounds is None:
        assert part.row_roles is not None
        search_result = search_matrix(model, matrix, part.row_roles[part.train] != TRAIN, sample)
        shape, rounds = dict(search_result[0]), search_result[1]
    return fit_matrix(model, matrix, shape, rounds), (shape, rounds)


def select_sample(task: Task, table: LargeTable, part: TableTrainingPart) -> ReferenceSample:
    """The sample's rows within the part; what is late or validates by its role is put aside while rounds are found."""
    in_part, row_roles = part.train[table.sample_rows], part.row_roles
    places = table.sample_rows[in_part]
    inputs = [column.name for column in task.input_columns]
    X = part.preprocessor.transform(table.sample.filter(in_part).select(inputs))
    if row_roles is None:
        return ReferenceSample(X, table.y[places])
    return ReferenceSample(X, table.y[places], row_roles[places] == TRAIN, row_roles[places] == VALIDATION)


def build_matrix(
    task: Task, table: LargeTable, part: TableTrainingPart, sample: ReferenceSample, resources: TrainingResources
) -> tuple[XGBoostEstimator, "xgboost.QuantileDMatrix"]:
    """Unfitted boosting, and the part's rows quantised for it: in memory, or on disk where the cap asks for it."""
    model = get_family("boosting").build(
        LearningProblem.of(task), seed=resources.seed, threads=resources.threads, **LARGE_TABLE_PARAMS
    )
    assert isinstance(model, XGBoostEstimator)

    def blocks() -> Iterator[tuple[Array, Array]]:
        return ((X, table.y[rows]) for rows, X in table.iterate_matrices(part.preprocessor, part.train))

    cache = resources.scratch / "quantised" if is_matrix_on_disk(table, resources) else None
    return model, build_quantile_matrix(model, blocks, sample, int(part.train.sum()) * len(table.columns), cache)


def _fit_on_sample(
    family: Family, task: Task, table: LargeTable, part: TableTrainingPart, resources: TrainingResources
) -> BaseEstimator:
    estimator = family.build(LearningProblem.of(task), seed=resources.seed, threads=resources.threads)
    if family.is_baseline:
        # It looks at the labels alone: a matrix that takes no room stands for the rows.
        nothing = np.broadcast_to(np.float32(0), (int(part.train.sum()), len(table.columns)))
        return estimator.fit(nothing, table.y[part.train])
    max_rows = int(TERMS_SHARE * resources.memory_cap) // (BYTES_PER_TERM * max(1, _count_terms(part.preprocessor)))
    sample = _thin_sample(select_sample(task, table, part), min(MAX_LINEAR_ROWS, max(1000, max_rows)))
    if sample.train_mask is None or sample.valid_mask is None:
        return estimator.fit(sample.X, sample.y)
    return estimator.fit(sample.X, sample.y, inner=Fold(np.flatnonzero(sample.train_mask), np.flatnonzero(sample.valid_mask)))


def _count_terms(preprocessor: Preprocessor) -> int:
    """How many terms a linear model makes of a row: a value and whether it is missing, or one a level and one for missing."""
    return sum(len(preprocessor.levels.get(c.name, ())) + 1 if c.dtype == "category" else 2 for c in preprocessor.columns)


def _thin_sample(sample: ReferenceSample, max_rows: int) -> ReferenceSample:
    """At most this many rows of the sample, evenly out of it."""
    rows = np.unique(np.linspace(0, len(sample.y) - 1, min(len(sample.y), max_rows)).astype(np.int64))
    used, validation = (None if mask is None else mask[rows] for mask in (sample.train_mask, sample.valid_mask))
    return ReferenceSample(sample.X[rows], sample.y[rows], used, validation)


def compute_responses(fitted: FittedFold, table: LargeTable, rows: Array, task: Task) -> tuple[Array, Array]:
    """The row numbers of a mask (n,) and the responses to them, (m,) or (m, k), block by block."""
    target, numbers, answers = task.target, [], []
    for part, X in table.iterate_matrices(
        fitted.preprocessor, rows, max(1000, BLOCK_TERMS // max(1, _count_terms(fitted.preprocessor)))
    ):
        numbers.append(part)
        answers.append(predict_response(fitted.estimator, X, target.kind, target.floor))
    return np.concatenate(numbers), np.concatenate(answers)


def build_fold_plan(large_split: LargeFoldPlan, table: LargeTable, clusters: Array | None) -> FoldPlan:
    """The folds of the sample's rows; `clusters` are theirs."""
    folds = []
    for number in range(large_split.n_folds):
        row_roles = large_split.assign_rows(number)[table.sample_rows]
        folds.append(
            Fold(
                np.flatnonzero((row_roles == TRAIN) | (row_roles == VALIDATION) | (row_roles == EMBARGO)),
                np.flatnonzero(row_roles == TEST),
            )
        )
    return FoldPlan(large_split.strategy, tuple(folds), 1, large_split.embargo, large_split.why, large_split.period, clusters)
