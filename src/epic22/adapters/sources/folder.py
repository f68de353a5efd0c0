"""From a folder, and a mapping file where its source is foreign, to the files on their way into the canonical tables."""

from collections.abc import Collection, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from epic22.adapters.sources.base import FileSource, SourceKind
from epic22.adapters.sources.file_reader import SUFFIXES, list_files, read_batches
from epic22.core.errors import FileError
from epic22.core.quality.checks import QualityRules
from epic22.core.quality.checks_file import read_rules
from epic22.core.tables.canonical import CANONICAL
from epic22.core.tables.mapping import SourceMap, TableMapping, map_rows
from epic22.core.tables.mapping_file import read_mapping
from epic22.core.tables.origin import FileOrigin
from epic22.core.tables.row_contract import MIN_NAME_RATIO
from epic22.core.text import find_near_names

TABLE_ENDINGS = (*SUFFIXES, ".txt", ".xls", ".ods")
"""Endings of what was probably meant to be read."""


def list_canonical_files(folder: Path) -> list[FileSource]:
    """The files in a folder that are named after canonical tables."""
    return [
        FileSource(table, path.relative_to(folder).as_posix(), path, read_batches)
        for table in CANONICAL
        for path in list_files(folder, table.name)
    ]


def list_left_files(folder: Path, known: Collection[Path]) -> list[str]:
    """The names of files right in a folder that look like tables and are not `known`."""
    return sorted(
        path.name
        for path in folder.iterdir()
        if path.name.lower().endswith(TABLE_ENDINGS) and not path.name.startswith(".") and path not in known and path.is_file()
    )


def describe_left_files(names: Sequence[str]) -> str:
    """Names of files, each with the one that would be taken where it is nearly that.

    >>> describe_left_files(["churn.csv", "Tenants.CSV"])
    "churn.csv, Tenants.CSV (is it 'tenants.csv'?)"
    """
    words = []
    for name in names:
        stem, _, ending = name.lower().partition(".")
        near = find_near_names(stem, [table.name for table in CANONICAL], cutoff=MIN_NAME_RATIO)
        words.append(f"{name} (is it '{near[0]}.{ending}'?)" if near else name)
    return ", ".join(words)


SOURCE = SourceKind("folder", Path.is_dir, list_canonical_files)


def list_mapped_files(folder: Path, mapping: Path, source: str | None = None, are_expected: bool = True) -> list[FileSource]:
    """The files that a mapping names, under the canonical columns. Raises FileError where the mapping or a file is wrong, or one
    is not there although they `are_expected`."""
    declared = load_mapping(mapping)
    if declared.panel is not None:
        raise FileError(f"{mapping.name}: the mapping asks a server for a panel; leave the folder out.")
    sources = []
    for table in CANONICAL:
        for source_map in declared.tables.get(table.name, ()):
            dropped_rows = (
                None if source_map.anti_join is None else pl.concat(read_batches(_find_file(folder, source_map.anti_join.file)))
            )
            read = partial(_map_batches, source_map, dropped_rows)
            for path in _list_origin_files(folder, table.name, source_map, are_expected):
                name = f"{source or declared.source}/{path.relative_to(folder).as_posix()}"
                derived, units = source_map.known_at is not None, source_map.declared_units
                sources.append(FileSource(table, name, path, read, derived=derived, declared_units=units))
    return sources


def load_mapping(path: Path) -> TableMapping:
    """The mapping in a YAML file. Raises FileError, which says where in it the mistake is."""
    return read_mapping(path.name, read_yaml(path, "the mapping file"))


def read_yaml(path: Path, what: str) -> object:
    """The content of a YAML file, every scalar as text. Raises FileError, which says what file was meant."""
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=_EachKeyOnce)
    except OSError as error:
        raise FileError(f"{path} cannot be read ({error.strerror}); name {what}.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise FileError(f"{path}: not readable as YAML: {' '.join(str(error).split())}.") from None


class _EachKeyOnce(yaml.BaseLoader):
    """Makes text of every scalar, so that zip code 01234 stays one, and so do the words NO and on; refuses a key that a record
    has twice, of which only the last would count."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """The record of a node. Raises YAMLError."""
        keys = [key for key, _ in node.value]
        twice = next((one for n, one in enumerate(keys) if one.value in [key.value for key in keys[:n]]), None)
        if twice is not None:
            raise yaml.YAMLError(f"line {twice.start_mark.line + 1} has the key {str(twice.value)[:40]!r} once more")
        return dict(super().construct_mapping(node, deep))


def load_quality_rules(path: Path) -> QualityRules:
    """The checks in a YAML file of their own. Raises FileError, which says where in it the mistake is."""
    return read_rules(path.name, read_yaml(path, "the file of checks"))


def load_mapped_rules(path: Path) -> QualityRules:
    """The checks in the section `quality` of a mapping file; the defaults where it has none. Raises FileError."""
    return read_rules(f"{path.name}: quality", load_mapping(path).quality)


def _map_batches(source: SourceMap, dropped_rows: pl.DataFrame | None, path: Path) -> Iterator[pl.DataFrame]:
    for batch in read_batches(path):
        yield map_rows(source, batch, dropped_rows)


def _list_origin_files(folder: Path, table: str, source: SourceMap, are_expected: bool) -> list[Path]:
    """The files that a source of the mapping is made from. Raises FileError where it is not made from files."""
    if not isinstance(source.origin, FileOrigin):
        raise FileError(f"{table}: the mapping asks a server for its rows; name that with --source ADDRESS in place of a folder.")
    if not are_expected:
        return [path for name in source.origin.files for path in sorted(folder.glob(name)) if path.name.endswith(SUFFIXES)]
    return [path for name in source.origin.files for path in _find_files(folder, name)]


def _find_files(folder: Path, name: str) -> list[Path]:
    """The files that a name or a pattern stands for."""
    if not any(sign in name for sign in "*?["):
        return [_find_file(folder, name)]
    paths = sorted(path for path in folder.glob(name) if path.name.endswith(SUFFIXES))
    if not paths:
        raise FileError(f"{folder}: no file fits {name!r}, which the mapping names.")
    return paths


def _find_file(folder: Path, name: str) -> Path:
    path = folder / name
    if not path.is_file():
        names = ", ".join(sorted(p.name for p in folder.iterdir())[:20]) or "nothing"
        raise FileError(f"{folder}: no file {name!r}, which the mapping names; there are {names}.")
    return path
