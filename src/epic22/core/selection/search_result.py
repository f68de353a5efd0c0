"""What a search gives: an ensemble of its best trials, fitted for use, and what its inner folds say of it."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, replace

import numpy as np

from epic22.core.data.folds import Fold
from epic22.core.errors import SplitError
from epic22.core.evaluation.predictions import FittedFold, FoldPredictions
from epic22.core.models.base import BaseEstimator, FoldData
from epic22.core.models.ensemble import Ensemble
from epic22.core.selection.answer_cost import WeightedModels, leave_out_costly, list_members
from epic22.core.selection.budget import Deadline
from epic22.core.selection.distillation import Distillation, distill_ensemble
from epic22.core.selection.ensemble import EnsembleSelection, EnsembleWeights, fit_value_scale
from epic22.core.selection.executor import split_threads
from epic22.core.selection.level_shift import LevelShift, estimate_level_shift
from epic22.core.selection.prepared_part import PreparedPart
from epic22.core.selection.repeats import HeldOutScores, make_repeats
from epic22.core.selection.stopping import StoppingDecision, check_exhaustion
from epic22.core.selection.study import Study, Trial
from epic22.core.selection.trials import MAX_REFITS, FoldModels, SearchData, TrialRunner, select_top_trials
from epic22.core.task import Array


@dataclass(frozen=True)
class FinishedTrials:
    """Why no more trials were made, in words, and the models of trials by number, where none are refitted on all rows."""

    stop_reason: str
    models: dict[int, FoldModels]


@dataclass(frozen=True)
class SearchResult:
    """What a search gives: a fitted ensemble, the trials behind it, `weights` by trial number, why it ended, and whether
    more trials would help.

    `out_of_fold` are the inner folds as they judge the ensemble: rows that its models had not seen, in each fold by weights that
    were chosen on the others, and moved by the level shift that the folds before told of, as the ensemble is by `level_shift`.
    Rounds were stopped by those rows, and parameters suggested by what others scored on them: a little too good, which a search
    judged by other folds is not.
    `is_complete`: the time sufficed to fit every member that was chosen.
    """

    fitted_fold: FittedFold
    trials: tuple[Trial, ...]
    weights: tuple[tuple[int, float], ...]
    ensemble_weights: EnsembleWeights
    stop_reason: str
    distillation: Distillation | None
    out_of_fold: tuple[FoldPredictions, ...]
    stopping_decision: StoppingDecision
    level_shift: LevelShift | None = None
    is_complete: bool = True


TrialModels = Mapping[int, tuple[BaseEstimator, ...]]
"""Fitted models by a trial's place among the best."""


@dataclass(frozen=True)
class _Choice:
    """Which of the best trials are averaged, by what weights, heaviest first; their models, and whether the time sufficed for
    all of them."""

    weights: EnsembleWeights
    groups: Mapping[int, WeightedModels]
    is_complete: bool


def build_search_result(
    part: PreparedPart, runner: TrialRunner, study: Study, finished: FinishedTrials, deadline: Deadline
) -> SearchResult:
    """The ensemble of the best trials. Raises SplitError where the folds let none be scored."""
    data, config, trials = part.data, runner.config, study.trials
    top_trials, models = select_top_trials(trials, data.metric.gain), dict(finished.models)
    if not top_trials:
        raise SplitError(
            f"{data.metric.name} is not defined on the inner folds of a training part, as where they hold rows of one class; "
            "bring more rows or groups of the rarest class."
        )
    first = HeldOutScores.collect(data, [_load_scores(runner, study, trial, models) for trial in top_trials])
    repeats = make_repeats(part, runner, top_trials, deadline)

    def fit_models(weights: Mapping[int, float]) -> tuple[TrialModels, bool]:
        if data.refit:
            return _refit_trials(part, runner, {i: (top_trials[i], weight) for i, weight in weights.items()}, deadline)
        folds = {i: models.get(top_trials[i].number) or runner.refit(top_trials[i]).models for i in weights}
        # The inner folds' own models: they are there already, and differ, which averaging gains from.
        return {i: sum((one.models[i] for one in repeats), fold) for i, fold in folds.items()}, True

    selection = EnsembleSelection(data.problem, data.metric, config.n_picks)
    choice = _choose_served(selection, first.add(data, repeats), [trial.family for trial in top_trials], fit_models)
    ensemble_weights = replace(choice.weights, raw=choice.weights.raw[: len(first.y)])
    members = list_members(tuple(choice.groups.values()))
    scale = fit_value_scale(data.problem, ensemble_weights.raw, first.y)
    level_shift = _estimate_level_shift(part, ensemble_weights.raw)
    ensemble = Ensemble(data.problem.kind, members, part.threads, scale, 0.0 if level_shift is None else level_shift.shift)
    distillation = None
    if config.max_ms_per_row is not None:
        categorical = data.problem.categorical
        distillation = distill_ensemble(ensemble, data.X, categorical, config.max_ms_per_row, data.seed, part.threads)
    responses = data.problem.traits.inverse_link(scale(_shift_as_known(part, ensemble_weights.raw, first.fold)))
    return SearchResult(
        FittedFold(part.preprocessor, ensemble if distillation is None else distillation.estimator),
        trials,
        tuple((top_trials[i].number, group.weight) for i, group in choice.groups.items()),
        ensemble_weights,
        finished.stop_reason,
        distillation,
        tuple(
            FoldPredictions(Fold(part.rows[one.train], part.rows[one.test]), responses[first.fold == number])
            for number, one in enumerate(data.folds)
        ),
        _check_exhaustion(data, trials),
        level_shift,
        choice.is_complete,
    )


