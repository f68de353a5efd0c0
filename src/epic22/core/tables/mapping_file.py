"""Reading a mapping file: what it may say, and where in it a mistake is."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from epic22.core.errors import ColumnError, FileError
from epic22.core.tables.canonical import KNOWN_AT, PANEL, CanonicalTable, get_canonical_table
from epic22.core.tables.condition import Condition
from epic22.core.tables.mapping import (
    AGO,
    DECIMAL_MARKS,
    UNITS,
    AntiJoin,
    SourceMap,
    TableMapping,
    Unpivot,
    ValueMapping,
    suggest_name,
)
from epic22.core.tables.mapping_record import check_record, read_number, to_text
from epic22.core.tables.origin import DEFAULT_TIMEOUT, FileOrigin, Origin, QueryOrigin, Removal, Watermark, parse_span
from epic22.core.tables.request import RequestOrigin
from epic22.core.tables.request_section import read_request

SPAN = re.compile(r"-?\d+(y|mo|w|d|h|m|s)")
TESTS = ("equals", "not_equals", "in", "not_in", "is_null")
ORIGINS = ("from", "const", "join")
VALUE_KEYS = (*ORIGINS, "separator", "path", "width", "format", "decimal", "values", "otherwise", "unit", "default", "add", "ago")
SOURCE_KEYS = ("columns", "known_at", "unpivot", "where", "for_each", "drop_where_also_in")
"""What every source may say, besides where its rows come from."""


def read_mapping(name: str, content: object) -> TableMapping:
    """The mapping that a parsed YAML text holds; `name` is the file's, for the errors. Raises FileError."""
    top = check_record(name, content, ("source", "tables", "panel", "quality"))
    source = str(top.get("source") or name)
    if "panel" in top:
        if "tables" in top:
            raise FileError(f"{name}: 'tables:' and 'panel:' are both given; write two mapping files.")
        return TableMapping(source, {}, _read_panel(f"{name}: panel", top["panel"]))
    tables = check_record(f"{name}: tables", top.get("tables"), None)
    if not tables:
        raise FileError(f"{name}: no tables; expected 'tables:' with a canonical table's name below it.")
    mappings = {str(table): _read_sources(f"{name}: tables.{table}", str(table), value) for table, value in tables.items()}
    return TableMapping(source, mappings, quality=top.get("quality"))


def _read_sources(place: str, name: str, content: object) -> tuple[SourceMap, ...]:
    try:
        table = get_canonical_table(name)
    except ColumnError as error:
        raise FileError(f"{place}: {error}") from None
    if isinstance(content, dict) and "sources" in content:
        listed = check_record(place, content, ("sources",))["sources"]
        if not isinstance(listed, list) or not listed:
            raise FileError(f"{place}.sources: expected a list of sources.")
        return tuple(_read_source(f"{place}.sources[{n}]", table, one) for n, one in enumerate(listed))
    return (_read_source(place, table, content),)


def _read_panel(place: str, content: object) -> SourceMap:
    source = _read_source(place, PANEL, content)
    if not isinstance(source.origin, RequestOrigin):
        raise FileError(
            f"{place}: expected 'request:'; a file with a panel goes to 'epic22 train --csv FILE --panel long' as it is."
        )
    return source


def _read_source(place: str, table: CanonicalTable, content: object) -> SourceMap:
    own_keys = [key for kind in ORIGIN_KINDS for key in kind.keys]
    record = check_record(place, content, (*own_keys, *SOURCE_KEYS))
    origin = _read_origin(place, record)
    columns = {
        str(n): _read_value(f"{place}.columns.{n}", v)
        for n, v in check_record(f"{place}.columns", record.get("columns"), None).items()
    }
    _refuse_wrong_columns(place, table, columns)
    known_at = record.get("known_at")
    if known_at is not None and KNOWN_AT in columns:
        raise FileError(f"{place}: {KNOWN_AT} is given twice, beside the columns and among them; leave one out.")
    return SourceMap(
        origin,
        columns,
        None if known_at is None else _read_value(f"{place}.known_at", known_at),
        _read_conditions(f"{place}.where", record.get("where")),
        _read_for_each(f"{place}.for_each", record.get("for_each")),
        _read_anti_join(f"{place}.drop_where_also_in", record.get("drop_where_also_in")),
        _read_unpivot(f"{place}.unpivot", record.get("unpivot")),
    )


@dataclass(frozen=True)
class OriginKind:
    """A kind of origin in a mapping file: its own keys, of which one of `marks` tells it, and what reads it from the record."""

    marks: tuple[str, ...]
    details: tuple[str, ...]
    read: Callable[[str, Mapping[str, Any]], Origin]

    @property
    def keys(self) -> tuple[str, ...]:
        """All keys that are its own."""
        return (*self.marks, *self.details)


