"""Request and response models, made from a task's columns.

A column that is present with null is a missing value, which models treat natively. A column that is absent, a name the
task does not know, a text for a number, NaN or an infinite number are refused. A category never seen in training is
treated as missing, and said.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from epic22.api.problems import Problem
from epic22.core.bundle import Bundle, Schema
from epic22.core.data.contract import LARGEST
from epic22.core.task import Column

MOST_ROWS = 1000
MOST_ERRORS = 20
MOST_TEXT = 10_000

Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]


class Value(BaseModel):
    """A target's value with its interval; `probabilities` where there are more than two classes."""

    target: str
    horizon: float | None
    value: float | str
    low: float | None
    high: float | None
    probabilities: dict[str, float] | None = None


class ScoreAnswer(BaseModel):
    """What the reasons sum to."""

    value: float
    unit: str


class ReasonAnswer(BaseModel):
    """What a column adds to the score; `column` is null for the average and for the rest."""

    column: str | None
    value: str | float | bool | None
    contribution: float
    text: str


class PredictionAnswer(BaseModel):
    """One row's answer."""

    entity: str
    at: str | None
    values: list[Value]
    score: ScoreAnswer
    reasons: list[ReasonAnswer]
    receipt: str
    warnings: list[str]


class ModelAnswer(BaseModel):
    """Which model answered; `status` is proven or provisional."""

    family: str
    version: str
    model_hash: str
    status: str


class Predictions(BaseModel):
    """The answer to a prediction request, rows in the order they came."""

    task: str
    model: ModelAnswer
    predictions: list[PredictionAnswer]


class ColumnAnswer(BaseModel):
    """A column of a task."""

    name: str
    dtype: str
    role: str
    unit: str | None
    low: float | None
    high: float | None
    levels: list[str]
    optional: bool
    about: str


class TaskAnswer(BaseModel):
    """A task that can be asked."""

    task: str
    about: str
    target: str
    kind: str
    classes: list[str]
    model: ModelAnswer
    columns: list[ColumnAnswer]


class Tasks(BaseModel):
    """All tasks that can be asked."""

    tasks: list[TaskAnswer]


class Health(BaseModel):
    """Whether the process answers, and how many tasks have a champion."""

    status: str
    tasks: int
    version: str


def body_model(schema: Schema) -> type[BaseModel]:
    """The request model of a task: {"rows": [row, …]}, a row having a field a column, named as the column is."""
    fields: dict[str, Any] = {f"c{i}": _field(column) for i, column in enumerate(schema.columns)}
    row = create_model(f"{schema.task}-row", __config__=ConfigDict(extra="forbid", title=f"A row of {schema.task}"), **fields)
    rows = Annotated[list[row], Field(min_length=1, max_length=MOST_ROWS, description="One to a thousand rows.")]
    return create_model(
        f"{schema.task}-rows", __config__=ConfigDict(extra="forbid", title=f"Rows for {schema.task}"), rows=(rows, ...)
    )


def _field(column: Column) -> tuple[Any, Any]:
    required = column.role == "input" and not column.optional
    stated: dict[str, Any] = {"alias": column.name, "description": _description(column)}
    if column.dtype in ("int", "float") and column.role == "input":
        low, high = (column.low, column.high)
        stated |= {"ge": -LARGEST if low is None else low, "le": LARGEST if high is None else high}
    kind = _type(column)
    return (kind | None, Field(**stated)) if required else (kind | None, Field(default=None, **stated))


def _type(column: Column) -> Any:
    if column.dtype == "time":
        return datetime
    if column.role in ("id", "group", "time"):
        return Annotated[str, Field(max_length=MOST_TEXT)] | Number
    if column.dtype == "bool":
        return Annotated[bool, Field(strict=True)]
    return Number if column.dtype in ("int", "float") else Annotated[str, Field(strict=True, max_length=MOST_TEXT)]


def _description(column: Column) -> str:
    said = [column.about or column.name]
    if column.unit:
        said.append(f"in {column.unit}")
    if column.dtype == "category" and column.role == "input":
        known = ", ".join(column.levels[:20]) + (", …" if len(column.levels) > 20 else "")
        said.append(f"one of {known}; any other is treated as missing, and said in the answer's warnings")
    return "; ".join([*said, "null = missing"]) + "."


def read_rows(model: type[BaseModel], body: bytes) -> list[dict[str, Any]]:
    """The rows of a body, by column name; times are naive UTC.

    Raises Problem 400 for what is no JSON, 422 for rows that do not fit, with a JSON pointer each.
    """
    if not body.strip():
        raise Problem(400, 'The body is empty; send {"rows": [{…}]}.')
    try:
        read = model.model_validate_json(body)
    except ValidationError as error:
        raise _refusal(error) from None
    rows: Sequence[BaseModel] = read.rows  # type: ignore[attr-defined]
    return [{name: _utc(value) for name, value in row.model_dump(by_alias=True).items()} for row in rows]


def _utc(value: Any) -> Any:
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC).replace(tzinfo=None)
    return value


def _refusal(error: ValidationError) -> Problem:
    found = error.errors(include_url=False, include_input=False, include_context=False)
    if found[0]["type"] == "json_invalid":
        return Problem(400, f"The body is not JSON: {found[0]['msg'].removeprefix('Invalid JSON: ')}.")
    if found[0]["loc"] == ("rows",) and found[0]["type"] == "missing":
        return Problem(422, 'The body has no "rows"; send {"rows": [{…}]}.', [("/rows", "is absent")])
    listed = [(_pointer(item["loc"]), _said(item["type"], item["msg"])) for item in found[:MOST_ERRORS]]
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return Problem(422, f"{listed[0][0] or 'the body'}: {listed[0][1]}{more}.", listed)


def _pointer(place: tuple[int | str, ...]) -> str:
    """RFC 6901; pydantic's names of union branches are left out."""
    parts = [part for part in place[:3] if not (isinstance(part, str) and part.startswith("function-"))]
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def _said(kind: str, message: str) -> str:
    return {
        "missing": "is absent; send null where the value is missing",
        "extra_forbidden": "is no column of this task",
        "finite_number": "must be a finite number",
    }.get(kind, message[0].lower() + message[1:])


def unseen(bundle: Bundle, row: dict[str, Any]) -> list[str]:
    """In words, the row's categories that training never saw."""
    levels = bundle.preprocessor.levels
    return [
        f"{name}: {str(row[name])[:100]!r} was never seen in training; treated as missing."
        for name, known in levels.items()
        if row.get(name) is not None and row[name] not in known
    ]
