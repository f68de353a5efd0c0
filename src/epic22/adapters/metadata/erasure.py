"""Texts of the metadata database that may name a person, and what its files keep of what was removed."""

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Column, Connection, Table, Text, cast, or_, select, update
from sqlalchemy import column as column_named
from sqlalchemy import table as table_named
from sqlalchemy import text as sql_text

from epic22.adapters.metadata.database import Database
from epic22.adapters.metadata.library_schema import RUNS, STUDIES
from epic22.adapters.metadata.schema import CHAMPIONS, METADATA, MODEL_DOCUMENTS, PROMOTIONS
from epic22.core.tables.erasure import TenantIdentity

TEXTS = (
    (MODEL_DOCUMENTS, MODEL_DOCUMENTS.c.content),
    (PROMOTIONS, PROMOTIONS.c.decision),
    (CHAMPIONS, CHAMPIONS.c.because),
    (CHAMPIONS, CHAMPIONS.c.why),
)
"""Columns with words of people or of models."""


@dataclass(frozen=True)
class DatabaseTexts:
    """The texts kept beside models and decisions."""

    database: Database
    name: str = "documents"

    def count(self, person: TenantIdentity) -> int:
        """How many of them name the person."""
        return sum(len(list(self._find(table, column, person))) for table, column in TEXTS)

    def erase(self, person: TenantIdentity) -> None:
        """Take the id out of them, and have the database's files forget what was removed from any table."""
        for table, column in TEXTS:
            changes = list(self._find(table, column, person))
            with self.database.write() as connection:
                for key, text in changes:
                    where = [own == value for own, value in zip(table.primary_key, key, strict=True)]
                    connection.execute(update(table).where(*where).values({column.name: person.redact(text)}))
        self.database.compact([table.name for table in METADATA.sorted_tables])

    def list_remaining(self, person: TenantIdentity, n_erased: int | None) -> tuple[str, ...]:
        """What the database's files keep for a while of all that was removed."""
        if self.database.is_sqlite:
            path = self.database.path
            files = [one for one in (path, path.with_name(f"{path.name}-wal")) if n_erased is not None and one.is_file()]
            naming = [one for one in files if person.has_name_in_bytes(one.read_bytes())]
            return tuple(f"{one} has pages with the id until no other process has it open" for one in naming)
        return (f"{self.database.place}: the server's write-ahead log and its backups have the rows until they are recycled",)

    def _find(self, table: Table, column: "Column[str]", person: TenantIdentity) -> Iterator[tuple[tuple[object, ...], str]]:
        """The keys and texts of rows that name the person."""
        if not person.is_searchable:
            return
        likely = or_(*(column.contains(spelling, autoescape=True) for spelling in person.spellings))
        query = select(*table.primary_key, column.label("text")).where(likely)
        with self.database.read() as connection:
            rows = connection.execute(query).all()
        yield from ((tuple(row)[:-1], row.text) for row in rows if person.has_name_in(row.text))


@dataclass(frozen=True)
class LibraryTables:
    """MLflow's runs and the studies of searches on a server: tables that are not ours, which are searched and not changed."""

    database: Database
    name: str = "runs and studies"

    def count(self, person: TenantIdentity) -> int:
        """Nothing that could be changed."""
        return 0

    def erase(self, person: TenantIdentity) -> None:
        """Nothing: what a library keeps together is its own to take apart."""

    def list_remaining(self, person: TenantIdentity, n_erased: int | None) -> tuple[str, ...]:
        """The columns in which some row names the person."""
        if not person.is_searchable:
            return ()
        with self.database.read() as connection:
            columns = connection.execute(TEXT_COLUMNS, {"schemas": [RUNS, STUDIES]}).all()
            naming = [
                f"{schema}.{table}.{column}"
                for schema, table, column in columns
                if any(person.has_name_in(text) for text in _select_likely(connection, (schema, table, column), person))
            ]
        return tuple(f"{one} of {self.database.place} names the tenant and is not changed; remove the run" for one in naming)


TEXT_COLUMNS = sql_text(
    "SELECT table_schema, table_name, column_name FROM information_schema.columns WHERE table_schema = ANY (:schemas) "
    "AND data_type IN ('text', 'character varying', 'json', 'jsonb') ORDER BY 1, 2, 3"
)


def _select_likely(connection: Connection, place: tuple[str, str, str], person: TenantIdentity) -> list[str]:
    """The texts of a column (schema, table, column) that hold a spelling of the id, be it in a longer one."""
    schema, table, name = place
    words = cast(column_named(name), Text)
    likely = or_(*(words.contains(spelling, autoescape=True) for spelling in person.spellings))
    query = select(words).select_from(table_named(table, schema=schema)).where(likely)
    return [str(one) for one in connection.execute(query).scalars()]
