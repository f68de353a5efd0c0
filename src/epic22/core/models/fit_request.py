"""What an estimator learns from, as plain data and arrays, to be fitted here, in another process, or with a part off."""

from dataclasses import dataclass, field
from statistics import median

from epic22.core.data.folds import Fold
from epic22.core.models.base import BaseEstimator, Family, Hyperparameters
from epic22.core.models.learning_problem import LearningProblem
from epic22.core.task import Array


@dataclass(frozen=True, eq=False)
class FitRequest:
    """The fit of a family's estimator: X (n, p) and y (n,), of a hazard (n, 2), with the inner fold that it may look at.

    `params` are constructor arguments beside those that follow from the problem, seed and threads.
    """

    family: Family
    problem: LearningProblem
    X: Array
    y: Array
    inner: Fold | None
    seed: int
    threads: int
    params: Hyperparameters = field(default_factory=dict)

    def fit(self) -> BaseEstimator:
        """The fitted estimator."""
        estimator = self.family.build(self.problem, seed=self.seed, threads=self.threads, **self.params)
        return estimator.fit(self.X, self.y, inner=self.inner)


@dataclass(frozen=True)
class FitMeasurement:
    """What a family's fits took: wall-clock `seconds` of each, processor seconds of all of them, and the most resident memory in
    bytes above what the process and its rows held before; None where that was not measured."""

    seconds: tuple[float, ...]
    processor_seconds: float
    memory_bytes: int | None = None

    @property
    def median_seconds(self) -> float:
        """Seconds of the middle fit; the first, which loads libraries, moves it little."""
        return median(self.seconds)
