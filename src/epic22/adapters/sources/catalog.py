"""The kinds of places that `ingest` reads tables from. A new one is one module beside this one and one line here."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

from epic22.adapters.sources import folder, http, sql
from epic22.adapters.sources.base import ServerKind, SourceKind, SourceRequest
from epic22.core.errors import FileError, SourceError
from epic22.core.ports import Source

SOURCES: tuple[SourceKind, ...] = (folder.SOURCE,)
"""Places named by a path."""
SERVERS: tuple[ServerKind, ...] = (sql.SERVER, http.SERVER)
"""Places named by an address, always read through a mapping file."""


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


def connect_sources(request: SourceRequest) -> AbstractContextManager[Sequence[Source]]:
    """The sources at an address, or those that the mapping itself has an address of, while the connection is open.

    Raises SourceError where no kind of server has such addresses.
    """
    if request.address is None and not request.mapping.has_address:
        raise SourceError(
            "nothing to read: the mapping has no address of its own; name a FOLDER, or a database by --source ADDRESS."
        )
    scheme = request.address.scheme if request.address is not None else "https"
    kind = next((kind for kind in SERVERS if scheme in kind.schemes), None)
    if kind is None:
        known = ", ".join(f"{scheme}://" for kind in SERVERS for scheme in kind.schemes)
        raise SourceError(f"--source: no kind of server has such an address; those that are known begin with {known}.")
    return kind.connect(request)
