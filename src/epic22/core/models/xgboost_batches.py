"""Gradient-boosted trees from rows that come block by block: one quantised matrix, a byte a cell, for every search and fit on it.

The cuts are those of a sample of the training rows, so that the blocks are quantised in one pass and their size changes nothing.
Validation rows have no weight while the rounds are found: the matrix is not made twice.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from epic22.core.models.xgboost import XGBoostEstimator
from epic22.core.task import Array

if TYPE_CHECKING:
    import xgboost

Batches = Callable[[], Iterator[tuple[Array, Array]]]
"""Gives the rows from the first to the last: matrices (m, p) float32 with their labels (m,)."""

LARGE_TABLE_PARAMS = {"rounds": 500, "patience": 20, "learning_rate": 0.1}
"""Constructor arguments of Boosting for a large table: a round costs seconds there."""

BYTES_PER_CELL, BYTES_PER_ROW = 2.2, 48
"""What a quantised matrix and the training on it hold in memory: bins by row and by column; gradients, places, labels."""


@dataclass(frozen=True, eq=False)
class ReferenceSample:
    """Rows that give the cuts, choose the shape and are watched: X (m, p), y (m,).

    `train_mask` (m,) are those that train while the `valid_mask` (m,) ones stop it; None where nothing is searched for.
    """

    X: Array
    y: Array
    train_mask: Array | None = None
    valid_mask: Array | None = None


def estimate_matrix_bytes(n_rows: int, n_columns: int) -> int:
    """About what a quantised matrix of that size holds in memory while it trains."""
    return round(n_rows * (n_columns * BYTES_PER_CELL + BYTES_PER_ROW))


def build_quantile_matrix(
    model: XGBoostEstimator, batches: Batches, sample: ReferenceSample, n_cells: int, cache: Path | None
) -> "xgboost.QuantileDMatrix":
    """The rows cut as the sample's quantiles say; on disk, in files that begin with `cache`, where that is given."""
    import xgboost

    reference = model.build_matrix(sample.X, sample.y, n_cells=n_cells)
    data_iter = _build_data_iter(batches, model, cache)
    matrix_class: Any = xgboost.QuantileDMatrix if cache is None else xgboost.ExtMemQuantileDMatrix
    matrix: xgboost.QuantileDMatrix = matrix_class(
        data_iter, max_bin=model.max_bin, ref=reference, nthread=model.choose_threads(n_cells), enable_categorical=True
    )
    return matrix


def fit_matrix(
    model: XGBoostEstimator, matrix: "xgboost.QuantileDMatrix", shape: Mapping[str, float], rounds: int
) -> XGBoostEstimator:
    """The model with that shape and this many rounds, fitted on all rows of the matrix."""
    import xgboost

    params = model._params(shape, model.choose_threads(matrix.num_row() * matrix.num_col()))
    model.shape_, model.rounds_ = shape, rounds
    model.booster_ = xgboost.train(params, matrix, num_boost_round=rounds)
    return model


def search_matrix(
    model: XGBoostEstimator, matrix: "xgboost.QuantileDMatrix", valid_mask: Array, sample: ReferenceSample
) -> tuple[Mapping[str, float], int]:
    """The shape that is best on the sample, and the rounds that are best with it on the matrix without the rows (n,) put aside.

    The loss is that of the sample's validation rows. The matrix is left with equal weights.
    """
    shapes = model._candidate_shapes()
    assert sample.train_mask is not None
    if len(shapes) > 1:
        sample_matrix = model.build_matrix(sample.X, sample.y)
        losses = [
            _train_with_early_stopping(model, sample_matrix, sample.train_mask, sample, shape).best_score for shape in shapes
        ]
        shapes = [shapes[int(np.argmin(losses))]]
    best = _train_with_early_stopping(model, matrix, ~valid_mask, sample, shapes[0])
    matrix.set_weight(np.ones(len(valid_mask), dtype=np.float32))
    return shapes[0], int(best.best_iteration) + 1


def _train_with_early_stopping(
    model: XGBoostEstimator,
    matrix: "xgboost.QuantileDMatrix",
    train_mask: Array,
    sample: ReferenceSample,
    shape: Mapping[str, float],
) -> "xgboost.Booster":
    """A booster of the rows (n,) used, stopped by the loss on the validation rows of the sample."""
    matrix.set_weight(train_mask.astype(np.float32))
    X, y = sample.X[sample.valid_mask], sample.y[sample.valid_mask]
    dvalid = model.build_matrix(X, y, n_cells=sample.X.size, reference=matrix)
    return model._train_with_early_stopping(shape, matrix, dvalid, model.choose_threads(matrix.num_row() * matrix.num_col()))


def _build_data_iter(batches: Batches, model: XGBoostEstimator, cache: Path | None) -> Any:
    """XGBoost's iterator over the blocks."""
    import xgboost

    class BatchIter(xgboost.DataIter):
        def __init__(self) -> None:
            self.rest = batches()
            super().__init__(cache_prefix=None if cache is None else str(cache), release_data=True)

        def next(self, input_data: Callable[..., Any]) -> bool:
            block = next(self.rest, None)
            if block is None:
                return False
            input_data(data=block[0], label=block[1], feature_types=model.feature_types)
            return True

        def reset(self) -> None:
            self.rest = batches()

    return BatchIter()
