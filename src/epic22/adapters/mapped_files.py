"""From a folder, and a mapping file where its source is foreign, to the files on their way into the canonical tables."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import polars as pl
import yaml

from epic22.adapters.landing import SUFFIXES, batches, files_of
from epic22.core.data.arrival import Incoming
from epic22.core.data.canonical import CANONICAL
from epic22.core.data.mapping import SourceMap, TableMapping, mapped
from epic22.core.data.mapping_file import read_mapping
from epic22.core.errors import FileError
from epic22.core.lineage import file_sha256


def canonical_files(folder: Path, source: str | None = None) -> list[Incoming]:
    """The files in a folder that are named after canonical tables; `source` is put before their names."""
    return [
        Incoming(table, _named(source, path, folder), file_sha256(path), partial(batches, path))
        for table in CANONICAL
        for path in files_of(folder, table.name)
    ]


def mapped_files(folder: Path, mapping: Path, source: str | None = None) -> list[Incoming]:
    """The files that a mapping names, under the canonical columns. Raises FileError where the mapping or a file is wrong."""
    declared = load_mapping(mapping)
    found = []
    for table in CANONICAL:
        for one in declared.tables.get(table.name, ()):
            also = None if one.drop is None else pl.concat(batches(_one(folder, one.drop.file)))
            derived = one.known_at is not None
            for path in (path for name in one.files for path in _several(folder, name)):
                name = _named(source or declared.source, path, folder)
                found.append(Incoming(table, name, file_sha256(path), partial(_mapped, one, path, also), derived))
    return found


def load_mapping(path: Path) -> TableMapping:
    """The mapping in a YAML file. Raises FileError, which says where in it the mistake is."""
    try:
        # The base loader makes text of every scalar: zip code 01234 stays one, and so do the words NO and on.
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)
    except OSError as error:
        raise FileError(f"{path} cannot be read ({error.strerror}); name the mapping file.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise FileError(f"{path}: not readable as YAML: {' '.join(str(error).split())}.") from None
    return read_mapping(path.name, content)


def _mapped(source: SourceMap, path: Path, also: pl.DataFrame | None) -> Iterator[pl.DataFrame]:
    for batch in batches(path):
        yield mapped(source, batch, also)


def _several(folder: Path, name: str) -> list[Path]:
    """The files that a name or a pattern stands for."""
    if not any(sign in name for sign in "*?["):
        return [_one(folder, name)]
    found = sorted(path for path in folder.glob(name) if path.name.endswith(SUFFIXES))
    if not found:
        raise FileError(f"{folder}: no file fits {name!r}, which the mapping names.")
    return found


def _one(folder: Path, name: str) -> Path:
    path = folder / name
    if not path.is_file():
        there = ", ".join(sorted(p.name for p in folder.iterdir())[:20]) or "nothing"
        raise FileError(f"{folder}: no file {name!r}, which the mapping names; there are {there}.")
    return path


def _named(source: str | None, path: Path, folder: Path) -> str:
    name = path.relative_to(folder).as_posix()
    return f"{source}/{name}" if source else name
