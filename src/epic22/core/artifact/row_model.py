"""A model of rows: each is answered by itself, with value, interval, reasons that sum to the score, and receipt."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from epic22.core.artifact.bundle import DATA_TYPE, Bundle, Schema, open_bundle, value_to_json
from epic22.core.artifact.model import Model, ModelDescription, RequestSource
from epic22.core.artifact.prediction_columns import PredictionColumns, compute_columns
from epic22.core.artifact.prediction_request import FrameRequest, PredictionRequest
from epic22.core.artifact.request_model import RequestModel, build_example_row, build_request_model
from epic22.core.artifact.row_network import RowNetwork, build_export_refusal
from epic22.core.column import Dtype
from epic22.core.data.preprocess import MAX_LEVELS, Preprocessor, decode_level
from epic22.core.errors import ColumnError, UserError
from epic22.core.lineage import ModelVersion, canonical_json, canonical_json_rows, sha256
from epic22.core.models.base import Capabilities, predict_response
from epic22.core.models.catalog import get_family
from epic22.core.models.ensemble import Ensemble
from epic22.core.models.hazard import compute_interval_shares
from epic22.core.models.networks.exportable import find_network
from epic22.core.prediction import MAX_REASONS, PredictedValue, Prediction, PredictionScore, Reason
from epic22.core.statistics import Interval
from epic22.core.task import Array, CellValue, Column
from epic22.core.text import describe_amount, describe_odds, format_time, format_value

HAZARD_AVERAGE = "the average over all rows, and what the days ahead add by themselves"


@dataclass(frozen=True)
class RowModel(Model):
    """A model on a bundle of rows."""

    bundle: Bundle
    data_type = DATA_TYPE

    @classmethod
    def open(cls, version: ModelVersion, folder: Path, manifest: dict[str, Any] | None = None) -> "RowModel":
        """The model in a folder, audited; its manifest is read unless it is given. Raises BundleError."""
        return cls(version, open_bundle(folder, manifest))

    @property
    def capabilities(self) -> Capabilities:
        """Those of its family."""
        return get_family(self.bundle.family).capabilities

    @property
    def input_names(self) -> tuple[str, ...]:
        """The columns that a row is asked for."""
        return tuple(column.name for column in self.bundle.schema.inputs)

    @property
    def costs(self) -> Mapping[str, float]:
        """What a miss and a false alarm cost; empty where nothing is decided by it."""
        return self.bundle.costs

    def get_network(self, member: str | None = None) -> RowNetwork:
        """The network that it scores rows by. Raises UserError for a model that is none, and says which are."""
        if member is not None:
            raise UserError(f"--member {member}: {self.name} answers rows, by one model; leave --member out.")
        network = find_network(self.bundle.estimator)
        if network is None:
            raise build_export_refusal(self.name, f"is {_describe_estimator(self.bundle)}, not a network")
        return RowNetwork(self.version, network, self.bundle)

    def describe(self) -> ModelDescription:
        """What is reported of its answers."""
        schema, coverage = self.bundle.schema, self.bundle.coverage
        if not schema.traits.is_regression:
            return ModelDescription(schema.kind, schema.classes, coverage)
        return ModelDescription(schema.kind, schema.classes, coverage, schema.loss, schema.log)

    def request_model(self) -> RequestModel:
        """Rows with a field a column."""
        return build_request_model(self.bundle.schema)

    def example_row(self) -> Mapping[str, CellValue]:
        """A row that its request model takes."""
        return build_example_row(self.bundle.schema.inputs)

    def read_request(self, source: RequestSource | None) -> PredictionRequest:
        """The rows of a table. Raises UserError without one."""
        if source is None:
            raise UserError(f"task {self.bundle.schema.task} predicts rows: name the file they are in.")
        return FrameRequest(source.read_rows(self.bundle.schema.columns))

    def predict(self, request: PredictionRequest, with_reasons: bool = True) -> tuple[Prediction, ...]:
        """One prediction a row. Reasons take most of the time; without them all else is the same."""
        n = len(request)
        if not n:
            return ()
        X, batch = request.matrix(self.bundle.preprocessor), _RowBatch.of(self.bundle.schema, request.column, n)
        answers = compute_columns(self.bundle, X, batch.stakes(self.bundle.schema.stake_column))
        rows = zip(
            batch.entities,
            batch.at,
            _iterate_values(self.bundle.schema, answers),
            answers.score.tolist(),
            _iterate_reasons(self.bundle, X, answers, batch) if with_reasons else repeat((), n),
            batch.texts,
            answers.raw,
            _to_list(answers.median_days, n),
            strict=True,
        )
        unit, version, model = self.bundle.schema.score_unit, self.version, self.version.model_hash.encode()
        return tuple(
            Prediction(entity, at, values, PredictionScore(score, unit), why, version, sha256(model, text, raw.tobytes()), days)
            for entity, at, values, score, why, text, raw, days in rows
        )

    def compute_responses(self, X: pl.DataFrame) -> Array:
        """What metrics judge of each row."""
        schema, bundle = self.bundle.schema, self.bundle
        for column in schema.inputs:
            if column.name not in X.columns:
                raise ColumnError(f"its column {column.name!r} is not among the inputs now")
            if not _has_type(X[column.name], column.dtype):
                raise ColumnError(f"its column {column.name!r} was read as {column.dtype}, and is {X[column.name].dtype} now")
        matrix = bundle.preprocessor.transform(X.select([column.name for column in schema.inputs]))
        return predict_response(bundle.estimator, matrix, schema.kind)

    def list_warnings(self, row: Mapping[str, Any]) -> list[str]:
        """The row's categories that training never saw, in words."""
        return [
            f"{name}: {str(row[name])[:100]!r} was never {'seen' if len(levels) < MAX_LEVELS else 'or too seldom seen'} "
            "in training; treated as missing."
            for name, levels in self.bundle.preprocessor.levels.items()
            if row.get(name) is not None and row[name] not in levels
        ]


