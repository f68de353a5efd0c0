"""Fit a family on every fold, keep its out-of-fold responses, score them with an interval."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, replace

import numpy as np

from epic22.core.data.examples import Examples
from epic22.core.data.feature_engineering import FeatureRecipe
from epic22.core.data.folds import Fold
from epic22.core.data.preprocess import Preprocessor
from epic22.core.data.sequence_columns import leave_out_steps
from epic22.core.evaluation.inner_folds import split_inner_fold, split_inner_folds
from epic22.core.evaluation.jackknife import compute_score_error, compute_t_quantile, find_independent_units, jackknife_means
from epic22.core.evaluation.predictions import FittedFold, FoldPredictions
from epic22.core.evaluation.survival import list_target_metrics
from epic22.core.experiment import Experiment
from epic22.core.fit_store import fit_once
from epic22.core.models.base import BaseEstimator, Family, Hyperparameters, predict_response
from epic22.core.models.configuration import Configuration
from epic22.core.models.fit_request import FitRequest
from epic22.core.models.learning_problem import LearningProblem
from epic22.core.models.trees.boosted import CELLS_PER_THREAD
from epic22.core.statistics import Interval
from epic22.core.task import Array, Metric, RowMetadata, Task

NO_PARAMS: Hyperparameters = {}
N_TIMED_ROWS = 20
TARGET_ENCODING_FOLDS = 8


@dataclass(frozen=True)
class MetricScore(Interval):
    """A metric's mean over folds with its 95 % interval; `folds` are the single values (NaN where undefined).

    `left_out` are the means when each part of what is independent is left out in turn, by which two scores on one experiment are
    compared. `n_choices` are the families that the best was chosen among without certainty: its interval allows for that.
    """

    metric: str
    folds: tuple[float, ...]
    left_out: tuple[float, ...] = ()
    n_choices: int = 1


@dataclass(frozen=True)
class EarlyExit:
    """Why a family was evaluated on the first folds of a plan alone: it was certainly worse than another, by this `p`."""

    folds: int
    of: int
    against: str
    p: float

    @property
    def words(self) -> str:
        """The finding in words.

        >>> EarlyExit(5, 25, "boosting", 1e-6).words
        'left early, after 5 of 25 folds: certainly worse than boosting'
        """
        return f"left early, after {self.folds} of {self.of} folds: certainly worse than {self.against}"


@dataclass(frozen=True)
class Evaluation:
    """What a family is worth on some folds. `fit_seconds` is the mean over folds, `ms_per_row` the median of one row alone.

    One with an `early_exit` is of the plan's first repeats alone.
    """

    family: str
    target: str
    horizon: float | None
    scores: tuple[MetricScore, ...]
    fold_predictions: tuple[FoldPredictions, ...]
    fingerprint: str
    fit_seconds: float
    ms_per_row: float
    early_exit: EarlyExit | None = None

    def score(self, metric: str) -> MetricScore:
        """The score of that metric; KeyError where it was not measured."""
        return {score.metric: score for score in self.scores}[metric]

    @property
    def n_choices(self) -> int:
        """Among how many families it was chosen without certainty; 1 where it was not chosen, or for certain."""
        return max((score.n_choices for score in self.scores), default=1)

    def with_one_model(self) -> "Evaluation":
        """The evaluation with no model but that of the first fold that has one."""
        first = next((i for i, part in enumerate(self.fold_predictions) if part.fitted is not None), None)
        parts = tuple(part if i == first else replace(part, fitted=None) for i, part in enumerate(self.fold_predictions))
        return replace(self, fold_predictions=parts)

    def without_models(self) -> "Evaluation":
        """The evaluation without the models that were kept for explaining."""
        return replace(self, fold_predictions=tuple(replace(part, fitted=None) for part in self.fold_predictions))


@dataclass(frozen=True)
class PreparedRows:
    """A training part as estimators see it: the fitted map, the matrix of its rows, and the task whose inputs are its columns."""

    preprocessor: Preprocessor
    X: Array
    task: Task


def prepare_rows(
    task: Task, part: Examples, recipe: FeatureRecipe = FeatureRecipe(), encoding_folds: Sequence[tuple[Array, Array]] = ()
) -> PreparedRows:
    """Fit the map from columns to the matrix, derived columns among them, on these rows alone.

    `encoding_folds` (see `split_target_encoding_folds`) say of which rows' labels a training row's own means are made, where the
    recipe has any.
    """
    # Of a hazard, whether the event was seen is what statistics of a category can be of.
    y = np.log(part.y) if task.target.log else task.target.traits.get_outcomes(part.y)
    preprocessor, X = Preprocessor.fit_transform(
        task.input_columns, part.X, task.target.scale_labels(y), encoding_folds, formulas=task.formulas, recipe=recipe
    )
    if task.target.offset in preprocessor.centers:
        # An exposure's logarithm is added to the score, so it stays as it is.
        preprocessor = replace(preprocessor, centers={n: c for n, c in preprocessor.centers.items() if n != task.target.offset})
        # That column alone: of the others some are means of labels, which the training rows have out of fold.
        places = [place for place, column in enumerate(preprocessor.outputs) if column.name == task.target.offset]
        X[:, places] = preprocessor.transform(part.X)[:, places]
    return PreparedRows(preprocessor, X, replace(task, columns=preprocessor.outputs))


def make_default_recipe(train: Array) -> FeatureRecipe:
    """No columns but the inputs and the task's formulas, whatever the training rows."""
    return FeatureRecipe()


