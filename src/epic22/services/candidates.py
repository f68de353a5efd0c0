"""Who takes part in a race: the families as they come, with the columns that are planned for them, and the search."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from epic22.core.evaluation.crossval import (
    Candidate,
    Evaluation,
    count_folds_at_once,
    evaluate,
    make_candidate,
    make_default_recipe,
)
from epic22.core.evaluation.inner_folds import split_search_folds
from epic22.core.experiment import Experiment
from epic22.core.models.catalog import DEFAULT_FAMILY, ENSEMBLE, get_family
from epic22.core.models.configuration import Configuration
from epic22.core.progress import Progress
from epic22.core.selection.average import FamilyAverage, can_be_averaged
from epic22.core.selection.feature_selection import ColumnBudget as ColumnBudget
from epic22.core.selection.feature_selection import ColumnPlanner
from epic22.core.task import Array
from epic22.services.average import (
    FamilyPace,
    PacedDeadline,
    average_evaluations,
    build_average_candidate,
    compute_growth,
    evaluate_configurations,
    leave_time_to_fit,
    list_untried,
    sum_fit_seconds,
)
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

    def has_time_for(self, seconds: float) -> bool:
        """Whether so many seconds are left; always where the time is not limited."""
        return self.tuning is None or self.tuning.deadline.remaining >= seconds


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
        parts = [fold.train for fold in experiment.plan.folds]
        # Before any model is fitted, so that no family's time holds them.
        progress.begin(f"columns: {len(parts)} folds", len(parts), "fold")
        for rows in parts:
            candidates.planner.plan(rows)
            progress.step()
        if config.is_time_limited:
            # The champion's have their share of the limit; after the searches the limit is used up.
            candidates.planner.plan(preparation.champion_rows)
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
        # One says what its answers cost; those of all folds would fill the memory until the search ends.
        evaluations.append(evaluated.with_one_model())
        families.append(replace(candidate, evaluation=evaluated.without_models()))
    evaluations = [one for one in evaluations if can_be_averaged(get_family(one.family))]
    known = {one.family for one in evaluations}
    others = tuple(Configuration(f) for f in search.tuning.list_families(experiment.task) if f.name not in known)
    share = search.tuning.deadline.take_share(AVERAGE_SHARE)
    evaluations += evaluate_configurations(search, experiment, others, PacedDeadline(share, pace), progress)
    average = average_evaluations(experiment, evaluations)
    seconds = 0.0 if average is None else sum_fit_seconds(evaluations, average.families) * compute_growth(experiment)
    served = replace(search, tuning=replace(search.tuning, deadline=search.tuning.deadline.move_earlier(seconds)))
    searched = _evaluate_search(served, experiment, progress)
    if searched is None:
        evaluations += evaluate_configurations(
            search,
            experiment,
            list_untried(search, experiment, evaluations),
            leave_time_to_fit(search, experiment, evaluations, pace),
            progress,
        )
        average = average_evaluations(experiment, evaluations)
    averaged = () if average is None else (build_average_candidate(served, experiment, evaluations, average),)
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


def _score_by_inner_folds(
    candidates: Candidates, search: NestedSearch, preparation: Preparation, progress: Progress
) -> tuple[Candidates, Preparation]:
    """The candidates with a search that was made and judged by its inner folds, and those folds, which judge all."""
    experiment, plan, original = preparation.experiment, preparation.experiment.plan, preparation
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
    try:
        parts = search.search(experiment.examples, preparation.champion_rows).out_of_fold
    except IncompleteSearchError:
        # Folds that judge no trial judge nothing else: what there is without a search has those of before.
        members = tuple(candidate for candidate in candidates.members if candidate.fit is not search)
        return replace(candidates, members=members), original
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
        candidate = make_candidate(search.experiment, family, lambda _: recipe)
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
    members = [make_candidate(experiment, get_family(name), recipes) for name in task.families]
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
