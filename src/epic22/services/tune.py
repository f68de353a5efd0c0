"""The search as a contender: it searches anew in every training part, so that the folds judge the searching, not its luck."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from epic22.core.data.examples import Examples
from epic22.core.data.feature_engineering import FeatureRecipe
from epic22.core.data.folds import FoldPlan
from epic22.core.evaluation.predictions import FittedFold
from epic22.core.experiment import Experiment
from epic22.core.lineage import canonical_json, sha256
from epic22.core.models.base import Family
from epic22.core.models.catalog import add_log_mean_families, default_search_families, get_family
from epic22.core.selection.budget import Budget, Deadline
from epic22.core.selection.search import HyperparameterSearch, SearchResult, SearchSetup
from epic22.core.selection.study import Sampling, Study
from epic22.core.task import Array, Task

FINAL_SEARCH_FACTOR = 2.0
"""The search on all rows gets so many times the time of a search that only judges."""


COLUMN_PLANNING_SHARE = 0.2
"""Share of a time limit in which columns may be planned."""


FINISHING_SECONDS = (6.0, 40e-6)
"""Seconds that follow the searches on a free machine: for judging, report and tracking, and for each row that is judged."""


@dataclass(frozen=True)
class StudyAccess:
    """Where studies are kept: `open(task, digest, part, build)` opens one of a task's, `delete(task, digest)` removes them all.

    `start_workers(count, task, digest)` has so many processes work on them. Without a place they live and end with the process,
    alone. `claim(task, digest)` claims them for this command, UserError where another has them: it would give up the other's
    trials.
    """

    open: Callable[[str, str, str, Callable[..., Study]], Study] = lambda task, digest, part, build: build()
    delete: Callable[[str, str], None] = lambda task, digest: None
    claim: Callable[[str, str], None] = lambda task, digest: None
    start_workers: Callable[[int, str, str], Callable[[SearchSetup, Study, str, Deadline], None]] | None = None


@dataclass(frozen=True)
class Tuning:
    """What was asked of the search: its budget, how it looks, with which families (all that fit the target where none is named).

    `clock` is the end of the whole command where there is a limit. `nested`: the folds that judge search anew; else there is one
    search, judged by its own inner folds. `row_ms`: the most that score and reasons of one row may take.
    `started_at`: when the process did, on the clock of `time.monotonic`; 0 where nobody asks.
    """

    budget: Budget
    clock: Deadline = field(default_factory=lambda: Deadline(None))
    sampling: Sampling = "bayesian"
    prune: bool = True
    families: tuple[str, ...] = ()
    nested: bool = True
    row_ms: float | None = None
    started_at: float = 0.0
    studies: StudyAccess = field(default_factory=StudyAccess)
    n_processes: int = 1

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the report must say of how it was searched."""
        if self.n_processes == 1:
            return ()
        return (f"{self.n_processes} processes searched at the same time: the same command may find another model next time.",)

    def families_for(self, task: Task) -> tuple[Family, ...]:
        """The families to search, UnknownTaskError for a name that is none."""
        names = self.families or default_search_families(task.target.kind)
        requested = [get_family(name) for name in names]
        suitable = [f for f in requested if f.supports_offset or task.target.offset is None]
        fit = [f for f in suitable if task.target.kind in f.kinds and not f.is_baseline]
        return add_log_mean_families(fit, task.target)

    def reserve_time(self, n_rows: int) -> "Tuning":
        """The same with the clock stopped so much sooner that judging so many rows, report and tracking fit in.

        Where others share the machine, which shows in how much longer than its processor time the process took so far, they are
        given as much longer.
        """
        elapsed = self.clock.now() - self.started_at
        slowness = max(1.0, elapsed / max(time.process_time(), 0.1)) if self.started_at else 1.0
        return replace(self, clock=self.clock.move_earlier((FINISHING_SECONDS[0] + FINISHING_SECONDS[1] * n_rows) * slowness))

    def seconds_for_columns(self, plan: FoldPlan) -> float | None:
        """What planning the columns of one training part may take, None where there is no limit."""
        parts = len(plan.folds) + 1 if self.nested else 1
        return None if self.clock.end is None else COLUMN_PLANNING_SHARE * max(self.clock.remaining, 0.0) / parts

    def digest(self, experiment: Experiment) -> str:
        """Equal for two runs whose studies are one: same rows, folds, seed and way of searching; budgets may differ."""
        task = experiment.task
        settings = [
            experiment.seed,
            self.sampling,
            self.prune,
            [f.name for f in self.families_for(task)],
            task.target.metric.name,
            task.target.log,
            *(["shared"] if self.n_processes > 1 else []),
        ]
        return sha256(experiment.fingerprint.encode(), canonical_json(settings))[:16]


