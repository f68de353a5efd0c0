"""The kinds of places that `ingest` reads tables from. A new one is one module beside this one and one line here."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from epic22.adapters.sources import folder
from epic22.adapters.sources.base import SourceKind
from epic22.core.errors import FileError
from epic22.core.ports import Source

SOURCES: tuple[SourceKind, ...] = (folder.SOURCE,)


def list_sources(path: Path, name: str | None = None, mapping: Path | None = None) -> Sequence[Source]:
    """The canonical tables at a path, a `name` before their own; where a mapping file is given it maps the files of a folder.

    Raises FileError where the path is no place that a source reads.
    """
    kind = next((kind for kind in SOURCES if kind.accepts(path)), None)
    if kind is None or (mapping is not None and kind is not folder.SOURCE):
        raise FileError(f"{path} is no folder; name one with files such as leases.csv in it.")
    if mapping is not None:
        return folder.list_mapped_files(path, mapping, name)
    return [replace(source, name=f"{name}/{source.name}" if name else source.name) for source in kind.list_sources(path)]