def split_target_encoding_folds(experiment: Experiment, train: Array) -> tuple[tuple[Array, Array], ...]:
    """Parts of a training part (positions within it), by which a row's own means of labels are out of fold.

    Groups stay whole; rows with a time get the means of rows whose labels were known by then, the first rows none.
    """
    examples = experiment.examples
    position = np.full(len(examples), -1)
    position[train] = np.arange(len(train))
    folds = split_inner_folds(experiment, train, TARGET_ENCODING_FOLDS)
    return tuple((position[fold.train], position[fold.test]) for fold in folds)


def fit_family(
    experiment: Experiment,
    family: Family,
    train: Array,
    recipe: FeatureRecipe = FeatureRecipe(),
    fit: Callable[[FitRequest], BaseEstimator] = FitRequest.fit,
    params: Hyperparameters = NO_PARAMS,
) -> FittedFold:
    """Fit preprocessing, by the recipe, and estimator on these rows alone; the inner fold is cut out of them.

    `fit` is where the estimator learns: in this process, unless another is given. `params` are what differs from the family as it
    comes. Of a hazard the experiment's examples are those
    known when the test part begins (`Experiment.censor_for`).
    """
    began = time.perf_counter()
    task, examples = experiment.task, experiment.examples
    recipe = leave_out_steps(recipe, task.input_columns, family.capabilities.reads_sequences)
    part = examples.take(train)
    prepared = prepare_rows(task, part, recipe, split_target_encoding_folds(experiment, train) if recipe.encodings else ())
    inner = split_inner_fold(experiment, train)
    position = np.full(len(examples), -1)
    position[train] = np.arange(len(train))
    within = Fold(position[inner.train], position[inner.test], follow_up_days=inner.follow_up_days)
    problem, inner_fold = LearningProblem.of(prepared.task), None if family.is_baseline else within
    request = FitRequest(family, problem, prepared.X, part.y, inner_fold, experiment.seed, experiment.threads, params)
    if family.capabilities.reports_epochs:
        # A network's training keeps checkpoints of its own, which know how far it is.
        return FittedFold(prepared.preprocessor, fit(request))
    fitted = fit_once(request.compute_digest, lambda: fit(request), request.form, began)
    return FittedFold(prepared.preprocessor, fitted.value, fitted.seconds)


@dataclass(frozen=True)
class Candidate:
    """What is evaluated: its name on the board, and how it learns.

    `fit(known, train)` learns from the training rows (row numbers, (n,)) of the examples as they were known, and from no other;
    `folds_at_once` of them may be fitted side by side.
    `fold_predictions` are the plan's folds where learning judged itself on the way and is not to be judged anew; `evaluation` is
    what it was evaluated to be on the plan's folds before.
    """

    name: str
    fit: Callable[[Examples, Array], FittedFold]
    fold_predictions: tuple[FoldPredictions, ...] = ()
    evaluation: Evaluation | None = None
    folds_at_once: int = 1


