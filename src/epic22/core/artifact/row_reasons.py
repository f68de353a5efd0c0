"""Why rows got their scores, as columns: the average, the strongest columns by size, what calibration shifts, and the rest.

Many rows are worked on together, a column of the matrix after another; a row alone is a batch of one, so that both have the same
bits.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import polars as pl

from epic22.core.artifact.bundle import Bundle, Schema
from epic22.core.artifact.prediction_columns import PredictionColumns
from epic22.core.data.preprocess import Preprocessor, decode_level, describe_rarity
from epic22.core.models.catalog import get_family
from epic22.core.models.hazard import compute_interval_shares
from epic22.core.prediction import MAX_REASONS, Reason
from epic22.core.task import Array, CellValue, Column
from epic22.core.text import describe_amount, describe_odds, format_time, format_value

HAZARD_AVERAGE = "the average over all rows, and what the days ahead add by themselves"
SHIFT = "calibration: how often such scores came true"
REST, INEXACT_REST = "all other columns together", "all other columns together, and what the reasons do not explain"
BARE_ANSWERS = ("0", "1", "yes", "no", "y", "n", "true", "false", "")
"""Names of classes that say nothing without the label's name."""
REASON_TYPE = pl.Struct({"column": pl.String(), "contribution": pl.Float64(), "text": pl.String()})


@dataclass(frozen=True)
class ReasonWords:
    """Of the strongest columns of n rows, one row after another: their names, values as JSON has them, and what is said of them;
    None where a row has fewer."""

    names: Sequence[str | None]
    values: Sequence[CellValue]
    texts: Sequence[str | None]


@dataclass(frozen=True)
class RowReasons:
    """The reasons of n rows. `average`, `shift` and `rest` (n,) are those that are no column's; the strongest m columns add
    `parts` (n, m), 0 where a row has fewer, and have `words` (n × m)."""

    average: Array
    average_text: str
    parts: Array
    words: ReasonWords
    shift: Array
    rest: Array
    rest_text: str

    def __iter__(self) -> Iterator[tuple[Reason, ...]]:
        """Each row's reasons."""
        words, width = self.words, self.parts.shape[1]
        ends = zip(self.average.tolist(), self.shift.tolist(), self.rest.tolist(), self.parts.tolist(), strict=True)
        for row, (average, shift, rest, parts) in enumerate(ends):
            own = slice(row * width, (row + 1) * width)
            columns = zip(words.names[own], words.values[own], parts, words.texts[own], strict=True)
            reasons = [Reason(name, value, part, text or "") for name, value, part, text in columns if part]
            if shift:
                reasons.append(Reason(None, None, shift, SHIFT))
            yield (Reason(None, None, average, self.average_text), *reasons, Reason(None, None, rest, self.rest_text))

    def build_series(self) -> pl.Series:
        """The reasons of each row as a list of structs, without the columns' values, which are in the texts."""
        n, none = len(self.average), np.full((len(self.average), 1), None, dtype=object)
        names, texts = (
            np.hstack([none, np.array(one, dtype=object).reshape(self.parts.shape), none, none])
            for one in (self.words.names, self.words.texts)
        )
        parts = np.hstack([self.average[:, None], self.parts, self.shift[:, None], self.rest[:, None]])
        texts[:, 0], texts[:, -2], texts[:, -1] = self.average_text, SHIFT, self.rest_text
        is_there = parts != 0
        is_there[:, [0, -1]] = True
        rows = np.repeat(np.arange(n, dtype=np.uint32), is_there.sum(axis=1))
        flat = pl.DataFrame(
            {
                "row": rows,
                "column": pl.Series(names[is_there].tolist(), dtype=pl.String),
                "contribution": parts[is_there],
                "text": pl.Series(texts[is_there].tolist(), dtype=pl.String),
            }
        )
        reason = flat.select("row", reason=pl.struct("column", "contribution", "text"))
        return reason.group_by("row", maintain_order=True).agg("reason")["reason"].alias("reasons")


@dataclass(frozen=True)
class RowInputs:
    """What reasons are told of: the matrix (n, p) that the estimator read, and what rows stated, by column, as JSON has it."""

    X: Array
    inputs: Mapping[str, Sequence[CellValue]]


def compute_reasons(bundle: Bundle, rows: RowInputs, answers: PredictionColumns) -> RowReasons:
    """The reasons of each row: of a likeliest class its own, of a hazard the mean up to the horizon that decides."""
    values = _compute_contributions(bundle, rows.X, answers)
    strongest = np.argsort(-np.abs(values[:, :-1]), axis=1, kind="stable")[:, :MAX_REASONS]
    parts = values[np.arange(len(values))[:, None], strongest]
    # One after another, as the reasons stand: another order would sum to other last bits.
    total = values[:, -1].copy()
    for place in range(parts.shape[1]):
        total += parts[:, place]
    rest = answers.score - (total + answers.shift)
    is_exact = get_family(bundle.family).capabilities.exact_reasons
    return RowReasons(
        average=values[:, -1],
        average_text=_describe_average(bundle.schema),
        parts=parts,
        words=_describe_strongest(bundle, rows, _Strongest(strongest, parts), answers.likeliest_class),
        shift=answers.shift,
        rest=rest,
        rest_text=REST if is_exact else INEXACT_REST,
    )


