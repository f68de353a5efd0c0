"""What may be asked: request models made from a task's columns, and bodies read by them.

A column that is present with null is a missing value, which models treat natively. A column that is absent, a name the
task does not know, a name given twice, a text for a number, NaN or an infinite number are refused. A category never seen
in training is treated as missing, and said.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, create_model
from pydantic_core import ErrorDetails, PydanticCustomError

from epic22.api.problems import Problem
from epic22.core.bundle import Bundle, Schema
from epic22.core.data.contract import LARGEST
from epic22.core.data.preprocess import MAX_LEVELS
from epic22.core.task import Column

MOST_ROWS = 1000
MOST_OBJECTS = 10 * MOST_ROWS
MOST_ERRORS = 20
MOST_EXTRA = 100
MOST_PLACE = 120
MOST_TEXT = 10_000
LARGEST_ID = 2**63 - 1
SHAPE = 'send {"rows": [{…}]}'
SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
ISO_DATE = re.compile(r"\d{4}-\d\d-\d\d")

Fault = tuple[str, str]
"""JSON pointer, and what is wrong there."""


@dataclass(frozen=True)
class Body:
    """How a task is asked: `rows` is the model of the whole body, `row` of one row."""

    columns: tuple[Column, ...]
    rows: type[BaseModel]
    row: type[BaseModel]


class _Object(dict[str, Any]):
    """A JSON object that remembers a name it was given twice."""

    twice: str | None = None


class _Objects:
    """Makes the objects of one body, and stops where they are far more than its rows can be."""

    def __init__(self) -> None:
        self.made = 0

    def __call__(self, pairs: list[tuple[str, Any]]) -> _Object:
        self.made += 1
        if self.made > MOST_OBJECTS:
            raise Problem(422, f"The body has more than {MOST_OBJECTS:,} objects; send 1 to {MOST_ROWS:,} rows.")
        read = _Object(pairs)
        if len(read) < len(pairs):
            read.twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        return read


def _moment(value: Any) -> Any:
    # pydantic would take numbers, also as text, for seconds or milliseconds since 1970, by their size.
    if value is not None and not (isinstance(value, str) and ISO_DATE.match(value)):
        raise PydanticCustomError("datetime_type", "no time")
    return value


def _utc(value: datetime | None) -> datetime | None:
    if value is None or value.tzinfo is None:
        return value
    try:
        return value.astimezone(UTC).replace(tzinfo=None)
    except OverflowError:
        raise PydanticCustomError("datetime_type", "before year 1 or after 9999 in UTC") from None


def _name(value: Any) -> Any:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST_ID
    if value is None or is_number or (isinstance(value, str) and len(value) <= MOST_TEXT):
        return value
    raise PydanticCustomError("name_type", "no name")


Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Text = Annotated[str, Field(strict=True, max_length=MOST_TEXT)]
Truth = Annotated[bool, Field(strict=True)]
Moment = Annotated[datetime | None, BeforeValidator(_moment), AfterValidator(_utc)]
Name = Annotated[str | int | float | None, BeforeValidator(_name)]


def body_of(schema: Schema) -> Body:
    """The request model of a task: {"rows": [row, …]}, a row having a field a column, named as the column is."""
    fields: dict[str, Any] = {
        f"c{i}": _exposure(column) if column.name == schema.offset else _field(column) for i, column in enumerate(schema.columns)
    }
    config = ConfigDict(extra="forbid", title=f"A row of {schema.task}")
    row = create_model(f"{schema.task}-row", __config__=config, **fields)
    listed = Annotated[list[row], Field(min_length=1, max_length=MOST_ROWS, description="One to a thousand rows.")]
    config = ConfigDict(extra="forbid", title=f"Rows for {schema.task}")
    return Body(schema.columns, create_model(f"{schema.task}-rows", __config__=config, rows=(listed, ...)), row)


def _field(column: Column) -> tuple[Any, Any]:
    required = column.role == "input" and not column.optional
    stated: dict[str, Any] = {"alias": column.name, "description": _description(column)}
    if column.dtype in ("int", "float") and column.role == "input":
        low, high = (column.low, column.high)
        stated |= {"ge": -LARGEST if low is None else low, "le": LARGEST if high is None else high}
    kind = _type(column) | None
    return (kind, Field(**stated)) if required else (kind, Field(default=None, **stated))


def _exposure(column: Column) -> tuple[Any, Any]:
    """A column that the value is for so much of: there is no answer without it."""
    told = _description(column).removesuffix("; null = missing.") + "; the value is for so much of it, above 0."
    return Number, Field(..., alias=column.name, description=told, gt=0, le=LARGEST)


def _type(column: Column) -> Any:
    if column.dtype == "time":
        return Moment
    if column.role in ("id", "group", "time"):
        return Name
    if column.dtype == "bool":
        return Truth
    return Number if column.dtype in ("int", "float") else Text


def _description(column: Column) -> str:
    said = [column.about or column.name]
    if column.unit:
        said.append(f"in {column.unit}")
    if column.dtype == "time":
        said.append("ISO 8601, UTC where no zone is given")
    if column.dtype == "category" and column.role == "input":
        known = ", ".join(column.levels[:20]) + (", …" if len(column.levels) > 20 else "")
        said.append(f"one of {known}; any other is treated as missing, and said in the answer's warnings")
    return "; ".join([*said, "null = missing"]) + "."


def read_rows(body: Body, content: bytes) -> list[dict[str, Any]]:
    """The rows of a body, by column name; times are naive UTC.

    Raises Problem 400 for what is no JSON, 422 for rows that do not fit, with a JSON pointer each.
    """
    read: list[dict[str, Any]] = []
    faults: list[Fault] = []
    for i, row in enumerate(_rows(_parsed(content))):
        found = _checked(body, row, f"/rows/{i}")
        if isinstance(found, list):
            faults += found
        else:
            read.append(found)
        if len(faults) >= MOST_ERRORS:
            break
    if faults:
        raise _refusal(faults)
    return read


def _refusal(faults: list[Fault]) -> Problem:
    pointer, what = faults[0]
    place = pointer if len(pointer) <= MOST_PLACE else f"{pointer[:MOST_PLACE]}…"
    others = "" if len(faults) == 1 else f" (and {len(faults) - 1} more)"
    return Problem(422, f"{place}: {what}{others}.", faults[:MOST_ERRORS])


def _parsed(content: bytes) -> Any:
    if not content.strip():
        raise Problem(400, f"The body is empty; {SHAPE}.")
    try:
        text = content.decode("utf-8-sig")
        read = json.loads(text, object_pairs_hook=_Objects())
        if SURROGATE.search(text):
            # Half of a surrogate pair is no character: no answer could be written with it.
            json.dumps(read, ensure_ascii=False).encode()
    except RecursionError:
        raise Problem(400, "The body is not JSON that can be read: it is nested too deeply.") from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno} column {error.colno}"
        raise Problem(400, f"The body is not JSON: {error.msg} at {where}.") from None
    except UnicodeError:
        raise Problem(400, "The body is not JSON: it holds bytes or escapes that are no UTF-8 text.") from None
    except ValueError:
        raise Problem(400, "The body is not JSON that can be read: a number in it has too many digits.") from None
    return read


def _rows(read: Any) -> list[Any]:
    if not isinstance(read, _Object):
        raise Problem(422, f"The body is {_shown(read)}, not an object; {SHAPE}.", [("", "must be an object")])
    if "rows" not in read:
        raise Problem(422, f'The body has no "rows"; {SHAPE}.', [("/rows", "is absent")])
    if read.twice is not None or len(read) > 1:
        faults = [(_at("", name), f'is not asked for; "rows" is all a body has: {SHAPE}') for name in read if name != "rows"]
        raise _refusal(faults or [("/rows", "is given twice")])
    rows = read["rows"]
    if not isinstance(rows, list):
        raise _refusal([("/rows", f"must be a list of rows, not {_shown(rows)}")])
    if not 1 <= len(rows) <= MOST_ROWS:
        raise _refusal([("/rows", f"has {len(rows):,} rows; send 1 to {MOST_ROWS:,}")])
    return rows


def _checked(body: Body, row: Any, place: str) -> dict[str, Any] | list[Fault]:
    """The row's values, or what is wrong with it."""
    if not isinstance(row, _Object):
        return [(place, f"must be an object with a value a column, not {_shown(row)}")]
    if len(row) > len(body.columns) + MOST_EXTRA:
        return [(place, f"has {len(row):,} names; the task has {len(body.columns):,} columns")]
    if row.twice is not None:
        return [(_at(place, row.twice), "is given twice")]
    try:
        return body.row.model_validate(row).model_dump(by_alias=True)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=True)
    # A misspelt name comes first: the absent column is its consequence.
    found.sort(key=lambda item: item["type"] != "extra_forbidden")
    return [(_at(place, str(item["loc"][0])), _said(item, body.columns)) for item in found]


