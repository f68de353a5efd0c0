"""Gradient-boosted trees from rows that come block by block: one quantised matrix, a byte a cell, for every search and fit on it.

The cuts are those of a sample of the training rows, so that the blocks are quantised in one pass and their size changes nothing.
Rows that are watched have no weight while the rounds are found: the matrix is not made twice.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from epic22.core.models.boosting import Boosting
from epic22.core.task import Array

if TYPE_CHECKING:
    import xgboost

Blocks = Callable[[], Iterator[tuple[Array, Array]]]
"""Gives the rows from the first to the last: matrices (m, p) float32 with their labels (m,)."""

LARGE = {"rounds": 500, "patience": 20, "learning_rate": 0.1}
"""Constructor arguments of Boosting for a large table: a round costs seconds there."""

BYTES_A_CELL, BYTES_A_ROW = 2.2, 48
"""What a quantised matrix and the training on it hold in memory: bins by row and by column; gradients, places, labels."""


@dataclass(frozen=True, eq=False)
class Sample:
    """Rows that give the cuts, choose the shape and are watched: X (m, p), y (m,).

    `used` (m,) are those that train while the `watched` (m,) ones stop it; None where nothing is searched for.
    """

    X: Array
    y: Array
    used: Array | None = None
    watched: Array | None = None


def quantised_bytes(rows: int, columns: int) -> int:
    """About what a quantised matrix of that size holds in memory while it trains."""
    return round(rows * (columns * BYTES_A_CELL + BYTES_A_ROW))


def quantised(model: Boosting, blocks: Blocks, sample: Sample, cells: int, cache: Path | None) -> "xgboost.QuantileDMatrix":
    """The rows cut as the sample's quantiles say; on disk, in files that begin with `cache`, where that is given."""
    import xgboost

    reference = _matrix(model, sample.X, sample.y, cells)
    reader = _reader(blocks, model, cache)
    made: Any = xgboost.QuantileDMatrix if cache is None else xgboost.ExtMemQuantileDMatrix
    matrix: xgboost.QuantileDMatrix = made(
        reader, max_bin=model.max_bin, ref=reference, nthread=model.threads_for(cells), enable_categorical=True
    )
    return matrix


def fit_on(model: Boosting, matrix: "xgboost.QuantileDMatrix", shape: Mapping[str, float], rounds: int) -> Boosting:
    """The model with that shape and so many rounds, fitted on all rows of the matrix."""
    import xgboost

    params = model._params(shape, model.threads_for(matrix.num_row() * matrix.num_col()))
    model.shape_, model.rounds_ = shape, rounds
    model.booster_ = xgboost.train(params, matrix, num_boost_round=rounds)
    return model


def search_on(
    model: Boosting, matrix: "xgboost.QuantileDMatrix", aside: Array, sample: Sample
) -> tuple[Mapping[str, float], int]:
    """The shape that is best on the sample, and the rounds that are best with it on the matrix without the rows (n,) put aside.

    The loss is that of the sample's watched rows. The matrix is left with equal weights.
    """
    shapes = model._shapes()
    assert sample.used is not None
    if len(shapes) > 1:
        small = _matrix(model, sample.X, sample.y, sample.X.size)
        losses = [_stopped(model, small, sample.used, sample, shape).best_score for shape in shapes]
        shapes = [shapes[int(np.argmin(losses))]]
    best = _stopped(model, matrix, ~aside, sample, shapes[0])
    matrix.set_weight(np.ones(len(aside), dtype=np.float32))
    return shapes[0], int(best.best_iteration) + 1


def _stopped(
    model: Boosting, matrix: "xgboost.QuantileDMatrix", used: Array, sample: Sample, shape: Mapping[str, float]
) -> "xgboost.Booster":
    """A booster of the rows (n,) used, stopped by the loss on the watched rows of the sample."""
    matrix.set_weight(used.astype(np.float32))
    held = _matrix(model, sample.X[sample.watched], sample.y[sample.watched], sample.X.size, reference=matrix)
    return model._stopped(shape, matrix, held, model.threads_for(matrix.num_row() * matrix.num_col()))


def _matrix(
    model: Boosting, X: Array, y: Array, cells: int, reference: "xgboost.QuantileDMatrix | None" = None
) -> "xgboost.QuantileDMatrix":
    import xgboost

    return xgboost.QuantileDMatrix(
        X,
        y,
        feature_types=model._types(),
        enable_categorical=True,
        max_bin=model.max_bin,
        nthread=model.threads_for(cells),
        ref=reference,
    )


def _reader(blocks: Blocks, model: Boosting, cache: Path | None) -> Any:
    """XGBoost's iterator over the blocks."""
    import xgboost

    class Reader(xgboost.DataIter):
        def __init__(self) -> None:
            self.rest = blocks()
            super().__init__(cache_prefix=None if cache is None else str(cache), release_data=True)

        def next(self, input_data: Callable[..., Any]) -> bool:
            block = next(self.rest, None)
            if block is None:
                return False
            input_data(data=block[0], label=block[1], feature_types=model._types())
            return True

        def reset(self) -> None:
            self.rest = blocks()

    return Reader()
