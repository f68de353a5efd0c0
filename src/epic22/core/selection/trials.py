"""Trials: one configuration fitted on the inner folds of a training part, in this process or another's.

A trial is fitted on the first inner fold, and on the others unless it lost its race there (`racing`). Every inner fold's matrix
is made once and serves all trials, the first one's once for each of those that race at the same time. Folds are fitted side by
side: each on fewer threads, which small tables gain from.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property, partial
from typing import Any

import numpy as np

from epic22.core.data.folds import Fold
from epic22.core.fit_store import TimedFit
from epic22.core.models.base import BaseEstimator, Family, FoldData
from epic22.core.models.fit_request import ValidatedFit, ValidatedFitRequest
from epic22.core.models.learning_problem import LearningProblem
from epic22.core.models.networks.jobs import is_behind
from epic22.core.models.target_transform import unwrap_target_transform
from epic22.core.selection.budget import Budget, Deadline
from epic22.core.selection.ensemble import N_PICKS, compute_held_out_response
from epic22.core.selection.executor import FoldExecutor
from epic22.core.selection.racing import N_RIVALS, Rivals, build_rivals
from epic22.core.selection.study import Sampling, Study, StudyConfig, Suggestion, Trial
from epic22.core.task import Array, Metric, RowMetadata

MAX_TOP_TRIALS = 25
"""How many of the best trials may enter the ensemble."""

N_LANES = 2
"""Trials that may be on the first inner fold at the same time, each with a matrix of its own."""

REFIT_STARTUP_TRIALS = 8
"""Complete trials from which on the time of the last fits is estimated."""

REFIT_TIME_SHARE = 0.2
"""Share of a time limit kept for the last fits where the models are refitted on all rows."""

MAX_REFITS = 10
"""Models that are refitted on all rows, seeds of the chosen trials by their weights: more of them hardly differ."""

WEIGHTS_TIME_SHARE = 0.06
"""Share of a time limit kept for choosing the weights."""

MAX_REPEATS, REPEAT_TIME_SHARE = 4, 0.3
"""How many more times, and in what share of a time limit at most, the best trials are fitted on inner folds that are dealt anew:
what was luck of one dealing weighs less, and of classes their models join the others."""

EPOCH_STARTUP_TRIALS = 5
"""Complete trials that reported epochs before the first is pruned by epoch."""

EPOCH_QUANTILE = 0.75
"""Share of the trials before that a trial may be behind of and go on."""

PRUNER_WARMUP_EPOCHS = 5
"""Epochs of a network's training in which it is not pruned, at least: a small learning rate is slow, and may end well."""

EpochBars = tuple[tuple[float, ...], ...]
"""Losses by epoch, for each inner fold."""

FoldModels = tuple[BaseEstimator, ...]
"""A trial's models, one an inner fold."""


@dataclass(frozen=True)
class SearchConfig:
    """What is asked of a search: families, budget, how suggestions are made, and whether trials that fall behind are `prune`d.

    `max_ms_per_row`: a student takes the ensemble's place where score and reasons of one row take longer.
    """

    families: tuple[Family, ...]
    budget: Budget
    sampling: Sampling = "bayesian"
    prune: bool = True
    max_ms_per_row: float | None = None
    n_picks: int = N_PICKS

    def build_study_config(self, metric: Metric, seed: int, shared: bool = False) -> StudyConfig:
        """The configuration of a study of trials judged by this metric."""
        return StudyConfig(self.families, metric.greater_is_better, seed, self.sampling, shared)


