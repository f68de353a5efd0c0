"""What a kind of source is, and the usual way to be one: a file that is read anew at every call."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import polars as pl

from epic22.core.lineage import file_sha256
from epic22.core.tables.canonical import CanonicalTable


@dataclass(frozen=True)
class FileSource:
    """The port `Source` on the file at `path`, which `read` reads anew at every call, with `#line`."""

    table: CanonicalTable
    name: str
    path: Path
    read: Callable[[Path], Iterator[pl.DataFrame]]
    derived: bool = False

    @cached_property
    def sha256(self) -> str:
        """The digest of the file."""
        return file_sha256(self.path)

    def batches(self) -> Iterator[pl.DataFrame]:
        """The rows, read anew."""
        return self.read(self.path)


@dataclass(frozen=True)
class SourceKind:
    """A kind of place that holds tables, such as a folder of files.

    `accepts` says whether a path is such a place; `list_sources` lists its canonical tables. It raises FileError where the place
    cannot be read.
    """

    name: str
    accepts: Callable[[Path], bool]
    list_sources: Callable[[Path], Sequence[FileSource]]
