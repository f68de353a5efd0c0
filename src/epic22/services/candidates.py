"""Who takes part in a race: the families as they come, with the columns that are planned for them, and the search."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from epic22.core.evaluation.crossval import (
    Candidate,
    Evaluation,
    FoldFits,
    count_folds_at_once,
    evaluate,
    fit_folds,
    make_candidate,
    make_configured_candidate,
    make_default_recipe,
    summarise_folds,
)
from epic22.core.evaluation.inner_folds import split_search_folds
from epic22.core.experiment import Experiment
from epic22.core.models.base import BaseEstimator
from epic22.core.models.catalog import AVERAGE, DEFAULT_FAMILY, ENSEMBLE, get_family
from epic22.core.models.configuration import Configuration, list_initial_configurations
from epic22.core.progress import Progress
from epic22.core.selection.average import FamilyAverage, average_families, average_within_cost, can_be_averaged, fit_average
from epic22.core.selection.budget import Deadline
from epic22.core.selection.feature_selection import ColumnBudget as ColumnBudget
from epic22.core.selection.feature_selection import ColumnPlanner
from epic22.core.task import Array
from epic22.services.prepare import Preparation
from epic22.services.tune import AVERAGE_SHARE, IncompleteSearchError, NestedSearch, Tuning


@dataclass(frozen=True)
class RunConfig:
    """How candidates learn: whether columns are engineered, and the search, if there is one."""

    engineer: bool = False
    tuning: Tuning | None = None

    def build_planner(self, experiment: Experiment) -> ColumnPlanner | None:
        """Who plans the columns of each training part; None where they are taken as declared."""
        # Columns made of an exposure would be learned from.
        target = experiment.task.target
        if not self.engineer or not target.traits.supports_feature_engineering or target.offset is not None:
            return None
        seconds = None if self.tuning is None else self.tuning.get_column_seconds(experiment.plan)
        return ColumnPlanner(experiment, ColumnBudget(seconds=seconds))

    @property
    def is_time_limited(self) -> bool:
        """Whether the time is limited: then nothing is explained but each row's own answer."""
        return self.tuning is not None and self.tuning.budget.seconds is not None


@dataclass(frozen=True)
class Candidates:
    """Who takes part, the search among them, if there is one, and who plans their columns; None where those are taken as
    declared. `average` is that of the families as they come, where the time is limited."""

    members: tuple[Candidate, ...]
    search: NestedSearch | None
    planner: ColumnPlanner | None
    average: FamilyAverage | None = None

    def get(self, family: str) -> Candidate:
        """The one of that name."""
        return next(candidate for candidate in self.members if candidate.name == family)


def prepare_candidates(preparation: Preparation, config: RunConfig, progress: Progress) -> tuple[Candidates, Preparation]:
    """Who takes part, with columns that are planned for every fold; the folds are the search's own where it judges itself."""
    experiment = preparation.experiment
    candidates = list_candidates(experiment, config, preparation.champion_rows, progress)
    if candidates.search is not None and not candidates.search.tuning.nested:
        return _score_by_inner_folds(candidates, candidates.search, preparation, progress)
    if candidates.planner is not None:
        folds = experiment.plan.folds
        # Before any model is fitted, so that no family's time holds them.
        progress.begin(f"columns: {len(folds)} folds", len(folds), "fold")
        for fold in folds:
            candidates.planner.plan(fold.train)
            progress.step()
    if candidates.search is not None and candidates.search.begins_with_average:
        return _begin_with_average(candidates, candidates.search, experiment, progress), preparation
    return candidates, preparation


