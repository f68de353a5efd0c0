"""Who takes part in a race: the families as they come, with the columns that are planned for them, and the search."""

from dataclasses import dataclass, replace

import numpy as np

from epic22.core.data.examples import Examples
from epic22.core.data.split import FoldPlan
from epic22.core.errors import InternalError
from epic22.core.evaluation.crossval import Contender, FittedFold, contender_of, declared_alone
from epic22.core.models.catalog import ENSEMBLE, family_named
from epic22.core.selection.columns import Budget as ColumnBudget
from epic22.core.selection.columns import Planner
from epic22.core.task import Array, Task
from epic22.services.course import Course
from epic22.services.tune import Searcher, Tuning
from epic22.services.watch import Watch


@dataclass(frozen=True)
class Entry:
    """How contenders learn: the seed, threads, whether columns are engineered, and the search, if there is one."""

    seed: int
    threads: int
    engineer: bool = False
    tuning: Tuning | None = None

    def planner(self, task: Task, examples: Examples, plan: FoldPlan) -> Planner | None:
        """Who plans the columns of each training part; None where they are taken as declared."""
        # Columns made of an exposure would be learned from.
        if not self.engineer or task.target.kind == "hazard" or task.target.offset is not None:
            return None
        seconds = None if self.tuning is None else self.tuning.seconds_for_columns(plan)
        return Planner(task, examples, plan, self.seed, self.threads, ColumnBudget(seconds=seconds))

    @property
    def limited(self) -> bool:
        """Whether the time is limited: then nothing is explained but each row's own answer."""
        return self.tuning is not None and self.tuning.budget.seconds is not None

    def judges_itself(self, task: Task) -> bool:
        """Whether there is one search, whose own inner folds judge."""
        return self.tuning is not None and not self.tuning.nested and task.target.kind != "hazard"


@dataclass(frozen=True)
class Starters:
    """Who takes part, and who plans their columns; None where those are taken as declared."""

    contenders: tuple[Contender, ...]
    planner: Planner | None

    @property
    def searcher(self) -> Searcher | None:
        """The search among them, if there is one."""
        return next((c.fit for c in self.contenders if isinstance(c.fit, Searcher)), None)

    def fitted(self, family: str, course: Course, watch: Watch) -> FittedFold:
        """The one of that name, fitted on all the champion's rows."""
        watch.begin(f"{family}: the champion, on all its rows", 1)
        fitted = next(c for c in self.contenders if c.name == family).fit(course.examples, course.rows)
        watch.step()
        return fitted


def lined_up(course: Course, asked: Entry, watch: Watch) -> tuple[Starters, Course]:
    """Who takes part, with columns that are planned for every fold; the folds are the search's own where it judges itself."""
    planner = asked.planner(course.task, course.examples, course.plan)
    starters = Starters(entered(course.task, course.plan, asked, planner, course.rows, watch), planner)
    if asked.judges_itself(course.task):
        return judged_by_itself(starters, course)
    if planner is not None:
        _plan_folds_columns(planner, course.plan, watch)
    return starters, course


def judged_by_itself(starters: Starters, course: Course) -> tuple[Starters, Course]:
    """The contenders with a search that was made and judged by its inner folds, and those folds, which judge all.

    Raises InternalError where there is no search.
    """
    searcher, plan = starters.searcher, course.plan
    if searcher is None:
        raise InternalError("there is no search to judge itself.")
    parts = searcher.of(course.examples, course.rows).parts
    judged = tuple(replace(c, judged=parts) if c.fit is searcher else c for c in starters.contenders)
    why = f"{plan.why}; the search's own inner folds judge (--no-nested)"
    own = replace(plan, folds=tuple(part.fold for part in parts), repeats=1, why=why, warnings=(*plan.warnings, NOT_NESTED))
    return replace(starters, contenders=judged), replace(course, plan=own)


NOT_NESTED = (
    "the score is of rows that the search watched: its weights were chosen on other folds, but rounds were stopped by these rows "
    "and parameters suggested by what they scored, so it is a little too good; without --no-nested other folds judge."
)


def entered(
    task: Task,
    plan: FoldPlan,
    asked: Entry,
    planner: Planner | None,
    last: Array,
    watch: Watch,
) -> tuple[Contender, ...]:
    """Who takes part: the task's families as they come, and the search where one was asked for; `last` are the champion's rows.

    Under a time limit, baselines alone take part beside the search, which has the other families within it. A hazard is not
    searched.
    """
    families, tuning = [family_named(name) for name in task.families], asked.tuning
    tuned = tuning is not None and task.target.kind != "hazard"
    limited = tuned and tuning is not None and tuning.budget.seconds is not None
    contenders = [
        contender_of(
            family,
            task,
            plan,
            asked.seed,
            asked.threads,
            declared_alone if planner is None or family.is_baseline else planner.recipe,
        )
        for family in families
        if family.is_baseline or not limited
    ]
    if tuned and tuning is not None:
        judged = any(np.array_equal(fold.train, last) for fold in plan.folds)
        recipes = declared_alone if planner is None else planner.recipe
        searcher = Searcher(tuning, task, plan, asked.seed, asked.threads, recipes, judged, watch.begin, watch.step)
        contenders.append(Contender(ENSEMBLE.name, searcher))
    return tuple(contenders)


def _plan_folds_columns(planner: Planner, plan: FoldPlan, watch: Watch) -> None:
    """The columns of every fold, before its first model is fitted, so that no family's time holds them."""
    watch.begin(f"columns: {len(plan.folds)} folds", len(plan.folds))
    for fold in plan.folds:
        planner.plan(fold.train)
        watch.step()
