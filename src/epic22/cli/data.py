"""`epic22 data`: the versions of the tables."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from epic22 import bootstrap
from epic22.cli.erase import erase, erasures
from epic22.cli.options import Json
from epic22.cli.quality import quality
from epic22.cli.terminal import print_json, print_line, print_table
from epic22.config import Settings
from epic22.core.text import format_time

if TYPE_CHECKING:
    from epic22.adapters.lake import Lake
    from epic22.core.tables.versions import LakeVersion

data = typer.Typer(
    name="data",
    help="The versions of the tables: log, show, diff, restore, quarantine, quality, erase a person.",
    no_args_is_help=True,
    add_completion=False,
)
data.command()(quality)
data.command()(erase)
data.command()(erasures)
Number = Annotated[int | None, typer.Argument(help="A version's number; the newest otherwise.")]
Shown = Annotated[int, typer.Option("--rows", min=1, help="How many rows to show.")]


def _open_lake() -> "Lake":
    return bootstrap.open_lake(Settings.read())


@data.command()
def log(json: Json = False) -> None:
    """List the versions, newest first: rows, content hash, who, when, from where."""
    versions = _open_lake().log()[::-1]
    if json:
        print_json(versions, bootstrap.VIEWS)
        return
    if not versions:
        print_line("No data versions yet; read your tables with 'epic22 ingest FOLDER'.")
        return
    rows = [
        [
            str(v.number),
            v.id[:8],
            f"{v.rows:,} (+{sum(t.added for t in v.tables.values()):,})",
            f"{v.quarantined:,}",
            f"{v.action} by {v.who}, {v.at:%Y-%m-%d %H:%M}",
            _format_origin(v),
        ]
        for v in versions
    ]
    print_table("Data versions", ["version", "id", "rows", "quarantined", "created (UTC)", "sources"], rows)


def _format_origin(version: "LakeVersion") -> str:
    """The version's files in few words."""
    names = list(dict.fromkeys(source.name for source in version.sources))
    return ", ".join(names[:2]) + (f" and {len(names) - 2} more" if len(names) > 2 else "")


@data.command()
def show(
    version: Number = None,
    of: Annotated[str | None, typer.Option("--table", help="Show this table's first rows.")] = None,
    rows: Shown = 10,
    json: Json = False,
) -> None:
    """Show a version: its tables, or the first rows of one."""
    lake = _open_lake()
    selected = lake.resolve_version(version)
    if of is not None:
        frame = lake.scan(of, selected.number).head(rows).collect()
        _print_rows(of, frame.columns, [[_format_cell(value, json) for value in row] for row in frame.iter_rows()], json)
        return
    if json:
        print_json(selected, bootstrap.VIEWS)
        return
    lines = [[n, f"{t.rows:,}", f"{t.added:,}", str(t.delta_version), t.digest[:12]] for n, t in selected.tables.items()]
    print_table(f"Data version {selected.number} ({selected.id})", ["table", "rows", "added", "delta version", "digest"], lines)
    sources = [[s.name, s.table, f"{s.rows:,}", f"{s.quarantined:,}", s.sha256[:12]] for s in selected.sources]
    print_table("Sources", ["file", "table", "rows", "quarantined", "sha256"], sources)
    for note in selected.notes:
        print_line(f"note: {note}")
    print_line(f"{selected.action} by {selected.who}, {selected.at:%Y-%m-%d %H:%M} UTC; complete to {selected.end:%Y-%m-%d}.")


@data.command()
def diff(
    a: Annotated[int, typer.Argument(help="A version.")],
    b: Annotated[int, typer.Argument(help="Another version.")],
    json: Json = False,
) -> None:
    """Compare two versions: rows that only one of them has, by table."""
    differences = _open_lake().diff(a, b)
    if json:
        print_json({name: {"only_in_a": only_a, "only_in_b": only_b} for name, (only_a, only_b) in differences.items()})
        return
    if not differences:
        print_line(f"Versions {a} and {b} hold the same rows.")
        return
    rows = [[name, f"{only_a:,}", f"{only_b:,}"] for name, (only_a, only_b) in differences.items()]
    print_table("Differences", ["table", f"rows only in {a}", f"rows only in {b}"], rows)


@data.command()
def restore(version: Annotated[int, typer.Argument(help="The version to go back to.")], json: Json = False) -> None:
    """Make a new version with the content of an older one; the history stays as it is."""
    new_version = _open_lake().restore(version, bootstrap.current_user())
    if json:
        print_json(new_version, bootstrap.VIEWS)
        return
    print_line(f"Data version {new_version.number} holds what version {version} held ({new_version.id[:12]}).")


@data.command()
def quarantine(version: Number = None, rows: Shown = 50, json: Json = False) -> None:
    """Show the rows that an ingest set apart: file, line, reason, the row as it came."""
    frame = _open_lake().quarantine(version)
    if json:
        print_json(frame.to_dicts())
        return
    if not frame.height:
        print_line("No row is in quarantine.")
        return
    shown = [[str(value) for value in row] for row in frame.head(rows).select("file", "line", "reason", "row").iter_rows()]
    print_table(f"Quarantine: {frame.height:,} rows", ["file", "line", "reason", "row"], shown)


def _format_cell(value: object, json: bool) -> str:
    """A cell as text; for people a midnight is a day."""
    if isinstance(value, datetime) and not json:
        return format_time(value)
    return "" if value is None else str(value)


def _print_rows(name: str, columns: list[str], rows: list[list[str]], json: bool) -> None:
    if json:
        print_json([dict(zip(columns, row, strict=True)) for row in rows])
        return
    print_table(name, columns, rows)
