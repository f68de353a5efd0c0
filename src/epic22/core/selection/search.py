"""A search within a training part: families and parameters are tried on inner folds, and the best of them averaged.

Nothing outside the training part is seen, so folds that judge the whole search judge it honestly. So that no core waits for a
trial's last fold, the next trial is begun before; what it tries is therefore suggested by the trials before the last one, always,
so that the result depends neither on timing nor on the number of cores. Where nothing is learned from the trials before (starting
points, chance, a grid, none pruned) one more is begun.
"""

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Protocol

import numpy as np

from epic22.core.data.feature_engineering import FeatureRecipe
from epic22.core.data.folds import Fold
from epic22.core.data.split import find_test_start
from epic22.core.evaluation.crossval import PreparedRows, prepare_rows, split_target_encoding_folds
from epic22.core.evaluation.inner_folds import split_search_folds
from epic22.core.experiment import Experiment
from epic22.core.models.base import FoldData
from epic22.core.models.learning_problem import LearningProblem
from epic22.core.selection.budget import Deadline
from epic22.core.selection.executor import FoldExecutor
from epic22.core.selection.prepared_part import PreparedPart
from epic22.core.selection.search_result import FinishedTrials, SearchResult, build_search_result
from epic22.core.selection.study import Study, Suggestion, Trial
from epic22.core.selection.trials import (
    FittedTrial,
    FoldModels,
    SearchConfig,
    SearchData,
    TrialRunner,
    estimate_reserve,
    estimate_trial_seconds,
    select_complete,
    select_top_trials,
    slice_folds,
)
from epic22.core.task import Array

MAX_REFIT_ROWS = 5_000
"""Of values, up to this many rows members are fitted anew on all rows: a fifth more rows gains more than the mean of the inner
folds' models does. Root mean squared error on rows put aside, two configurations of XGBoost and two of LightGBM each: 2.1 % less
on 656 rows (concrete), 0.4 % on 596 (sacramento), 2.2 % on 1,105 (saratogahouses), 7.2 % on 514 (car_prices). Of classes the mean
is worth more: the area under the curve of fits on all rows is 0.8 % less on 687 rows (oj), 0.2 % on 1,292 (cells)."""

MAX_AHEAD, MAX_AHEAD_INDEPENDENT = 1, 2
"""Trials begun while the one before is under way: none knows the results of that many before it. The second: where nothing would
be learned from them."""


REPEAT_SEED = 7919
"""What the seed of inner folds grows by where they are dealt anew."""


class TrialWorkers(Protocol):
    """Processes that make trials of a part's shared study side by side, before the search goes on with what they leave."""

    def run_trials(
        self, part: PreparedPart, config: SearchConfig, study: Study, deadline: Deadline, progress: Callable[[], None]
    ) -> dict[int, FoldModels]:
        """Have trials made until the budget is spent; the models of the best of them, by trial number."""


def search(
    part: PreparedPart,
    config: SearchConfig,
    study: Study,
    deadline: Deadline = Deadline(None),
    progress: Callable[[], None] = lambda: None,
    workers: TrialWorkers | None = None,
) -> SearchResult:
    """Search on the part's rows alone until the budget is spent, then average.

    The study goes on where it was interrupted; `progress` is called for each of its trials. `workers` need one that is shared.
    """
    clock = TrialClock(deadline, deadline.remaining, part.deal_folds is not None)
    models = {} if workers is None else workers.run_trials(part, config, study, deadline, progress)
    if workers is None:
        for _ in study.trials:
            progress()
    with FoldExecutor.split(part.threads, len(part.data.folds)) as executor:
        runner = TrialRunner(part.data, config, executor)
        finished = _run_trials(runner, study, clock, progress)
        finished = FinishedTrials(finished.stop_reason, models | finished.models)
        return build_search_result(part, runner, study, finished, deadline)


def prepare_part(experiment: Experiment, rows: Array, recipe: FeatureRecipe = FeatureRecipe()) -> PreparedPart:
    """These rows prepared for a search, their columns made by the recipe, and split into inner folds."""
    task, examples, seed = experiment.task, experiment.examples, experiment.seed
    train_examples, encodes_labels = examples.take(rows), bool(recipe.encodings)

    def prepare(part_rows: Array) -> PreparedRows:
        encoding_folds = split_target_encoding_folds(experiment, part_rows) if encodes_labels else ()
        return prepare_rows(task, examples.take(part_rows), recipe, encoding_folds)

    prepared = prepare(rows)
    position = np.full(len(examples), -1)
    position[rows] = np.arange(len(rows))
    inner = split_search_folds(experiment, rows)
    folds = tuple(Fold(position[fold.train], position[fold.test]) for fold in inner)
    is_forward = all(find_test_start(examples, fold) is not None for fold in inner)
    y = np.asarray(train_examples.y, dtype=np.float64)

    @cache
    def encode_fold(number: int) -> FoldData:
        fold = folds[number]
        prepared_fold, valid_part = prepare(rows[fold.train]), examples.take(rows[fold.test])
        return FoldData(prepared_fold.X, y[fold.train], prepared_fold.preprocessor.transform(valid_part.X), y[fold.test])

    data = SearchData(
        LearningProblem.of(prepared.task),
        task.target.metric,
        prepared.X,
        y,
        folds,
        encode_fold if encodes_labels else slice_folds(prepared.X, y, folds),
        encodes_labels,
        is_forward or encodes_labels or (task.target.traits.is_regression and len(rows) <= MAX_REFIT_ROWS),
        seed,
    )

    def deal_again(number: int) -> tuple[Fold, ...]:
        dealt = split_search_folds(replace(experiment, seed=experiment.seed + REPEAT_SEED * number), rows)
        return tuple(Fold(position[fold.train], position[fold.test]) for fold in dealt)

    # Windows of time cannot be dealt anew, and means of labels would have to be made for each fold.
    deal = None if is_forward or encodes_labels else deal_again
    times = train_examples.at if is_forward else None
    return PreparedPart(rows, prepared.preprocessor, times, experiment.threads, data, deal)


