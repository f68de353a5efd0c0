"""What each fold's own model makes of test rows that it never saw: the rows, the matrix, and exact contributions.

m = rows of a fold's sample, q = columns of that fold's matrix, p = columns of the explanation (of all folds), k = outputs.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from epic22.core.data.examples import Examples
from epic22.core.evaluation.crossval import Evaluation
from epic22.core.evaluation.intervals import compute_training_overlap
from epic22.core.evaluation.predictions import FittedFold
from epic22.core.experiment import Experiment
from epic22.core.task import Array, Column

MAX_ROWS_PER_FOLD = 1000
UNSEEN = "rare or unseen levels"


@dataclass(frozen=True)
class ShapSample:
    """Some test rows of one fold: `rows` (m,) among the examples, `cluster` (m,) codes alike in all folds, labels `y` (m,).

    `column_indices` (p,) says where a column of the explanation stands in `X` (m, q), -1 where this fold's model has none such;
    `shap_values` (m, k, p) are the contributions to the score, zero there; `inputs` are the rows as they were given.
    """

    rows: Array
    cluster: Array
    y: Array
    fitted: FittedFold
    X: Array
    column_indices: Array
    shap_values: Array
    inputs: pl.DataFrame

    def get_values(self, column: int) -> Array:
        """The column as the model saw it, (m,): numbers with NaN for missing, or a category's level, `UNSEEN` for one that its
        training part did not hold, and None for missing."""
        place = int(self.column_indices[column])
        if place < 0:
            return np.full(len(self.rows), np.nan)
        codes, model_column = self.X[:, place].astype(np.float64), self.fitted.preprocessor.outputs[place]
        if model_column.dtype != "category":
            return codes + self.fitted.preprocessor.centers.get(model_column.name, 0.0)
        names = {code: level for level, code in self.fitted.preprocessor.levels[model_column.name].items()}
        is_missing = self.inputs[model_column.name].is_null() if model_column.name in self.inputs.columns else np.isnan(codes)
        return np.array(
            [
                names[int(code)] if not np.isnan(code) else None if missing else UNSEEN
                for code, missing in zip(codes, is_missing, strict=True)
            ],
            dtype=object,
        )


@dataclass(frozen=True)
class ShapSamples:
    """The folds' samples, the columns of all their models, and what their training parts share (`compute_training_overlap`)."""

    folds: tuple[ShapSample, ...]
    columns: tuple[Column, ...]
    training_overlap: float

    @property
    def clusters(self) -> list[Array]:
        """Each fold's cluster codes."""
        return [sample.cluster for sample in self.folds]


def sample_shap_values(experiment: Experiment, evaluation: Evaluation, max_rows: int = MAX_ROWS_PER_FOLD) -> ShapSamples | None:
    """A sample of each fold whose model was kept; None where none was, or the models have no columns."""
    fitted_folds = [(part.fold, part.fitted) for part in evaluation.fold_predictions if part.fitted is not None]
    columns = tuple({column.name: column for _, fitted in fitted_folds for column in fitted.preprocessor.outputs}.values())
    if not columns:
        return None
    row_samples = [
        _draw_rows(fold.test, max_rows, np.random.default_rng([experiment.seed, number]))
        for number, (fold, _) in enumerate(fitted_folds)
    ]
    codes = np.unique(experiment.get_clusters(np.concatenate(row_samples)), return_inverse=True)[1]
    clusters = np.split(codes, np.cumsum([len(rows) for rows in row_samples])[:-1])
    samples = [
        _make_sample(experiment.examples, rows, cluster, fitted, columns)
        for rows, cluster, (_, fitted) in zip(row_samples, clusters, fitted_folds, strict=True)
    ]
    return ShapSamples(
        tuple(samples), columns, compute_training_overlap([fold for fold, _ in fitted_folds], len(experiment.examples))
    )


def _draw_rows(rows: Array, max_rows: int, rng: np.random.Generator) -> Array:
    return rows if len(rows) <= max_rows else np.sort(rng.choice(rows, max_rows, replace=False))


def _make_sample(examples: Examples, rows: Array, cluster: Array, fitted: FittedFold, columns: tuple[Column, ...]) -> ShapSample:
    X = fitted.preprocessor.transform(examples.X[rows])
    named = {column.name: place for place, column in enumerate(fitted.preprocessor.outputs)}
    places = np.array([named.get(column.name, -1) for column in columns])
    shap_values = fitted.estimator.shap_values(X)
    if shap_values.ndim == 2 or examples.follow_up_days is not None:
        # Of a hazard the mean log-odds over its horizons, as in the reasons of a row.
        shap_values = shap_values.reshape(len(X), -1, shap_values.shape[-1]).mean(axis=1, keepdims=True)
    parts = np.where(places >= 0, shap_values[:, :, places], 0.0)
    return ShapSample(rows, cluster, examples.y[rows], fitted, X, places, parts, examples.X[rows])
