"""Score rows with a registered model: value, interval, reasons that sum to the score, receipt."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl

from epic22.core.bundle import Bundle, Schema, to_json
from epic22.core.data.preprocess import Preprocessor, level_of
from epic22.core.evaluation.conformal import two_columns
from epic22.core.lineage import ModelVersion, canonical_json, sha256
from epic22.core.models.base import link, respond
from epic22.core.models.hazard import days_share, median_days
from epic22.core.prediction import MOST_REASONS, PredictedValue, Prediction, Reason, Score
from epic22.core.task import Array, Column
from epic22.core.wording import amount, moment, odds, said

HAZARD_AVERAGE = "the average over all rows, and what the days ahead add by themselves"


def predict_frame(
    version: ModelVersion, bundle: Bundle, frame: pl.DataFrame, with_reasons: bool = True
) -> tuple[Prediction, ...]:
    """One prediction a row of a frame whose columns have the schema's types; entity and time are taken from it.

    Reasons take most of the time; without them all else is the same.
    """
    X = bundle.preprocessor.transform(frame)
    return _predict(version, bundle, X, frame.to_dicts(), with_reasons)


def predict_rows(version: ModelVersion, bundle: Bundle, rows: Sequence[Mapping[str, Any]]) -> tuple[Prediction, ...]:
    """One prediction a row given as plain values by column name; equal to the last bit to `predict_frame`."""
    if not rows:
        return ()
    X = np.vstack([bundle.preprocessor.transform_row(row) for row in rows])
    return _predict(version, bundle, X, rows)


def _predict(
    version: ModelVersion,
    bundle: Bundle,
    X: Array,
    rows: Sequence[Mapping[str, Any]],
    with_reasons: bool = True,
) -> tuple[Prediction, ...]:
    if not len(X):
        return ()
    raw = bundle.estimator.raw(X)
    # What explains nothing costs nothing: one row of zeros, seen from every row, is never told.
    contributions = bundle.estimator.contributions(X if with_reasons else X[:1])
    told = (_one(version, bundle, raw[i], contributions[i if with_reasons else 0], X[i], row, i) for i, row in enumerate(rows))
    return tuple(told) if with_reasons else tuple(replace(prediction, reasons=()) for prediction in told)


def _one(
    version: ModelVersion, bundle: Bundle, raw: Any, contributions: Array, seen: Array, row: Mapping[str, Any], i: int
) -> Prediction:
    schema = bundle.schema
    if schema.kind == "hazard":
        return _hazard(version, bundle, raw, contributions, seen, row, i)
    if schema.kind == "multiclass":
        likeliest = int(np.argmax(raw))
        chosen, parts, about = float(raw[likeliest]), contributions[likeliest], schema.classes[likeliest]
    else:
        chosen, parts, about = _calibrated(bundle, float(raw)), contributions, schema.classes[1] if schema.classes else ""
    shifted = schema.kind == "binary" and bundle.calibration.kind != "none"
    inputs = to_json({column.name: row.get(column.name) for column in schema.inputs})
    return Prediction(
        entity=_entity(schema, row, i),
        at=_at(schema, row),
        values=(_value(bundle, raw, inputs),),
        score=Score(chosen, schema.score_unit),
        reasons=_reasons(bundle, chosen, chosen - float(raw) if shifted else 0.0, parts, inputs, seen, about),
        model=version,
        receipt=_receipt(version, inputs, raw),
    )


def _hazard(
    version: ModelVersion, bundle: Bundle, raw: Array, contributions: Array, seen: Array, row: Mapping[str, Any], i: int
) -> Prediction:
    """A probability up to each horizon, money at the one that decides, reasons for the mean log-odds of the hazard up to it."""
    schema = bundle.schema
    z = bundle.calibration.log_odds(np.asarray(raw, dtype=np.float64))
    incidence = link(z, "hazard")
    share = days_share(schema.horizons, schema.horizon)
    score, uncalibrated = float(share @ z), float(share @ raw)
    inputs = to_json({column.name: row.get(column.name) for column in schema.inputs})
    median = float(median_days(incidence[None, :], schema.horizons)[0])
    values = tuple(
        _in_money(bundle, schema.horizons[j], float(p), inputs)
        if schema.horizons[j] == schema.horizon
        else PredictedValue(schema.target, schema.horizons[j], float(p), None, None)
        for j, p in enumerate(incidence)
    )
    shift = 0.0 if bundle.calibration.kind == "none" else score - uncalibrated
    about = schema.classes[1] if schema.classes else schema.target.replace("_", " ")
    reasons = _reasons(bundle, score, shift, share @ contributions, inputs, seen, about)
    return Prediction(
        entity=_entity(schema, row, i),
        at=_at(schema, row),
        values=values,
        score=Score(score, schema.score_unit),
        reasons=(replace(reasons[0], text=HAZARD_AVERAGE), *reasons[1:]),
        model=version,
        receipt=_receipt(version, inputs, raw),
        median_days=None if np.isnan(median) else median,
    )


def _receipt(version: ModelVersion, inputs: Mapping[str, Any], raw: Any) -> str:
    return sha256(version.model_hash.encode(), canonical_json(inputs), np.asarray(raw, dtype=np.float64).tobytes())


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


def _calibrated(bundle: Bundle, raw: float) -> float:
    """Log-odds after calibration for two classes; else the raw score."""
    if bundle.schema.kind != "binary":
        return raw
    return float(bundle.calibration.log_odds(np.array([raw], dtype=np.float64))[0])


def _value(bundle: Bundle, raw: Any, inputs: Mapping[str, Any]) -> PredictedValue:
    schema = bundle.schema
    if schema.kind == "binary":
        return _probability(bundle, raw, inputs)
    response = respond(bundle.estimator, np.asarray(raw, dtype=np.float64), schema.kind)
    if schema.kind == "multiclass":
        shares = tuple((name, float(p)) for name, p in zip(schema.classes, response, strict=True))
        likeliest = schema.classes[int(np.argmax(raw))]
        return PredictedValue(schema.target, schema.horizon, likeliest, None, None, shares, set=_set(bundle, response))
    value = float(response)
    low, high = bundle.band.around(value) if bundle.band else (None, None)
    return PredictedValue(schema.target, schema.horizon, value, low, high)


def _probability(bundle: Bundle, raw: Any, inputs: Mapping[str, Any]) -> PredictedValue:
    """The calibrated probability, and what it means in money where the task has costs."""
    p = float(link(np.array([_calibrated(bundle, float(raw))]), "binary")[0])
    classes = _set(bundle, two_columns(np.array([p]))[0])
    return _in_money(bundle, bundle.schema.horizon, p, inputs, classes)


def _set(bundle: Bundle, probabilities: Array) -> tuple[str, ...] | None:
    """The names of the classes in a row's set, from its probabilities (k,); None for a bundle without sets."""
    if bundle.sets is None:
        return None
    return tuple(bundle.schema.classes[code] for code in bundle.sets.of(probabilities))


