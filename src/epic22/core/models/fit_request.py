"""What an estimator learns from, as plain data and arrays, to be fitted here, in another process, or with a part off."""

from dataclasses import dataclass, field
from statistics import median

from epic22.core.data.folds import Fold
from epic22.core.fit_store import FitForm, StoredFit, list_array_bytes
from epic22.core.lineage import sha256
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

    def compute_digest(self, environment: bytes) -> str:
        """The hash of all that decides the fit: rows, family, parameters, seed, threads, and what stands for code and machine."""
        how = (self.family.name, self.problem, self.seed, self.threads, sorted(self.params.items()))
        inner = () if self.inner is None else (self.inner.train, self.inner.test, self.inner.follow_up_days)
        return sha256(b"estimator", environment, repr(how).encode(), *list_array_bytes(self.X, self.y, *inner))

    @property
    def form(self) -> FitForm[BaseEstimator]:
        """How the fitted estimator is kept: as its files."""
        return FitForm(lambda estimator: StoredFit(estimator.files()), lambda stored: self.family.restore(stored.files))


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
