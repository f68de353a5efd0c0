"""Score rows with a registered model: value, interval, reasons that sum to the score, receipt."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl

from epic22.core.bundle import Bundle, Schema, to_json
from epic22.core.lineage import ModelVersion, canonical_json, sha256
from epic22.core.models.base import link
from epic22.core.prediction import MOST_REASONS, PredictedValue, Prediction, Reason, Score
from epic22.core.task import Array, Column


def predict_frame(version: ModelVersion, bundle: Bundle, frame: pl.DataFrame) -> tuple[Prediction, ...]:
    """One prediction a row of a frame whose columns have the schema's types; entity and time are taken from it."""
    X = bundle.preprocessor.transform(frame)
    return _predict(version, bundle, X, frame.to_dicts())


def predict_rows(version: ModelVersion, bundle: Bundle, rows: Sequence[Mapping[str, Any]]) -> tuple[Prediction, ...]:
    """One prediction a row given as plain values by column name; equal to the last bit to `predict_frame`."""
    if not rows:
        return ()
    X = np.vstack([bundle.preprocessor.transform_row(row) for row in rows])
    return _predict(version, bundle, X, rows)


def _predict(version: ModelVersion, bundle: Bundle, X: Array, rows: Sequence[Mapping[str, Any]]) -> tuple[Prediction, ...]:
    if not len(X):
        return ()
    raw, contributions = bundle.estimator.raw(X), bundle.estimator.contributions(X)
    return tuple(_one(version, bundle, raw[i], contributions[i], row, i) for i, row in enumerate(rows))


def _one(version: ModelVersion, bundle: Bundle, raw: Any, contributions: Array, row: Mapping[str, Any], i: int) -> Prediction:
    schema = bundle.schema
    if schema.kind == "multiclass":
        likeliest = int(np.argmax(raw))
        chosen, parts, about = float(raw[likeliest]), contributions[likeliest], schema.classes[likeliest]
    else:
        chosen, parts, about = float(raw), contributions, schema.classes[1] if schema.classes else ""
    inputs = to_json({column.name: row.get(column.name) for column in schema.inputs})
    return Prediction(
        entity=_entity(schema, row, i),
        at=_at(schema, row),
        values=(_value(bundle, raw),),
        score=Score(chosen, schema.unit or schema.target if schema.kind == "regression" else "log-odds"),
        reasons=_reasons(schema, chosen, parts, inputs, about),
        model=version,
        receipt=sha256(version.model_hash.encode(), canonical_json(inputs), np.asarray(raw, dtype=np.float64).tobytes()),
    )


def _named(schema: Schema, role: str) -> str | None:
    return next((column.name for column in schema.columns if column.role == role), None)


def _entity(schema: Schema, row: Mapping[str, Any], i: int) -> str:
    name = _named(schema, "id")
    value = None if name is None else row.get(name)
    return str(i + 1) if value is None else str(value)


def _at(schema: Schema, row: Mapping[str, Any]) -> datetime | None:
    name = _named(schema, "time")
    value = None if name is None else row.get(name)
    return value if isinstance(value, datetime) else None


def _value(bundle: Bundle, raw: Any) -> PredictedValue:
    schema = bundle.schema
    response = link(np.asarray(raw, dtype=np.float64), schema.kind)
    if schema.kind == "multiclass":
        shares = tuple((name, float(p)) for name, p in zip(schema.classes, response, strict=True))
        return PredictedValue(schema.target, schema.horizon, schema.classes[int(np.argmax(raw))], None, None, shares)
    value = float(response)
    low, high = bundle.band.around(value) if bundle.band else (None, None)
    return PredictedValue(schema.target, schema.horizon, value, low, high)


def _reasons(schema: Schema, score: float, parts: Array, inputs: Mapping[str, Any], about: str) -> tuple[Reason, ...]:
    """The average, the strongest columns by size, and the rest, which closes the sum to the score exactly."""
    strongest = [int(j) for j in np.argsort(-np.abs(parts[:-1]), kind="stable")[:MOST_REASONS] if parts[j] != 0]
    listed = [Reason(None, None, float(parts[-1]), "the average over all rows")]
    for j in strongest:
        column = schema.inputs[j]
        value = inputs[column.name]
        listed.append(Reason(column.name, value, float(parts[j]), _words(schema, column, value, float(parts[j]), about)))
    rest = score - sum(reason.contribution for reason in listed)
    return (*listed, Reason(None, None, rest, "all other columns together"))


def _words(schema: Schema, column: Column, value: Any, part: float, about: str) -> str:
    said = "missing" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
    unit = f" {column.unit}" if column.unit and value is not None else ""
    name = column.about or column.name
    if schema.kind == "regression":
        return f"{name} is {said}{unit}: {'adds' if part > 0 else 'takes off'} {abs(part):.4g}"
    what = f"{schema.target} = {about}"
    return f"{name} is {said}{unit}: makes {what} {'likelier' if part > 0 else 'less likely'}"
