"""What a model is asked: n rows, their values by column name."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl

from epic22.core.data.preprocess import Preprocessor
from epic22.core.task import Array, CellValue


@dataclass(frozen=True)
class RowsRequest:
    """Rows as plain values by column name, as a request model gives them: the short way for a few."""

    rows: Sequence[Mapping[str, Any]]
    first: int = 1
    """The number of the first row, by which a row is called that names nobody."""

    def __len__(self) -> int:
        return len(self.rows)

    def column(self, name: str) -> Sequence[Any]:
        """The values (n,) of a column; None where a row has none."""
        return [row.get(name) for row in self.rows]

    def json_column(self, name: str) -> list[CellValue]:
        """The values (n,) of a column as JSON has them."""
        return [value_to_json(row.get(name)) for row in self.rows]

    def matrix(self, preprocessor: Preprocessor) -> Array:
        """The rows as a model of rows reads them, (n, p)."""
        return np.vstack([preprocessor.transform_row(row) for row in self.rows])


@dataclass(frozen=True)
class FrameRequest:
    """Rows of a frame whose columns have the schema's types: the short way for many."""

    frame: pl.DataFrame
    first: int = 1
    """The number of the first row, by which a row is called that names nobody."""

    def __len__(self) -> int:
        return self.frame.height

    def column(self, name: str) -> Sequence[Any]:
        """The values (n,) of a column; None where the frame has none."""
        return self.frame[name].to_list() if name in self.frame.columns else [None] * self.frame.height

    def json_column(self, name: str) -> list[CellValue]:
        """The values (n,) of a column as JSON has them: numbers and texts are so already."""
        if name not in self.frame.columns:
            return [None] * self.frame.height
        values = self.frame[name]
        if values.dtype.is_float():
            return values.fill_nan(None).to_list()
        return list(map(value_to_json, values.to_list())) if values.dtype.is_temporal() else values.to_list()

    def matrix(self, preprocessor: Preprocessor) -> Array:
        """The rows as a model of rows reads them, (n, p)."""
        return preprocessor.transform(self.frame)


PredictionRequest = RowsRequest | FrameRequest
"""n rows to be answered. A row answers alike to the last bit in whichever of the two forms it comes."""


def value_to_json(value: Any) -> Any:
    """A value as JSON has it: a time as ISO 8601, missing and NaN as null."""
    if isinstance(value, datetime):
        return value.isoformat()
    return None if isinstance(value, float) and math.isnan(value) else value
