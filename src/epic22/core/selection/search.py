"""A search within a training part: families and parameters are tried on inner folds, and the best of them averaged.

Nothing outside the training part is seen, so folds that judge the whole search judge it honestly. Every inner fold's matrix is
made once and serves all trials. Inner folds are fitted side by side: each on fewer threads, which small tables gain from. So that
no core waits for a trial's last fold, the next trial is begun before; what it tries is therefore suggested by the trials before
the last one, always, so that the result depends neither on timing nor on the number of cores. Where nothing is learned from the
trials before (starting points, chance, a grid, none given up) one more is begun.
"""

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from epic22.core.data.examples import Examples
from epic22.core.data.feature_engineering import FeatureRecipe
from epic22.core.data.folds import Fold, FoldPlan
from epic22.core.data.preprocess import Preprocessor
from epic22.core.data.split import split_search_folds
from epic22.core.evaluation.crossval import prepare_rows, split_target_encoding_folds
from epic22.core.evaluation.predictions import FittedFold, FoldPredictions
from epic22.core.experiment import Experiment
from epic22.core.lineage import sha256
from epic22.core.models.base import Estimator, Family, FoldData
from epic22.core.models.ensemble import Ensemble, Member
from epic22.core.models.learning_problem import LearningProblem
from epic22.core.models.loss import needs_smearing
from epic22.core.models.target_transform import unwrap_log_target
from epic22.core.models.value_scale import IDENTITY
from epic22.core.selection.budget import Budget, Deadline
from epic22.core.selection.distillation import Distillation, distill_ensemble
from epic22.core.selection.ensemble import N_PICKS, EnsembleWeights, choose_weights, compute_held_out_response, fit_value_scale
from epic22.core.selection.executor import FoldExecutor
from epic22.core.selection.level_shift import LevelShift, estimate_level_shift
from epic22.core.selection.stopping import StoppingDecision, check_exhaustion
from epic22.core.selection.study import Study, Suggestion, Trial
from epic22.core.task import Array, RowMetadata, Task

MAX_TOP_TRIALS = 25
"""The best so many trials may enter the ensemble."""

PRUNER_WARMUP_FOLDS = 2
"""Inner folds after which a trial worse than the median of those before is given up."""

PRUNER_STARTUP_TRIALS = 8
"""Complete trials before the first is given up."""

REFIT_TIME_SHARE = 0.2
"""Share of a time limit kept for the last fits where the models are fitted anew on all rows."""

MAX_AHEAD, MAX_AHEAD_INDEPENDENT = 1, 2
"""Trials begun while the one before is under way: none knows the results of so many before it. The second: where nothing would
be learned from them."""

MAX_REFITS = 10
"""Models that are fitted anew on all rows, seeds of the chosen trials by their weights: more of them hardly differ."""

WEIGHTS_TIME_SHARE = 0.06
"""Share of a time limit kept for choosing the weights."""


@dataclass(frozen=True)
class SearchResult:
    """What a search found: a fitted ensemble, the trials behind it, `weights` by trial turn, why it ended, and whether
    it is `exhausted`.

    `out_of_fold` are the inner folds as they judge the ensemble: rows that its models had not seen, in each fold by weights that
    were chosen on the others, and without the `level_shift` that the ensemble was moved to. Rounds were stopped by those rows,
    and parameters suggested by what others scored on them: a little too good, which a search judged anew by other folds is not.
    """

    fitted_fold: FittedFold
    trials: tuple[Trial, ...]
    weights: tuple[tuple[int, float], ...]
    ensemble_weights: EnsembleWeights
    stop_reason: str
    distillation: Distillation | None
    out_of_fold: tuple[FoldPredictions, ...]
    exhausted: StoppingDecision
    level_shift: LevelShift | None = None


