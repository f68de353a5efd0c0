"""Request models: what a model may be asked, made from its columns, and a request that fits as an example.

A column that is present with null is a missing value, which models treat natively. A column that is absent, a name the task does
not know, a text for a number, NaN or an infinite number are refused. What stands for missing in a file does so here, and names
are read as a file's: the values are those that the same row of a file has.
"""

import re
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    create_model,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from epic22.core.artifact.bundle import Schema
from epic22.core.artifact.panel_bundle import PanelSchema
from epic22.core.column import MAX_NUMBER
from epic22.core.data.column_words import build_name_reader
from epic22.core.data.compound_numbers import describe_example
from epic22.core.data.names import compose_accents, strip_text_ends
from epic22.core.data.period_times import NOON
from epic22.core.data.sentinels import is_sentinel
from epic22.core.data.time_format import FIRST_YEAR, name_offset
from epic22.core.task import CellValue, Column
from epic22.core.text import WORDED_UNITS
from epic22.core.time_series import DAY

MAX_ROWS = 1000
MAX_SERIES = 100
MIN_VALUES = 3
MAX_VALUES = 2000
MAX_TOTAL_VALUES = 10_000
"""A value of a series takes about two milliseconds to fit the classical families to; so many some twenty seconds."""
ROWS_DESCRIPTION = f"One to a hundred series, of {MAX_TOTAL_VALUES:,} values together at most."
MAX_VALUE = 1e15
MAX_TEXT_LENGTH = 10_000
MAX_ID = 2**63 - 1
ISO_DATE = re.compile(r"\d{4}-\d\d-\d\d")


@dataclass(frozen=True)
class RequestModel:
    """How a task is asked: `rows` is the model of the whole body, `row` of one row, of which a body has up to `max_rows`,
    in whose lists there are up to `max_values` values together."""

    columns: tuple[Column, ...]
    rows: type[BaseModel]
    row: type[BaseModel]
    max_rows: int = MAX_ROWS
    max_values: int = 0

    def must_name(self, column: str) -> bool:
        """Whether a row is refused that leaves this column out."""
        return self._find_field(column).is_required()

    def takes_null(self, column: str) -> bool:
        """Whether null may stand for a missing value of this column."""
        return type(None) in get_args(self._find_field(column).annotation)

    def _find_field(self, column: str) -> FieldInfo:
        return next(field for name, field in self.row.model_fields.items() if column == (field.alias or name))


def _check_time(value: Any) -> Any:
    # pydantic would take numbers, also as text, for seconds or milliseconds since 1970, by their size.
    if value is not None and not (isinstance(value, str) and ISO_DATE.match(value)):
        raise PydanticCustomError("datetime_type", "no time")
    return value


def _convert_to_utc(value: datetime | None) -> datetime | None:
    if value is None:
        return value
    try:
        moment = value if value.tzinfo is None else value.astimezone(UTC).replace(tzinfo=None)
    except OverflowError:
        raise PydanticCustomError("datetime_type", "before year 1 or after 9999 in UTC") from None
    if moment.year < FIRST_YEAR:
        raise PydanticCustomError("datetime_type", "before the first year that files have")
    return moment


def _drop_offset(value: datetime | None) -> datetime | None:
    return None if value is None else value.replace(tzinfo=None)


def _place_midnight(value: datetime | None) -> datetime | None:
    """The moment by the clock of the place; an evening hour in UTC is the midnight after it there."""
    if value is None or value.utcoffset() != timedelta(0) or value.hour < NOON:
        return _drop_offset(value)
    try:
        return datetime(value.year, value.month, value.day) + timedelta(days=1)
    except OverflowError:
        raise PydanticCustomError("datetime_type", "after 9999") from None


def _check_name(value: Any) -> Any:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= MAX_ID
    # No database takes a text with the character of number 0, as which a receipt would be written.
    if isinstance(value, str) and len(value) <= MAX_TEXT_LENGTH and "\0" not in value:
        return strip_text_ends(value) or None
    if value is None or is_number:
        return value
    raise PydanticCustomError("name_type", "no name")


Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Text = Annotated[str, Field(strict=True, max_length=MAX_TEXT_LENGTH)]
SeriesName = Annotated[Text, AfterValidator(strip_text_ends)]
Boolean = Annotated[bool, Field(strict=True)]
TIMES: TypeAdapter[datetime | None] = TypeAdapter(datetime | None)
Timestamp = Annotated[datetime | None, BeforeValidator(_check_time), AfterValidator(_convert_to_utc)]
LocalTimestamp = Annotated[datetime | None, BeforeValidator(_check_time), AfterValidator(_drop_offset)]
"""A moment by the clock of the place, whose day and month are those that are written."""

