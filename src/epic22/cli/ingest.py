"""`epic22 ingest`: files of canonical tables become the next data version."""

from pathlib import Path
from typing import Annotated

import typer

from epic22 import bootstrap
from epic22.cli.options import Json
from epic22.cli.terminal import print_json, print_line, print_table, show_progress
from epic22.config import Settings
from epic22.core.text import parse_timestamp


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
        moment = None if as_of is None else parse_timestamp(as_of, "--as-of")
        ingestion = bootstrap.ingest_folder(components, folder, moment, source, mapping, bars)
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
