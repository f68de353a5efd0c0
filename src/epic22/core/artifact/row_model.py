"""A model of rows: each is answered by itself, with value, interval, reasons that sum to the score, and receipt."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import repeat
from pathlib import Path
from typing import Any

import polars as pl

from epic22.core.artifact.answer_frame import ANSWER_SCHEMA, AnsweredRows, build_row_frame
from epic22.core.artifact.bundle import DATA_TYPE, Bundle, Schema, open_bundle
from epic22.core.artifact.model import Model, ModelDescription, ModelRecipe, RequestSource
from epic22.core.artifact.prediction_columns import PredictionColumns, compute_columns
from epic22.core.artifact.prediction_request import FrameRequest, PredictionRequest
from epic22.core.artifact.request_model import RequestModel, build_example_row, build_request_model
from epic22.core.artifact.row_batch import RowBatch
from epic22.core.artifact.row_network import RowNetwork, build_export_refusal
from epic22.core.artifact.row_reasons import RowInputs, compute_reasons, describe_outcome, name_answer
from epic22.core.column import Dtype
from epic22.core.data.formula import Derivation
from epic22.core.data.preprocess import describe_rarity
from epic22.core.errors import ColumnError, UserError
from epic22.core.lineage import ModelVersion, sha256
from epic22.core.models.base import Capabilities, predict_response
from epic22.core.models.catalog import get_family, is_combination
from epic22.core.models.ensemble import Ensemble
from epic22.core.models.networks.exportable import find_network
from epic22.core.prediction import PredictedValue, Prediction, PredictionScore
from epic22.core.statistics import Interval
from epic22.core.task import Array, CellValue, Column


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
        """The capabilities of its family."""
        return get_family(self.bundle.family).capabilities

    @property
    def input_names(self) -> tuple[str, ...]:
        """The columns that a row is asked for."""
        return tuple(column.name for column in self.bundle.schema.inputs)

    @property
    def costs(self) -> Mapping[str, float]:
        """What a miss and a false alarm cost; empty where nothing is decided by it."""
        return self.bundle.costs

    @property
    def floor(self) -> float | None:
        """The value below which it answers none, as its bundle has it."""
        return self.bundle.floor

    @property
    def recipe(self) -> ModelRecipe | None:
        """Its family, inputs and formulas; None where its columns were planned, or it is of a search."""
        preprocessor = self.bundle.preprocessor
        formulas = tuple(one.formula.name for one in preprocessor.derived if isinstance(one, Derivation))
        has_others = preprocessor.selected is not None or len(formulas) < len(preprocessor.derived)
        if has_others or is_combination(self.bundle.family):
            return None
        return ModelRecipe(self.bundle.family, self.input_names, formulas)

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

    @property
    def answers_probability(self) -> bool:
        """Whether its value is a probability: of two classes, and of the time to an event."""
        traits = self.bundle.schema.traits
        return not traits.has_score_per_class and not traits.is_regression

    def describe_value(self) -> str:
        """The target with its unit; of classes the likeliest, or of two the probability of the one that is named."""
        schema = self.bundle.schema
        if schema.traits.has_score_per_class:
            return f"likeliest {schema.target}"
        if self.answers_probability:
            return f"probability of {name_answer(schema, describe_outcome(schema))}"
        return schema.target if schema.unit is None else f"{schema.target}, {schema.unit}"

    def request_model(self) -> RequestModel:
        """Rows with a field a column."""
        return build_request_model(self.bundle.schema)

    def example_row(self) -> Mapping[str, CellValue]:
        """A row that its request model takes."""
        return build_example_row(self.bundle.schema.inputs)

    @property
    def _columns_to_read(self) -> tuple[Column, ...]:
        """The columns of a table to predict, with the levels that the model tells apart, so that any other is noted."""
        levels = self.bundle.preprocessor.spellings
        return tuple(replace(c, levels=tuple(levels[c.name])) if c.name in levels else c for c in self.bundle.schema.columns)

    def read_request(self, source: RequestSource | None) -> PredictionRequest:
        """The rows of a table. Raises UserError without one."""
        if source is None:
            raise UserError(f"task {self.bundle.schema.task} predicts rows: name the file they are in.")
        return FrameRequest(source.read_rows(self._columns_to_read))

    def read_requests(self, source: RequestSource | None, n_at_once: int) -> Iterator[PredictionRequest]:
        """The rows of a table, so many at a time. Raises UserError without one."""
        if source is None:
            yield self.read_request(source)
            return
        first = 1
        for frame in source.read_row_batches(self._columns_to_read, n_at_once):
            yield FrameRequest(frame, first)
            first += frame.height

    def predict(self, request: PredictionRequest, with_reasons: bool = True) -> tuple[Prediction, ...]:
        """One prediction a row. Reasons take most of the time; without them all else is the same."""
        n = len(request)
        if not n:
            return ()
        rows = self._answer(request, with_reasons)
        answers, unit, version = rows.columns, self.bundle.schema.score_unit, self.version
        predictions = zip(
            rows.batch.entities,
            rows.batch.at,
            _iterate_values(self.bundle.schema, answers),
            answers.score.tolist(),
            repeat((), n) if rows.reasons is None else rows.reasons,
            rows.receipts,
            _to_list(answers.median_days, n),
            strict=True,
        )
        return tuple(
            Prediction(entity, at, values, PredictionScore(score, unit), why, version, receipt, days)
            for entity, at, values, score, why, receipt, days in predictions
        )

    def predict_frame(self, request: PredictionRequest, with_reasons: bool = True) -> pl.DataFrame:
        """The answers of `predict` as a frame, made without a record a row."""
        if not len(request):
            return pl.DataFrame(schema=ANSWER_SCHEMA)
        rows = self._answer(request, with_reasons)
        return build_row_frame(self.bundle.schema, rows)

    def _answer(self, request: PredictionRequest, with_reasons: bool) -> AnsweredRows:
        bundle = self.bundle
        X, batch = request.matrix(bundle.preprocessor), RowBatch.of(bundle.schema, request)
        columns = compute_columns(bundle, X, batch.stakes(bundle.schema.stake_column))
        reasons = compute_reasons(bundle, RowInputs(X, batch.inputs), columns) if with_reasons else None
        model = self.version.model_hash.encode()
        receipts = [sha256(model, text, raw.tobytes()) for text, raw in zip(batch.texts, columns.raw, strict=True)]
        return AnsweredRows(batch, columns, reasons, receipts)

    def compute_responses(self, X: pl.DataFrame) -> Array:
        """What metrics judge of each row."""
        schema, bundle = self.bundle.schema, self.bundle
        for column in schema.inputs:
            if column.name not in X.columns:
                raise ColumnError(f"its column {column.name!r} is not among the inputs now")
            if not _has_type(X[column.name], column.dtype):
                raise ColumnError(f"its column {column.name!r} was read as {column.dtype}, and is {X[column.name].dtype} now")
        matrix = bundle.preprocessor.transform(X.select([column.name for column in schema.inputs]))
        return predict_response(bundle.estimator, matrix, schema.kind, bundle.floor)

    def list_warnings(self, row: Mapping[str, Any]) -> list[str]:
        """The row's categories that training never saw, or too seldom to tell them apart, in words."""
        return [
            f"{name}: {str(row[name])[:100]!r} was {describe_rarity(levels)} seen in training; treated as missing."
            for name, levels in self.bundle.preprocessor.levels.items()
            if row.get(name) is not None and row[name] not in self.bundle.preprocessor.spellings[name]
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
    rows = zip(values, intervals, shares, *_compute_money(answers, n), _name_class_sets(schema, answers, n), strict=True)
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


def _name_class_sets(schema: Schema, answers: PredictionColumns, n: int) -> Iterable[tuple[str, ...] | None]:
    """The names of the classes in each row's set; rows share the few that there are."""
    if answers.in_set is None:
        return repeat(None, n)
    named: dict[bytes, tuple[str, ...]] = {}
    for row in answers.in_set:
        named.setdefault(row.tobytes(), tuple(name for name, in_set in zip(schema.classes, row, strict=True) if in_set))
    return [named[row.tobytes()] for row in answers.in_set]
