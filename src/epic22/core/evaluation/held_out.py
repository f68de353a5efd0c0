"""Responses to rows that a version's models had not seen, kept beside the version.

By them a later version is compared with it on the same rows: those it learned from by its out-of-fold responses, all others by
its own model. A row is known again by the values of its inputs, whatever file it comes in.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from epic22.core.evaluation.predictions import FoldPredictions
from epic22.core.statistics import Interval
from epic22.core.tables.rowhash import hash_values
from epic22.core.task import Array


@dataclass(frozen=True, eq=False)
class HeldOutPredictions:
    """A version's rows and its out-of-fold responses to them.

    `row_hashes` (n,) uint64 are of the values of `columns`; `responses` (n,) or (n, k), those of the first repeat, are NaN where
    a row was learned from and never held out. `has_all_rows`: all rows that the model learned from are here; another is new.
    `quantile` is that of outcomes which the responses are, where the loss asks for one.
    """

    columns: tuple[str, ...]
    row_hashes: Array
    responses: Array
    has_all_rows: bool = True
    quantile: float | None = None

    @classmethod
    def of_folds(
        cls, X: pl.DataFrame, columns: Sequence[str], predictions: Sequence[FoldPredictions], has_all_rows: bool = True
    ) -> "HeldOutPredictions":
        """The predictions for all rows of `X`, by the folds that judged."""
        responses = np.full((X.height, *predictions[0].response.shape[1:]), np.nan)
        for part in predictions:
            if not part.fold.repeat:
                responses[part.fold.test] = part.response
        return cls(tuple(columns), hash_values(X, columns), responses, has_all_rows)

    @property
    def n_held_out(self) -> int:
        """How many rows have a response."""
        return int((~np.isnan(self.responses.reshape(len(self.responses), -1)).all(axis=1)).sum())

    def find_rows(self, row_hashes: Array) -> Array:
        """The position here of each row (m,), -1 where it is not here; equal rows are matched in their order."""
        order, place = np.argsort(self.row_hashes, kind="stable"), _number_repeats(row_hashes)
        ordered = self.row_hashes[order]
        start = np.searchsorted(ordered, row_hashes)
        count = np.searchsorted(ordered, row_hashes, side="right") - start
        position = np.full(len(row_hashes), -1)
        present = count > 0
        position[present] = order[start[present] + place[present] % count[present]]
        return position


@dataclass(frozen=True)
class VersionEvaluation:
    """A version's score by the metric that decides, over so many held-out rows."""

    metric: str
    score: Interval
    rows: int


def _number_repeats(row_hashes: Array) -> Array:
    """How many equal rows come before each, (m,)."""
    order = np.argsort(row_hashes, kind="stable")
    ordered = row_hashes[order]
    first = np.searchsorted(ordered, ordered)
    number = np.empty(len(row_hashes), dtype=np.int64)
    number[order] = np.arange(len(row_hashes)) - first
    return number