@dataclass(frozen=True)
class SearchData:
    """A training part as trials see it: matrix `X` (n, p), labels `y` (n,), and inner `folds`, positions in it.

    `get_fold` gives an inner fold's rows, made once. `encodes_labels`: columns are means of labels, and each fold has a matrix of
    its own, made of its training rows' labels alone. `refit`: members are fitted on all rows, for the inner folds' models lack
    the latest rows, or have other means of labels.
    """

    problem: LearningProblem
    metric: Metric
    X: Array
    y: Array
    folds: tuple[Fold, ...]
    get_fold: Callable[[int], FoldData]
    encodes_labels: bool
    refit: bool
    seed: int

    @property
    def valid_rows(self) -> Array:
        """Positions of all validation rows, fold after fold."""
        return np.concatenate([fold.test for fold in self.folds])

    @cached_property
    def lanes(self) -> tuple[FoldData, ...]:
        """The first inner fold, `N_LANES` times: the same rows, what estimators make of them apart."""
        first = self.get_fold(0)
        return first, *(replace(first, cache={}) for _ in range(N_LANES - 1))

    def build_request(
        self, family: Family, params: Mapping[str, Any], seed: int, threads: int, rows: FoldData
    ) -> ValidatedFitRequest:
        """The fit of a family on some of these rows."""
        return ValidatedFitRequest(family, self.problem, rows, seed, threads, {**family.defaults_for(len(self.y)), **params})


def slice_folds(X: Array, y: Array, folds: Sequence[Fold]) -> Callable[[int], FoldData]:
    """What gives an inner fold's rows of one matrix by its number, made once."""

    def slice_fold(number: int) -> FoldData:
        fold = folds[number]
        return FoldData(X[fold.train], y[fold.train], X[fold.test], y[fold.test])

    return cache(slice_fold)


@dataclass(frozen=True)
class FittedTrial:
    """A trial with its models and their scores of the validation rows before the link, fold after fold."""

    trial: Trial
    models: FoldModels
    raw: Array


@dataclass(frozen=True)
class _FoldFit:
    """A fold's model, its scores of the validation rows, what it chose, and how long it took; their losses by epoch where it
    reports them, and whether it was ended for falling behind."""

    estimator: BaseEstimator
    raw: Array
    best_params: Mapping[str, float]
    seconds: float
    losses: tuple[float, ...] = ()
    is_behind: bool = False