def _describe_estimator(bundle: Bundle) -> str:
    estimator = bundle.estimator
    if not isinstance(estimator, Ensemble):
        return f"of family {bundle.family}"
    return "an ensemble of " + " and ".join(f"{member.family} ({member.weight:.0%})" for member in estimator.members)


def _has_type(series: pl.Series, dtype: Dtype) -> bool:
    """Whether a column's values are of the type that was trained on; a category may be written in numbers."""
    is_time, is_text = series.dtype.is_temporal(), series.dtype == pl.String
    if dtype == "time":
        return is_time
    return not is_time and (dtype in ("category", "text") or not is_text)


@dataclass(frozen=True)
class _RowBatch:
    """n rows as they were asked: whom each is about, when, its inputs by name as JSON has them, and these as canonical JSON."""

    entities: Sequence[str]
    at: Sequence[datetime | None]
    inputs: Mapping[str, Sequence[CellValue]]
    texts: Sequence[bytes]

    @classmethod
    def of(cls, schema: Schema, column: Callable[[str], Sequence[Any]], n: int) -> "_RowBatch":
        """From the values (n,) of a column by name."""
        inputs = {one.name: [value_to_json(value) for value in column(one.name)] for one in schema.inputs}
        entities, times = (_read_role(schema, role, column, n) for role in ("id", "time"))
        return cls(
            entities=[str(i) if value is None else str(value) for i, value in enumerate(entities, start=1)],
            at=[value if isinstance(value, datetime) else None for value in times],
            inputs=inputs,
            texts=canonical_json_rows(inputs) if inputs else [canonical_json({})] * n,
        )

    def row(self, i: int) -> Mapping[str, CellValue]:
        """The inputs of a row."""
        return {name: values[i] for name, values in self.inputs.items()}

    def stakes(self, stake_column: str | None) -> Array | None:
        """What is at stake in each row (n,), NaN where it does not say; None where none of them could."""
        values = None if stake_column is None else self.inputs.get(stake_column)
        return None if values is None else np.array([np.nan if value is None else float(value) for value in values])