def _begin_with_average(candidates: Candidates, search: NestedSearch, experiment: Experiment, progress: Progress) -> Candidates:
    """The candidates evaluated: the families as they come, their average with others that the search would try, as far as a share
    of the time goes, and the search, which leaves the time to fit the average on all rows.

    Where the time turns out too short for the search, what is left of it goes to the average: the families that the share was
    too short for, and the configurations that the search would have begun with.
    """
    n_folds, families, pace = len(experiment.plan.folds), [], FamilyPace()
    evaluations: list[Evaluation] = []
    for candidate in (one for one in candidates.members if one.fit is not search):
        progress.begin(f"{candidate.name}: {n_folds} folds", n_folds, "fold")
        began = search.tuning.deadline.now()
        evaluated = evaluate(experiment, candidate, progress.step, keep_models=True)
        pace.add(candidate.name, search.tuning.deadline.now() - began)
        evaluations.append(evaluated)
        families.append(replace(candidate, evaluation=evaluated.without_models()))
    evaluations = [one for one in evaluations if can_be_averaged(get_family(one.family))]
    known = {one.family for one in evaluations}
    others = tuple(Configuration(f) for f in search.tuning.list_families(experiment.task) if f.name not in known)
    share = search.tuning.deadline.take_share(AVERAGE_SHARE)
    evaluations += evaluate_configurations(search, experiment, others, PacedDeadline(share, pace), progress)
    average = average_evaluations(experiment, evaluations)
    seconds = 0.0 if average is None else _sum_fit_seconds(evaluations, average.families)
    served = replace(search, tuning=replace(search.tuning, deadline=search.tuning.deadline.move_earlier(seconds)))
    searched = _evaluate_search(served, experiment, progress)
    if searched is None:
        evaluations += evaluate_configurations(
            search,
            experiment,
            _list_untried(search, experiment, evaluations),
            _leave_time_to_fit(search, evaluations, pace),
            progress,
        )
        average = average_evaluations(experiment, evaluations)
    averaged = () if average is None else (_build_average_candidate(served, experiment, evaluations, average),)
    ensemble = () if searched is None else (Candidate(ENSEMBLE.name, served, evaluation=searched),)
    return replace(candidates, members=(*families, *averaged, *ensemble), search=served, average=average)


def _evaluate_search(search: NestedSearch, experiment: Experiment, progress: Progress) -> Evaluation | None:
    """The search's evaluation, None where the time was too short for one."""
    n_folds = len(experiment.plan.folds)
    progress.begin(f"{ENSEMBLE.name}: {n_folds} folds", n_folds, "fold")
    try:
        return evaluate(experiment, Candidate(ENSEMBLE.name, search), progress.step)
    except IncompleteSearchError:
        return None


def _build_average_candidate(
    search: NestedSearch, experiment: Experiment, evaluations: Sequence[Evaluation], average: FamilyAverage
) -> Candidate:
    """The average as a candidate that was evaluated."""
    fits = FoldFits(average.fold_predictions, (_sum_fit_seconds(evaluations, average.families),))
    return Candidate(
        AVERAGE.name,
        lambda known, train: fit_average(replace(experiment, examples=known), average, train, search.recipes(train)),
        evaluation=summarise_folds(experiment, AVERAGE.name, fits),
    )


def _sum_fit_seconds(evaluations: Sequence[Evaluation], names: Sequence[str]) -> float:
    """What fitting these takes, one after the other."""
    return sum(one.fit_seconds for one in evaluations if one.family in names)


def _list_untried(search: NestedSearch, experiment: Experiment, evaluations: Sequence[Evaluation]) -> tuple[Configuration, ...]:
    """The families that the search would try, as they come, and the configurations that it begins with, less those evaluated."""
    families, known = search.tuning.list_families(experiment.task), {one.family for one in evaluations}
    everything = (*map(Configuration, families), *list_initial_configurations(families))
    return tuple(one for one in everything if one.name not in known)


def _leave_time_to_fit(search: NestedSearch, evaluations: Sequence[Evaluation], pace: "FamilyPace") -> "PacedDeadline":
    """The time that is left beside fitting on all rows what was evaluated, which the average may be of."""
    fits = sum(one.fit_seconds for one in evaluations)
    return PacedDeadline(search.tuning.deadline.move_earlier(fits), pace)


