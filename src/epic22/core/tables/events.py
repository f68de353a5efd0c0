"""Events of a stream: each states one row of a canonical table, and its id tells a repetition from a new statement.

An event is a JSON object `{"id": "…", "table": "payments", "row": {…}}`; the table may be named by where it came in instead. What
the row does not state in `known_at` is the moment of its arrival.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import orjson
import polars as pl

from epic22.core.errors import EventError
from epic22.core.tables.canonical import CANONICAL, KNOWN_AT, CanonicalTable
from epic22.core.tables.parsing import parse_column, strip_text
from epic22.core.tables.row_contract import LINE_COLUMN, MIN_NAME_RATIO, build_known_at_column
from epic22.core.task import Column
from epic22.core.text import find_near_names

MAX_EVENT_BYTES = 1 << 20
MAX_READ_BYTES = 16 << 20
"""About so much of a stream is read at once, however many events that are."""
MAX_ID_LENGTH = 200
MAX_TEXT_SHOWN = 1_000
"""So many characters of an event that is set apart are stored: enough to know it by, however long it was."""
ENVELOPE = frozenset(("id", "table", "row"))
LONG_NUMBER = re.compile(rb"[0-9.]{17}")
"""What a number has in it that 64 bits may not hold to its last digit."""
CLOCK_TOLERANCE = timedelta(minutes=5)
"""So far the clock of a sender may be ahead of ours."""
LOCAL_TIME_AHEAD = timedelta(hours=14)
"""So far the clocks of a place may be ahead of UTC: a time without a zone that is later than that has not happened yet."""

EVENTS = CanonicalTable(
    "events",
    (Column("id", "text", role="id"),),
    key=("id",),
    entity="id",
    about="events that state no row of any table: what stands in quarantine under this name",
)
"""No table of the company: the name under which events are set apart that cannot be read."""


TABLES = {table.name: table for table in CANONICAL}
COLUMN_NAMES: Mapping[str, frozenset[str]] = {
    table.name: frozenset(column.name for column in table.columns) | {KNOWN_AT} for table in CANONICAL
}
"""What a row of each table may state."""


@dataclass(frozen=True, slots=True)
class ArrivedEvent:
    """An event as it came: when (`arrived`, microseconds since 1970, UTC), where in its stream, and for which table, if any."""

    content: bytes
    arrived: int
    position: str
    table: str | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """What an event says: values of a row by column, as text; None is missing. `content` is the same for the same statement."""

    id: str
    table: str
    row: Mapping[str, str | None]
    content: bytes


def read_event(content: bytes, table: str | None = None) -> Event:
    """What an event says. Raises EventError for what is no event, with the reason.

    >>> read_event(b'{"id": 7, "row": {"tenant_id": "T1", "household_income": 5e4}}', "tenants").row
    {'tenant_id': 'T1', 'household_income': '50000.0'}
    """
    if len(content) > MAX_EVENT_BYTES:
        raise EventError(f"the event has more than {MAX_EVENT_BYTES:,} bytes, which is as many as are read")
    return build_event(read_json(content), table)


def read_json(content: bytes) -> Any:
    """The value of a JSON text; a number that 64 bits do not hold to its last digit is the text of its digits. Raises EventError.

    >>> read_json(b"[12345678901234567890123, 1234567890123456.78, 5e4, 7]")
    ['12345678901234567890123', '1234567890123456.78', 50000.0, 7]
    """
    if not content.strip():
        raise EventError("empty")
    try:
        value = orjson.loads(content)
        if LONG_NUMBER.search(content) is None:
            return value
        return json.loads(content, parse_int=_read_integer, parse_float=_read_fraction)
    except orjson.JSONDecodeError as error:
        raise EventError(f"not JSON: {error.msg}") from None
    except RecursionError:
        raise EventError("not JSON: nested too deeply") from None


def _read_integer(digits: str) -> int | str:
    """A whole number, where 64 bits hold it."""
    return int(digits) if len(digits) <= len(str(1 << 64)) and -(1 << 63) <= int(digits) < 1 << 64 else digits


def _read_fraction(digits: str) -> float | str:
    """A number, where it is written back with the same digits."""
    value = float(digits)
    return value if Decimal(repr(value)) == Decimal(digits) else digits


def build_event(value: object, table: str | None = None) -> Event:
    """The event that a JSON value is. Raises EventError."""
    if not isinstance(value, dict):
        raise EventError(f"{_describe_kind(value)} in place of an object with id, table and row")
    if not value.keys() <= ENVELOPE:
        foreign = next(name for name in value if name not in ENVELOPE)
        raise EventError(f"unknown field {foreign[:100]!r} beside id, table and row{_suggest_name(foreign, sorted(ENVELOPE))}")
    name = _read_id(value.get("id"))
    declared = _read_table(value.get("table"), table)
    row = value.get("row")
    if not isinstance(row, dict) or not row:
        raise EventError('no row; an event states the columns of one row, as in "row": {"tenant_id": "T1", …}')
    statement = orjson.dumps([declared.name, row], option=orjson.OPT_SORT_KEYS)
    return Event(name, declared.name, _read_row(declared, row), statement)


def _read_id(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise EventError("no id; without one a repetition could not be told from a new event")
    text = str(value)
    if len(text) > MAX_ID_LENGTH:
        raise EventError(f"its id has {len(text):,} characters; at most {MAX_ID_LENGTH} are taken")
    return text


def _read_table(value: object, place: str | None) -> CanonicalTable:
    name = place if value is None else value
    if name is None:
        raise EventError("no table; name the one whose row it states")
    if not isinstance(name, str) or (place is not None and name != place):
        raise EventError(f"its table is {str(name)[:50]!r}, but it came in for {place}")
    if name not in TABLES:
        raise EventError(f"no table {name[:50]!r}; there are {', '.join(TABLES)}")
    return TABLES[name]


def _read_row(table: CanonicalTable, row: Mapping[str, Any]) -> dict[str, str | None]:
    names = COLUMN_NAMES[table.name]
    if not row.keys() <= names:
        # Names with a sign before them are this program's own.
        foreign = [name for name in row if name not in names and (table.extra_columns is None or name.startswith("#"))]
        if foreign:
            near = _suggest_name(foreign[0], sorted(names))
            raise EventError(f"unknown field {foreign[0][:100]!r}: no column of {table.name}{near}")
    return {name: value if value.__class__ is str else _read_value(name, value) for name, value in row.items()}


def _read_value(name: str, value: object) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if value is None:
        return None
    raise EventError(f"{name[:100]} is {_describe_kind(value)} in place of one value")


def _describe_kind(value: object) -> str:
    return {dict: "an object", list: "a list", str: "a text", bool: "a truth value", type(None): "null"}.get(
        type(value), "a number"
    )


def _suggest_name(name: str, others: Sequence[str]) -> str:
    near = find_near_names(name[:100], others, cutoff=MIN_NAME_RATIO)
    return f"; did you mean {near[0]!r}?" if near else ""


def build_event_rows(
    table: CanonicalTable, events: Sequence[Event], lines: Sequence[int], arrived: Sequence[int]
) -> pl.DataFrame:
    """The rows that events of one table state, as text under its columns, with `known_at` and `#line`.

    A column of which no event says anything is there, empty: of an event alone it is the row that is broken, not the table.
    """
    names = [column.name for column in table.columns]
    if table.extra_columns is not None:
        names += sorted({name for event in events for name in event.row} - {*names, KNOWN_AT})
    columns = [pl.Series(name, [event.row.get(name) for event in events], dtype=pl.String) for name in names]
    moments = pl.Series(KNOWN_AT, arrived, dtype=pl.Int64).cast(pl.Datetime("us"))
    if any(event.row.get(KNOWN_AT) for event in events):
        declared = pl.Series(KNOWN_AT, [event.row.get(KNOWN_AT) for event in events], dtype=pl.String)
        moments = strip_text(declared).fill_null(moments.dt.strftime("%Y-%m-%dT%H:%M:%S%.f"))
    return pl.DataFrame([pl.Series(LINE_COLUMN, lines, dtype=pl.Int64), *columns, moments])


def find_future_times(table: CanonicalTable, rows: pl.DataFrame, arrived: Sequence[int], past_column: str | None) -> pl.Series:
    """By row why its clock cannot be right, null where it can: `known_at`, or the time in a column of what has happened, lies
    after its arrival by more than clocks differ."""
    moments = pl.Series("arrived", arrived, dtype=pl.Int64).cast(pl.Datetime("us"))
    reasons = pl.Series("reason", [None] * rows.height, dtype=pl.String)
    known_at = build_known_at_column()
    checked = [(known_at, CLOCK_TOLERANCE)] if rows[KNOWN_AT].dtype == pl.String else []
    checked += [(table.get_column(past_column), LOCAL_TIME_AHEAD)] if past_column is not None else []
    for column, tolerance in checked:
        times = parse_column(strip_text(rows[column.name]), column)
        ahead = (times > moments + tolerance).fill_null(value=False)
        if ahead.any():
            words = pl.format(
                f"{column.name} {{}} lies after its arrival, {{}} UTC: the clock of its sender is ahead",
                pl.lit(times.dt.strftime("%Y-%m-%d %H:%M")),
                pl.lit(moments.dt.strftime("%Y-%m-%d %H:%M")),
            )
            reasons = pl.select(
                pl.when(pl.lit(ahead)).then(pl.coalesce(pl.lit(reasons), words)).otherwise(pl.lit(reasons))
            ).to_series()
    return reasons.alias("reason")


def cut_content(content: bytes) -> bytes:
    """An event's content; of one that is too long so much that this can be seen."""
    return content if len(content) <= MAX_EVENT_BYTES else content[: MAX_EVENT_BYTES + 1]


def shorten_content(content: bytes) -> str:
    """An event's text as it is kept in quarantine."""
    text = content[: 4 * MAX_TEXT_SHOWN].decode("utf-8", "replace")
    return text if len(text) <= MAX_TEXT_SHOWN else f"{text[:MAX_TEXT_SHOWN]}…"


def count_microseconds(moment: datetime) -> int:
    """A moment, naive UTC, in microseconds since 1970."""
    return (moment - datetime(1970, 1, 1)) // timedelta(microseconds=1)