def _compute_contributions(bundle: Bundle, X: Array, answers: PredictionColumns) -> Array:
    """What each column adds to a row's score, the average last, (n, p + 1)."""
    schema, estimator = bundle.schema, bundle.estimator
    if answers.likeliest_class is not None:
        return estimator.explain_outputs(X, np.eye(len(schema.classes))[answers.likeliest_class])
    if schema.traits.is_time_to_event:
        shares = compute_interval_shares(schema.horizons, schema.horizon)
        return estimator.explain_outputs(X, np.tile(shares, (len(X), 1)))
    return estimator.shap_values(X)


def _describe_average(schema: Schema) -> str:
    if schema.traits.is_time_to_event:
        return HAZARD_AVERAGE
    offset = schema.offset
    return "the average over all rows" if offset is None else f"the average over all rows, where {offset} is 1"


@dataclass(frozen=True)
class _Strongest:
    """The strongest columns of the matrix (n, m) and what they add; 0 where a row has fewer."""

    columns: Array
    parts: Array


def _describe_strongest(bundle: Bundle, rows: RowInputs, strongest: _Strongest, classes: Array | None) -> ReasonWords:
    """The words of the strongest columns; `classes` (n,) are those that the answers show, where there are several."""
    names: list[str | None] = []
    values: list[CellValue] = []
    texts: list[str | None] = []
    outputs, describe = bundle.preprocessor.outputs, _build_describers(bundle.schema)
    codes = [0] * len(rows.X) if classes is None else classes.tolist()
    table = zip(codes, strongest.columns.tolist(), strongest.parts.tolist(), strict=True)
    for row, (code, columns, parts) in enumerate(table):
        for j, part in zip(columns, parts, strict=True):
            column = outputs[j]
            value = _read_value(bundle.preprocessor, column, rows, row, j) if part else None
            names.append(column.name if part else None)
            values.append(value)
            is_unseen = column.dtype == "category" and value is not None and np.isnan(rows.X[row, j])
            unseen = f", which training {describe_rarity(bundle.preprocessor.levels[column.name])} saw" if is_unseen else ""
            texts.append(f"{_describe_cell(column, value)}{unseen}: {describe[code](part)}" if part else None)
    return ReasonWords(names, values, texts)


def _describe_cell(column: Column, value: CellValue) -> str:
    """What a row has of a column."""
    return f"{column.about or column.name} is {format_value(column, value)}"


def _read_value(preprocessor: Preprocessor, column: Column, rows: RowInputs, row: int, place: int) -> CellValue:
    """What a row has of a column: what it stated, or what a derived column's number in the matrix stands for."""
    cells = rows.inputs.get(column.name)
    return _decode_value(preprocessor, column, rows.X[row, place]) if cells is None else cells[row]


def _decode_value(preprocessor: Preprocessor, column: Column, value: np.float32) -> str | float | bool | None:
    """What a derived column's number stands for, as JSON has it; a number is the shortest that names it."""
    if np.isnan(value):
        return None
    if column.dtype == "category":
        return decode_level(preprocessor, column, float(value))
    if column.dtype == "time":
        return format_time(preprocessor.restore_value(column, float(value)))
    return bool(value) if column.dtype == "bool" else preprocessor.restore_value(column, float(str(value)))


def _build_describers(schema: Schema) -> Sequence[Callable[[float], str]]:
    """What says the effect of a part of the score: one, or one a class."""
    if schema.is_log_scale:
        return [_describe_factor]
    if schema.traits.is_regression:
        return [partial(_describe_added, schema.unit)]
    if schema.traits.has_score_per_class:
        # Among many classes a column moves the other scores too, so no single figure is the change of the odds.
        return [partial(_describe_class, name_answer(schema, name)) for name in schema.classes]
    return [partial(_describe_odds_of, name_answer(schema, describe_outcome(schema)))]


def describe_outcome(schema: Schema) -> str:
    """The class that probabilities are of; of a hazard without classes the event."""
    target = schema.target.replace("_", " ") if schema.traits.is_time_to_event else ""
    return schema.classes[1] if schema.classes else target


def name_answer(schema: Schema, about: str) -> str:
    """A class in words: with the label's name where its own says nothing."""
    return f"{schema.target} = {about}" if about.lower() in BARE_ANSWERS else about


def _describe_factor(part: float) -> str:
    return f"× {np.exp(part):.3g}"


def _describe_added(unit: str | None, part: float) -> str:
    return describe_amount(part, unit)


def _describe_class(what: str, part: float) -> str:
    return f"makes {what} {'likelier' if part > 0 else 'less likely'}"


def _describe_odds_of(what: str, part: float) -> str:
    return describe_odds(part, what)