def _in_money(
    bundle: Bundle, horizon: float | None, p: float, inputs: Mapping[str, Any], classes: tuple[str, ...] | None = None
) -> PredictedValue:
    schema = bundle.schema
    stake = 1.0 if schema.exposure is None else inputs.get(schema.exposure)
    if not bundle.costs or stake is None:
        return PredictedValue(schema.target, horizon, p, None, None, set=classes)
    miss = bundle.costs["miss"] * float(stake)
    act = p * miss > (1 - p) * bundle.costs["false_alarm"]
    band = None if bundle.risk_bands is None else str(bundle.risk_bands.named(np.array([p * miss]))[0])
    return PredictedValue(schema.target, horizon, p, None, None, (), p * miss, act, band, classes)


def _reasons(
    bundle: Bundle, score: float, shift: float, parts: Array, inputs: Mapping[str, Any], seen: Array, about: str
) -> tuple[Reason, ...]:
    """The average, the strongest columns by size, what calibration shifts, and the rest, which closes the sum exactly.

    `seen` is the row of the matrix, (p,): there a derived column has its value, and a category that training never saw has none.
    """
    columns = bundle.preprocessor.outputs
    strongest = [int(j) for j in np.argsort(-np.abs(parts[:-1]), kind="stable")[:MOST_REASONS] if parts[j] != 0]
    listed = [Reason(None, None, float(parts[-1]), "the average over all rows")]
    for j in strongest:
        column, part = columns[j], float(parts[j])
        value = inputs[column.name] if column.name in inputs else _from_matrix(bundle.preprocessor, column, seen[j])
        unseen = column.dtype == "category" and value is not None and np.isnan(seen[j])
        text = f"{_named_value(column, value, unseen)}: {_effect(bundle.schema, part, about)}"
        listed.append(Reason(column.name, value, part, text))
    if shift:
        listed.append(Reason(None, None, shift, "calibration: how often such scores came true"))
    rest = score - sum(reason.contribution for reason in listed)
    return (*listed, Reason(None, None, rest, "all other columns together"))


def _from_matrix(preprocessor: Preprocessor, column: Column, value: np.float32) -> str | float | bool | None:
    """What a derived column's number stands for, as JSON has it; a number is the shortest that names it."""
    if np.isnan(value):
        return None
    if column.dtype == "category":
        return level_of(preprocessor, column, float(value))
    if column.dtype == "time":
        return moment(float(value))
    return bool(value) if column.dtype == "bool" else float(str(value))


def _named_value(column: Column, value: Any, unseen: bool) -> str:
    told = f"{column.about or column.name} is {said(column, value)}"
    return f"{told}, which training never saw" if unseen else told


BARE_ANSWERS = ("0", "1", "yes", "no", "y", "n", "true", "false", "")
"""Names of classes that say nothing without the label's name."""


def _effect(schema: Schema, part: float, about: str) -> str:
    """What a part of the score does to the answer, in words."""
    if schema.of_logs:
        return f"× {np.exp(part):.3g}"
    if schema.kind == "regression":
        return amount(part, schema.unit)
    what = f"{schema.target} = {about}" if about.lower() in BARE_ANSWERS else about
    if schema.kind in ("binary", "hazard"):
        return odds(part, what)
    # Among many classes a column moves the other scores too, so no single figure is the change of the odds.
    return f"makes {what} {'likelier' if part > 0 else 'less likely'}"
