"""A folder that is followed, with its record in the home."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from epic22.adapters.home import translate_storage_faults
from epic22.adapters.sources.base import FileSource
from epic22.adapters.sources.folder import describe_left_files as describe_left_files
from epic22.adapters.sources.folder import list_canonical_files, list_left_files, list_mapped_files, load_mapping
from epic22.adapters.sources.followed_folder import FollowedFolder, name_record
from epic22.bootstrap.components import Components
from epic22.bootstrap.ingest_and_audit import IngestOptions, ingest_sources
from epic22.bootstrap.quality import build_gate
from epic22.core.errors import FileError
from epic22.core.ports import Source, TableStore
from epic22.core.progress import Progress
from epic22.services.follow import FollowReport, follow_files
from epic22.services.ingest import IngestResult

RECORDS = "followed"
"""The folder of the home that says which files were taken."""


@dataclass(frozen=True)
class FollowOptions:
    """Which folder is followed, through which mapping file, and how many seconds lie between two looks at it."""

    folder: Path
    mapping: Path | None = None
    seconds: float = 10.0


def follow_folder(components: Components, options: FollowOptions, ingest_options: IngestOptions, report: FollowReport) -> None:
    """Ingest the files of a folder as they become complete, until this is interrupted.

    Raises FileError where there is no such folder, or the mapping is wrong.
    """
    folder, mapping = options.folder, options.mapping
    if not folder.is_dir():
        raise FileError(f"{folder} is no folder; name one into which files such as leases.csv come.")
    if mapping is not None:
        load_mapping(mapping)
    place = FollowedFolder(
        partial(_list_files, options, ingest_options.source_name),
        components.settings.home / RECORDS / name_record(folder),
        partial(_read_digests, components.table_store),
        partial(list_left_files, folder),
    )
    gate = build_gate(ingest_options.gate, mapping)

    def ingest_files(sources: Sequence[Source]) -> IngestResult:
        try:
            return ingest_sources(components, sources, None, gate, Progress())
        except FileNotFoundError as error:
            raise FileError(f"{error.filename} was removed while it was read.") from None

    with translate_storage_faults(components.settings.home):
        follow_files(place, ingest_files, report, partial(time.sleep, options.seconds))


def _list_files(options: FollowOptions, name: str | None) -> list[FileSource]:
    if options.mapping is not None:
        return list_mapped_files(options.folder, options.mapping, name, are_expected=False)
    return [replace(one, name=f"{name}/{one.name}" if name else one.name) for one in list_canonical_files(options.folder)]


def _read_digests(table_store: TableStore) -> dict[str, str]:
    """The SHA-256 of each file as the last data version that read it has it, by name."""
    return {source.name: source.sha256 for version in table_store.log() for source in version.sources}
