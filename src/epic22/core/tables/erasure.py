"""One person's rows: those of a tenant, those that refer to them table after table, and texts in which the tenant's id stands."""

import html
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache, cached_property
from typing import Any

import polars as pl

from epic22.core.errors import EventError
from epic22.core.tables.canonical import CANONICAL, TENANTS, CanonicalTable, Reference
from epic22.core.tables.events import read_json
from epic22.core.task import Column

REDACTED = "[erased]"
"""What stands where the id stood."""
MIN_SEARCHABLE_LETTERS = 4
CELL = re.compile(r'"(?P<column>\w+)"\s*:\s*(?P<value>"(?:[^"\\]|\\.)*"|[^\s,{}\[\]"]+)')
"""A name and its value in a JSON text, which may be cut."""


@dataclass(frozen=True)
class TenantIdentity:
    """A tenant by id, and the keys of the rows of each table that are this tenant's alone.

    `similar` are ids of other tenants that contain this one.
    """

    tenant: str
    keys: Mapping[str, frozenset[str]] = field(default_factory=dict)
    similar: frozenset[str] = frozenset()

    @property
    def is_searchable(self) -> bool:
        """Whether the id can be told from other text: of a short one, or of digits alone, no text is searched.

        >>> TenantIdentity("T0001").is_searchable, TenantIdentity("12").is_searchable
        (True, False)
        """
        return len(self.tenant) >= MIN_SEARCHABLE_LETTERS and not self.tenant.isdigit()

    @property
    def spellings(self) -> tuple[str, ...]:
        """The id as text, JSON and HTML may write it."""
        return _list_spellings(self.tenant)

    def has_name_in(self, text: str) -> bool:
        """Whether the id stands in a text, as a word of its own and not within another tenant's.

        >>> person = TenantIdentity("T-10", similar=frozenset({"T-10-b"}))
        >>> person.has_name_in("call T-10, not T-100"), person.has_name_in("T-100 and T-10-b")
        (True, False)
        """
        return self.is_searchable and any(match["id"] is not None for match in self._pattern.finditer(text))

    def has_name_in_bytes(self, content: bytes) -> bool:
        """Whether the id stands in bytes in UTF-8; what is no text is searched too."""
        likely = any(spelling.encode() in content for spelling in self.spellings)
        return likely and self.has_name_in(content.decode("utf-8", errors="replace"))

    def redact(self, text: str) -> str:
        """The text without the id.

        >>> TenantIdentity("T0001").redact("leases of T0001.csv")
        'leases of [erased].csv'
        """
        if not self.is_searchable:
            return text
        return self._pattern.sub(lambda match: REDACTED if match["id"] is not None else match[0], text)

    def redact_json(self, value: Any) -> Any:
        """A JSON value without the id, in keys and texts."""
        if isinstance(value, str):
            return self.redact(value)
        if isinstance(value, Mapping):
            return {self.redact(str(key)): self.redact_json(one) for key, one in value.items()}
        return [self.redact_json(one) for one in value] if isinstance(value, list) else value

    def is_entity(self, entity: str, table: str | None) -> bool:
        """Whether an answer is about this person: its entity is the tenant, or a row of `table` that is the tenant's."""
        return entity == self.tenant or (table is not None and entity in self.keys.get(table, ()))

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        """Matches the ids that contain this one, and this one as the group `id`."""
        others = sorted((text for one in self.similar for text in _list_spellings(one)), key=len, reverse=True)
        own = "|".join(map(re.escape, self.spellings))
        return re.compile("|".join([*map(re.escape, others), rf"(?<![A-Za-z0-9_])(?P<id>{own})(?![A-Za-z0-9_])"]))


@dataclass(frozen=True)
class ErasureEntry:
    """What stays of an erasure: nothing of the person.

    `counts` are rows by table, and entries by other places; `superseded` leads from the ids that data versions had to those that
    they have; `models` are the versions (task/version) that learned from the rows. `at` is when it began (UTC).
    """

    number: int
    at: datetime
    who: str
    counts: Mapping[str, int]
    versions: tuple[int, ...]
    superseded: Mapping[str, str]
    models: tuple[str, ...]


@dataclass(frozen=True)
class ErasureJournal:
    """The erasure of one person.

    `keys` and `similar` are those of the person. `manifests`, by version number, are those that replace the stored ones, None
    until all tables are written; `old_folders` are then those that go. `entry` is what will stay of it.
    """

    tenant: str
    keys: Mapping[str, tuple[str, ...]]
    similar: tuple[str, ...]
    entry: ErasureEntry
    manifests: Mapping[int, str] | None = None
    old_folders: tuple[str, ...] = ()

    @property
    def person(self) -> TenantIdentity:
        """Whom it is about."""
        return TenantIdentity(self.tenant, {name: frozenset(keys) for name, keys in self.keys.items()}, frozenset(self.similar))


def _list_spellings(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys((text, *(json.dumps(text, ensure_ascii=one)[1:-1] for one in (True, False)), html.escape(text))))