def _read_files(place: str, record: Mapping[str, Any]) -> FileOrigin:
    files = record.get("files", record.get("file"))
    listed = [one for one in (files if isinstance(files, list) else [files]) if isinstance(one, str)]
    if not listed or (isinstance(files, list) and len(listed) < len(files)):
        raise FileError(f"{place}: expected 'file:' with a file's name, or 'files:' with a list of them.")
    return FileOrigin(tuple(listed))


def _read_query(place: str, record: Mapping[str, Any]) -> QueryOrigin:
    query = record["query"]
    if not isinstance(query, str) or not query.strip():
        raise FileError(f"{place}.query: expected the text of one SELECT.")
    if "drop_where_also_in" in record:
        raise FileError(f"{place}.drop_where_also_in: names a file; leave such rows out in the query itself (where not exists).")
    if "overlap" in record and "watermark" not in record:
        raise FileError(f"{place}.overlap: there is no 'watermark:' that it could be taken off.")
    column = record.get("watermark")
    if column is not None and (not isinstance(column, str) or not column):
        raise FileError(f"{place}.watermark: expected the name of one column of the query.")
    overlap = _read_span(f"{place}.overlap", record.get("overlap", "0s"))
    timeout = _read_span(f"{place}.timeout", record.get("timeout", f"{DEFAULT_TIMEOUT.seconds}s"))
    if not timeout:
        raise FileError(f"{place}.timeout: no query ends in no time; write it as 30m or 2h.")
    deleted = _read_deleted(f"{place}.deleted", record.get("deleted"))
    return QueryOrigin(query, None if column is None else Watermark(column, overlap), timeout, deleted)


def _read_deleted(place: str, content: object) -> Condition | Removal | None:
    if content is None:
        return None
    if content == Removal.FULL_SCAN.value:
        return Removal.FULL_SCAN
    if not isinstance(content, dict):
        raise FileError(f"{place}: expected full_scan, or a record such as {{column: isActive, equals: 'false'}}.")
    column = content.get("column")
    conditions = _read_conditions(place, {column: {name: value for name, value in content.items() if name != "column"}})
    if not isinstance(column, str) or len(conditions) != 1:
        raise FileError(f"{place}: expected 'column:' with a name, and one of {', '.join(TESTS)}.")
    return conditions[0]


def _read_span(place: str, text: object) -> timedelta:
    span = parse_span(str(text))
    if span is None:
        raise FileError(f"{place}: {text!r} is no span; write it as 2d, 12h or 30m.")
    return span


ORIGIN_KINDS = (
    OriginKind(("file", "files"), (), _read_files),
    OriginKind(("query",), ("watermark", "overlap", "timeout", "deleted"), _read_query),
    OriginKind(("request",), (), read_request),
)
"""Where rows may come from; a new kind is one line here."""


def _read_origin(place: str, record: Mapping[str, Any]) -> Origin:
    kinds = [kind for kind in ORIGIN_KINDS if any(mark in record for mark in kind.marks)]
    if not kinds:
        others = " or ".join(f"'{kind.marks[0]}:'" for kind in ORIGIN_KINDS[1:])
        raise FileError(f"{place}: expected 'file:' with a file's name, 'files:' with a list of them, or {others}.")
    if len(kinds) > 1:
        marks = " and ".join(f"'{kind.marks[0]}:'" for kind in kinds)
        raise FileError(f"{place}: {marks} are both given; rows come from one place, so write two 'sources:'.")
    foreign = next((key for kind in ORIGIN_KINDS for key in kind.details if key in record and key not in kinds[0].keys), None)
    if foreign is not None:
        raise FileError(f"{place}.{foreign}: means nothing beside '{kinds[0].marks[0]}:'.")
    return kinds[0].read(place, record)


def _refuse_wrong_columns(place: str, table: CanonicalTable, columns: Mapping[str, ValueMapping]) -> None:
    names = [column.name for column in table.columns]
    if table.extra_columns is None:
        for name in columns:
            if name not in (*names, KNOWN_AT):
                raise FileError(f"{place}.columns.{name}: {table.name} has no such column{suggest_name(name, names)}.")
    missing = [c.name for c in table.columns if not c.optional and c.name not in columns]
    if missing:
        raise FileError(
            f"{place}.columns: {table.name} needs {', '.join(missing)} too; where the source has no such thing, say what to put: "
            f"{missing[0]}: {{const: …}}."
        )


