"""The search as a candidate: it searches anew in every training part, so that the folds judge the searching, not its luck."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from epic22.core.data.examples import Examples
from epic22.core.data.feature_engineering import FeatureRecipe
from epic22.core.data.folds import FoldPlan
from epic22.core.environment import compute_environment_digest
from epic22.core.errors import ColumnError, SplitError
from epic22.core.evaluation.baselines import INCUMBENT
from epic22.core.evaluation.crossval import Evaluation, make_default_recipe
from epic22.core.evaluation.inner_folds import N_SEARCH_FOLDS
from epic22.core.evaluation.predictions import FittedFold
from epic22.core.experiment import Experiment
from epic22.core.lineage import sha256
from epic22.core.models.base import Family, require_library
from epic22.core.models.catalog import AVERAGE, add_log_mean_families, default_search_families, get_family, is_combination
from epic22.core.models.learning_problem import LearningProblem
from epic22.core.ports import StudyStore
from epic22.core.progress import Progress
from epic22.core.run_record import TrialRecord
from epic22.core.selection.average import supports_average
from epic22.core.selection.budget import Budget, Deadline, measure_slowness
from epic22.core.selection.search import TrialWorkers, prepare_part, search
from epic22.core.selection.search_result import SearchResult
from epic22.core.selection.study import MemoryStudies, Sampling
from epic22.core.selection.trials import SearchConfig
from epic22.core.task import Array, Task

FINAL_SEARCH_FACTOR = 2.0
"""How many times the time of a search that only judges the search on all rows gets."""


AVERAGE_SHARE = 0.3
"""Of the time that is left when the task's own families are evaluated, what others may take for the average."""

COLUMN_PLANNING_SHARE = 0.2
"""Share of a time limit in which columns may be planned."""


FINISHING_SECONDS = (6.0, 40e-6)
"""Seconds that follow the searches on a free machine of the speed that `measure_slowness` compares with: for judging, report and
tracking, and for each row that is judged."""


@dataclass(frozen=True)
class SearchBackend:
    """Where searches keep their studies, and who makes trials beside this process: `start_workers(count, task, digest)`."""

    studies: StudyStore = field(default_factory=MemoryStudies)
    start_workers: Callable[[int, str, str], TrialWorkers] | None = None

    def build_workers(self, count: int, task: str, digest: str) -> TrialWorkers | None:
        """The processes for the studies of a run; None where this one is alone."""
        return None if count == 1 or self.start_workers is None else self.start_workers(count, task, digest)


