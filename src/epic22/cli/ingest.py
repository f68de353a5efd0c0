"""`epic22 ingest`: canonical tables from files or a server become the next data version."""

import json as json_text
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from epic22 import bootstrap
from epic22.cli.options import Json
from epic22.cli.terminal import print_json, print_line, print_table, show_progress
from epic22.config import Settings, read_artifacts, read_source_address
from epic22.core.errors import UserError
from epic22.core.serialization import to_json
from epic22.core.text import parse_timestamp

if TYPE_CHECKING:
    from epic22.bootstrap import FollowOptions, IngestOptions
    from epic22.services.follow import FileRefused, FilesStored, FilesWaiting


def ingest(
    folder: Annotated[
        str | None,
        typer.Argument(
            metavar="[FOLDER|URL]",
            help="Files named after tables: leases.csv, .parquet, .jsonl, .geojson, or a folder leases/; or s3://bucket/folder.",
        ),
    ] = None,
    mapping: Annotated[
        Path | None,
        typer.Option(
            help="A YAML file that maps foreign files, queries or requests to the tables; or fred, open_meteo, zillow, "
            "platform-a, platform-b."
        ),
    ] = None,
    as_of: Annotated[
        str | None, typer.Option(help="The moment of this snapshot, UTC: 2024-03-01 or 2024-03-01T12:00:00.")
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|ADDRESS",
            help="A name for where the files come from, kept in the version; or, without FOLDER, the address of a "
            "database or HTTP API: postgresql://…, sqlite:///…, https://…, or env:NAME for a variable that holds it. The address "
            "of a database is never shown or kept.",
        ),
    ] = None,
    to: Annotated[
        Path | None, typer.Option(help="The CSV file for a panel that a mapping asks for; by default one in EPIC22_HOME/panels.")
    ] = None,
    checks: Annotated[Path | None, typer.Option(help="A YAML file with other levels and limits of the quality checks.")] = None,
    accept_quality: Annotated[
        str | None, typer.Option(help="Store it although a check refuses it, for this reason; kept in the version's notes.")
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="Go on: ingest each file that comes into FOLDER once it is complete. Ctrl-C ends it.")
    ] = False,
    every: Annotated[
        float,
        typer.Option(min=0.1, max=86_400, help="With --follow: seconds between looks; a file that stays the same is complete."),
    ] = 10.0,
    json: Json = False,
) -> None:
    """Check tables from files, a database or an API and store them as one data version; broken rows go to quarantine.

    All or nothing: a killed ingest leaves no trace, and run again it gives the same version. What is unlike all that is stored is
    said; where a column comes empty or rows are gone, nothing is stored unless --accept-quality says why.
    """
    if folder is None and mapping is not None and bootstrap.names_panel(mapping):
        _ingest_panel(_read_address(source, mapping), mapping, to, json)
        return
    if to is not None:
        raise UserError("--to is for a panel; the tables that a mapping or a folder has go to EPIC22_HOME.")
    if follow:
        gate = bootstrap.read_gate_options(checks, _check_reason(accept_quality))
        options = bootstrap.IngestOptions(None, _check_name(source), gate)
        _follow_folder(bootstrap.FollowOptions(_check_folder(folder, as_of), mapping, every), options, json)
        return
    with show_progress() as bars:
        components = bootstrap.assemble(Settings.read())
        gate = bootstrap.read_gate_options(checks, _check_reason(accept_quality))
        moment = None if as_of is None else parse_timestamp(as_of, "--as-of")
        if folder is not None:
            options = bootstrap.IngestOptions(moment, _check_name(source), gate)
            if _is_address(folder):
                ingestion = bootstrap.ingest_objects(components, _check_objects(folder), mapping, options, bars)
            else:
                ingestion = bootstrap.ingest_folder(components, Path(folder), mapping, options, bars)
        else:
            address, path = _read_address(source, mapping), _check_mapping(mapping)
            options = bootstrap.IngestOptions(moment, gate=gate)
            ingestion = bootstrap.ingest_address(components, address, path, options, bars)
    if json:
        print_json(ingestion, bootstrap.VIEWS)
        return
    counts = ingestion.counts.items()
    rows = [
        [n, *(f"{v:,}" for v in (c.new, c.changed, c.same, c.twice, c.gone)), f"{ingestion.quarantined.get(n, 0):,}"]
        for n, c in counts
    ]
    print_table("Ingest", ["table", "new", "changed", "same", "twice", "gone", "quarantined"], rows)
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


