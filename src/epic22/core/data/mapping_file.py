"""Reading a mapping file: what it may say, and where in it a mistake is."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from epic22.core.data.canonical import KNOWN_AT, CanonicalTable, canonical_table
from epic22.core.data.mapping import AGO, UNITS, AlsoIn, Condition, SourceMap, TableMapping, Value, near
from epic22.core.errors import ColumnError, FileError

SPAN = re.compile(r"-?\d+(y|mo|w|d|h|m|s)")
TESTS = ("equals", "not_equals", "in", "not_in", "is_null")
ORIGINS = ("from", "const", "join")
VALUE_KEYS = (*ORIGINS, "separator", "path", "values", "otherwise", "unit", "default", "add", "ago")
SOURCE_KEYS = ("file", "files", "columns", "known_at", "where", "for_each", "drop_where_also_in")


def read_mapping(name: str, content: object) -> TableMapping:
    """The mapping that a parsed YAML text holds; `name` is the file's, for the errors. Raises FileError."""
    top = _record(name, content, ("source", "tables"))
    tables = _record(f"{name}: tables", top.get("tables"), None)
    if not tables:
        raise FileError(f"{name}: no tables; expected 'tables:' with a canonical table's name below it.")
    read = {str(table): _sources(f"{name}: tables.{table}", str(table), value) for table, value in tables.items()}
    return TableMapping(str(top.get("source") or name), read)


def _sources(place: str, name: str, content: object) -> tuple[SourceMap, ...]:
    try:
        table = canonical_table(name)
    except ColumnError as error:
        raise FileError(f"{place}: {error}") from None
    if isinstance(content, dict) and "sources" in content:
        listed = _record(place, content, ("sources",))["sources"]
        if not isinstance(listed, list) or not listed:
            raise FileError(f"{place}.sources: expected a list of sources.")
        return tuple(_source(f"{place}.sources[{n}]", table, one) for n, one in enumerate(listed))
    return (_source(place, table, content),)


def _source(place: str, table: CanonicalTable, content: object) -> SourceMap:
    record = _record(place, content, SOURCE_KEYS)
    files = record.get("files", record.get("file"))
    listed = [one for one in (files if isinstance(files, list) else [files]) if isinstance(one, str)]
    if not listed or (isinstance(files, list) and len(listed) < len(files)):
        raise FileError(f"{place}: expected 'file:' with a file's name, or 'files:' with a list of them.")
    columns = {
        str(n): _value(f"{place}.columns.{n}", v) for n, v in _record(f"{place}.columns", record.get("columns"), None).items()
    }
    _refuse_wrong_columns(place, table, columns)
    known_at = record.get("known_at")
    if known_at is not None and KNOWN_AT in columns:
        raise FileError(f"{place}: {KNOWN_AT} is given twice, beside the columns and among them; leave one out.")
    return SourceMap(
        tuple(listed),
        columns,
        None if known_at is None else _value(f"{place}.known_at", known_at),
        _conditions(f"{place}.where", record.get("where")),
        _for_each(f"{place}.for_each", record.get("for_each")),
        _also_in(f"{place}.drop_where_also_in", record.get("drop_where_also_in")),
    )


def _refuse_wrong_columns(place: str, table: CanonicalTable, columns: Mapping[str, Value]) -> None:
    names = [column.name for column in table.columns]
    if table.further is None:
        for name in columns:
            if name not in (*names, KNOWN_AT):
                raise FileError(f"{place}.columns.{name}: {table.name} has no such column{near(name, names)}.")
    missing = [c.name for c in table.columns if not c.optional and c.name not in columns]
    if missing:
        raise FileError(
            f"{place}.columns: {table.name} needs {', '.join(missing)} too; where the source has no such thing, say what to put: "
            f"{missing[0]}: {{const: …}}."
        )