@dataclass
class NestedSearch:
    """A search for every training part it is handed; what it found is kept by part, so that no part is searched twice.

    Each fold's training part is searched to judge and one more, the champion's, to answer, unless it is among them
    (`last_is_scored`). `recipes` gives each part the columns that were planned on it.
    """

    tuning: Tuning
    experiment: Experiment
    recipes: Callable[[Array], FeatureRecipe]
    last_is_scored: bool
    begin: Callable[[str, int], None] = lambda what, steps: None
    step: Callable[[], None] = lambda: None
    results: dict[bytes, SearchResult] = field(default_factory=dict)

    def __call__(self, examples: Examples, train: Array) -> FittedFold:
        """The fitted ensemble of a search on these rows."""
        return self.search(examples, train).fitted_fold

    def search(self, examples: Examples, train: Array) -> SearchResult:
        """All that the search on these rows found."""
        key = train.tobytes()
        if key not in self.results:
            recipe = self.recipes(train)
            clock = self._start_clock()
            trials = self.tuning.budget.trials
            self.begin(f"search {len(self.results) + 1} of {self._n_searches}", trials or 0)
            one = self.experiment
            self.results[key] = self._build_search().fit(
                one.task, examples, one.plan, train, one.seed, one.threads, clock, recipe
            )
        return self.results[key]

    @property
    def _n_searches(self) -> int:
        return 1 if not self.tuning.nested else len(self.experiment.plan.folds) + (not self.last_is_scored)

    def _start_clock(self) -> Deadline:
        n_scored = len(self.experiment.plan.folds) - len(self.results) if self.tuning.nested else 0
        last = 0.0 if self.last_is_scored else FINAL_SEARCH_FACTOR
        return self.tuning.clock.take_share(1.0 if n_scored <= 0 else 1.0 / (n_scored + last))

    @property
    def _digest(self) -> str:
        return self.tuning.digest(self.experiment)

    def _build_search(self) -> HyperparameterSearch:
        task, seed = self.experiment.task, self.experiment.seed
        families = self.tuning.families_for(task)
        greater, digest = task.target.metric.greater_is_better, self._digest
        self.tuning.studies.claim(task.name, digest)

        def open_study(part: str) -> Study:
            def build(**place: object) -> Study:
                sampling, shared = self.tuning.sampling, self.tuning.n_processes > 1
                return Study(families, greater, seed, sampling=sampling, shared=shared, **place)  # type: ignore[arg-type]

            return self.tuning.studies.open(task.name, digest, part, build)

        n_processes, start_workers, prune, row_ms = (
            self.tuning.n_processes,
            self.tuning.studies.start_workers,
            self.tuning.prune,
            self.tuning.row_ms,
        )
        workers = None if n_processes == 1 or start_workers is None else start_workers(n_processes, task.name, digest)
        return HyperparameterSearch(families, self.tuning.budget, open_study, prune, row_ms, progress=self.step, workers=workers)

    def remove_studies(self) -> None:
        """Remove the studies: what was found is told by the report."""
        self.tuning.studies.delete(self.experiment.task.name, self._digest)
