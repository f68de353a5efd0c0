"""n rows as they were asked: whom each is about, when, what they stated, and that as the JSON of receipts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from epic22.core.artifact.bundle import Schema
from epic22.core.artifact.prediction_request import PredictionRequest
from epic22.core.lineage import canonical_json, canonical_json_rows
from epic22.core.task import Array, CellValue


@dataclass(frozen=True)
class RowBatch:
    """n rows as they were asked: whom each is about, when, its inputs by name as JSON has them, and these as canonical JSON."""

    entities: Sequence[str]
    at: Sequence[datetime | None]
    inputs: Mapping[str, Sequence[CellValue]]
    texts: Sequence[bytes]

    @classmethod
    def of(cls, schema: Schema, request: PredictionRequest) -> "RowBatch":
        """The rows of a request; one that names nobody is called by its number."""
        n = len(request)
        inputs = {one.name: request.json_column(one.name) for one in schema.inputs}
        entities, times = (_read_role(schema, role, request) for role in ("id", "time"))
        return cls(
            entities=[str(i) if value is None else str(value) for i, value in enumerate(entities, start=request.first)],
            at=[value if isinstance(value, datetime) else None for value in times],
            inputs=inputs,
            texts=canonical_json_rows(inputs) if inputs else [canonical_json({})] * n,
        )

    def stakes(self, stake_column: str | None) -> Array | None:
        """What is at stake in each row (n,), NaN where it does not say; None where none of them could."""
        values = None if stake_column is None else self.inputs.get(stake_column)
        return None if values is None else np.array([np.nan if value is None else float(value) for value in values])


def _read_role(schema: Schema, role: str, request: PredictionRequest) -> Sequence[Any]:
    """The values (n,) of the first column of a role; None where there is no such column."""
    name = next((column.name for column in schema.columns if column.role == role), None)
    return [None] * len(request) if name is None else request.column(name)
