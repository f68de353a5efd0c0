"""Ingests in this process, without the rest of the program."""

from datetime import datetime
from pathlib import Path

from epic22.adapters.lake import Lake
from epic22.adapters.sources.folder import list_canonical_files, list_mapped_files
from epic22.services.ingest import IngestRequest, IngestResult, ingest

NOW = datetime(2023, 1, 1)


def take_in(
    lake: Lake, folder: Path, as_of: datetime | None = None, mapping: Path | None = None, now: datetime = NOW
) -> IngestResult:
    """Ingest a folder as the command would."""
    incoming = list_canonical_files(folder) if mapping is None else list_mapped_files(folder, mapping)
    return ingest(incoming, lake, IngestRequest("tester", now, as_of))
