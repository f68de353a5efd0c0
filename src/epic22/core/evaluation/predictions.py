"""Out-of-fold responses of any kind of target, and which folds may calibrate which: those without it, and known by then."""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np

from epic22.core.data.folds import Fold
from epic22.core.data.preprocess import Preprocessor
from epic22.core.data.split import convert_days
from epic22.core.experiment import Experiment
from epic22.core.models.base import BaseEstimator
from epic22.core.targets import lift_to_floor
from epic22.core.task import Array

N_PIECES = 5
"""A single test part is cut into this many pieces, which judge one another."""


@dataclass(frozen=True)
class FittedFold:
    """A family fitted on one training part: its preprocessing and its estimator, and the `seconds` that it took when it was made;
    None where nobody measured."""

    preprocessor: Preprocessor
    estimator: BaseEstimator
    seconds: float | None = None


@dataclass(frozen=True)
class FoldPredictions:
    """Responses of one fold's test rows, by a model that never saw them; the model itself where it was to be kept, and its own
    `quantiles` (n, q) where it states any. `without_floor` are the responses as the model gave them, where some were lifted."""

    fold: Fold
    response: Array
    fitted: FittedFold | None = None
    quantiles: Array | None = None
    without_floor: Array | None = None

    @property
    def own_response(self) -> Array:
        """The responses as the model gave them: what is averaged, for a floor is put under the average."""
        return self.response if self.without_floor is None else self.without_floor

    def apply_floor(self, floor: float | None) -> "FoldPredictions":
        """The same with no response below the floor, as they are served."""
        if floor is None or not (self.response < floor).any():
            return self
        return replace(self, response=lift_to_floor(self.response, floor), without_floor=self.own_response)


@dataclass(frozen=True)
class ClusteredPredictions:
    """The test rows of a fold: classes or values (n,), responses (n,) or (n, k), and the cluster code of each row, (n,).

    `weight` (n,) where rows do not count alike; y is (n, 2) for a hazard.
    """

    y: Array
    response: Array
    cluster: Array
    weight: Array | None = None


@dataclass(frozen=True, kw_only=True)
class OutOfFoldRows:
    """Rows of folds that judge, (n,) each: the class or value `y` and fold number a row; rows may repeat.

    `repeat` counts repeated folds: a fold is judged by folds of its own repeat. `cluster` are dependent rows, `row` the
    position in the examples. `forward`: fold numbers go with time, and only folds before teach. `label_known_at` is when a row's
    label was known, `at` its cutoff; both or neither, datetime64.
    """

    y: Array
    fold: Array
    repeat: Array
    cluster: Array
    row: Array
    forward: bool
    at: Array | None = None
    label_known_at: Array | None = None

    @classmethod
    def from_fold_predictions(
        cls, experiment: Experiment, predictions: tuple[FoldPredictions, ...], forward: bool, **own: Any
    ) -> Self:
        """An evaluation's parts as one table, with the columns that are its `own`. Labels are known `plan.embargo` days after the
        cutoff."""
        row, examples = np.concatenate([part.fold.test for part in predictions]), experiment.examples
        size = [len(part.fold.test) for part in predictions]
        at = examples.at[row] if forward else None
        embargo = convert_days(experiment.plan.embargo)
        return cls(
            y=examples.y[row],
            fold=np.repeat(np.arange(len(predictions)), size),
            repeat=np.repeat([part.fold.repeat for part in predictions], size),
            cluster=experiment.get_clusters(row),
            row=row,
            forward=forward,
            at=at,
            label_known_at=None if at is None else at + embargo,
            **own,
        )

    def take(self, rows: Array) -> Self:
        """These rows alone."""
        columns = ((f.name, getattr(self, f.name)) for f in fields(self))
        selected: dict[str, Any] = {name: column[rows] for name, column in columns if isinstance(column, np.ndarray)}
        return replace(self, **selected)

    def iterate_splits(self) -> Iterator[tuple[Array, Array]]:
        """(calibration rows, evaluation rows) per fold; there are no calibration rows for the first of forward folds.

        Forward folds are taught by folds before, by rows whose label was known at the judged fold's first cutoff; others by all
        other folds of their own repeat.
        """
        for number in np.unique(self.fold):
            evaluation_rows = self.fold == number
            if self.forward:
                calibration_rows = self.fold < number
                if self.at is not None and self.label_known_at is not None:
                    calibration_rows &= self.label_known_at <= self.at[evaluation_rows].min()
            else:
                calibration_rows = ~evaluation_rows & (self.repeat == self.repeat[evaluation_rows][0])
            yield np.flatnonzero(calibration_rows), np.flatnonzero(evaluation_rows)


@dataclass(frozen=True, kw_only=True)
class OutOfFoldPredictions(OutOfFoldRows):
    """Out-of-fold responses: values or probabilities of the positive class (n,), or class probabilities (n, k); and the models'
    own `quantiles` of the label (n, q), where they state any. `floor` is the target's."""

    response: Array
    floor: float | None
    quantiles: Array | None = None

    def __len__(self) -> int:
        return len(self.y)

    @property
    def first_repeat(self) -> "OutOfFoldPredictions":
        """One row an example: those of the first repeat."""
        return self.take(np.flatnonzero(self.repeat == self.repeat.min())) if len(self) else self

    @property
    def with_inner_folds(self) -> "OutOfFoldPredictions":
        """The same rows; a single fold cut into pieces that judge one another."""
        if not len(self) or self.fold.min() != self.fold.max():
            return self
        if not self.forward:
            return replace(self, fold=np.unique(self.cluster, return_inverse=True)[1] % N_PIECES)
        # Rows of one moment stay together.
        at = self.row if self.at is None else self.at
        return replace(self, fold=np.searchsorted(np.sort(at), at) * N_PIECES // len(at))

    @property
    def weight(self) -> Array:
        """What each row counts, (n,): a row that was tested five times counts a fifth each time."""
        _, place, count = np.unique(self.row, return_inverse=True, return_counts=True)
        return np.asarray(1.0 / count[place])


def collect_out_of_fold_predictions(experiment: Experiment, predictions: tuple[FoldPredictions, ...]) -> OutOfFoldPredictions:
    """An evaluation's parts as one table.

    A single test part (a holdout) is cut into pieces: forward in time where its rows have a time, else by cluster.
    """
    response = np.concatenate([part.response for part in predictions])
    at = experiment.examples.at[predictions[0].fold.test]
    single = len(predictions) == 1
    forward = experiment.plan.strategy == "walk_forward" or (single and bool(at.min() != at.max()))
    own: dict[str, Any] = {"response": response, "floor": experiment.task.target.floor}
    quantiles = [part.quantiles for part in predictions if part.quantiles is not None]
    if len(quantiles) == len(predictions):
        own["quantiles"] = np.concatenate(quantiles)
    return OutOfFoldPredictions.from_fold_predictions(experiment, predictions, forward, **own).with_inner_folds
