"""`epic22 ingest`: canonical tables from files or a server become the next data version."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from epic22 import bootstrap
from epic22.cli.ingest_order import (
    AcceptQuality,
    AsOf,
    Checks,
    Every,
    Folder,
    Follow,
    IngestOrder,
    MappingFile,
    PanelFile,
    Source,
)
from epic22.cli.options import Json
from epic22.cli.terminal import print_json, print_json_line, print_line, print_table, show_progress
from epic22.config import Settings
from epic22.core.errors import UserError

if TYPE_CHECKING:
    from epic22.services.follow import Outcome
    from epic22.services.ingest import IngestResult


def ingest(
    folder: Folder = None,
    mapping: MappingFile = None,
    as_of: AsOf = None,
    source: Source = None,
    to: PanelFile = None,
    checks: Checks = None,
    accept_quality: AcceptQuality = None,
    follow: Follow = False,
    every: Every = 10.0,
    json: Json = False,
) -> None:
    """Check tables from files, a database or an API and store them as one data version; broken rows go to quarantine.

    All or nothing: a killed ingest leaves no trace, and run again it gives the same version. What is unlike all that is stored is
    said; where a column comes empty or rows are gone, nothing is stored unless --accept-quality says why.
    """
    request = IngestOrder(folder, mapping, as_of, source, checks, accept_quality)
    if request.asks_for_panel:
        _ingest_panel(request, to, json)
    elif to is not None:
        raise UserError("--to is for a panel; the tables that a mapping or a folder has go to EPIC22_HOME.")
    elif follow:
        _follow_folder(request, every, json)
    else:
        _ingest_tables(request, json)


def _ingest_tables(request: IngestOrder, json: bool) -> None:
    """Store one data version, and say what is new in it."""
    with show_progress() as bars:
        result = request.ingest(bootstrap.assemble(Settings.read()), bars)
    if json:
        print_json(result, bootstrap.VIEWS)
    else:
        _print_result(result)


def _print_result(result: "IngestResult") -> None:
    rows = [
        [n, *(f"{v:,}" for v in (c.new, c.changed, c.same, c.twice, c.gone)), f"{result.quarantined.get(n, 0):,}"]
        for n, c in result.counts.items()
    ]
    print_table("Ingest", ["table", "new", "changed", "same", "twice", "gone", "quarantined"], rows)
    for note in result.notes:
        print_line(f"note: {note}")
    if result.version is None:
        print_line("Nothing new; no version was created.")
        return
    print_line(f"Data version {result.version.number} ({result.version.id[:12]}), complete to {result.version.end:%Y-%m-%d}.")
    apart = result.version.quarantined
    if apart:
        which = "row was quarantined; see it" if apart == 1 else "rows were quarantined; see them"
        print_line(f"{apart:,} {which} with 'epic22 data quarantine {result.version.number}'.")


def _follow_folder(request: IngestOrder, seconds: float, json: bool) -> None:
    """Follow a folder until Ctrl-C; each outcome is a line."""
    follow, options = request.build_follow_options(seconds), request.build_options()
    if not json:
        print_line(f"Following {follow.folder}, a look every {follow.seconds:g} s; Ctrl-C ends it.")
    report = _print_json_line if json else _print_outcome
    bootstrap.follow_folder(bootstrap.assemble(Settings.read()), follow, options, report)


def _print_outcome(outcome: "Outcome") -> None:
    from epic22.services.follow import FileRefused, FilesLeft, FilesStored

    if isinstance(outcome, FilesStored):
        version, apart = outcome.result.version, sum(outcome.result.quarantined.values())
        what = "nothing new" if version is None else f"data version {version.number} ({version.id[:12]})"
        print_line(f"{', '.join(outcome.names)}: {what}{f', {apart:,} quarantined' if apart else ''}")
    elif isinstance(outcome, FileRefused):
        sys.stderr.write(f"epic22: {outcome.name} is refused: {outcome.reason}\n")
    elif isinstance(outcome, FilesLeft):
        sys.stderr.write(f"epic22: left alone, for no table has such a name: {bootstrap.describe_left_files(outcome.names)}\n")
    else:
        sys.stderr.write(f"epic22: waiting: {outcome.reason}\n")


def _print_json_line(outcome: "Outcome") -> None:
    print_json_line(outcome, bootstrap.VIEWS)


def _ingest_panel(request: IngestOrder, to: Path | None, json: bool) -> None:
    """Write the panel that a mapping asks for, and say how it is trained on."""
    address, mapping = request.read_address(), request.require_mapping()
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
