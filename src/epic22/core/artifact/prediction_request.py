"""What a model is asked: n rows, their values by column name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from epic22.core.data.preprocess import Preprocessor
from epic22.core.task import Array


@dataclass(frozen=True)
class RowsRequest:
    """Rows as plain values by column name, as a request model gives them: the short way for a few."""

    rows: Sequence[Mapping[str, Any]]

    def __len__(self) -> int:
        return len(self.rows)

    def column(self, name: str) -> Sequence[Any]:
        """The values (n,) of a column; None where a row has none."""
        return [row.get(name) for row in self.rows]

    def matrix(self, preprocessor: Preprocessor) -> Array:
        """The rows as a model of rows reads them, (n, p)."""
        return np.vstack([preprocessor.transform_row(row) for row in self.rows])


@dataclass(frozen=True)
class FrameRequest:
    """Rows of a frame whose columns have the schema's types: the short way for many."""

    frame: pl.DataFrame

    def __len__(self) -> int:
        return self.frame.height

    def column(self, name: str) -> Sequence[Any]:
        """The values (n,) of a column; None where the frame has none."""
        return self.frame[name].to_list() if name in self.frame.columns else [None] * self.frame.height

    def matrix(self, preprocessor: Preprocessor) -> Array:
        """The rows as a model of rows reads them, (n, p)."""
        return preprocessor.transform(self.frame)


PredictionRequest = RowsRequest | FrameRequest
"""n rows to be answered. A row answers alike to the last bit in whichever of the two forms it comes."""
