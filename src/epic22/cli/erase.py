"""`epic22 data erase`: one person out of all data versions, receipts and caches."""

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
        print_line(f"Done; entry {entry.number} in the log of erasures says so without the tenant.")
    else:
        print_line("Nothing was changed; --yes carries it out, for good.", "bold")
