"""Ingests in this process, without the rest of the program."""

from datetime import datetime
from pathlib import Path

from epic22.adapters.lake import Lake
from epic22.adapters.mapped_files import canonical_files, mapped_files
from epic22.services.ingest import Ingested, ingest

NOW = datetime(2023, 1, 1)


def take_in(
    lake: Lake, folder: Path, as_of: datetime | None = None, mapping: Path | None = None, now: datetime = NOW
) -> Ingested:
    """Ingest a folder as the command would."""
    incoming = canonical_files(folder) if mapping is None else mapped_files(folder, mapping)
    return ingest(incoming, lake, "tester", now, as_of)