@dataclass(frozen=True)
class TrialRunner:
    """Makes trials of a training part by an executor's threads."""

    data: SearchData
    config: SearchConfig
    executor: FoldExecutor

    def run(
        self,
        suggestion: Suggestion,
        complete: Sequence[Trial],
        deadline: Deadline,
        is_first: bool,
        rivals: Rivals | None = None,
    ) -> FittedTrial | None:
        """The suggestion's trial, None where the time was up before its end; the first is cut short instead.

        It ends with the first inner fold where it lost the race, or where the time that is left is not enough for the others.
        """
        n_folds = len(self.data.folds)
        bars = compute_epoch_bars(complete) if self.config.prune else ()
        races = rivals is not None and n_folds > 1
        fits = self._fit_folds(suggestion, range(1 if races else n_folds), deadline, bars)
        pruned = fits[-1].is_behind
        if races and not pruned:
            pruned = (rivals is not None and rivals.are_ahead_of(fits[0].raw)) or self._lacks_time(fits[0], deadline)
            if not pruned:
                fits += self._fit_folds(suggestion, range(1, n_folds), deadline, bars)
                pruned = fits[-1].is_behind
        if deadline.is_over and not is_first:
            return None
        trial = Trial(
            suggestion.number,
            suggestion.family,
            suggestion.params,
            tuple(self._score_folds(fits)),
            tuple(_select_best_params(one, suggestion.params) for one in fits),
            self._compute_busy_seconds(fits),
            pruned,
            tuple(one.losses for one in fits if one.losses),
            len(fits[-1].losses) if fits[-1].is_behind else None,
        )
        return _build_fitted_trial(trial, fits)

    def build_rivals(self, study: Study, complete: Sequence[Trial]) -> Rivals | None:
        """What a trial is compared with after its first inner fold: the best complete trials; None where none is to be pruned."""
        best = select_top_trials(complete, self.data.metric.gain)[:N_RIVALS]
        if not best or not self.config.prune or len(self.data.folds) < 2:
            return None
        rows = self.data.folds[0].test
        return build_rivals(self.data.problem, self.data.y[rows], [self.load_scores(study, one)[: len(rows)] for one in best])

    def load_scores(self, study: Study, trial: Trial) -> Array:
        """The trial's scores of the validation rows; fitted again where nobody kept them."""
        scores = study.load_scores(trial)
        if scores is None:
            scores = self.refit(trial).raw
            study.save_scores(trial, scores)
        return scores

    def _lacks_time(self, first: _FoldFit, deadline: Deadline) -> bool:
        """Whether the other inner folds may well take longer than there is time, by the first."""
        return deadline.remaining < first.seconds * (len(self.data.folds) - 1) / self.executor.n_threads

    def refit(self, trial: Trial) -> FittedTrial:
        """The same trial once more, for what nobody kept of it."""
        return _build_fitted_trial(trial, self._fit_folds(trial, range(len(self.data.folds)), Deadline(None)))

    def get_family(self, name: str) -> Family:
        """The family of that name among those that are searched."""
        return next(family for family in self.config.families if family.name == name)

    def _fit_folds(
        self, suggestion: Suggestion | Trial, numbers: Sequence[int], deadline: Deadline, bars: EpochBars = ()
    ) -> list[_FoldFit]:
        """A model a fold, side by side; where epochs may end a trial one after another, up to the first that falls behind."""
        family, seed = self.get_family(suggestion.family), self.data.seed + suggestion.number
        lane = suggestion.number % N_LANES
        own_bars = bars if family.capabilities.reports_epochs else ()

        def fit(number: int) -> _FoldFit:
            bar = own_bars[number] if own_bars else ()
            params = {**suggestion.params, **({"bar": bar} if bar else {})}
            fold = self.data.get_fold(number) if number else self.data.lanes[lane]
            request = self.data.build_request(family, params, seed, self.executor.threads_per_fit, fold)
            fitted = self._fit(request, lambda: deadline.is_over or self.executor.closed)
            one = fitted.value
            losses = tuple(getattr(unwrap_target_transform(one.estimator), "losses_", ()))
            return _FoldFit(one.estimator, one.raw, one.best_params, fitted.seconds, losses, is_behind(losses, bar))

        # Of the first inner fold there are several matrices; the lanes' numbers follow those of the folds.
        matrices = [number if number or not lane else len(self.data.folds) - 1 + lane for number in numbers]
        fits = (self.executor.submit(m, partial(fit, number)) for m, number in zip(matrices, numbers, strict=True))
        if not own_bars:
            return [one.result() for one in list(fits)]
        finished: list[_FoldFit] = []
        for one in fits:
            finished.append(one.result())
            if finished[-1].is_behind:
                break
        return finished

    def _fit(self, request: ValidatedFitRequest, expired: Callable[[], bool]) -> TimedFit[ValidatedFit]:
        """The fit; kept in a store where the ensemble may need the model itself, and no checkpoint knows of it."""
        if self.data.refit or request.family.capabilities.reports_epochs:
            began = time.perf_counter()
            return TimedFit(request.fit(expired), time.perf_counter() - began)
        return request.fit_once(expired)

    def _score_folds(self, fits: Sequence[_FoldFit]) -> list[float]:
        """The metric of the first folds' fits."""
        labels = [self.data.y[fold.test] for fold in self.data.folds[: len(fits)]]
        return [
            self.data.metric.score(y, compute_held_out_response(self.data.problem, one.raw, y), RowMetadata())
            for one, y in zip(fits, labels, strict=True)
        ]

    def _compute_busy_seconds(self, fits: Sequence[_FoldFit]) -> float:
        """Seconds that the fits keep all cores busy, or the longest its fold, without what they waited for others."""
        seconds = [one.seconds for one in fits]
        return max(sum(seconds) / self.executor.n_threads, *seconds)


def _build_fitted_trial(trial: Trial, fits: Sequence[_FoldFit]) -> FittedTrial:
    return FittedTrial(trial, tuple(one.estimator for one in fits), np.concatenate([one.raw for one in fits]))


def _select_best_params(fit: _FoldFit, params: Mapping[str, Any]) -> dict[str, float]:
    """What early stopping and the like chose beside the parameters given, as far as it is numbers."""
    return {name: value for name, value in fit.best_params.items() if name not in params}


