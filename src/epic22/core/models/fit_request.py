"""What an estimator learns from, as plain data and arrays, to be fitted here, in another process, or with a part off."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import median

from epic22.core.data.folds import Fold
from epic22.core.fit_store import FitForm, StoredFit, TimedFit, fit_once, list_array_bytes
from epic22.core.lineage import sha256
from epic22.core.models.base import BaseEstimator, Family, FoldData, Hyperparameters, never_expires
from epic22.core.models.learning_problem import LearningProblem
from epic22.core.models.target_transform import unwrap_target_transform
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
class ValidatedFit:
    """A fitted estimator, its scores of the validation rows before the link, and the numbers among what its fit chose."""

    estimator: BaseEstimator
    raw: Array
    best_params: Mapping[str, float]


@dataclass(frozen=True, eq=False)
class ValidatedFitRequest:
    """The fit of a family's estimator that validation rows may end; `params` are all that does not follow from the problem."""

    family: Family
    problem: LearningProblem
    data: FoldData
    seed: int
    threads: int
    params: Hyperparameters

    def build(self) -> BaseEstimator:
        """The unfitted estimator."""
        return self.family.build(self.problem, seed=self.seed, threads=self.threads, **self.params)

    def fit(self, expired: Callable[[], bool] = never_expires) -> ValidatedFit:
        """The fit, which may end sooner when the time has `expired`."""
        estimator = self.build()
        raw = estimator.fit_with_validation(self.data, expired)
        best_params = unwrap_target_transform(estimator).best_params().items()
        return ValidatedFit(estimator, raw, {name: value for name, value in best_params if isinstance(value, int | float)})

    def fit_once(self, expired: Callable[[], bool] = never_expires) -> TimedFit[ValidatedFit]:
        """The same; read where a training that was interrupted left it."""
        return fit_once(self.compute_digest, lambda: self.fit(expired), FitForm(_write, self._read), is_cut_short=expired)

    def compute_digest(self, environment: bytes) -> str:
        """The hash of all that decides the fit."""
        how = (self.family.name, self.problem, self.seed, self.threads, sorted(self.params.items()), self.data.digest)
        return sha256(b"validated", environment, repr(how).encode())

    def _read(self, stored: StoredFit) -> ValidatedFit:
        return ValidatedFit(self.family.restore(stored.files), stored.arrays["raw"], stored.facts["best_params"])


def _write(fitted: ValidatedFit) -> StoredFit:
    return StoredFit(fitted.estimator.files(), {"raw": fitted.raw}, {"best_params": dict(fitted.best_params)})


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
