"""`epic22 ingest`: files of canonical tables become the next data version."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from epic22 import bootstrap
from epic22.cli.options import Json
from epic22.cli.terminal import print_json, print_line, print_table, show_progress
from epic22.config import Settings
from epic22.core.errors import UserError


def ingest(
    folder: Annotated[Path, typer.Argument(help="Files named after tables: leases.csv, .parquet, .jsonl, or a folder leases/.")],
    mapping: Annotated[Path | None, typer.Option(help="A YAML file that maps foreign files and columns to the tables.")] = None,
    as_of: Annotated[
        str | None, typer.Option(help="The moment of this snapshot, UTC: 2024-03-01 or 2024-03-01T12:00:00.")
    ] = None,
    source: Annotated[str | None, typer.Option(help="A name for where the files come from, kept in the version.")] = None,
    json: Json = False,
) -> None:
    """Check the tables in a folder and store them as one new data version; broken rows go to quarantine.

    All or nothing: a killed ingest leaves no trace, and run again it gives the same version.
    """
    with show_progress() as bars:
        components = bootstrap.assemble(Settings.read())
        ingestion = bootstrap.ingest_folder(components, folder, parse_timestamp(as_of), source, mapping, bars)
    if json:
        print_json(ingestion, bootstrap.VIEWS)
        return
    counts = ingestion.counts.items()
    rows = [
        [n, *(f"{v:,}" for v in (c.new, c.changed, c.same, c.twice, c.gone)), f"{ingestion.quarantined.get(n, 0):,}"]
        for n, c in counts
    ]
    print_table("Ingest", ["table", "new", "changed", "unchanged", "duplicates", "removed", "quarantined"], rows)
    for note in ingestion.notes:
        print_line(f"note: {note}")
    if ingestion.version is None:
        print_line("Nothing new; no version was created.")
        return
    print_line(
        f"Data version {ingestion.version.number} ({ingestion.version.id[:12]}), complete to {ingestion.version.end:%Y-%m-%d}."
    )
    apart = ingestion.version.quarantined
    if apart:
        which = "row was quarantined; see it" if apart == 1 else "rows were quarantined; see them"
        print_line(f"{apart:,} {which} with 'epic22 data quarantine {ingestion.version.number}'.")


def parse_timestamp(text: str | None, option: str = "--as-of") -> datetime | None:
    """The moment of an ISO text, in UTC. Raises UserError for another text.

    >>> parse_timestamp("2024-03-01T02:00:00+02:00")
    datetime.datetime(2024, 3, 1, 0, 0)
    """
    if text is None:
        return None
    try:
        timestamp = datetime.fromisoformat(text)
    except ValueError:
        raise UserError(f"{option} {text!r} is no moment; write it as 2024-03-01 or 2024-03-01T12:00:00.") from None
    return timestamp.astimezone(UTC).replace(tzinfo=None) if timestamp.tzinfo else timestamp