def compute_epoch_bars(complete: Sequence[Trial]) -> EpochBars:
    """Losses by epoch that a trial must keep up with in each inner fold: what three of four complete trials had as least loss so
    far, without end until half of them were at their best. None where too few trials have reported epochs."""
    reported = [trial.losses for trial in complete if trial.losses and all(trial.losses)]
    if len(reported) < EPOCH_STARTUP_TRIALS:
        return ()
    return tuple(_compute_epoch_bar([losses[fold] for losses in reported]) for fold in range(len(reported[0])))


def _compute_epoch_bar(curves: Sequence[Sequence[float]]) -> tuple[float, ...]:
    longest = max(map(len, curves))
    # A training that ended keeps what it reached; a loss that is no number is none.
    losses = np.array([[*curve, *[math.inf] * (longest - len(curve))] for curve in curves])
    losses[np.isnan(losses)] = np.inf
    bar = np.quantile(np.minimum.accumulate(losses, axis=1), EPOCH_QUANTILE, axis=0, method="higher")
    bar[: max(PRUNER_WARMUP_EPOCHS, int(np.median(losses.argmin(axis=1) + 1)))] = np.inf
    return tuple(bar.tolist())


def select_complete(trials: Sequence[Trial]) -> list[Trial]:
    """Those that were not pruned."""
    return [trial for trial in trials if not trial.pruned]


def select_top_trials(trials: Sequence[Trial], gain: Callable[[float, float], float]) -> list[Trial]:
    """The best complete trials, and the best of each family."""
    complete = sorted(select_complete(trials), key=lambda t: (-gain(t.value, 0.0), t.number))
    best = {trial.family: trial for trial in reversed(complete)}.values()
    return complete[:MAX_TOP_TRIALS] + [trial for trial in best if trial not in complete[:MAX_TOP_TRIALS]]


def estimate_trial_seconds(trials: Sequence[Trial], n_ahead: int = 0) -> float:
    """How long the next trial may well take behind `n_ahead` under way, by those before: the longer ones count."""
    return (1 + n_ahead) * float(np.quantile([trial.seconds for trial in trials], 0.6)) if trials else 0.0


def estimate_reserve(data: SearchData, seconds: float, trials: Sequence[Trial] = (), can_repeat: bool = False) -> float:
    """How many of the seconds to keep for what follows the trials: a share for the last fits, or less where that is known, and
    where inner folds can be dealt anew as many repeats as fit into their share."""
    if seconds == float("inf"):
        return 0.0
    repeats = count_repeats(seconds, estimate_repeat_seconds(data, trials)) if can_repeat else 0
    return _estimate_last_fits(data, seconds, trials) + repeats * estimate_repeat_seconds(data, trials)


def count_repeats(seconds: float, seconds_each: float) -> int:
    """How many repeats of so many seconds fit into their share of a search's seconds."""
    return min(MAX_REPEATS, int(REPEAT_TIME_SHARE * seconds / seconds_each)) if seconds_each > 0 else 0


def estimate_repeat_seconds(data: SearchData, trials: Sequence[Trial]) -> float:
    """Seconds that the best trials take on other inner folds; zero before there are as many as may enter the ensemble."""
    complete = select_complete(trials)
    if len(complete) < MAX_TOP_TRIALS:
        return 0.0
    return float(sum(trial.seconds for trial in select_top_trials(complete, data.metric.gain)))


def _estimate_last_fits(data: SearchData, seconds: float, trials: Sequence[Trial]) -> float:
    refit_seconds, complete = REFIT_TIME_SHARE * max(seconds, 0.0) if data.refit else 0.0, select_complete(trials)
    if data.refit and len(complete) >= REFIT_STARTUP_TRIALS:
        refit_seconds = min(refit_seconds, _estimate_refit_seconds(data, complete))
    return WEIGHTS_TIME_SHARE * max(seconds, 0.0) + refit_seconds


def _estimate_refit_seconds(data: SearchData, complete: Sequence[Trial]) -> float:
    """Seconds that fits on all rows are expected to take, by the trials that would be refitted now: what takes longer is left out
    when the time is up."""
    best = select_top_trials(complete, data.metric.gain)[:MAX_REFITS]
    growth = len(data.y) / np.mean([len(fold.train) for fold in data.folds])
    return float(MAX_REFITS * np.mean([trial.seconds for trial in best]) / len(data.folds) * growth)
