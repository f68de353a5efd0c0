"""`epic22 ingest`: files of canonical tables become the next data version."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from epic22.cli.table_options import Json
from epic22.cli.terminal import print_json, progress, say, table
from epic22.core.errors import UserError

if TYPE_CHECKING:
    from epic22.services.ingest import Ingested


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
    from epic22.bootstrap import assemble, ingest_folder
    from epic22.config import Settings

    with progress() as watch:
        done = ingest_folder(assemble(Settings.read()), folder, moment(as_of), source, mapping, watch)
    if json:
        print_json(ingested_json(done))
        return
    counts = done.counts.items()
    rows = [
        [n, *(f"{v:,}" for v in (c.new, c.changed, c.same, c.twice, c.gone)), f"{done.quarantined.get(n, 0):,}"]
        for n, c in counts
    ]
    table("Ingest", ["table", "new", "changed", "as before", "twice", "gone", "quarantined"], rows)
    for note in done.notes:
        say(f"note: {note}")
    if done.version is None:
        say("Nothing new; no version was made.")
        return
    say(f"Data version {done.version.number} ({done.version.id[:12]}), complete to {done.version.end:%Y-%m-%d}.")
    apart = done.version.quarantined
    if apart:
        which = "row was set apart; see it" if apart == 1 else "rows were set apart; see them"
        say(f"{apart:,} {which} with 'epic22 data quarantine {done.version.number}'.")


def moment(text: str | None, option: str = "--as-of") -> datetime | None:
    """A UTC moment from ISO text; a zone is converted. Raises UserError.

    >>> moment("2024-03-01T02:00:00+02:00")
    datetime.datetime(2024, 3, 1, 0, 0)
    """
    from datetime import UTC

    if text is None:
        return None
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        raise UserError(f"{option} {text!r} is no moment; write it as 2024-03-01 or 2024-03-01T12:00:00.") from None
    return read.astimezone(UTC).replace(tzinfo=None) if read.tzinfo else read


def ingested_json(done: "Ingested") -> dict[str, Any]:
    """What an ingest did, for --json."""
    from dataclasses import asdict

    from epic22.cli.data import version_json

    return {
        "version": version_json(done.version) if done.version else None,
        "counts": {name: asdict(c) | {"quarantined": done.quarantined.get(name, 0)} for name, c in done.counts.items()},
        "notes": list(done.notes),
    }
