"""Who takes part in a race: the families as they come, with the columns that are planned for them, and the search."""

from dataclasses import dataclass, replace

import numpy as np

from epic22.core.data.folds import FoldPlan
from epic22.core.errors import InternalError
from epic22.core.evaluation.crossval import Candidate, make_candidate, make_default_recipe
from epic22.core.evaluation.predictions import FittedFold
from epic22.core.experiment import Experiment
from epic22.core.models.catalog import ENSEMBLE, get_family
from epic22.core.progress import Progress
from epic22.core.selection.feature_selection import ColumnBudget as ColumnBudget
from epic22.core.selection.feature_selection import ColumnPlanner
from epic22.core.task import Array, Task
from epic22.services.prepare import Preparation
from epic22.services.tune import NestedSearch, Tuning


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
        seconds = None if self.tuning is None else self.tuning.seconds_for_columns(experiment.plan)
        return ColumnPlanner(experiment, ColumnBudget(seconds=seconds))

    @property
    def is_time_limited(self) -> bool:
        """Whether the time is limited: then nothing is explained but each row's own answer."""
        return self.tuning is not None and self.tuning.budget.seconds is not None

    def uses_inner_folds(self, task: Task) -> bool:
        """Whether there is one search, whose own inner folds judge."""
        return self.tuning is not None and not self.tuning.nested and task.target.traits.supports_search


@dataclass(frozen=True)
class Candidates:
    """Who takes part, and who plans their columns; None where those are taken as declared."""

    members: tuple[Candidate, ...]
    planner: ColumnPlanner | None

    @property
    def nested_search(self) -> NestedSearch | None:
        """The search among them, if there is one."""
        return next((c.fit for c in self.members if isinstance(c.fit, NestedSearch)), None)

    def fit_champion(self, family: str, preparation: Preparation, progress: Progress) -> FittedFold:
        """The one of that name, fitted on all the champion's rows."""
        progress.begin(f"{family}: the champion, on all its rows", 1)
        fitted = next(c for c in self.members if c.name == family).fit(preparation.experiment.examples, preparation.rows)
        progress.step()
        return fitted


def prepare_candidates(preparation: Preparation, config: RunConfig, progress: Progress) -> tuple[Candidates, Preparation]:
    """Who takes part, with columns that are planned for every fold; the folds are the search's own where it judges itself."""
    experiment = preparation.experiment
    planner = config.build_planner(experiment)
    candidates = Candidates(list_candidates(experiment, config, planner, preparation.rows, progress), planner)
    if config.uses_inner_folds(experiment.task):
        return score_by_inner_folds(candidates, preparation)
    if planner is not None:
        _plan_columns(planner, experiment.plan, progress)
    return candidates, preparation


def score_by_inner_folds(candidates: Candidates, preparation: Preparation) -> tuple[Candidates, Preparation]:
    """The contenders with a search that was made and judged by its inner folds, and those folds, which judge all.

    Raises InternalError where there is no search.
    """
    nested_search, experiment = candidates.nested_search, preparation.experiment
    plan = experiment.plan
    if nested_search is None:
        raise InternalError("there is no search to judge itself.")
    parts = nested_search.search(experiment.examples, preparation.rows).out_of_fold
    members = tuple(replace(c, fold_predictions=parts) if c.fit is nested_search else c for c in candidates.members)
    why = f"{plan.why}; the search's own inner folds judge (--no-nested)"
    inner_plan = replace(
        plan, folds=tuple(part.fold for part in parts), repeats=1, why=why, warnings=(*plan.warnings, NOT_NESTED_WARNING)
    )
    return replace(candidates, members=members), replace(preparation, experiment=replace(experiment, plan=inner_plan))


NOT_NESTED_WARNING = (
    "the score is of rows that the search watched: its weights were chosen on other folds, but rounds were stopped by these rows "
    "and parameters suggested by what they scored, so it is a little too good; without --no-nested other folds judge."
)


def list_candidates(
    experiment: Experiment,
    config: RunConfig,
    planner: ColumnPlanner | None,
    champion_rows: Array,
    progress: Progress,
) -> tuple[Candidate, ...]:
    """Who takes part: the task's families as they come, and the search where one was asked for; `champion_rows` are the
    champion's rows.

    Under a time limit, baselines alone take part beside the search, which has the other families within it. A hazard is not
    searched.
    """
    task, plan, tuning = experiment.task, experiment.plan, config.tuning
    families = [get_family(name) for name in task.families]
    has_search = tuning is not None and task.target.traits.supports_search
    is_time_limited = has_search and tuning is not None and tuning.budget.seconds is not None
    candidates = [
        make_candidate(experiment, family, make_default_recipe if planner is None or family.is_baseline else planner.get_recipe)
        for family in families
        if family.is_baseline or not is_time_limited
    ]
    if has_search and tuning is not None:
        last_is_scored = any(np.array_equal(fold.train, champion_rows) for fold in plan.folds)
        recipes = make_default_recipe if planner is None else planner.get_recipe
        nested_search = NestedSearch(tuning, experiment, recipes, last_is_scored, progress)
        candidates.append(Candidate(ENSEMBLE.name, nested_search))
    return tuple(candidates)


def _plan_columns(planner: ColumnPlanner, plan: FoldPlan, progress: Progress) -> None:
    """The columns of every fold, before its first model is fitted, so that no family's time holds them."""
    progress.begin(f"columns: {len(plan.folds)} folds", len(plan.folds))
    for fold in plan.folds:
        planner.plan(fold.train)
        progress.step()
