"""What each fold's own model makes of test rows that it never saw: the rows, the matrix, and exact contributions.

m = rows of a fold's sample, q = columns of that fold's matrix, p = columns of the explanation (of all folds), k = outputs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from epic22.core.data.examples import Examples
from epic22.core.data.preprocess import outputs_of
from epic22.core.data.split import FoldPlan
from epic22.core.evaluation.crossval import Evaluation, FittedFold
from epic22.core.evaluation.estimate import shared_training
from epic22.core.task import Array, Column

ROWS_A_FOLD = 1000


@dataclass(frozen=True)
class Sample:
    """Some test rows of one fold: `rows` (m,) among the examples, `unit` (m,) cluster codes alike in all folds, labels `y` (m,).

    `places` (p,) says where a column of the explanation stands in `X` (m, q), -1 where this fold's model has none such; `parts`
    (m, k, p) are the contributions to the score, zero there.
    """

    rows: Array
    unit: Array
    y: Array
    fitted: FittedFold
    X: Array
    places: Array
    parts: Array

    def values(self, column: int) -> Array:
        """The column as the model saw it, (m,): numbers with NaN for missing, or a category's level and None."""
        place = int(self.places[column])
        if place < 0:
            return np.full(len(self.rows), np.nan)
        seen, told = self.X[:, place].astype(np.float64), outputs_of(self.fitted.preprocessor)[place]
        if told.dtype != "category":
            return seen
        names = {code: level for level, code in self.fitted.preprocessor.levels[told.name].items()}
        return np.array([None if np.isnan(code) else names[int(code)] for code in seen], dtype=object)


@dataclass(frozen=True)
class Samples:
    """The folds' samples, the columns of all their models, and what their training parts share (`shared_training`)."""

    folds: tuple[Sample, ...]
    columns: tuple[Column, ...]
    shared: float

    @property
    def units(self) -> list[Array]:
        """Each fold's cluster codes."""
        return [sample.unit for sample in self.folds]

    def pooled(self, column: int) -> Array:
        """The column's values over all folds."""
        return np.concatenate([sample.values(column) for sample in self.folds])


def samples_of(examples: Examples, plan: FoldPlan, evaluation: Evaluation, seed: int, most: int = ROWS_A_FOLD) -> Samples | None:
    """A sample of each fold whose model was kept; None where none was, or the models have no columns."""
    kept = [(part.fold, part.fitted) for part in evaluation.parts if part.fitted is not None]
    columns = _all_columns([fitted for _, fitted in kept])
    if not columns:
        return None
    drawn = [_drawn(fold.test, most, np.random.default_rng([seed, number])) for number, (fold, _) in enumerate(kept)]
    own = np.arange(len(examples)) if plan.clusters is None else plan.clusters
    units = np.split(np.unique(np.concatenate([own[rows] for rows in drawn]), return_inverse=True)[1], _ends(drawn))
    made = [_sample(examples, rows, unit, fitted, columns) for rows, unit, (_, fitted) in zip(drawn, units, kept, strict=True)]
    return Samples(tuple(made), columns, shared_training([fold for fold, _ in kept], len(examples)))


def _all_columns(models: Sequence[FittedFold]) -> tuple[Column, ...]:
    found = {column.name: column for fitted in models for column in outputs_of(fitted.preprocessor)}
    return tuple(found.values())


def _drawn(rows: Array, most: int, rng: np.random.Generator) -> Array:
    return rows if len(rows) <= most else np.sort(rng.choice(rows, most, replace=False))


def _ends(drawn: Sequence[Array]) -> Array:
    return np.cumsum([len(rows) for rows in drawn])[:-1]


def _sample(examples: Examples, rows: Array, unit: Array, fitted: FittedFold, columns: tuple[Column, ...]) -> Sample:
    X = fitted.preprocessor.transform(examples.X[rows])
    named = {column.name: place for place, column in enumerate(outputs_of(fitted.preprocessor))}
    places = np.array([named.get(column.name, -1) for column in columns])
    given = fitted.estimator.contributions(X)
    if given.ndim == 2 or examples.followed is not None:
        # Of a hazard the mean log-odds over its horizons, as in the reasons of a row.
        given = given.reshape(len(X), -1, given.shape[-1]).mean(axis=1, keepdims=True)
    parts = np.where(places >= 0, given[:, :, places], 0.0)
    return Sample(rows, unit, examples.y[rows], fitted, X, places, parts)
