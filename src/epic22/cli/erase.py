"""`epic22 data erase` and `erasures`: one person out of all data versions, receipts and caches, and what was done so."""

from typing import TYPE_CHECKING, Annotated

import typer

from epic22 import bootstrap
from epic22.cli.options import Json
from epic22.cli.terminal import print_json, print_line, print_table
from epic22.config import Settings

if TYPE_CHECKING:
    from epic22.services.erasure import Erasure


def erase(
    tenant: Annotated[
        str | None, typer.Option(help="The tenant's id. Without it, an erasure that was cut off is completed.")
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Carry it out; otherwise what would go is shown, and nothing changed.")
    ] = False,
    json: Json = False,
) -> None:
    """Erase one tenant from data versions, quarantine, receipts, texts and caches; list the models that learned from the rows.

    Data versions stay under their numbers with new ids; the old ones still lead to them. It cannot be undone.

    epic22 data erase --tenant T002645 --yes
    """
    erasure = bootstrap.erase_tenant(Settings.read(), tenant, yes)
    if json:
        print_json(erasure, bootstrap.VIEWS)
        return
    _print_erasure(erasure)


def erasures(json: Json = False) -> None:
    """List what was erased, oldest first: when, by whom, how much, and from which data versions; nothing of the person."""
    entries = bootstrap.list_erasures(Settings.read())
    if json:
        print_json(entries)
        return
    if not entries:
        print_line("Nothing was erased.")
        return
    rows = [
        [
            str(entry.number),
            f"{entry.at:%Y-%m-%d %H:%M} by {entry.who}",
            ", ".join(f"{name} {n:,}" for name, n in entry.counts.items()),
            ", ".join(map(str, entry.versions)),
            ", ".join(entry.models) or "none",
        ]
        for entry in entries
    ]
    print_table("Erasures", ["number", "begun (UTC)", "what", "data versions", "models that learned"], rows)


def _print_erasure(erasure: "Erasure") -> None:
    entry, is_done = erasure.entry, erasure.is_carried_out
    print_table(
        "Erased" if is_done else "Would be erased", ["where", "how many"], [[name, f"{n:,}"] for name, n in entry.counts.items()]
    )
    if entry.versions:
        print_line(f"Data versions {'rewritten' if is_done else 'to be rewritten'}: {', '.join(map(str, entry.versions))}.")
    for before, after in entry.superseded.items():
        print_line(f"  {before[:12]} is superseded by {after[:12]}")
    models = ", ".join(entry.models) or "none"
    print_line(f"Models that learned from a data version with the rows: {models}.")
    for remaining in erasure.remaining:
        print_line(f"· stays: {remaining}", "dim")
    if is_done:
        print_line(f"Done; entry {entry.number} of 'epic22 data erasures' says so without the tenant.")
    else:
        print_line("Nothing was changed; --yes carries it out, for good.", "bold")