@dataclass(frozen=True)
class Tuning:
    """What is asked of a training's searches: budget, sampling, pruning, families (all that fit the target where none is named).

    `deadline` is the end of the whole command where there is a limit. `nested`: every fold's training part is searched; else
    there is one search, judged by its own inner folds. `max_ms_per_row`: the most that score and reasons of one row may take.
    """

    budget: Budget
    deadline: Deadline = field(default_factory=lambda: Deadline(None))
    sampling: Sampling = "bayesian"
    prune: bool = True
    families: tuple[str, ...] = ()
    nested: bool = True
    max_ms_per_row: float | None = None
    backend: SearchBackend = field(default_factory=SearchBackend)
    n_processes: int = 1

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the report must say of how it was searched."""
        if self.n_processes == 1:
            return ()
        return (f"{self.n_processes} processes searched at the same time: the same command may find another model next time.",)

    def build_config(self, task: Task) -> SearchConfig:
        """What is asked of each search."""
        return SearchConfig(self.list_families(task), self.budget, self.sampling, self.prune, self.max_ms_per_row)

    def list_families(self, task: Task) -> tuple[Family, ...]:
        """The families to search. Raises UnknownTaskError for a name that is none, ColumnError for one that this task cannot be
        searched with, NotInstalledError where the library of one is absent."""
        self._refuse_unfit(task)
        names = self.families or default_search_families(task.target.kind, by_time=self.budget.trials is None)
        requested = [get_family(name) for name in dict.fromkeys(names)]
        # Of those that nobody named; what was named and cannot was refused.
        suitable = [f for f in requested if f.supports_offset or task.target.offset is None]
        return add_log_mean_families(suitable, task.target)

    def _refuse_unfit(self, task: Task) -> None:
        """Raise where a family that was named would be left out of the search."""
        target, has_steps = task.target, any(column.step is not None for column in task.input_columns)
        for family in map(get_family, self.families):
            if is_combination(family.name):
                raise ColumnError(f"--search-family {family.name} is made of other families, which a search tries; leave it out.")
            if family.is_baseline:
                raise ColumnError(f"--search-family {family.name} is a baseline, which has nothing to search; leave it out.")
            if target.kind not in family.kinds:
                raise ColumnError(f"--search-family {family.name} does not predict a label of kind {target.kind}; leave it out.")
            if target.offset is not None and not family.supports_offset:
                raise ColumnError(f"--search-family {family.name} cannot add --offset {target.offset}; leave one of them out.")
            if family.capabilities.reads_sequences and not has_steps:
                raise ColumnError(
                    f"--search-family {family.name} reads a sequence, and no columns are declared as its steps; name them with "
                    f"--sequence, or for a feature that has one name {family.name} in --families too, or leave it out."
                )
            if family.needs is not None:
                require_library(family.name, family.needs, family.extra)

    def reserve_time(self, n_rows: int) -> "Tuning":
        """The same with a deadline so much sooner that judging `n_rows`, report and tracking fit in.

        On a machine that is slow, or shared with others, they are given as much longer.
        """
        if self.deadline.end is None:
            return self
        seconds = (FINISHING_SECONDS[0] + FINISHING_SECONDS[1] * n_rows) * measure_slowness()
        return replace(self, deadline=self.deadline.move_earlier(seconds))

    def take_share(self, part: float) -> "Tuning":
        """The same with this part of the time that is left."""
        return replace(self, deadline=self.deadline.take_share(part))

    def get_column_seconds(self, plan: FoldPlan) -> float | None:
        """What planning the columns of one training part may take, None where there is no limit."""
        parts = len(plan.folds) + 1 if self.nested else 1
        return None if self.deadline.end is None else COLUMN_PLANNING_SHARE * max(self.deadline.remaining, 0.0) / parts

    def compute_digest(self, experiment: Experiment, plans_columns: bool = False) -> str:
        """Equal for two runs whose studies are one: same rows, folds, problem, columns, seed, way of searching and code.

        How many trials may differ, and how many seconds: a larger budget goes on. That there is a clock decides trials, which it
        may cut short.
        """
        task = experiment.task
        settings = (
            experiment.seed,
            self.sampling,
            self.prune,
            [(family.name, dict(family.space), family.initial_points) for family in self.list_families(task)],
            LearningProblem.of(task),
            task.target.metric.name,
            task.formulas,
            plans_columns,
            self.budget.seconds is not None,
            self.n_processes > 1,
        )
        return sha256(compute_environment_digest(), experiment.fingerprint.encode(), repr(settings).encode())[:16]

    def remove_studies(self, task: str) -> None:
        """Remove the studies that searches for that task claimed: the report has what came of them."""
        self.backend.studies.remove_claimed(task)

    def release_studies(self) -> None:
        """Let go of the studies that searches claimed, so that another training of this process may go on with them."""
        self.backend.studies.release()


class IncompleteSearchError(Exception):
    """There is no search of a part that could be compared, for want of time or of rows; never seen by a user: the families as
    they come stay."""


@dataclass(frozen=True)
class NestedSearch:
    """A search for every training part it is handed; `results` keeps what it gave by part, so that no part is searched twice, and
    `obstacles` why a part cannot be searched.

    Each fold's training part is searched to judge and one more, the champion's, to answer, unless it is among them
    (`last_is_scored`). `recipes` gives each part the columns that were planned on it.
    """

    tuning: Tuning
    experiment: Experiment
    recipes: Callable[[Array], FeatureRecipe]
    last_is_scored: bool
    progress: Progress = field(default_factory=Progress)
    results: dict[bytes, SearchResult] = field(default_factory=dict)
    obstacles: list[str] = field(default_factory=list)

    def __call__(self, examples: Examples, train: Array) -> FittedFold:
        """The fitted ensemble of a search on these rows. Raises IncompleteSearchError where there is none."""
        if not self.needs_time:
            return self.search(examples, train).fitted_fold
        if train.tobytes() not in self.results and self.tuning.deadline.is_over:
            raise IncompleteSearchError
        result = self.search(examples, train)
        if len(result.trials) < self.n_needed_trials:
            raise IncompleteSearchError
        return result.fitted_fold

    @property
    def needs_time(self) -> bool:
        """Whether the clock may leave parts of the comparison out: under a time limit, where other folds judge the search."""
        return self.tuning.nested and self.tuning.deadline.end is not None

    @property
    def n_needed_trials(self) -> int:
        """Trials that each search needs to be one: a configuration of every family, whether it goes on after its first fold or
        not."""
        families = self.tuning.list_families(self.experiment.task)
        return len(families) if self.tuning.budget.trials is None else min(len(families), self.tuning.budget.trials)

    def is_comparable(self, examples: Examples, champion_rows: Array) -> bool:
        """Whether the search on the champion's rows is as thorough as those that judged it: then their score is its own.

        A machine that became busy leaves the last search less time than its share: its model would be another than was judged.
        """
        if not self.needs_time:
            return True
        judging = [self.results[fold.train.tobytes()] for fold in self.experiment.plan.folds]
        if champion_rows.tobytes() not in self.results and self.tuning.deadline.is_over:
            return False
        try:
            last = self.search(examples, champion_rows)
        except IncompleteSearchError:
            return False
        is_refitted = last.is_complete or not all(result.is_complete for result in judging)
        return is_refitted and len(last.trials) >= min(len(result.trials) for result in judging)

    @property
    def begins_with_average(self) -> bool:
        """Whether the families as they come are averaged before the search: under a time limit alone, for trials and a bound on
        the milliseconds of a row are promises that the average does not know."""
        return (
            self.needs_time
            and self.tuning.budget.trials is None
            and self.tuning.max_ms_per_row is None
            and supports_average(self.experiment.task.target)
        )

    def describe_shortfall(self, board: Sequence[Evaluation]) -> str:
        """Why no search is on the board, and what it would take, by how long the families as they come took to fit."""
        if self.obstacles:
            return f"no search takes part: {self.obstacles[0]} The champion is the best of what stands without it."
        limit = self.tuning.budget.seconds or 0.0
        learners = [
            e for e in board if not (is_combination(e.family) or e.family == INCUMBENT or get_family(e.family).is_baseline)
        ]
        seconds = [e.fit_seconds for e in learners if e.fit_seconds > 0]
        n_searches = len(self.experiment.plan.folds) + FINAL_SEARCH_FACTOR if self.tuning.nested else 1
        untuned = sum(seconds) * (len(self.experiment.plan.folds) + 1)
        trial = float(np.mean(seconds)) * N_SEARCH_FOLDS if seconds else 0.0
        measured = [trial.seconds for result in self.results.values() for trial in result.trials]
        trial = max([trial, *measured]) if measured else trial
        searches = n_searches * self.n_needed_trials * trial / (1.0 - AVERAGE_SHARE * self.begins_with_average)
        needed = max(FINISHING_SECONDS[0] * measure_slowness() + untuned + searches, 2.0 * limit)
        digits = 10 ** max(0, math.floor(math.log10(needed)) - 1)
        how = "that other folds can judge" if self.tuning.nested else "beside the families as they come"
        average = ", and of their average" if any(e.family == AVERAGE.name for e in board) else ""
        return (
            f"--time-limit {limit:g} was too short for a search {how}, so none takes part: the champion is "
            f"the best of the families as they come, which are always fitted, in the time or beyond it{average}. "
            f"A search of this table takes about --time-limit {math.ceil(needed / digits) * digits:g} on this machine as busy as "
            "it is."
        )

    def search(self, examples: Examples, train: Array) -> SearchResult:
        """All that the search on these rows gives. Raises IncompleteSearchError where nothing can judge its trials."""
        key = train.tobytes()
        if key not in self.results:
            recipe = self.recipes(train)
            deadline, tuning = self._share_deadline(), self.tuning
            self.progress.begin(f"search {len(self.results) + 1} of {self._n_searches}", tuning.budget.trials or 0, "trial")
            task, seed, shared = self.experiment.task, self.experiment.seed, tuning.n_processes > 1
            config = tuning.build_config(task)
            digest = tuning.compute_digest(self.experiment, self.recipes is not make_default_recipe)
            tuning.backend.studies.claim(task.name, digest)
            workers = tuning.backend.build_workers(tuning.n_processes, task.name, digest)
            try:
                part = prepare_part(replace(self.experiment, examples=examples), train, recipe)
                study_config = config.build_study_config(part.data.metric, seed, shared)
                study_config = replace(study_config, max_trials=tuning.budget.trials)
                with tuning.backend.studies.translate_faults():
                    study = tuning.backend.studies.open(task.name, digest, part.name, study_config)
                    self.results[key] = search(part, config, study, deadline, self.progress.step, workers)
            except SplitError as error:
                # The folds that judge it are whole: what there is without a search is worth as much as ever.
                self.obstacles.append(str(error))
                raise IncompleteSearchError from error
        return self.results[key]

    @property
    def _n_searches(self) -> int:
        return 1 if not self.tuning.nested else len(self.experiment.plan.folds) + (not self.last_is_scored)

    def _share_deadline(self) -> Deadline:
        n_scored = len(self.experiment.plan.folds) - len(self.results) if self.tuning.nested else 0
        last = 0.0 if self.last_is_scored else FINAL_SEARCH_FACTOR
        return self.tuning.deadline.take_share(1.0 if n_scored <= 0 else 1.0 / (n_scored + last))

    def record_trials(self) -> tuple[TrialRecord, ...]:
        """All trials of all parts for a tracker, part by part in their order; the last part is the champion's."""
        folds = {fold.train.tobytes(): f"fold {number}" for number, fold in enumerate(self.experiment.plan.folds, start=1)}
        metric = self.experiment.task.target.metric.name
        return tuple(
            TrialRecord(
                trial.number,
                folds.get(key, "all rows"),
                trial.family,
                {name: str(value) for name, value in trial.params.items()},
                metric,
                trial.value,
                trial.fold_scores,
                trial.seconds,
                trial.end,
            )
            for key, result in self.results.items()
            for trial in result.trials
        )