def average_evaluations(experiment: Experiment, evaluations: Sequence[Evaluation]) -> FamilyAverage | None:
    """The average of families that were evaluated with their models; None where one alone is best, or none can be averaged."""
    models = {one.family: _get_model(one) for one in evaluations}
    predictions = {one.family: one.without_models().fold_predictions for one in evaluations}
    average = average_within_cost(experiment, predictions, models) if evaluations else None
    return None if average is None or len(average.families) < 2 else average


def evaluate_average(
    experiment: Experiment, families: Sequence[str], search: NestedSearch, progress: Callable[[], None]
) -> Evaluation:
    """The average of these families or configurations on the folds of an experiment, with weights of its own; `progress` is
    called after each fold of each."""
    members = [make_configured_candidate(experiment, Configuration.parse(name), search.recipes) for name in families]
    evaluations = [evaluate(experiment, one, progress) for one in members]
    average = average_families(experiment, {one.family: one.fold_predictions for one in evaluations})
    return summarise_folds(experiment, AVERAGE.name, FoldFits(average.fold_predictions))


def _get_model(evaluation: Evaluation) -> BaseEstimator:
    """A model of those that the evaluation has."""
    return next(part.fitted.estimator for part in evaluation.fold_predictions if part.fitted is not None)


@dataclass
class FamilyPace:
    """How many seconds the folds of each family have taken, by name; the longest of all where nothing is known of one.

    >>> pace = FamilyPace()
    >>> pace.add("linear", 1.0)
    >>> pace.add("boosting", 8.0)
    >>> pace.expect("linear"), pace.expect("catboost")
    (1.0, 8.0)
    """

    seconds: dict[str, float] = field(default_factory=dict)

    def add(self, family: str, seconds: float) -> None:
        """Note what a family's folds took."""
        self.seconds[family] = max(seconds, self.seconds.get(family, 0.0))

    def expect(self, family: str) -> float:
        """What a family's folds may well take."""
        return self.seconds.get(family, max(self.seconds.values(), default=0.0))


@dataclass(frozen=True)
class PacedDeadline:
    """A deadline, and the pace by which it is known whether another evaluation ends before it."""

    deadline: Deadline
    pace: FamilyPace


def evaluate_configurations(
    search: NestedSearch,
    experiment: Experiment,
    configurations: Sequence[Configuration],
    clock: PacedDeadline,
    progress: Progress,
) -> list[Evaluation]:
    """The configurations that can be averaged, evaluated with their models, while the time lasts: each leaves the time to fit it
    on all rows, is expected to take what its family took before, and after its first fold what that took for each."""
    n_folds, others, deadline = len(experiment.plan.folds), [], clock.deadline
    for one in configurations:
        if not can_be_averaged(one.family) or deadline.remaining < clock.pace.expect(one.family.name):
            continue
        progress.begin(f"{one.name}: {n_folds} folds", n_folds, "fold")
        began = deadline.now()
        candidate = make_configured_candidate(experiment, one, search.recipes)
        if search.recipes is make_default_recipe:
            candidate = replace(candidate, folds_at_once=count_folds_at_once(experiment, one.family))
        evaluation = evaluate_within(deadline, experiment, candidate, progress)
        if evaluation is not None:
            others.append(evaluation)
            clock.pace.add(one.family.name, deadline.now() - began)
            deadline = deadline.move_earlier(evaluation.fit_seconds)
    return others


def evaluate_within(share: Deadline, experiment: Experiment, candidate: Candidate, progress: Progress) -> Evaluation | None:
    """The candidate's evaluation with its models, None where its first fold shows that the time is too short for the others."""
    first, *others = experiment.plan.folds
    began = share.now()
    fits = fit_folds(experiment, candidate, [first], progress.step, keep_models=True)
    rounds = math.ceil(len(others) / candidate.folds_at_once)
    if share.remaining < rounds * (share.now() - began):
        return None
    fits = fits.add(fit_folds(experiment, candidate, others, progress.step, keep_models=True)) if others else fits
    return summarise_folds(experiment, candidate.name, fits)


