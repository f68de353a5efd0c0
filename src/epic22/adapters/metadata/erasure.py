"""Texts of the metadata database that may name a person, and what its files keep of what was removed."""

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Column, Table, or_, select, update

from epic22.adapters.metadata.database import Database
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

    def list_remaining(self, person: TenantIdentity, is_erased: bool) -> tuple[str, ...]:
        """What the database's files keep for a while of all that was removed."""
        if self.database.is_sqlite:
            path = self.database.path
            files = [one for one in (path, path.with_name(f"{path.name}-wal")) if is_erased and one.is_file()]
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