def _value(place: str, content: object) -> Value:
    if isinstance(content, str):
        return Value(column=content)
    record = _record(place, content, VALUE_KEYS)
    origins = [key for key in ORIGINS if key in record]
    if len(origins) != 1:
        raise FileError(f"{place}: expected a column's name, or exactly one of {', '.join(ORIGINS)}.")
    unit, add = record.get("unit"), record.get("add")
    if unit is not None and unit not in UNITS:
        raise FileError(f"{place}.unit: {unit!r} is not known; there are {', '.join(UNITS)}.")
    if add is not None and not SPAN.fullmatch(str(add)):
        raise FileError(f"{place}.add: {add!r} is no span; write it as -30d, 12h or 1y.")
    parts = record.get("join", ())
    if not isinstance(parts, list | tuple) or ("join" in record and not parts):
        raise FileError(f"{place}.join: expected a list of columns or values.")
    return Value(
        column=_text(record.get("from")),
        const=_text(record.get("const")),
        parts=tuple(_value(f"{place}.join[{n}]", part) for n, part in enumerate(parts)),
        separator=str(record.get("separator", "")),
        path=_text(record.get("path")),
        values=tuple((_said(k), _said(v)) for k, v in _record(f"{place}.values", record.get("values", {}), None).items()),
        otherwise=_text(record.get("otherwise")),
        unit=_text(unit),
        default=_text(record.get("default")),
        add=_text(add),
        ago=_ago(f"{place}.ago", record.get("ago")),
    )


def _ago(place: str, content: object) -> tuple[str, str] | None:
    if content is None:
        return None
    items = list(_record(place, content, tuple(AGO)).items())
    if len(items) != 1:
        raise FileError(f"{place}: expected one of {', '.join(AGO)} with a column's name.")
    return str(items[0][0]), str(items[0][1])


def _conditions(place: str, content: object) -> tuple[Condition, ...]:
    if content is None:
        return ()
    made = []
    for column, test in _record(place, content, None).items():
        tests = test if isinstance(test, dict) else {"equals": test}
        for name, operand in _record(f"{place}.{column}", tests, TESTS).items():
            listed = operand if isinstance(operand, list) else [operand]
            made.append(Condition(str(column), str(name), tuple(_said(one) for one in listed)))
    return tuple(made)


def _for_each(place: str, content: object) -> tuple[tuple[str, tuple[str, ...]], ...]:
    if content is None:
        return ()
    made = []
    for name, values in _record(place, content, None).items():
        if not isinstance(values, list) or not values:
            raise FileError(f"{place}.{name}: expected a list of values.")
        made.append((str(name), tuple(_said(value) for value in values)))
    return tuple(made)


def _also_in(place: str, content: object) -> AlsoIn | None:
    if content is None:
        return None
    record = _record(place, content, ("file", "on"))
    on = record.get("on")
    if not isinstance(record.get("file"), str) or not isinstance(on, list) or not on:
        raise FileError(f"{place}: expected 'file:' and 'on:', a list of columns; {{own: other}} where the names differ.")
    pairs: list[tuple[str, str]] = []
    for one in on:
        pairs += [(str(a), str(b)) for a, b in one.items()] if isinstance(one, dict) else [(str(one), str(one))]
    return AlsoIn(str(record["file"]), tuple(pairs))


def _record(place: str, content: object, keys: Sequence[str] | None) -> dict[str, Any]:
    """A record with no other keys than these. Raises FileError."""
    if not isinstance(content, dict):
        raise FileError(f"{place}: expected a record of names and values, found {type(content).__name__}.")
    for key in content:
        if keys is not None and key not in keys:
            raise FileError(f"{place}: {key!r} is not known here{near(str(key), keys)}; there are {', '.join(keys)}.")
    return content


def _text(value: object) -> str | None:
    return None if value is None else _said(value)


def _said(value: object) -> str:
    """A YAML scalar as the text that a file would hold: true, not True."""
    return str(value).lower() if isinstance(value, bool) else str(value)