def _run_trials(runner: TrialRunner, study: Study, clock: "TrialClock", progress: Callable[[], None]) -> FinishedTrials:
    """Trials until the budget is spent, recorded by the study in the order in which they were begun."""
    models: dict[int, FoldModels] = {}

    def record(fitted: FittedTrial, suggestion: Suggestion) -> None:
        if not fitted.trial.pruned:
            study.save_scores(fitted.trial, fitted.raw)
            if not runner.data.refit:
                models[fitted.trial.number] = fitted.models
        study.tell(fitted.trial, suggestion)
        # Who is behind so many never comes back, and hundreds of trials' models would fill the memory.
        for number in models.keys() - {one.number for one in select_top_trials(study.trials, runner.data.metric.gain)}:
            del models[number]
        progress()

    with ThreadPoolExecutor(MAX_AHEAD_INDEPENDENT + 1) as attempts:
        try:
            return FinishedTrials(_run_in_order(runner, study, clock, attempts, record), models)
        except BaseException:
            runner.executor.close()
            raise


@dataclass(frozen=True)
class TrialClock:
    """The end of a search, the seconds that it has in all, whoever makes its trials, and whether some of them go to repeats of
    its best trials."""

    deadline: Deadline
    seconds: float
    can_repeat: bool

    def find_trial_end(self, data: SearchData, trials: Sequence[Trial]) -> Deadline:
        """When no trial may be under way any more."""
        return self.deadline.move_earlier(estimate_reserve(data, self.seconds, trials, self.can_repeat))


def _run_in_order(
    runner: TrialRunner,
    study: Study,
    clock: TrialClock,
    attempts: ThreadPoolExecutor,
    record: Callable[[FittedTrial, Suggestion], None],
) -> str:
    """Why the trials ended, in words. The first has all the time there is, for without it there is no model."""
    stop_reason = ""
    running: deque[tuple[Suggestion, Future[FittedTrial | None]]] = deque()
    while True:
        trials = study.trials
        trial_deadline = clock.find_trial_end(runner.data, trials)
        while not stop_reason and len(running) <= (ahead := _count_ahead(study, number := len(trials) + len(running))):
            stop_reason = _find_stop_reason(runner.config, study, trials, len(running), trial_deadline)
            if not stop_reason:
                visible = trials[: max(number - ahead, 0)]
                suggestion = study.ask(number, len(visible))
                is_first = not (running or select_complete(trials))
                end = clock.deadline if is_first else trial_deadline
                # A thread of a pool begins without what surrounds the search: checkpoints, progress, the device of networks.
                complete = select_complete(visible)
                rivals = runner.build_rivals(study, complete)
                work = partial(copy_context().run, runner.run, suggestion, complete, end, is_first, rivals)
                running.append((suggestion, attempts.submit(work)))
        if not running:
            return stop_reason
        suggestion, attempt = running.popleft()
        fitted = attempt.result()
        if fitted is None:
            return f"the time was up during trial {len(trials) + 1}"
        record(fitted, suggestion)


def _count_ahead(study: Study, number: int) -> int:
    """How many trials before that one may be under way when it begins; by its number alone, never by the time."""
    return MAX_AHEAD_INDEPENDENT if study.ignores_history(number) else MAX_AHEAD


def _find_stop_reason(config: SearchConfig, study: Study, trials: Sequence[Trial], n_ahead: int, deadline: Deadline) -> str:
    """Why no other trial is begun beside `n_ahead` that are under way, "" where one is."""
    limit, number = config.budget.trials, len(trials) + n_ahead
    if limit is not None and number >= limit:
        return f"{number} trials were run, the limit"
    if study.is_grid_complete(number):
        return f"all {number} places of the grid were tried"
    if (select_complete(trials) or n_ahead) and deadline.remaining <= estimate_trial_seconds(trials, n_ahead):
        return f"the time was up after {number} trials"
    return ""
