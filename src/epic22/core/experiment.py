"""What candidates are compared on: a task's examples, cut into folds, and what makes a run of them repeatable."""

from dataclasses import dataclass, replace

from epic22.core.data.examples import Examples
from epic22.core.data.folds import Fold, FoldPlan
from epic22.core.data.split import find_test_start
from epic22.core.task import Array, Task


@dataclass(frozen=True, eq=False)
class Experiment:
    """A task's examples in the folds of a plan, with the seed of all that is drawn and the threads a fit may use.

    What is evaluated on equal experiments can be compared. Evaluation is of functions that take an experiment first, for they
    need models, and models know nothing of how they are judged.
    """

    task: Task
    examples: Examples
    plan: FoldPlan
    seed: int = 0
    threads: int = 1

    @property
    def fingerprint(self) -> str:
        """Equal for two experiments exactly when they test the same rows in the same folds."""
        return self.plan.fingerprint(self.examples.data_version)

    def take_repeats(self, count: int) -> "Experiment":
        """The same on the first repeats of its folds alone."""
        folds = tuple(fold for fold in self.plan.folds if fold.repeat < count)
        return replace(self, plan=replace(self.plan, folds=folds, repeats=count))

    def censor_for(self, fold: Fold) -> Examples:
        """All examples as their outcomes were known when the fold's test part began."""
        return self.examples.censor_at(find_test_start(self.examples, fold), self.plan.embargo)

    def get_clusters(self, rows: Array) -> Array:
        """The cluster of each of these rows, (n,): the codes of the plan's clusters, or the rows themselves."""
        return rows if self.plan.clusters is None else self.plan.clusters[rows]