def _read_role(schema: Schema, role: str, column: Callable[[str], Sequence[Any]], n: int) -> Sequence[Any]:
    """The values (n,) of the first column of a role; None where there is no such column."""
    name = next((column.name for column in schema.columns if column.role == role), None)
    return [None] * n if name is None else column(name)


def _to_list(column: Array | None, n: int) -> list[Any]:
    """The values (n,) of a column; None for NaN, and for all where there is none."""
    return [None] * n if column is None else [None if value != value else value for value in column.tolist()]


def _iterate_values(schema: Schema, answers: PredictionColumns) -> Iterator[tuple[PredictedValue, ...]]:
    """What each row is answered: at each horizon of a hazard, else at the target's."""
    n = len(answers.raw)
    if schema.traits.is_time_to_event:
        return _iterate_horizon_values(schema, answers, n)
    values: list[Any] = answers.response.tolist()
    shares: Iterable[tuple[tuple[str, float], ...]] = repeat((), n)
    if answers.likeliest_class is not None:
        shares = [tuple(zip(schema.classes, row, strict=True)) for row in values]
        values = [schema.classes[code] for code in answers.likeliest_class.tolist()]
    intervals: Iterable[Interval | None] = repeat(None, n)
    if answers.interval is not None:
        ends = zip(values, *answers.interval.tolist(), strict=True)
        intervals = [None if low != low else Interval(value, low, high) for value, low, high in ends]
    rows = zip(values, intervals, shares, *_compute_money(answers, n), _class_sets(schema, answers, n), strict=True)
    return ((PredictedValue(schema.target, schema.horizon, *each),) for each in rows)


def _iterate_horizon_values(schema: Schema, answers: PredictionColumns, n: int) -> Iterator[tuple[PredictedValue, ...]]:
    for row, *money in zip(answers.response.tolist(), *_compute_money(answers, n), strict=True):
        values = (PredictedValue(schema.target, horizon, p) for horizon, p in zip(schema.horizons, row, strict=True))
        yield tuple(
            PredictedValue(one.target, one.horizon, one.value, None, (), *money) if one.horizon == schema.horizon else one
            for one in values
        )


def _compute_money(answers: PredictionColumns, n: int) -> tuple[list[Any], list[Any], list[Any]]:
    """Expected loss, whether to act, and band of each row; None where nothing is known to be at stake."""
    losses = _to_list(answers.expected_loss, n)
    acts, bands = (
        [value if loss is not None else None for value, loss in zip(_to_list(column, n), losses, strict=True)]
        for column in (answers.act, answers.risk_band)
    )
    return losses, acts, bands


def _class_sets(schema: Schema, answers: PredictionColumns, n: int) -> Iterable[tuple[str, ...] | None]:
    """The names of the classes in each row's set; rows share the few that there are."""
    if answers.in_set is None:
        return repeat(None, n)
    named: dict[bytes, tuple[str, ...]] = {}
    for row in answers.in_set:
        named.setdefault(row.tobytes(), tuple(name for name, in_set in zip(schema.classes, row, strict=True) if in_set))
    return [named[row.tobytes()] for row in answers.in_set]


