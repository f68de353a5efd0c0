"""The log of data versions in the metadata database."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass

from sqlalchemy import insert, select, update

from epic22.adapters.attempt_fence import UNFENCED, Fence
from epic22.adapters.metadata.database import Database
from epic22.adapters.metadata.locks import lock_in_transaction, try_lock
from epic22.adapters.metadata.schema import DATA_VERSIONS
from epic22.adapters.version_files import Manifest


@dataclass(frozen=True)
class VersionRecords:
    """A row a version, with its manifest."""

    database: Database
    fence: Fence = UNFENCED

    def list_numbers(self) -> list[int]:
        """The numbers of all versions, ascending."""
        with self.database.read() as connection:
            return list(connection.execute(select(DATA_VERSIONS.c.number).order_by(DATA_VERSIONS.c.number)).scalars())

    def read_manifest(self, number: int) -> bytes | None:
        """The manifest of a version; None where there is none of that number."""
        query = select(DATA_VERSIONS.c.manifest).where(DATA_VERSIONS.c.number == number)
        with self.database.read() as connection:
            manifest = connection.execute(query).scalar_one_or_none()
        return None if manifest is None else str(manifest).encode()

    def locate(self, number: int) -> str:
        """The row and its database."""
        return f"data version {number} in {self.database.place}"

    def add_manifest(self, number: int, identity: str, content: bytes) -> bool:
        """Add the row. False where the number is taken."""
        with self.database.write() as connection:
            lock_in_transaction(self.database, connection, "data-version/log")
            self.fence.join(connection)
            if connection.execute(select(DATA_VERSIONS.c.number).where(DATA_VERSIONS.c.number == number)).first():
                return False
            connection.execute(insert(DATA_VERSIONS).values(number=number, id=identity, manifest=content.decode()))
        return True

    def replace_manifests(self, manifests: Mapping[int, Manifest]) -> None:
        """Replace the rows, all in one transaction."""
        number = DATA_VERSIONS.c.number
        with self.database.write() as connection:
            for one, manifest in manifests.items():
                values = {"id": manifest.identity, "manifest": manifest.content.decode()}
                connection.execute(update(DATA_VERSIONS).where(number == one).values(values))

    def try_lock(self) -> AbstractContextManager[bool]:
        """Hold the lock of whoever makes the next version, on any machine, where it is free."""
        return try_lock(self.database, "data-version")