def _score_by_inner_folds(
    candidates: Candidates, search: NestedSearch, preparation: Preparation, progress: Progress
) -> tuple[Candidates, Preparation]:
    """The candidates with a search that was made and judged by its inner folds, and those folds, which judge all."""
    experiment, plan = preparation.experiment, preparation.experiment.plan
    why = f"{plan.why}; the search's own inner folds evaluate it (--no-nested)"
    folds = split_search_folds(experiment, preparation.champion_rows)
    inner_plan = replace(plan, folds=folds, repeats=1, why=why, warnings=(*plan.warnings, NOT_NESTED_WARNING))
    preparation = replace(preparation, experiment=replace(experiment, plan=inner_plan))
    families = tuple(candidate for candidate in candidates.members if candidate.fit is not search)
    if search.tuning.deadline.end is not None:
        first = [c for c in families if c.name == DEFAULT_FAMILY or get_family(c.name).is_baseline]
        others = [c for c in families if c not in first]
        families = _evaluate_first(first, search, preparation, progress)
        if search.tuning.deadline.is_over:
            families += _evaluate_first(others, search, preparation, progress)
            return replace(candidates, members=families), preparation
    parts = search.search(experiment.examples, preparation.champion_rows).out_of_fold
    members = (*families, Candidate(ENSEMBLE.name, search, fold_predictions=parts))
    return replace(candidates, members=members), preparation


def _evaluate_first(
    families: Sequence[Candidate], search: NestedSearch, preparation: Preparation, progress: Progress
) -> tuple[Candidate, ...]:
    """The families as they come, evaluated before the search takes what is left of the time.

    They have the columns that were planned once, on the champion's rows, as the search has: to plan them anew for each of its
    folds would take the time of a search.
    """
    experiment, recipe, evaluated = preparation.experiment, search.recipes(preparation.champion_rows), []
    for family in (get_family(candidate.name) for candidate in families):
        candidate = make_candidate(search.experiment, family, make_default_recipe if family.is_baseline else lambda _: recipe)
        candidate = replace(candidate, folds_at_once=count_folds_at_once(experiment, family))
        progress.begin(f"{candidate.name}: {len(experiment.plan.folds)} folds", len(experiment.plan.folds), "fold")
        evaluated.append(replace(candidate, evaluation=evaluate(experiment, candidate, progress.step)))
    return tuple(evaluated)


NOT_NESTED_WARNING = (
    "the score is of rows that the search validated on: its weights were chosen on other folds, but rounds were stopped by these "
    "rows and parameters suggested by what they scored, so it is a little too good; without --no-nested other folds evaluate it."
)


def list_candidates(experiment: Experiment, config: RunConfig, champion_rows: Array, progress: Progress) -> Candidates:
    """Who takes part: the task's families as they come, and the search where one was asked for; `champion_rows` are the
    champion's rows.

    The families come before the search, and take part under any time limit: what they take beyond it is said. A hazard is not
    searched.
    """
    task, planner = experiment.task, config.build_planner(experiment)
    tuning = config.tuning if task.target.traits.supports_search else None
    if tuning is not None:
        tuning.list_families(task)  # what cannot be searched is refused before any family is fitted
    recipes = make_default_recipe if planner is None else planner.get_recipe
    members = [
        make_candidate(experiment, family, make_default_recipe if family.is_baseline else recipes)
        for family in map(get_family, task.families)
    ]
    if planner is None:
        # Columns are planned by one at a time.
        families = map(get_family, task.families)
        members = [
            replace(one, folds_at_once=count_folds_at_once(experiment, f)) for one, f in zip(members, families, strict=True)
        ]
    if tuning is None:
        return Candidates(tuple(members), None, planner)
    last_is_scored = any(np.array_equal(fold.train, champion_rows) for fold in experiment.plan.folds)
    # It is made inside a fold of a family.
    search = NestedSearch(tuning, experiment, recipes, last_is_scored, progress.enter_step().enter_step())
    return Candidates((*members, Candidate(ENSEMBLE.name, search)), search, planner)