PlacedTimestamp = Annotated[datetime | None, BeforeValidator(_check_time), AfterValidator(_place_midnight)]
"""The same, where training had the midnights of the place in UTC."""

BoundedNumber = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=-MAX_VALUE, le=MAX_VALUE)]
Identifier = Annotated[str | int | float | None, BeforeValidator(_check_name)]


def build_request_model(schema: Schema) -> RequestModel:
    """The request model of a task: {"rows": [row, …]}, a row having a field a column, named as the column is."""
    fields: dict[str, Any] = {
        f"c{i}": _build_offset_field(column) if column.name == schema.offset else _build_field(column)
        for i, column in enumerate(schema.columns)
    }
    config = ConfigDict(extra="forbid", title=f"A row of {schema.task}")
    validators: dict[str, Any] = {"prepare_row": model_validator(mode="before")(_build_row_preparation(schema.columns))}
    row = create_model(f"{schema.task}-row", __config__=config, __validators__=validators, **fields)
    row_list = Annotated[list[row], Field(min_length=1, max_length=MAX_ROWS, description="One to a thousand rows.")]
    config = ConfigDict(extra="forbid", title=f"Rows for {schema.task}")
    return RequestModel(schema.columns, create_model(f"{schema.task}-rows", __config__=config, rows=(row_list, ...)), row)


def _build_row_preparation(columns: tuple[Column, ...]) -> Callable[[Any], Any]:
    """What writes the names of a row as those of files are, and sets the columns of offsets to what its times state, where the
    row does not name them itself."""
    names = {column.name for column in columns}
    offsets = {name: name_offset(name) for name in names if name_offset(name) in names}

    def prepare_row(row: Any) -> Any:
        if not isinstance(row, Mapping):
            return row
        row = _compose_names(row, names)
        if not offsets:
            return row
        return {**row, **{offset: _read_offset(row.get(name)) for name, offset in offsets.items() if offset not in row}}

    return prepare_row


def _compose_names(row: Mapping[Any, Any], names: Container[str]) -> Mapping[Any, Any]:
    """The row with the names of columns whose accents stand behind their letters; what is no column, or given twice, stays."""
    others = {name: compose_accents(name) for name in row if isinstance(name, str) and not (name.isascii() or name in names)}
    renamed = {name: other for name, other in others.items() if other in names and other not in row}
    is_one_to_one = len(set(renamed.values())) == len(renamed)
    return {renamed.get(name, name): value for name, value in row.items()} if renamed and is_one_to_one else row


def _read_offset(value: Any) -> float | None:
    """The hours that a stamp is ahead of UTC, null for null, as of an empty cell; 0 where it states none, or is none, which its
    own field says."""
    if value is None:
        return None
    try:
        moment = TIMES.validate_python(_check_time(value))
    except (ValidationError, PydanticCustomError):
        return 0.0
    offset = None if moment is None else moment.utcoffset()
    return 0.0 if offset is None else offset.total_seconds() / 3600


def _build_field(column: Column) -> tuple[Any, Any]:
    required = column.role == "input" and not column.optional
    settings: dict[str, Any] = {"alias": column.name, "description": _describe_column(column)}
    field_type = _select_type(column) | None
    if column.dtype in ("int", "float") and column.role == "input":
        low, high = column.limits
        field_type = Annotated[Number, Field(ge=max(low, -MAX_NUMBER), le=min(high, MAX_NUMBER))] | None
        if column.sentinels:
            # Before the bounds, which a number that stands for missing may lie beyond.
            field_type = Annotated[field_type, BeforeValidator(_build_sentinel_reader(column.sentinels))]
    return (field_type, Field(**settings)) if required else (field_type, Field(default=None, **settings))


def _build_sentinel_reader(sentinels: tuple[float, ...]) -> Callable[[Any], Any]:
    """What makes null of the numbers that stand for missing in a column."""
    return lambda value: None if is_sentinel(value, sentinels) else value


def _build_offset_field(column: Column) -> tuple[Any, Any]:
    """A column that the value is for so much of: there is no answer without it."""
    description = _describe_column(column).removesuffix("; null = missing.") + "; the value is for so much of it, above 0."
    return Number, Field(..., alias=column.name, description=description, gt=0, le=MAX_NUMBER)


