"""The search as a contender: it searches anew in every training part, so that the folds judge the searching, not its luck."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from epic22.core.data.engineering import Recipe
from epic22.core.data.examples import Examples
from epic22.core.data.split import FoldPlan
from epic22.core.evaluation.crossval import FittedFold
from epic22.core.lineage import canonical_json, sha256
from epic22.core.models.base import Family
from epic22.core.models.catalog import beside_logarithms, family_named, searched_families
from epic22.core.selection.budget import Budget, Clock
from epic22.core.selection.search import Bench, Found, Search
from epic22.core.selection.study import Sampling, Study
from epic22.core.task import Array, Task

LAST_SEARCH = 2.0
"""The search on all rows gets so many times the time of a search that only judges."""


COLUMNS_SHARE = 0.2
"""Share of a time limit in which columns may be planned."""


FINISHING = (6.0, 40e-6)
"""Seconds that follow the searches on a free machine: for judging, report and tracking, and for each row that is judged."""


@dataclass(frozen=True)
class Studies:
    """Where studies are kept: `open(task, digest, part, build)` opens one of a task's, `forget(task, digest)` removes them all.

    `crew(count, task, digest)` has so many processes work on them. Without a place they live and end with the process, alone.
    `alone(task, digest)` claims them for this command, UserError where another has them: it would give up the other's trials.
    """

    open: Callable[[str, str, str, Callable[..., Study]], Study] = lambda task, digest, part, build: build()
    forget: Callable[[str, str], None] = lambda task, digest: None
    alone: Callable[[str, str], None] = lambda task, digest: None
    crew: Callable[[int, str, str], Callable[[Bench, Study, str, Clock], None]] | None = None


@dataclass(frozen=True)
class Tuning:
    """What was asked of the search: its budget, how it looks, with which families (all that fit the target where none is named).

    `clock` is the end of the whole command where there is a limit. `nested`: the folds that judge search anew; else there is one
    search, judged by its own inner folds. `row_ms`: the most that score and reasons of one row may take.
    `began`: when the process did, on the clock of `time.monotonic`; 0 where nobody asks.
    """

    budget: Budget
    clock: Clock = field(default_factory=lambda: Clock(None))
    sampling: Sampling = "bayesian"
    prune: bool = True
    families: tuple[str, ...] = ()
    nested: bool = True
    row_ms: float | None = None
    began: float = 0.0
    studies: Studies = field(default_factory=Studies)
    processes: int = 1

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the report must say of how it was searched."""
        if self.processes == 1:
            return ()
        return (f"{self.processes} processes searched at the same time: the same command may find another model next time.",)

    def families_for(self, task: Task) -> tuple[Family, ...]:
        """The families to search, UnknownTaskError for a name that is none."""
        names = self.families or searched_families(task.target.kind)
        named = [family_named(name) for name in names]
        able = [f for f in named if f.exposed or task.target.offset is None]
        fit = [f for f in able if task.target.kind in f.kinds and not f.is_baseline]
        return beside_logarithms(fit, task.target)

    def in_time(self, rows: int) -> "Tuning":
        """The same with the clock stopped so much sooner that judging so many rows, report and tracking fit in.

        Where others share the machine, which shows in how much longer than its processor time the process took so far, they are
        given as much longer.
        """
        taken = self.clock.now() - self.began
        slowness = max(1.0, taken / max(time.process_time(), 0.1)) if self.began else 1.0
        return replace(self, clock=self.clock.sooner((FINISHING[0] + FINISHING[1] * rows) * slowness))

    def seconds_for_columns(self, plan: FoldPlan) -> float | None:
        """What planning the columns of one training part may take, None where there is no limit."""
        parts = len(plan.folds) + 1 if self.nested else 1
        return None if self.clock.end is None else COLUMNS_SHARE * max(self.clock.left, 0.0) / parts

    def digest(self, task: Task, plan: FoldPlan, data_version: str, seed: int) -> str:
        """Equal for two runs whose studies are one: same rows, folds, seed and way of searching; budgets may differ."""
        asked = [
            seed,
            self.sampling,
            self.prune,
            [f.name for f in self.families_for(task)],
            task.target.metric.name,
            task.target.log,
            *(["shared"] if self.processes > 1 else []),
        ]
        return sha256(plan.fingerprint(data_version).encode(), canonical_json(asked))[:16]


@dataclass
class Searcher:
    """A search for every training part it is handed; what it found is kept by part, so that no part is searched twice.

    Each fold's training part is searched to judge and one more, the champion's, to answer, unless it is among them
    (`last_is_judged`). `recipes` gives each part the columns that were planned on it.
    """

    tuning: Tuning
    task: Task
    plan: FoldPlan
    seed: int
    threads: int
    recipes: Callable[[Array], Recipe]
    last_is_judged: bool
    begin: Callable[[str, int], None] = lambda what, steps: None
    step: Callable[[], None] = lambda: None
    found: dict[bytes, Found] = field(default_factory=dict)
    data_version: str = ""

    def __call__(self, known: Examples, train: Array) -> FittedFold:
        """The fitted ensemble of a search on these rows."""
        return self.of(known, train).fitted

    def of(self, known: Examples, train: Array) -> Found:
        """All that the search on these rows found."""
        key = train.tobytes()
        if key not in self.found:
            self.data_version = known.data_version
            recipe = self.recipes(train)
            clock = self._clock()
            trials = self.tuning.budget.trials
            self.begin(f"search {len(self.found) + 1} of {self._searches}", trials or 0)
            self.found[key] = self._search().fit(self.task, known, self.plan, train, self.seed, self.threads, clock, recipe)
        return self.found[key]

    @property
    def _searches(self) -> int:
        return 1 if not self.tuning.nested else len(self.plan.folds) + (not self.last_is_judged)

    def _clock(self) -> Clock:
        judged = len(self.plan.folds) - len(self.found) if self.tuning.nested else 0
        last = 0.0 if self.last_is_judged else LAST_SEARCH
        return self.tuning.clock.share(1.0 if judged <= 0 else 1.0 / (judged + last))

    @property
    def _digest(self) -> str:
        return self.tuning.digest(self.task, self.plan, self.data_version, self.seed)

    def _search(self) -> Search:
        families = self.tuning.families_for(self.task)
        greater, digest = self.task.target.metric.greater_is_better, self._digest
        self.tuning.studies.alone(self.task.name, digest)

        def study(part: str) -> Study:
            def build(**place: object) -> Study:
                sampling, shared = self.tuning.sampling, self.tuning.processes > 1
                return Study(families, greater, self.seed, sampling=sampling, shared=shared, **place)  # type: ignore[arg-type]

            return self.tuning.studies.open(self.task.name, digest, part, build)

        count, crew, prune, row_ms = self.tuning.processes, self.tuning.studies.crew, self.tuning.prune, self.tuning.row_ms
        several = None if count == 1 or crew is None else crew(count, self.task.name, digest)
        return Search(families, self.tuning.budget, study, prune, row_ms, progress=self.step, crew=several)

    def forget(self) -> None:
        """Remove the studies: what was found is told by the report."""
        self.tuning.studies.forget(self.task.name, self._digest)