def make_candidate(
    experiment: Experiment,
    learner: Family | Configuration,
    recipes: Callable[[Array], FeatureRecipe] = make_default_recipe,
    fit: Callable[[FitRequest], BaseEstimator] = FitRequest.fit,
) -> Candidate:
    """The family as it comes, or a configuration of one; `recipes` gives each training part its planned columns, which a baseline
    has none of, and `fit` is where it learns."""
    one = learner if isinstance(learner, Configuration) else Configuration(learner)
    plan = make_default_recipe if one.family.is_baseline else recipes

    def fit_part(known: Examples, train: Array) -> FittedFold:
        return fit_family(replace(experiment, examples=known), one.family, train, plan(train), fit, one.params)

    return Candidate(one.name, fit_part)


def evaluate(
    experiment: Experiment,
    candidate: Candidate,
    progress: Callable[[], None] = lambda: None,
    keep_models: bool = False,
) -> Evaluation:
    """The candidate's evaluation on the experiment's folds; `progress` is called after each.

    `keep_models` holds on to the models of the first repeat, which have seen each test row once: for explaining, without a
    second fit.
    """
    if candidate.evaluation is not None:
        return candidate.evaluation
    if candidate.fold_predictions:
        return summarise_folds(experiment, candidate.name, FoldFits(candidate.fold_predictions))
    fits = fit_folds(experiment, candidate, experiment.plan.folds, progress, keep_models)
    return summarise_folds(experiment, candidate.name, fits)


@dataclass(frozen=True)
class FoldFits:
    """What a candidate's models of some folds said of their test rows, and how long each took; how long one row alone did."""

    predictions: tuple[FoldPredictions, ...] = ()
    seconds: tuple[float, ...] = ()
    ms_per_row: float = math.nan

    def add(self, more: "FoldFits") -> "FoldFits":
        """These and those of the folds that follow."""
        return FoldFits(self.predictions + more.predictions, self.seconds + more.seconds, more.ms_per_row)


def fit_folds(
    experiment: Experiment,
    candidate: Candidate,
    folds: Sequence[Fold],
    progress: Callable[[], None] = lambda: None,
    keep_models: bool = False,
) -> FoldFits:
    """The candidate fitted on these folds of the experiment; see `evaluate`."""
    predictions, seconds, ms_per_row = [], [], math.nan

    def fit_fold(fold: Fold) -> _FoldOutcome:
        return _fit_fold(experiment, candidate, fold, keep_models and fold.repeat == 0, fold is folds[-1])

    for outcome in _map_side_by_side(fit_fold, folds, candidate.folds_at_once):
        predictions.append(outcome.predictions)
        seconds.append(outcome.seconds)
        if outcome.last is not None:
            ms_per_row = measure_ms_per_row(outcome.last, experiment.task, experiment.examples.take(folds[-1].test))
        progress()
    return FoldFits(tuple(predictions), tuple(seconds), ms_per_row)


def summarise_folds(experiment: Experiment, family: str, fits: FoldFits) -> Evaluation:
    """The evaluation of what was fitted on all folds of the experiment; what is scored is what would be served."""
    predictions = tuple(part.apply_floor(experiment.task.target.floor) for part in fits.predictions)
    scores = compute_scores(experiment, list_target_metrics(experiment.task.target), predictions)
    fit_seconds = float(np.mean(fits.seconds)) if fits.seconds else math.nan
    return build_evaluation(experiment, family, scores, predictions, fit_seconds, fits.ms_per_row)


def count_folds_at_once(experiment: Experiment, family: Family) -> int:
    """How many folds of a family may be fitted side by side, to the same bits: as many as there are threads, where a fit of so
    small a table uses one. A network is trained alone."""
    cells = len(experiment.examples) * len(experiment.task.input_columns)
    return 1 if cells >= CELLS_PER_THREAD or family.capabilities.reports_epochs else experiment.threads


@dataclass(frozen=True)
class _FoldOutcome:
    """A fold's predictions, the seconds of its fit, and the model of the `last` fold, which answers a few rows alone."""

    predictions: FoldPredictions
    seconds: float
    last: FittedFold | None


