"""What a kind of source is, and the usual way to be one: a file that is read anew at every call."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from epic22.core.ports import Source
from epic22.core.tables.canonical import CanonicalTable


@dataclass(frozen=True)
class FileSource:
    """The port `Source` on a file, which `batches` reads anew at every call."""

    table: CanonicalTable
    name: str
    sha256: str
    batches: Callable[[], Iterator[pl.DataFrame]]
    derived: bool = False


@dataclass(frozen=True)
class SourceKind:
    """A kind of place that holds tables, such as a folder of files.

    `accepts` says whether a path is such a place; `list_sources(path, name)` lists its canonical tables, with the `name` that a
    user may give before their own. It raises FileError where the place cannot be read.
    """

    name: str
    accepts: Callable[[Path], bool]
    list_sources: Callable[[Path, str | None], Sequence[Source]]