def list_owned_tables() -> dict[str, tuple[Reference, ...]]:
    """The tables whose rows are a tenant's, in the order of their references, each with those that say whose a row is.

    >>> list(list_owned_tables())
    ['tenants', 'leases', 'charges', 'payments', 'messages', 'protected']
    """
    owned: dict[str, tuple[Reference, ...]] = {TENANTS.name: ()}
    for table in CANONICAL:
        references = tuple(one for one in table.references if one.table in owned)
        if references:
            owned[table.name] = references
    return owned


def match_rows(table: CanonicalTable, person: TenantIdentity) -> pl.Expr:
    """Which rows of a table are the person's; of the tables that `list_owned_tables` does not name none are."""
    conditions = [pl.col(TENANTS.key[0]) == person.tenant] if table.name == TENANTS.name else []
    for reference in list_owned_tables().get(table.name, ()):
        conditions.append(pl.col(reference.column).is_in(sorted(person.keys.get(reference.table, ()))))
    return pl.any_horizontal(conditions).fill_null(value=False) if conditions else pl.lit(value=False)


def redact_rows(table: CanonicalTable, frame: pl.DataFrame, person: TenantIdentity) -> pl.DataFrame:
    """The rows with the id taken out of free texts: such a text goes as a whole where the table can do without it."""
    if not person.is_searchable:
        return frame
    for name in list_text_columns(table, frame):
        likely = frame[name].str.contains_any(list(person.spellings)).fill_null(value=False)
        if likely.any():
            is_optional = name not in table.schema or table.get_column(name).optional
            texts = [_redact_cell(text, person, is_optional) for text in frame[name]]
            frame = frame.with_columns(pl.Series(name, texts, frame[name].dtype))
    return frame


def has_free_text(table: CanonicalTable) -> bool:
    """Whether a table has columns of free text, declared or beyond those that are."""
    return table.extra_columns is not None or any(_is_free_text(column) for column in table.columns)


def list_text_columns(table: CanonicalTable, frame: pl.DataFrame) -> list[str]:
    """The columns of a frame of the table's rows that are free text, or none that the table declares."""
    other = {column.name for column in table.columns if not _is_free_text(column)}
    return [name for name, dtype in frame.schema.items() if dtype == pl.String and name not in other]


def _is_free_text(column: Column) -> bool:
    return column.dtype == "text" and column.role != "id"


def _redact_cell(text: str | None, person: TenantIdentity, is_optional: bool) -> str | None:
    if text is None or not person.has_name_in(text):
        return text
    return None if is_optional else person.redact(text)


def match_broken_rows(frame: pl.DataFrame, person: TenantIdentity) -> list[bool]:
    """Which rows of a quarantine [table, file, line, reason, row] are the person's, or name the person."""
    owned = list_owned_tables()
    return [
        is_statement_of(row or "", person)
        or person.has_name_in(reason or "")
        or (table in owned and _is_line_of(row or "", person))
        for table, reason, row in frame.select("table", "reason", "row").iter_rows()
    ]


def is_statement_of(text: str, person: TenantIdentity) -> bool:
    """Whether a row as JSON, or an event that states one, whole or cut, names the person or is of a row that is the person's.

    An id is compared as it would be stored: a number by its digits, a text without the blanks around it.

    >>> person = TenantIdentity("1234", {"leases": frozenset({"L1"})})
    >>> [is_statement_of(text, person) for text in ('{"row": {"tenant_id": 1234}}', '{"lease_id": "L1 "}', '{"lease_id": 1234}')]
    [True, True, False]
    """
    keys = {TENANTS.name: frozenset({person.tenant}), **person.keys}
    tables = _list_key_columns()
    cells = _read_cells(text)
    return (
        person.has_name_in(text)
        or any(isinstance(value, str) and person.has_name_in(value) for _, value in cells)
        or any(str(value).strip() in keys.get(tables[column], ()) for column, value in cells if column in tables)
    )


@cache
def _list_key_columns() -> dict[str, str]:
    """The columns that say whose a row is, each with the table whose key it is; a row a tenant is the tenant's."""
    columns: dict[str, str] = {}
    for name in list_owned_tables():
        key = next(one.key for one in CANONICAL if one.name == name)
        if len(key) == 1:
            columns.setdefault(key[0], name)
    return columns


def _read_cells(text: str) -> list[tuple[str, Any]]:
    """The names and values of a JSON text, however deep; of what is no whole JSON those that can be read."""
    try:
        rest = [read_json(text.encode("utf-8", "replace"))]
    except EventError:
        return [(match["column"], _read_cell(match["value"])) for match in CELL.finditer(text)]
    cells: list[tuple[str, Any]] = []
    while rest:
        value = rest.pop()
        if isinstance(value, Mapping):
            cells += value.items()
            rest += value.values()
        elif isinstance(value, list):
            rest += value
    return cells


def _read_cell(text: str) -> Any:
    try:
        return read_json(text.encode("utf-8", "replace"))
    except EventError:
        return text.strip('"')


def _is_line_of(line: str, person: TenantIdentity) -> bool:
    """Whether what is no JSON is the person's: that can only be told by one of its fields being the id."""
    if line.lstrip().startswith("{"):
        return False
    return person.tenant in (field.strip() for field in re.split(r"[,;\t|\"'\r\n]", line))