@dataclass(frozen=True)
class HyperparameterSearch:
    """How training parts are searched: by which families, within which budget, and where studies are kept.

    `open_study(name)` opens the study of a training part. `prune` gives up trials that fall behind early. `max_row_ms`: a student
    takes the ensemble's place where score and reasons of one row take longer. `workers` has other processes make trials of a
    part's study, which must be shared; what they leave is done here.
    """

    families: tuple[Family, ...]
    budget: Budget
    open_study: Callable[[str], Study]
    prune: bool = True
    max_row_ms: float | None = None
    n_picks: int = N_PICKS
    progress: Callable[[], None] = lambda: None
    workers: "Callable[[SearchSetup, Study, str, Deadline], None] | None" = None

    def fit(
        self,
        task: Task,
        examples: Examples,
        plan: FoldPlan,
        train: Array,
        seed: int,
        threads: int,
        deadline: Deadline = Deadline(None),
        recipe: FeatureRecipe = FeatureRecipe(),
    ) -> SearchResult:
        """Search on these rows alone until the budget is spent, then average. The `recipe` says which columns are made."""
        setup = SearchSetup.of(self, task, examples, plan, train, seed, threads, recipe)
        part_id = sha256(train.tobytes())[:16]
        study = self.open_study(part_id)
        if self.workers is not None:
            self.workers(setup, study, part_id, deadline)
        with FoldExecutor(setup.split_threads(len(setup.folds))[0]) as setup.executor:
            stop_reason = _run_trials(setup, study, deadline)
            return _build_result(setup, study, deadline, stop_reason)