def _read_value(place: str, content: object) -> ValueMapping:
    if content == "":
        raise FileError(f"{place}: still to be filled in, with a column's name or {{const: …}}.")
    if isinstance(content, str):
        return ValueMapping(column=content)
    record = check_record(place, content, VALUE_KEYS)
    origins = [key for key in ORIGINS if key in record]
    if len(origins) != 1:
        raise FileError(f"{place}: expected a column's name, or exactly one of {', '.join(ORIGINS)}.")
    unit, add = record.get("unit"), record.get("add")
    if unit is not None and unit not in UNITS:
        raise FileError(f"{place}.unit: {unit!r} is not known; there are {', '.join(UNITS)}.")
    if add is not None and not SPAN.fullmatch(str(add)):
        raise FileError(f"{place}.add: {add!r} is no span; write it as -30d, 12h or 1y.")
    if record.get("decimal") not in (None, *DECIMAL_MARKS):
        raise FileError(f"{place}.decimal: {record['decimal']!r} is no mark of decimals; write '.' or ','.")
    parts = record.get("join", ())
    if not isinstance(parts, list | tuple) or ("join" in record and not parts):
        raise FileError(f"{place}.join: expected a list of columns or values.")
    return ValueMapping(
        column=_to_optional_text(record.get("from")),
        const=_to_optional_text(record.get("const")),
        parts=tuple(_read_value(f"{place}.join[{n}]", part) for n, part in enumerate(parts)),
        separator=str(record.get("separator", "")),
        path=_to_optional_text(record.get("path")),
        width=int(read_number(f"{place}.width", record["width"], 1)) if "width" in record else None,
        format=_to_optional_text(record.get("format")),
        decimal=_to_optional_text(record.get("decimal")),
        values=tuple(
            (to_text(k), to_text(v)) for k, v in check_record(f"{place}.values", record.get("values", {}), None).items()
        ),
        otherwise=_to_optional_text(record.get("otherwise")),
        unit=_to_optional_text(unit),
        default=_to_optional_text(record.get("default")),
        add=_to_optional_text(add),
        ago=_read_ago(f"{place}.ago", record.get("ago")),
    )


def _read_ago(place: str, content: object) -> tuple[str, str] | None:
    if content is None:
        return None
    items = list(check_record(place, content, tuple(AGO)).items())
    if len(items) != 1:
        raise FileError(f"{place}: expected one of {', '.join(AGO)} with a column's name.")
    return str(items[0][0]), str(items[0][1])


def _read_conditions(place: str, content: object) -> tuple[Condition, ...]:
    if content is None:
        return ()
    conditions = []
    for column, test in check_record(place, content, None).items():
        tests = test if isinstance(test, dict) else {"equals": test}
        for name, operand in check_record(f"{place}.{column}", tests, TESTS).items():
            listed = operand if isinstance(operand, list) else [operand]
            conditions.append(Condition(str(column), str(name), tuple(to_text(one) for one in listed)))
    return tuple(conditions)


def _read_for_each(place: str, content: object) -> tuple[tuple[str, tuple[str, ...]], ...]:
    if content is None:
        return ()
    repeats = []
    for name, values in check_record(place, content, None).items():
        if not isinstance(values, list) or not values:
            raise FileError(f"{place}.{name}: expected a list of values.")
        repeats.append((str(name), tuple(to_text(value) for value in values)))
    return tuple(repeats)


def _read_unpivot(place: str, content: object) -> Unpivot | None:
    if content is None:
        return None
    record = check_record(place, content, ("columns", "name", "value"))
    pattern, name, value = (str(record.get(key, "")) for key in ("columns", "name", "value"))
    if not (pattern and name and value) or name == value:
        raise FileError(f"{place}: expected 'columns:', a pattern of names, and two new columns, 'name:' and 'value:'.")
    try:
        re.compile(pattern)
    except re.error as error:
        raise FileError(f"{place}.columns: {pattern!r} is no regular expression ({error}).") from None
    return Unpivot(pattern, name, value)


def _read_anti_join(place: str, content: object) -> AntiJoin | None:
    if content is None:
        return None
    record = check_record(place, content, ("file", "on"))
    on = record.get("on")
    if not isinstance(record.get("file"), str) or not isinstance(on, list) or not on:
        raise FileError(f"{place}: expected 'file:' and 'on:', a list of columns; {{own: other}} where the names differ.")
    pairs: list[tuple[str, str]] = []
    for one in on:
        pairs += [(str(a), str(b)) for a, b in one.items()] if isinstance(one, dict) else [(str(one), str(one))]
    return AntiJoin(str(record["file"]), tuple(pairs))


def _to_optional_text(value: object) -> str | None:
    return None if value is None else to_text(value)