def _select_type(column: Column) -> Any:
    if column.dtype == "time":
        return Timestamp
    if column.role in ("id", "group", "time"):
        return Identifier
    if column.dtype == "bool":
        return Boolean
    if column.dtype in ("int", "float"):
        return Number
    return Annotated[Text, AfterValidator(build_name_reader(column.reading, column.levels))]


def _describe_column(column: Column) -> str:
    """What a column is, for those who send it.

    >>> _describe_column(Column("vacancy", "float", "fraction", about="vacancy in the market"))
    'vacancy in the market; as a fraction: 0.05 for 5 %; null = missing.'
    """
    phrases = [column.about or column.name]
    if column.unit:
        phrases.append(
            "as a fraction: 0.05 for 5 %" if column.unit == "fraction" else f"in {WORDED_UNITS.get(column.unit, column.unit)}"
        )
    if column.optional and column.name.startswith(name_offset("")):
        phrases.append(f"absent: as {column.name.removeprefix(name_offset(''))} states")
    if column.dtype == "time":
        phrases.append("ISO 8601, UTC where no zone is given")
    if column.reading is not None and column.reading.number.notation is not None:
        phrases.append(f"a number: {describe_example(column.reading.number.notation)}")
    if column.reading is not None and "%" in column.reading.number.affixes:
        phrases.append("in percent: 45 for 45 %, and never 0.45")
    if column.dtype == "category" and column.role == "input":
        levels = ", ".join(column.levels[:20]) + (", …" if len(column.levels) > 20 else "")
        phrases.append(f"one of {levels}; any other is treated as missing, and said in the answer's warnings")
    return "; ".join([*phrases, "null = missing"]) + "."


def build_panel_request_model(schema: PanelSchema) -> RequestModel:
    """The request model of a forecasting task."""
    noun = schema.periods.noun
    values = Annotated[list[BoundedNumber | None], Field(min_length=MIN_VALUES, max_length=MAX_VALUES)]
    fields: dict[str, Any] = {
        "series": (SeriesName, Field(description=f"The series' name: {' / '.join(schema.id)}.")),
        "values": (
            values | None,
            Field(
                default=None,
                description=f"Its latest values, oldest first, one a {noun}; null = missing. Absent: as known at training.",
            ),
        ),
        "last": (
            _select_last_type(schema),
            Field(
                default=None,
                description=f"ISO 8601: a moment in the {noun} of the last value. Absent: the last {noun} of training.",
            ),
        ),
    }
    row = create_model(f"{schema.task}-row", __config__=ConfigDict(extra="forbid", title=f"A series of {schema.task}"), **fields)
    row_list = Annotated[
        list[row],
        Field(
            min_length=1,
            max_length=MAX_SERIES,
            description=ROWS_DESCRIPTION,
        ),
    ]
    config = ConfigDict(extra="forbid", title=f"Series for {schema.task}")
    rows: type[BaseModel] = create_model(f"{schema.task}-rows", __config__=config, rows=(row_list, ...))
    return RequestModel(list_panel_columns(schema), rows, row, MAX_SERIES, MAX_TOTAL_VALUES)


def _select_last_type(schema: PanelSchema) -> Any:
    """How the period of a series' last value is read."""
    if schema.periods.is_shorter_than(DAY):
        return Timestamp
    return PlacedTimestamp if schema.reading is not None and schema.reading.times.midnights else LocalTimestamp


def list_panel_columns(schema: PanelSchema) -> tuple[Column, ...]:
    """What a request names, as columns."""
    noun = schema.periods.noun
    return (
        Column("series", "text", role="id", about=f"the series' name: {' / '.join(schema.id)}"),
        Column("values", "float", optional=True, about=f"its latest values, oldest first, one a {noun}"),
        Column("last", "time", role="time", optional=True, about=f"a moment in the {noun} of the last value"),
    )


def build_example_row(columns: tuple[Column, ...]) -> Mapping[str, CellValue]:
    """A row that fits: of each column a known level, or a number between the bounds."""
    return {column.name: _select_value(column) for column in columns}


def _select_value(column: Column) -> CellValue:
    if column.levels:
        return column.levels[0]
    if column.dtype in ("int", "float"):
        return _select_number(column)
    examples: dict[str, CellValue] = {"time": "2024-03-01T13:00:00Z", "bool": True}
    return examples.get(column.dtype)


def _select_number(column: Column) -> float | int:
    usual = 1 if column.dtype == "int" else 1.5
    low, high = column.low, column.high
    middle = usual if low is None and high is None else high if low is None else low if high is None else (low + high) / 2
    return middle if middle is not None and column.dtype == "float" else int(middle or 0)
