"""`epic22 ingest`: canonical tables from files or a server become the next data version."""

from pathlib import Path
from typing import Annotated

import typer

from epic22 import bootstrap
from epic22.cli.options import Json
from epic22.cli.terminal import print_json, print_line, print_table, show_progress
from epic22.config import Settings, read_source_address
from epic22.core.errors import UserError
from epic22.core.text import parse_timestamp


def ingest(
    folder: Annotated[
        Path | None, typer.Argument(help="Files named after tables: leases.csv, .parquet, .jsonl, or a folder leases/.")
    ] = None,
    mapping: Annotated[
        Path | None, typer.Option(help="A YAML file that maps foreign files or queries, and columns, to the tables.")
    ] = None,
    as_of: Annotated[
        str | None, typer.Option(help="The moment of this snapshot, UTC: 2024-03-01 or 2024-03-01T12:00:00.")
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|ADDRESS",
            help="A name for where the files come from, kept in the version; or, without FOLDER, the address of a database: "
            "postgresql://…, sqlite:///…, or env:NAME for a variable that holds it. An address is never shown or kept.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Check the tables in a folder or a database and store them as one new data version; broken rows go to quarantine.

    All or nothing: a killed ingest leaves no trace, and run again it gives the same version.
    """
    with show_progress() as bars:
        components = bootstrap.assemble(Settings.read())
        moment = None if as_of is None else parse_timestamp(as_of, "--as-of")
        if folder is not None:
            ingestion = bootstrap.ingest_folder(components, folder, moment, _check_name(source), mapping, bars)
        else:
            address, path = _read_address(source), _check_mapping(mapping)
            ingestion = bootstrap.ingest_address(components, address, path, moment, bars)
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


def _is_address(source: str) -> bool:
    return "://" in source or source.startswith("env:")


def _check_name(source: str | None) -> str | None:
    if source is not None and _is_address(source):
        raise UserError("FOLDER and an address by --source are both given; rows come from one of them, so leave the other out.")
    return source


def _read_address(source: str | None) -> str:
    if source is None or not _is_address(source):
        raise UserError("nothing to read: name a FOLDER with files, or a database by --source ADDRESS and --mapping FILE.")
    return read_source_address(source)


def _check_mapping(mapping: Path | None) -> Path:
    if mapping is None:
        raise UserError(
            "--source ADDRESS needs --mapping FILE, which says what to ask there; see docs/how-to/ingest-from-a-database.md."
        )
    return mapping