@dataclass
class SearchSetup:
    """A training part laid out for trials. `X` is the matrix of its rows, `folds` positions in it.

    Where columns are means of labels, each inner fold has a matrix of its own, `build_fold_data`, made of its training rows'
    labels alone. `refit`: members are fitted on all rows, for the inner folds' models lack the latest rows, or have other means
    of labels. `times` (n,): the times of the rows where the folds go forward.
    """

    search: HyperparameterSearch
    task: Task
    preprocessor: Preprocessor
    X: Array
    y: Array
    train: Array
    folds: tuple[Fold, ...]
    refit: bool
    seed: int
    threads: int
    build_fold_data: Callable[[Fold], FoldData] | None = None
    times: Array | None = None
    fold_data: dict[int, FoldData] = field(default_factory=dict)
    fold_models: dict[int, tuple[Estimator, ...]] = field(default_factory=dict)
    executor: FoldExecutor = field(default_factory=lambda: FoldExecutor(0))

    @classmethod
    def of(
        cls,
        search: HyperparameterSearch,
        task: Task,
        examples: Examples,
        plan: FoldPlan,
        train: Array,
        seed: int,
        threads: int,
        recipe: FeatureRecipe,
    ) -> "SearchSetup":
        """Lay the training part out, its columns made by the recipe."""
        train_examples, kind = examples.take(train), task.target.kind
        experiment = Experiment(task, examples, plan, seed, threads)
        prepared = prepare_rows(
            task,
            train_examples,
            recipe,
            split_target_encoding_folds(experiment, train) if recipe.encodings else (),
        )
        position = np.full(len(examples), -1)
        position[train] = np.arange(len(train))
        inner = split_search_folds(plan, examples, train, kind, seed)
        folds = tuple(Fold(position[fold.train], position[fold.test]) for fold in inner)
        last_times = np.array([examples.at[fold.test].max() for fold in inner])
        is_forward = (
            len(inner) > 1 and bool((last_times[1:] > last_times[:-1]).all()) and len(inner[-1].train) > len(inner[0].train)
        )
        y = np.asarray(train_examples.y, dtype=np.float64)

        def build_fold_data(fold: Fold) -> FoldData:
            train_part, valid_part = examples.take(train[fold.train]), examples.take(train[fold.test])
            parts = split_target_encoding_folds(experiment, train[fold.train])
            prepared_fold = prepare_rows(task, train_part, recipe, parts)
            return FoldData(prepared_fold.X, y[fold.train], prepared_fold.preprocessor.transform(valid_part.X), y[fold.test])

        has_tallies = bool(recipe.encodings)
        return cls(
            search,
            prepared.task,
            prepared.preprocessor,
            prepared.X,
            y,
            train,
            folds,
            is_forward or has_tallies,
            seed,
            threads,
            build_fold_data if has_tallies else None,
            train_examples.at if is_forward else None,
        )

    @property
    def valid_rows(self) -> Array:
        """Positions of all watched rows, fold after fold."""
        return np.concatenate([fold.test for fold in self.folds])

    def get_fold_data(self, fold_number: int) -> FoldData:
        """The inner fold of that number; made once."""
        if fold_number not in self.fold_data:
            fold = self.folds[fold_number]
            shared = FoldData(self.X[fold.train], self.y[fold.train], self.X[fold.test], self.y[fold.test])
            self.fold_data[fold_number] = shared if self.build_fold_data is None else self.build_fold_data(fold)
        return self.fold_data[fold_number]

    def get_all_data(self) -> FoldData:
        """All rows, none watched."""
        if -1 not in self.fold_data:
            self.fold_data[-1] = FoldData(self.X, self.y, self.X[:0], self.y[:0])
        return self.fold_data[-1]

    def build_estimator(self, family: str, params: Any, seed: int, threads: int) -> Estimator:
        """An unfitted estimator of one of the search's families."""
        family_entry = next(f for f in self.search.families if f.name == family)
        return family_entry.build(
            LearningProblem.of(self.task), seed=seed, threads=threads, **{**family_entry.defaults_for(len(self.y)), **params}
        )

    def split_threads(self, n_fits: int) -> tuple[int, int]:
        """How many fits run at once, and on how many threads each."""
        workers = max(1, min(self.threads, n_fits))
        return workers, max(1, self.threads // workers)


def _run_trials(setup: SearchSetup, study: Study, deadline: Deadline) -> str:
    """Trials until the budget is spent; why it ended, in words."""
    if setup.search.workers is None:
        for _ in study.trials:
            setup.search.progress()
    with ThreadPoolExecutor(MAX_AHEAD_INDEPENDENT + 1) as attempts:
        try:
            return _run_in_order(setup, study, deadline, attempts)
        except BaseException:
            setup.executor.close()
            raise


def _run_in_order(setup: SearchSetup, study: Study, deadline: Deadline, attempts: ThreadPoolExecutor) -> str:
    """Trials told in the order in which they were begun. The first has the whole clock, for without it there is no model."""
    stop_reason, seconds = "", deadline.remaining
    running: deque[tuple[Suggestion, Future[Trial | None]]] = deque()
    while True:
        trials = study.trials
        trial_deadline = deadline.move_earlier(estimate_reserve(setup, seconds, trials))
        while not stop_reason and len(running) <= (ahead := _count_ahead(setup, study, number := len(trials) + len(running))):
            stop_reason = _find_stop_reason(setup, study, trials, len(running), trial_deadline)
            if not stop_reason:
                visible = trials[: max(number - ahead, 0)]
                suggestion = study.ask(number, len(visible))
                is_first = not (running or select_complete(trials))
                arguments = (
                    setup,
                    study,
                    suggestion,
                    select_complete(visible),
                    deadline if is_first else trial_deadline,
                    is_first,
                )
                running.append((suggestion, attempts.submit(run_trial, *arguments)))
        if not running:
            return stop_reason
        suggestion, attempt = running.popleft()
        trial = attempt.result()
        if trial is None:
            return f"the time was up during trial {len(trials) + 1}"
        study.tell(trial, suggestion)
        setup.search.progress()


def _count_ahead(setup: SearchSetup, study: Study, number: int) -> int:
    """How many trials before that turn may be under way when it begins; by its number alone, never by the time."""
    never_pruned = not setup.search.prune or number - MAX_AHEAD < PRUNER_STARTUP_TRIALS
    return MAX_AHEAD_INDEPENDENT if never_pruned and study.ignores_history(number) else MAX_AHEAD


def select_complete(trials: Sequence[Trial]) -> list[Trial]:
    """Those that were not given up."""
    return [trial for trial in trials if not trial.pruned]


def _find_stop_reason(setup: SearchSetup, study: Study, trials: Sequence[Trial], n_ahead: int, deadline: Deadline) -> str:
    """Why no other trial is begun beside so many that are under way, "" where one is."""
    limit, number = setup.search.budget.trials, len(trials) + n_ahead
    if limit is not None and number >= limit:
        return f"{number} trials were made, as many as allowed"
    if study.is_grid_complete(number):
        return f"all {number} places of the grid were tried"
    if (select_complete(trials) or n_ahead) and deadline.remaining <= estimate_trial_seconds(trials, n_ahead):
        return f"the time was up after {number} trials"
    return ""


def estimate_trial_seconds(trials: Sequence[Trial], n_ahead: int = 0) -> float:
    """How long the next trial may well take behind so many that are under way, by those before: the longer ones count."""
    return (1 + n_ahead) * float(np.quantile([trial.seconds for trial in trials], 0.6)) if trials else 0.0


def estimate_reserve(setup: SearchSetup, seconds: float, trials: Sequence[Trial] = ()) -> float:
    """How many of so many seconds to keep for what follows the trials: a share for the last fits, or less where that is known."""
    if seconds == float("inf"):
        return 0.0
    refit_seconds, complete = REFIT_TIME_SHARE * max(seconds, 0.0) if setup.refit else 0.0, select_complete(trials)
    if setup.refit and len(complete) >= PRUNER_STARTUP_TRIALS:
        refit_seconds = min(refit_seconds, estimate_refit_seconds(setup, complete))
    return WEIGHTS_TIME_SHARE * max(seconds, 0.0) + refit_seconds


def estimate_refit_seconds(setup: SearchSetup, complete: Sequence[Trial]) -> float:
    """Seconds that fits on all rows may well take, by the slowest of the trials that would be fitted anew now."""
    best = select_top_trials(complete, setup.task.target.metric.gain)[:MAX_REFITS]
    growth = len(setup.y) / np.mean([len(fold.train) for fold in setup.folds])
    return float(MAX_REFITS * max(trial.seconds for trial in best) / len(setup.folds) * growth)


class _Fit(NamedTuple):
    """A fold's model, its scores of the watched rows, and how long it took."""

    estimator: Estimator
    raw: Array
    seconds: float


def run_trial(
    setup: SearchSetup, study: Study, suggestion: Suggestion, complete: Sequence[Trial], deadline: Deadline, is_first: bool
) -> Trial | None:
    """The suggestion's trial, None where the time was up before its end; one that is `is_first`, the first, is cut short
    instead."""
    metric = setup.task.target.metric
    prunes = setup.search.prune and len(setup.folds) > PRUNER_WARMUP_FOLDS and len(complete) >= PRUNER_STARTUP_TRIALS
    early = range(PRUNER_WARMUP_FOLDS if prunes else len(setup.folds))
    fits = _fit_folds(setup, suggestion, early, deadline)
    values = _score_folds(setup, fits, early)
    pruned = prunes and _is_below_median(values, complete, metric.gain)
    if not pruned:
        rest = range(len(early), len(setup.folds))
        fits += _fit_folds(setup, suggestion, rest, deadline)
        values += _score_folds(setup, fits[len(early) :], rest)
    if deadline.is_over and not is_first:
        return None
    best_params = tuple(_select_best_params(one.estimator, suggestion.params) for one in fits)
    if not pruned:
        study.save_scores(suggestion, np.concatenate([one.raw for one in fits]))
        setup.fold_models[suggestion.number] = tuple(one.estimator for one in fits)
    return Trial(
        suggestion.number,
        suggestion.family,
        suggestion.params,
        tuple(values),
        best_params,
        _compute_busy_seconds(setup, fits),
        pruned,
    )


def _compute_busy_seconds(setup: SearchSetup, fits: Sequence[_Fit]) -> float:
    """Seconds that the fits keep all cores busy, or the longest its fold, without what they waited for others."""
    workers, _ = setup.split_threads(len(setup.folds))
    each = [one.seconds for one in fits]
    return max(sum(each) / workers, *each)


def _select_best_params(estimator: Estimator, params: Mapping[str, Any]) -> dict[str, Any]:
    """What watching found beside the parameters given, as far as it is numbers."""
    best_params = unwrap_log_target(estimator).best_params()
    return {name: value for name, value in best_params.items() if name not in params and isinstance(value, int | float)}


def _fit_folds(setup: SearchSetup, suggestion: Suggestion | Trial, numbers: Sequence[int], deadline: Deadline) -> list[_Fit]:
    """A model a fold, side by side."""
    _, threads = setup.split_threads(len(setup.folds))

    def fit(number: int) -> _Fit:
        began = time.perf_counter()
        estimator = setup.build_estimator(suggestion.family, suggestion.params, setup.seed + suggestion.number, threads)
        raw = estimator.fit_with_validation(setup.get_fold_data(number), lambda: deadline.is_over or setup.executor.closed)
        return _Fit(estimator, raw, time.perf_counter() - began)

    fits = [setup.executor.submit(number, lambda number=number: fit(number)) for number in numbers]  # type: ignore[misc]
    return [one.result() for one in fits]


def _score_folds(setup: SearchSetup, fits: Sequence[_Fit], numbers: Sequence[int]) -> list[float]:
    target = setup.task.target
    return [
        target.metric.score(y, compute_held_out_response(target, one.raw, y), RowMetadata())
        for one, number in zip(fits, numbers, strict=True)
        for y in [setup.y[setup.folds[number].test]]
    ]


def _is_below_median(values: Sequence[float], complete: Sequence[Trial], gain: Callable[[float, float], float]) -> bool:
    """Whether the first folds say that the trial is worse than the median of the complete ones."""
    before = float(np.median([np.mean(trial.fold_scores[: len(values)]) for trial in complete]))
    return gain(float(np.mean(values)), before) < 0


def _build_result(setup: SearchSetup, study: Study, deadline: Deadline, stop_reason: str) -> SearchResult:
    """The ensemble of the best trials."""
    trials = study.trials
    top_trials = select_top_trials(trials, setup.task.target.metric.gain)
    raws = [_get_scores(setup, study, trial) for trial in top_trials]
    number = np.repeat(np.arange(len(setup.folds)), [len(fold.test) for fold in setup.folds])
    target, valid_rows = setup.task.target, setup.valid_rows
    ensemble_weights = choose_weights(raws, setup.y[valid_rows], number, target, setup.search.n_picks)
    chosen = [(trial, float(w)) for trial, w in zip(top_trials, ensemble_weights.weights, strict=True) if w > 0]
    chosen.sort(key=lambda one: -one[1])
    members = _refit_members(setup, chosen, deadline) if setup.refit else _collect_fold_models(setup, chosen)
    scale = IDENTITY if target.traits.is_classification else fit_value_scale(target, ensemble_weights.raw, setup.y[valid_rows])
    level_shift = _estimate_level_shift(setup, ensemble_weights)
    ensemble = Ensemble(target.kind, members, setup.threads, scale, 0.0 if level_shift is None else level_shift.shift)
    distillation = None
    if setup.search.max_row_ms is not None:
        distillation = distill_ensemble(ensemble, setup.X, setup.task, setup.search.max_row_ms, setup.seed, setup.threads)
    fitted_fold = FittedFold(setup.preprocessor, ensemble if distillation is None else distillation.estimator)
    weights = tuple((trial.number, weight) for trial, weight in chosen)
    responses = (
        target.traits.inverse_link(ensemble_weights.raw) if target.traits.is_classification else scale(ensemble_weights.raw)
    )
    out_of_fold = tuple(
        FoldPredictions(Fold(setup.train[fold.train], setup.train[fold.test]), responses[number == i])
        for i, fold in enumerate(setup.folds)
    )
    return SearchResult(
        fitted_fold,
        trials,
        weights,
        ensemble_weights,
        stop_reason,
        distillation,
        out_of_fold,
        _check_exhaustion(setup, trials),
        level_shift,
    )


def _estimate_level_shift(setup: SearchSetup, ensemble_weights: EnsembleWeights) -> LevelShift | None:
    """Where means stand at the end of training: of squared errors, forward in time."""
    target = setup.task.target
    if setup.times is None or not target.traits.is_regression or target.loss != "squared":
        return None
    valid_rows = setup.valid_rows
    y = np.log(setup.y[valid_rows]) if target.log else setup.y[valid_rows]
    return estimate_level_shift(
        y - ensemble_weights.raw,
        setup.times[valid_rows],
        len(valid_rows) / len(setup.y),
        bool(target.log) and needs_smearing(target),
    )


def _check_exhaustion(setup: SearchSetup, trials: Sequence[Trial]) -> StoppingDecision:
    """Whether as many trials again would help, by what these gained."""
    folds = len(setup.folds)
    scores = np.full((len(trials), folds), np.nan)
    for row, trial in enumerate(trials):
        if not trial.pruned:
            scores[row] = trial.fold_scores
    sizes = [len(fold.test) / len(fold.train) for fold in setup.folds]
    return check_exhaustion(scores, setup.task.target.metric.greater_is_better, overlap=float(np.mean(sizes)))


def select_top_trials(trials: Sequence[Trial], gain: Callable[[float, float], float]) -> list[Trial]:
    """The best complete trials, and the best of each family."""
    complete = sorted((t for t in trials if not t.pruned), key=lambda t: (-gain(t.value, 0.0), t.number))
    best = {trial.family: trial for trial in reversed(complete)}.values()
    return complete[:MAX_TOP_TRIALS] + [trial for trial in best if trial not in complete[:MAX_TOP_TRIALS]]


def _get_scores(setup: SearchSetup, study: Study, trial: Trial) -> Array:
    """The trial's scores of the watched rows; fitted again where nobody kept them."""
    scores = study.load_scores(trial)
    if scores is not None:
        return scores
    fits = _fit_folds(setup, trial, range(len(setup.folds)), Deadline(None))
    setup.fold_models[trial.number] = tuple(one.estimator for one in fits)
    return np.concatenate([one.raw for one in fits])


def _collect_fold_models(setup: SearchSetup, chosen: Sequence[tuple[Trial, float]]) -> tuple[Member, ...]:
    """The inner folds' own models: they are there already, and differ, which averaging gains from."""
    for trial, _ in chosen:
        if trial.number not in setup.fold_models:
            fits = _fit_folds(setup, trial, range(len(setup.folds)), Deadline(None))
            setup.fold_models[trial.number] = tuple(one.estimator for one in fits)
    return tuple(
        Member(trial.family, weight / len(setup.fold_models[trial.number]), estimator)
        for trial, weight in chosen
        for estimator in setup.fold_models[trial.number]
    )


def _refit_members(setup: SearchSetup, chosen: Sequence[tuple[Trial, float]], deadline: Deadline) -> tuple[Member, ...]:
    """Models of all rows, a seed a pick, as many as the time allows: forward in time the latest rows matter most.

    The heaviest trial is fitted whatever the time; weights of what was not reached go to the others.
    """
    n_seeds = [max(1, round(weight * min(MAX_REFITS, setup.search.n_picks))) for _, weight in chosen]
    jobs = [(i, seed) for seed in range(max(n_seeds)) for i in range(len(chosen)) if seed < n_seeds[i]]
    workers, threads = setup.split_threads(len(jobs))
    all_data = setup.get_all_data()

    def fit(job: tuple[int, int]) -> Estimator | None:
        i, seed = job
        if deadline.is_over and job != jobs[0]:
            return None
        trial = chosen[i][0]
        best_params = _combine_best_params(setup, trial)
        estimator = setup.build_estimator(
            trial.family, {**trial.params, **best_params}, setup.seed + trial.number + 1000 * seed, threads
        )
        estimator.fit_with_validation(all_data)
        return estimator

    first = fit(jobs[0])
    with ThreadPoolExecutor(workers) as pool:
        fits = [first, *pool.map(fit, jobs[1:])]
    refits = [(i, estimator) for (i, _), estimator in zip(jobs, fits, strict=True) if estimator is not None]
    count = np.bincount([i for i, _ in refits], minlength=len(chosen))
    total_weight = sum(weight for (_, weight), n in zip(chosen, count, strict=True) if n)
    return tuple(Member(chosen[i][0].family, chosen[i][1] / total_weight / int(count[i]), estimator) for i, estimator in refits)


def _combine_best_params(setup: SearchSetup, trial: Trial) -> dict[str, Any]:
    """What the folds settled, for all rows: whole numbers, such as rounds, grow by half as much as the rows do."""
    rows = np.mean([len(fold.train) for fold in setup.folds])
    growth = 1 + (len(setup.y) / rows - 1) / 2
    names = trial.best_params[0]
    means = {name: float(np.mean([settled[name] for settled in trial.best_params])) for name in names}
    integer_names = {name for name in names if isinstance(trial.best_params[0][name], int)}
    return {name: max(1, round(mean * growth)) if name in integer_names else mean for name, mean in means.items()}