def _follow_folder(follow: "FollowOptions", options: "IngestOptions", json: bool) -> None:
    """Follow a folder until Ctrl-C; each outcome is a line."""
    if not json:
        print_line(f"Following {follow.folder}, a look every {follow.seconds:g} s; Ctrl-C ends it.")
    report = _print_json_line if json else _print_outcome
    bootstrap.follow_folder(bootstrap.assemble(Settings.read()), follow, options, report)


def _print_outcome(outcome: "FilesStored | FileRefused | FilesWaiting") -> None:
    from epic22.services.follow import FileRefused, FilesStored

    if isinstance(outcome, FilesStored):
        version, apart = outcome.result.version, sum(outcome.result.quarantined.values())
        what = "nothing new" if version is None else f"data version {version.number} ({version.id[:12]})"
        print_line(f"{', '.join(outcome.names)}: {what}{f', {apart:,} rows quarantined' if apart else ''}")
    elif isinstance(outcome, FileRefused):
        sys.stderr.write(f"epic22: {outcome.name} is refused: {outcome.reason}\n")
    else:
        sys.stderr.write(f"epic22: waiting: {outcome.reason}\n")


def _print_json_line(outcome: "FilesStored | FileRefused | FilesWaiting") -> None:
    sys.stdout.write(json_text.dumps(to_json(outcome, bootstrap.VIEWS), ensure_ascii=False) + "\n")
    sys.stdout.flush()


def _check_folder(folder: str | None, as_of: str | None) -> Path:
    """The folder that is to be followed. Raises UserError where it is none, or a moment is given for all that will come."""
    if folder is None or _is_address(folder):
        raise UserError("--follow needs a FOLDER of this machine; events of a server come by 'epic22 consume'.")
    if as_of is not None:
        raise UserError("--as-of is the moment of one snapshot; leave it out with --follow.")
    return Path(folder)


def _ingest_panel(address: str | None, mapping: Path, to: Path | None, json: bool) -> None:
    """Write the panel that a mapping asks for, and say how it is trained on."""
    with show_progress() as bars:
        panel = bootstrap.ingest_panel(bootstrap.assemble(Settings.read()), address, mapping, to, bars)
    if json:
        print_json(panel)
        return
    for note in panel.notes:
        print_line(f"note: {note}")
    what = f"{panel.rows:,} values of {panel.series:,} series, {panel.first:%Y-%m-%d} to {panel.last:%Y-%m-%d}"
    print_line(f"{what}: {panel.path} ({panel.sha256[:12]})" if panel.is_new else f"Nothing new: {what} in {panel.path} already.")
    print_line(
        f"Train on it: epic22 train --csv {shlex.quote(str(panel.path))} --panel long --id series --time time --label value "
        f"--frequency {panel.frequency} --horizon 12"
    )


def _is_address(source: str) -> bool:
    return "://" in source or source.startswith("env:")


def _check_objects(address: str) -> str:
    """The address of object storage. Raises UserError for another."""
    try:
        return str(read_artifacts(address, "FOLDER"))
    except UserError:
        raise UserError(
            "FOLDER: only s3://bucket/folder is read as files by an address; a database or HTTP API is named by --source ADDRESS."
        ) from None


def _check_name(source: str | None) -> str | None:
    if source is not None and _is_address(source):
        raise UserError("FOLDER and an address by --source are both given; rows come from one of them, so leave the other out.")
    return source


def _read_address(source: str | None, mapping: Path | None) -> str | None:
    if source is None and mapping is not None:
        return None
    if source is None or not _is_address(source):
        raise UserError("nothing to read: name a FOLDER with files, or a database by --source ADDRESS and --mapping FILE.")
    address = read_source_address(source)
    if address.startswith(("redis://", "rediss://", "unix://")):
        scheme = address.partition("://")[0]
        raise UserError(f"--source {scheme}://…: events of a stream are taken in by 'epic22 consume --source ADDRESS'.")
    return address


def _check_mapping(mapping: Path | None) -> Path:
    if mapping is None:
        raise UserError(
            "--source ADDRESS needs --mapping FILE, which says what to ask there; see docs/how-to/ingest-from-a-database.md."
        )
    return mapping


def _check_reason(reason: str | None) -> str | None:
    """The reason, in one line. Raises UserError for an empty one."""
    if reason is not None and not reason.strip():
        raise UserError("--accept-quality: say why, as in --accept-quality 'the bank changed its export'.")
    return None if reason is None else " ".join(reason.split())