def _iterate_reasons(bundle: Bundle, X: Array, answers: PredictionColumns, batch: _RowBatch) -> Iterator[tuple[Reason, ...]]:
    """Each row's reasons: of a likeliest class its own, of a hazard the mean up to the horizon that decides."""
    schema, estimator, likeliest = bundle.schema, bundle.estimator, answers.likeliest_class
    is_hazard = schema.traits.is_time_to_event
    about = schema.classes[1] if schema.classes else schema.target.replace("_", " ") if is_hazard else ""
    if likeliest is not None:
        values = estimator.explain_outputs(X, np.eye(len(schema.classes))[likeliest])
    elif is_hazard:
        shares = compute_interval_shares(schema.horizons, schema.horizon)
        values = estimator.explain_outputs(X, np.tile(shares, (len(X), 1)))
    else:
        values = estimator.shap_values(X)
    for i, parts in enumerate(values):
        about = about if likeliest is None else schema.classes[likeliest[i]]
        row = _ScoredRow(float(answers.score[i]), float(answers.shift[i]), batch.row(i), X[i])
        reasons = _build_reasons(bundle, row, parts, about)
        yield (replace(reasons[0], text=HAZARD_AVERAGE), *reasons[1:]) if is_hazard else reasons


@dataclass(frozen=True)
class _ScoredRow:
    """A row with its score and the part of it that is calibration's, its inputs by name, and its row of the matrix, (p,): there a
    derived column has its value, and a category that training never saw has none."""

    score: float
    shift: float
    inputs: Mapping[str, Any]
    matrix: Array


def _build_reasons(bundle: Bundle, row: _ScoredRow, parts: Array, about: str) -> tuple[Reason, ...]:
    """The average, the strongest columns by size, what calibration shifts, and the rest, which closes the sum exactly."""
    columns = bundle.preprocessor.outputs
    strongest = [int(j) for j in np.argsort(-np.abs(parts[:-1]), kind="stable")[:MAX_REASONS] if parts[j] != 0]
    offset = bundle.schema.offset
    average = "the average over all rows" if offset is None else f"the average over all rows, where {offset} is 1"
    reasons = [Reason(None, None, float(parts[-1]), average)]
    for j in strongest:
        column, part = columns[j], float(parts[j])
        value = row.inputs.get(column.name)
        if column.name not in row.inputs:
            value = _decode_value(bundle.preprocessor, column, row.matrix[j])
        unseen = column.dtype == "category" and value is not None and np.isnan(row.matrix[j])
        text = f"{_describe_value(column, value, unseen)}: {_describe_effect(bundle.schema, part, about)}"
        reasons.append(Reason(column.name, value, part, text))
    if row.shift:
        reasons.append(Reason(None, None, row.shift, "calibration: how often such scores came true"))
    rest = row.score - sum(reason.contribution for reason in reasons)
    is_exact = get_family(bundle.family).capabilities.exact_reasons
    text = "all other columns together" if is_exact else "all other columns together, and what the reasons do not explain"
    return (*reasons, Reason(None, None, rest, text))


def _decode_value(preprocessor: Preprocessor, column: Column, value: np.float32) -> str | float | bool | None:
    """What a derived column's number stands for, as JSON has it; a number is the shortest that names it."""
    if np.isnan(value):
        return None
    if column.dtype == "category":
        return decode_level(preprocessor, column, float(value))
    if column.dtype == "time":
        return format_time(preprocessor.restore_value(column, float(value)))
    return bool(value) if column.dtype == "bool" else preprocessor.restore_value(column, float(str(value)))


def _describe_value(column: Column, value: Any, unseen: bool) -> str:
    text = f"{column.about or column.name} is {format_value(column, value)}"
    return f"{text}, which training never saw" if unseen else text


BARE_ANSWERS = ("0", "1", "yes", "no", "y", "n", "true", "false", "")
"""Names of classes that say nothing without the label's name."""


def _describe_effect(schema: Schema, part: float, about: str) -> str:
    """What a part of the score does to the answer, in words."""
    if schema.is_log_scale:
        return f"× {np.exp(part):.3g}"
    if schema.traits.is_regression:
        return describe_amount(part, schema.unit)
    what = f"{schema.target} = {about}" if about.lower() in BARE_ANSWERS else about
    if not schema.traits.has_score_per_class:
        return describe_odds(part, what)
    # Among many classes a column moves the other scores too, so no single figure is the change of the odds.
    return f"makes {what} {'likelier' if part > 0 else 'less likely'}"
