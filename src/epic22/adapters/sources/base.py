"""What a kind of source is: a place with files, each read anew at every call, or a server at an address."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import polars as pl

from epic22.core.lineage import file_sha256
from epic22.core.ports import Source
from epic22.core.tables.canonical import CanonicalTable
from epic22.core.tables.mapping import TableMapping
from epic22.core.tables.versions import Position


@dataclass(frozen=True)
class FileSource:
    """The port `Source` on the file at `path`, which `read` reads anew at every call, with `#line`."""

    table: CanonicalTable
    name: str
    path: Path
    read: Callable[[Path], Iterator[pl.DataFrame]]
    derived: bool = False
    is_whole: bool = True
    position: Position | None = None
    notes: tuple[str, ...] = ()
    declared_units: frozenset[str] = frozenset()

    @cached_property
    def sha256(self) -> str:
        """The digest of the file."""
        return file_sha256(self.path)

    def batches(self) -> Iterator[pl.DataFrame]:
        """The rows, read anew."""
        return self.read(self.path)

    def read_keys(self) -> None:
        """Nothing: a file says nothing of rows that are not in it."""


@dataclass(frozen=True)
class SourceKind:
    """A kind of place that holds tables, such as a folder of files.

    `accepts` says whether a path is such a place; `list_sources` lists its canonical tables. It raises FileError where the place
    cannot be read.
    """

    name: str
    accepts: Callable[[Path], bool]
    list_sources: Callable[[Path], Sequence[FileSource]]


@dataclass(frozen=True)
class SourceAddress:
    """Where a server is, which may hold a user and a password: it is never shown, logged or stored, nor any part of it."""

    url: str = field(repr=False)

    @property
    def scheme(self) -> str:
        """What stands before the first colon, such as postgresql."""
        return self.url.partition("://")[0].lower()


@dataclass(frozen=True)
class SourceRequest:
    """What is asked of a server: where it is, the mapping of its rows, and how far its sources were read before, by name.

    No address: that in the mapping. `cache` is where answers may be kept; `environment` has the secrets that the mapping names.
    `filled` are the tables that have rows already.
    """

    address: SourceAddress | None
    mapping: TableMapping
    positions: Mapping[str, Position] = field(default_factory=dict)
    cache: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    filled: frozenset[str] = frozenset()


@dataclass(frozen=True)
class ServerKind:
    """A kind of server that rows come from, such as a database; `schemes` are those of its addresses.

    `connect` gives the sources that the mapping names while the connection is open; it raises SourceError and FileError.
    """

    name: str
    schemes: tuple[str, ...]
    connect: Callable[[SourceRequest], AbstractContextManager[Sequence[Source]]]