def _choose_served(
    selection: EnsembleSelection,
    scores: HeldOutScores,
    families: Sequence[str],
    fit_models: Callable[[Mapping[int, float]], tuple[TrialModels, bool]],
) -> _Choice:
    """What is averaged, so that what is judged is what serves: where the bound on an answer's cost, or the time, leaves no model
    of a trial, the weights are chosen again among those that have some."""
    places, models, is_complete = [*range(len(scores.raws))], None, True
    while True:
        weights = selection.choose_weights([scores.raws[i] for i in places], scores.y, scores.fold)
        chosen = sorted(zip(places, weights.weights.tolist(), strict=True), key=lambda one: -one[1])
        counted = {i: weight for i, weight in chosen if weight > 0}
        if models is None:
            models, is_complete = fit_models(counted)
        limited = leave_out_costly([WeightedModels(families[i], weight, models[i]) for i, weight in counted.items()])
        groups = {i: group for i, group in zip(counted, limited, strict=True) if group.models}
        if len(groups) == len(counted):
            return _Choice(weights, groups, is_complete)
        places = sorted(groups)


def _load_scores(runner: TrialRunner, study: Study, trial: Trial, models: dict[int, FoldModels]) -> Array:
    """The trial's scores of the validation rows; fitted again, with `models`, where nobody kept them."""
    scores = study.load_scores(trial)
    if scores is not None:
        return scores
    fitted = runner.refit(trial)
    models[trial.number] = fitted.models
    return fitted.raw


def _estimate_level_shift(part: PreparedPart, raw: Array) -> LevelShift | None:
    """Where means stand at the end of training, by held-out scores (n,) of all validation rows."""
    valid_rows = part.data.valid_rows
    return _estimate_shift_of(part, valid_rows, raw, len(valid_rows) / len(part.data.y))


def _shift_as_known(part: PreparedPart, raw: Array, fold: Array) -> Array:
    """Held-out scores (n,), those of each fold (n,) moved by the shift that the folds before told of, as far as their labels were
    known: what is judged is served alike."""
    valid_rows, shifted = part.data.valid_rows, np.array(raw)
    for number, one in enumerate(part.data.folds):
        known = (fold < number) & np.isin(valid_rows, one.train)
        shift = _estimate_shift_of(part, valid_rows[known], raw[known], float(known.sum()) / len(one.train))
        shifted[fold == number] += 0.0 if shift is None else shift.shift
    return shifted


def _estimate_shift_of(part: PreparedPart, rows: Array, raw: Array, share: float) -> LevelShift | None:
    """The level shift by held-out scores (n,) of these positions (n,), the share of what the models learn from: of squared
    errors, forward in time; else None."""
    data, problem = part.data, part.data.problem
    if part.times is None or not problem.traits.is_regression or problem.loss.name != "squared":
        return None
    y = np.log(data.y[rows]) if problem.log else data.y[rows]
    return estimate_level_shift(y - raw, part.times[rows], share, problem.smearing)


def _check_exhaustion(data: SearchData, trials: Sequence[Trial]) -> StoppingDecision:
    """Whether as many trials again would help, by what these gained."""
    scores = np.full((len(trials), len(data.folds)), np.nan)
    for row, trial in enumerate(trials):
        if not trial.pruned:
            scores[row] = trial.fold_scores
    sizes = [len(fold.test) / len(fold.train) for fold in data.folds]
    return check_exhaustion(scores, data.metric.greater_is_better, overlap=float(np.mean(sizes)))


def _refit_trials(
    part: PreparedPart, runner: TrialRunner, weighted: Mapping[int, tuple[Trial, float]], deadline: Deadline
) -> tuple[TrialModels, bool]:
    """Models of all rows, a seed a pick, as many as the time allows, and whether that was all of them.

    Forward in time the latest rows matter most. The first trial, the heaviest, is fitted whatever the time.
    """
    data = part.data
    n_seeds = {i: max(1, round(weight * min(MAX_REFITS, runner.config.n_picks))) for i, (_, weight) in weighted.items()}
    jobs = [(i, seed) for seed in range(max(n_seeds.values())) for i in weighted if seed < n_seeds[i]]
    n_at_once, threads = split_threads(part.threads, len(jobs))
    all_rows = FoldData(data.X, data.y, data.X[:0], data.y[:0])

    def fit(job: tuple[int, int]) -> BaseEstimator | None:
        i, seed = job
        if deadline.is_over and job != jobs[0]:
            return None
        trial = weighted[i][0]
        params = {**trial.params, **_combine_best_params(data, trial)}
        family = runner.get_family(trial.family)
        request = data.build_request(family, params, data.seed + trial.number + 1000 * seed, threads, all_rows)
        fitted = request.fit() if family.capabilities.reports_epochs else request.fit_once().value
        return fitted.estimator

    first = fit(jobs[0])
    with ThreadPoolExecutor(n_at_once) as pool:
        # Each with what surrounds the search: checkpoints, progress, the device of networks.
        others = [pool.submit(copy_context().run, fit, job) for job in jobs[1:]]
        fits = [first, *(other.result() for other in others)]
    refits = [(i, estimator) for (i, _), estimator in zip(jobs, fits, strict=True) if estimator is not None]
    models = {i: tuple(estimator for j, estimator in refits if j == i) for i in weighted}
    return models, len(refits) == len(jobs)


def _combine_best_params(data: SearchData, trial: Trial) -> dict[str, float]:
    """What the folds' fits chose, for all rows: whole numbers, such as rounds, grow by half as much as the rows do."""
    n_train = np.mean([len(fold.train) for fold in data.folds])
    growth = 1 + (len(data.y) / n_train - 1) / 2
    first = trial.best_params[0]
    means = {name: float(np.mean([params[name] for params in trial.best_params])) for name in first}
    return {name: max(1, round(mean * growth)) if isinstance(first[name], int) else mean for name, mean in means.items()}