def _at(place: str, name: str) -> str:
    """RFC 6901."""
    return f"{place}/{name.replace('~', '~0').replace('/', '~1')}"


EXPECTED: Mapping[str, str] = {
    "float_type": "must be a number",
    "string_type": "must be a text",
    "bool_type": "must be true or false",
    "list_type": "must be a list of numbers",
    "name_type": f"must be a text of at most {MOST_TEXT:,} characters or a number of at most 64 bits",
}


def _said(item: ErrorDetails, columns: tuple[Column, ...]) -> str:
    kind, value, context = item["type"], item["input"], item.get("ctx", {})
    if kind == "missing":
        return "is absent; send null where the value is missing"
    if kind == "extra_forbidden":
        near = get_close_matches(str(item["loc"][0])[:100], [c.name for c in columns], 1)
        return "is no column of this task" + (f"; did you mean {near[0]!r}?" if near else "")
    if _is_infinite(kind, value):
        return "must be a finite number; send null where the value is missing"
    if kind == "greater_than":
        return f"must be above {context['gt']:g}, not {_shown(value)}"
    if kind in ("greater_than_equal", "less_than_equal"):
        bound = f"at least {context['ge']:g}" if "ge" in context else f"at most {context['le']:g}"
        return f"must be {bound}, not {_shown(value)}"
    if kind in ("too_short", "too_long"):
        bound = f"at least {context['min_length']}" if "min_length" in context else f"at most {context['max_length']:,}"
        return f"must have {bound} values, not {len(value):,}"
    if kind == "string_too_long":
        return f"must have at most {MOST_TEXT:,} characters, not {len(value):,}"
    wanted = "must be a time such as 2024-03-01T13:00:00Z" if kind.startswith("datetime") else EXPECTED.get(kind, "does not fit")
    return f"{wanted}, not {_shown(value)}"


def _is_infinite(kind: str, value: Any) -> bool:
    """NaN, infinite, or an integer beyond every float."""
    if isinstance(value, float):
        return not math.isfinite(value)
    return kind == "float_type" and isinstance(value, int) and not isinstance(value, bool)


def _shown(value: Any) -> str:
    """A value in a few words, however large it is."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    if isinstance(value, str):
        return f"the text {value[:40]!r}" + ("…" if len(value) > 40 else "")
    said = "null" if value is None else json.dumps(value)
    return said if len(said) <= 40 else f"a number of {len(said):,} digits"


def unseen(bundle: Bundle, row: Mapping[str, Any]) -> list[str]:
    """In words, the row's categories that training never saw."""
    return [
        f"{name}: {str(row[name])[:100]!r} was never {_seen(known)} in training; treated as missing."
        for name, known in bundle.preprocessor.levels.items()
        if row.get(name) is not None and row[name] not in known
    ]


def _seen(known: Mapping[str, int]) -> str:
    return "seen" if len(known) < MAX_LEVELS else "or too seldom seen"
