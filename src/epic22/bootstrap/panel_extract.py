"""A panel that a mapping file asks for over HTTP, written as the file that forecasts are trained on."""

import hashlib
import os
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from epic22.adapters.home import translate_storage_faults, write_atomically
from epic22.adapters.sources.base import SourceAddress, SourceRequest
from epic22.adapters.sources.catalog import connect_sources
from epic22.adapters.sources.folder import load_mapping
from epic22.adapters.sources.presets import find_mapping
from epic22.bootstrap.components import Components
from epic22.core.errors import FileError, SourceError
from epic22.core.progress import Progress
from epic22.core.tables.request import RequestOrigin
from epic22.services.lineage_events import emit_lineage, list_source_datasets
from epic22.services.panel_extract import extract_panel


@dataclass(frozen=True)
class PanelWritten:
    """A panel's file: where it is, its digest, whether it is other than the one before, and what is in it."""

    path: Path
    sha256: str
    is_new: bool
    rows: int
    series: int
    first: datetime
    last: datetime
    frequency: str
    notes: tuple[str, ...]


def names_panel(mapping: Path) -> bool:
    """Whether a mapping file asks for a panel and not for tables. Raises FileError for a mistake in it."""
    return load_mapping(find_mapping(mapping)).panel is not None


def ingest_panel(
    components: Components, address: str | None, mapping: Path, to: Path | None = None, progress: Progress = Progress()
) -> PanelWritten:
    """Write the panel that a mapping asks for to a file, by default one in EPIC22_HOME/panels that this question names.

    Raises FileError for a mistake in the mapping or a place that cannot be written, SourceError where the server does not give
    the rows, ColumnError where they are no panel; then the file of before stays as it is.
    """
    declared, home = load_mapping(find_mapping(mapping)), components.settings.home
    request = SourceRequest(SourceAddress(address) if address else None, declared, {}, home / "http", os.environ)
    if address is not None and SourceAddress(address).scheme not in ("http", "https"):
        raise SourceError("--source: a panel is asked for over HTTP; give an address of http or https.")
    progress.begin("fetching …", 1, about=declared.source)
    with translate_storage_faults(home), connect_sources(request) as sources:
        inputs = list_source_datasets([(one.name, one.sha256) for one in sources if one.sha256 is not None])
        with emit_lineage(components.lineage, "ingest", inputs) as work:
            extract = extract_panel(sources)
            content = extract.format_csv()
            digest = hashlib.sha256(content).hexdigest()
            path = (to or home / "panels" / _name_file(request)).absolute()
            is_new = _write_if_new(path, content)
            work.outputs += list_source_datasets([(str(path), digest)])
    progress.step()
    rows = extract.rows
    first, last = rows["time"].min(), rows["time"].max()
    assert isinstance(first, datetime)
    assert isinstance(last, datetime)
    counts = rows.height, rows["series"].n_unique()
    return PanelWritten(path, digest, is_new, *counts, first, last, extract.frequency, extract.notes)


def _name_file(request: SourceRequest) -> str:
    """A name that another question does not have; nothing secret is in it."""
    assert request.mapping.panel is not None
    origin = request.mapping.panel.origin
    if isinstance(origin, RequestOrigin) and request.address is not None:
        origin = origin.with_address(request.address.url)
    key = origin.key if isinstance(origin, RequestOrigin) else ""
    return f"{re.sub(r'[^A-Za-z0-9_.-]', '_', request.mapping.source)}-{key[:8]}.csv"


def _write_if_new(path: Path, content: bytes) -> bool:
    """Write a file whole, unless it has this content already; says whether it was written. Raises FileError."""
    try:
        if path.is_file() and path.read_bytes() == content:
            return False
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content)
    except OSError as error:
        raise FileError(f"{path} cannot be written ({error.strerror}); name another file with --to.") from None
    return True