def _fit_fold(experiment: Experiment, candidate: Candidate, fold: Fold, keeps_model: bool, is_last: bool) -> _FoldOutcome:
    began = time.perf_counter()
    fitted = candidate.fit(experiment.censor_for(fold), fold.train)
    seconds = time.perf_counter() - began if fitted.seconds is None else fitted.seconds
    X = fitted.preprocessor.transform(experiment.examples.take(fold.test).X)
    response = predict_response(fitted.estimator, X, experiment.task.target.kind, None)
    predictions = FoldPredictions(fold, response, fitted if keeps_model else None, fitted.estimator.predict_quantiles(X))
    return _FoldOutcome(predictions.apply_floor(experiment.task.target.floor), seconds, fitted if is_last else None)


def _map_side_by_side(work: Callable[[Fold], _FoldOutcome], folds: Sequence[Fold], n_at_once: int) -> Iterator[_FoldOutcome]:
    """What the work gives of each fold, in their order; threads have what surrounds the caller."""
    if n_at_once <= 1 or len(folds) <= 1:
        yield from map(work, folds)
        return
    pool = ThreadPoolExecutor(min(n_at_once, len(folds)))
    try:
        waiting = [pool.submit(copy_context().run, work, fold) for fold in folds]
        for one in waiting:
            yield one.result()
    finally:
        pool.shutdown(cancel_futures=True)


def build_evaluation(
    experiment: Experiment,
    family: str,
    scores: tuple[MetricScore, ...],
    predictions: tuple[FoldPredictions, ...],
    fit_seconds: float = 0.0,
    ms_per_row: float = 0.0,
) -> Evaluation:
    """What the experiment says of a family that has these scores and predictions."""
    target = experiment.task.target
    return Evaluation(family, target.name, target.horizon, scores, predictions, experiment.fingerprint, fit_seconds, ms_per_row)


def measure_ms_per_row(fitted: FittedFold, task: Task, test: Examples) -> float:
    """The median of answering one row alone, over a few of these."""
    rows = test.X.head(N_TIMED_ROWS).to_dicts()
    durations = []
    for row in rows:
        began = time.perf_counter()
        predict_response(fitted.estimator, fitted.preprocessor.transform_row(row), task.target.kind, task.target.floor)
        durations.append((time.perf_counter() - began) * 1000)
    return float(np.median(durations))


def compute_scores(
    experiment: Experiment, metrics: tuple[Metric, ...], predictions: tuple[FoldPredictions, ...]
) -> tuple[MetricScore, ...]:
    """Means over folds, with intervals by the jackknife over what is independent, within each metric's bounds."""
    examples, units = experiment.examples, find_independent_units(experiment)
    folds = np.array(
        [[metric.score(examples.y[p.fold.test], p.response, RowMetadata()) for p in predictions] for metric in metrics]
    )
    scores = []
    for metric, row, left_out in zip(metrics, folds, jackknife_means(experiment, metrics, predictions, units), strict=True):
        value, error = _mean(row), compute_score_error(experiment, metric, predictions, left_out)
        ends = metric.bounds.compute_interval(value, error, units.quantile, units.informative)
        scores.append(MetricScore(value, *ends, metric.name, tuple(row.tolist()), tuple(left_out.tolist())))
    return tuple(scores)


def widen_scores(experiment: Experiment, evaluation: Evaluation, n_choices: int) -> Evaluation:
    """The evaluation with intervals that hold though it is the best of `n_choices` that none of them is certainly better than.

    The best of several was also the luckiest, so its own 95 % interval holds less often: of two that know nothing in 90 %. All
    their intervals hold at once where each has a share of what may miss (Bonferroni), and so does that of whichever is chosen.
    Those that are certainly worse could not have been chosen, and do not count (Zrnic and Fithian 2024).
    """
    if n_choices <= 1:
        return evaluation
    metrics = {metric.name: metric for metric in list_target_metrics(experiment.task.target)}
    units = find_independent_units(experiment)
    quantile, scores = compute_t_quantile(units.degrees_of_freedom, n_choices), []
    for score in evaluation.scores:
        metric = metrics[score.metric]
        error = compute_score_error(experiment, metric, evaluation.fold_predictions, np.array(score.left_out))
        low, high = metric.bounds.compute_interval(score.value, error, quantile, units.informative)
        scores.append(replace(score, low=low, high=high, n_choices=n_choices))
    return replace(evaluation, scores=tuple(scores))


def _mean(values: Array) -> float:
    present = values[~np.isnan(values)]
    return float(present.mean()) if len(present) else math.nan
